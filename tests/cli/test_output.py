"""What commands print, for people and for programs, and the exit status that says how it went."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Run

MODEL = "sample_models:two_outputs"
RESULT_KEYS = {
    "model", "target", "stage", "outcome", "cause", "evidence", "signature", "message", "seconds", "peak_rss_bytes", "numerics",
    "placement", "reproduce",
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "state"


@pytest.fixture(autouse=True)
def checked(porting: Run, kept: Path, tmp_path: Path) -> None:
    """A store with a pass, a failure and an unavailable cell; made once, and copied for every test."""
    if kept.exists():
        shutil.copytree(kept, tmp_path / "state")
        return
    ended = porting("check", MODEL, "--on", "faulty:none:fp32,faulty:nan:fp32,onnxruntime:cuda:fp32", "--format", "json")
    assert ended.code == 1
    assert [r["outcome"] for r in ended.json()] == ["pass", "mismatch", "unavailable"]
    shutil.copytree(tmp_path / "state", kept)


# ---- exit status ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ("faulty:none:fp32", 0),
        ("faulty:none:fp32,faulty:nan:fp32", 1),
        ("faulty:none:fp32,onnxruntime:cuda:fp32", 3),
        ("faulty:nan:fp32,onnxruntime:cuda:fp32", 1),
        ("faulty:none:fp32,faulty:bad_probe_device:fp32", 3),
    ],
)
def test_the_exit_status_tells_failure_from_what_was_not_there(porting: Run, targets: str, code: int) -> None:
    assert porting("check", MODEL, "--on", targets).code == code


def test_a_fault_of_ours_ends_its_cell_and_not_the_run(porting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.cells import attempt
    from porting.numerics.compare import judge

    def faulty(actual: dict[str, dict[str, object]], *rest: object) -> object:
        if any(len(outputs) == 1 for outputs in actual.values()):
            raise KeyError("pooled")
        return judge(actual, *rest)

    monkeypatch.setattr(attempt, "judge", faulty)
    ended = porting("check", MODEL, "--on", "faulty:drop:fp32,faulty:sign:fp32", "--format", "json")
    dropped, sign = ended.json()
    assert (dropped["outcome"], dropped["cause"]) == ("fail", "harness")
    assert "a fault in porting itself: KeyError" in dropped["message"]
    assert "faulty" in dropped["log_tail"], "with the traceback"
    assert sign["outcome"] == "mismatch"


def test_a_fault_of_ours_anywhere_else_is_no_failure_of_a_model(porting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.api import Setting

    monkeypatch.setattr(Setting, "resolve", lambda *_: 1 / 0)
    ended = porting("check", MODEL)
    assert ended.code == 3
    assert "Error: a fault in porting itself: ZeroDivisionError" in ended.err


def test_a_check_on_no_target_at_all_is_no_success(porting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.adapter import Probe
    from porting.environments.probing import Prober

    monkeypatch.setattr(Prober, "probe", lambda self, name: Probe({}))
    ended = porting("check", MODEL)
    assert ended.code == 3
    assert "porting doctor" in ended.complaint()


# ---- for programs ---------------------------------------------------------------------------------------------------


def test_models_list_gives_its_keys(porting: Run) -> None:
    found = porting("models", "list", "--format", "json").json()
    entry = {"id", "family", "house", "task", "modalities", "source", "license", "license_weights", "weights", "params", "tiers"}
    built = {"status", "message", "architecture", "full_params", "inputs", "axes", "notes", "cpu_seconds", "peak_rss_bytes"}
    assert all(set(one) == entry | built | {"cannot", "versions", "date"} for one in found)
    assert len({one["id"] for one in found}) == len(found) >= 80


def test_targets_list_gives_its_keys_and_a_reason_for_what_is_not_here(porting: Run) -> None:
    found = porting("targets", "list", "--format", "json").json()
    assert all(set(one) == {"id", "adapter", "available", "evidence", "reason", "hint"} for one in found)
    assert all(one["reason"] for one in found if not one["available"])
    by_id = {one["id"]: one for one in found}
    assert by_id["onnxruntime:cpu:fp32"]["available"]
    assert not by_id["onnxruntime:cuda:fp32"]["available"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", MODEL, "--on", "faulty:none:fp32,faulty:nan:fp32,onnxruntime:cuda:fp32"),
        ("report",),
        ("explain", MODEL, "faulty:nan:fp32"),
    ],
)
def test_results_have_the_keys_that_programs_rely_on(porting: Run, arguments: tuple[str, ...]) -> None:
    found = porting(*arguments, "--format", "json").json()
    assert found
    for one in found:
        assert one.keys() >= RESULT_KEYS
        assert (one["numerics"] is None) == (one["outcome"] == "unavailable")
        assert one["reproduce"] == f"porting check {MODEL} --on {one['target']}"
        assert one["cause"] is None or one["message"]


def test_every_other_list_is_an_array_of_objects_and_nothing_else(porting: Run) -> None:
    for arguments in (
        ("env", "list"),
        ("doctor",),
        ("targets", "show", "onnxruntime:cpu:fp32"),
        ("models", "show", "transformers/bert"),
        ("models", "validate"),
        ("convert", MODEL, "--to", "faulty:nan:fp32", "-o", "port"),
    ):
        found = porting(*arguments, "--format", "json").json()
        assert all(isinstance(one, dict) for one in found)
        assert found or arguments[1] == "validate"


def test_a_conversion_that_fails_leaves_no_folder(porting: Run, setting: Path) -> None:
    ended = porting("convert", MODEL, "--to", "faulty:nan:fp32", "-o", "port")
    assert ended.code == 1
    assert "Nothing was written" in ended.out
    assert not (setting / "port").exists()
    assert porting("convert", MODEL, "--to", "onnxruntime:cuda:fp32", "-o", "port").code == 3


# ---- for people -----------------------------------------------------------------------------------------------------


def test_an_unchanged_cell_is_answered_from_its_record(porting: Run) -> None:
    before = porting("results", "export").out
    ended = porting("check", MODEL, "--on", "faulty:none:fp32,faulty:nan:fp32")
    assert "2 cells, 2 with a result for the same contents" in ended.err
    assert porting("results", "export").out == before


def test_explain_tells_stage_cause_numbers_and_the_command(porting: Run) -> None:
    ended = porting("explain", MODEL, "faulty:nan:fp32")
    assert ended.code == 0
    for wanted in ("mismatch", "nonfinite", "  with        adapter ", f"porting check {MODEL} --on faulty:nan:fp32"):
        assert wanted in ended.out
    assert porting("explain", MODEL, "faulty:nan:fp32", "--log").code == 0


def test_explain_knows_a_model_by_what_was_typed(porting: Run) -> None:
    assert "Did you mean sample_models:two_outputs?" in porting("explain", "two_outputs", "faulty:nan:fp32").complaint()
    assert porting("explain", f"./{MODEL}", "faulty:nan:fp32").code == 0


def test_explain_of_a_cell_without_a_result_says_how_to_make_one(porting: Run) -> None:
    ended = porting("explain", MODEL, "faulty:sign:fp32")
    assert ended.code == 2
    assert f"porting check {MODEL} --on faulty:sign:fp32" in ended.complaint()


def test_a_report_is_a_folder_that_opens_from_disk(porting: Run, setting: Path) -> None:
    ended = porting("report", "--html", "page")
    assert ended.code == 0
    assert "page/index.html" in ended.err
    text = (setting / "page" / "index.html").read_text()
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert porting("report", "--on", "faulty:*", "--format", "json").json()[0]["target"].startswith("faulty:")


def test_the_pages_tell_what_changed_since_a_run_or_a_day(porting: Run, setting: Path) -> None:
    def story(*since: str) -> dict[str, Any]:
        assert porting("report", "--html", "page", *since).code == 0
        told = (setting / "page" / "data.js").read_text()
        return json.loads(told[len("const DATA = ") : -len(";\n")])["story"]

    assert story()["known"] == 0
    assert len(story()["alone"]) == 1
    assert story("--since", "2100-01-01")["known"] == 3
    assert story("--since", "last")["known"] == 0
    assert "yesterday" in porting("report", "--html", "page", "--since", "yesterday").complaint()
    assert porting("report", "--since", "last").code == 2


def test_results_travel_to_another_store_and_back(porting: Run, setting: Path) -> None:
    assert porting("results", "export", "all.jsonl").code == 0
    first = porting("results", "import", "all.jsonl", "--store", "other.db")
    assert first.out == "3 new results, 0 known already\n"
    assert porting("results", "import", "all.jsonl", "--store", "other.db").out == "0 new results, 3 known already\n"
    assert porting("results", "export", "--store", "other.db").out == (setting / "all.jsonl").read_text()


def test_several_files_are_imported_each_whole_or_not(porting: Run, setting: Path) -> None:
    assert porting("results", "export", "sound.jsonl").code == 0
    (setting / "damaged.jsonl").write_text((setting / "sound.jsonl").read_text()[:-9])
    ended = porting("results", "import", "sound.jsonl", "sound.jsonl", "damaged.jsonl", "--store", "several.db")
    assert ended.code == 2
    assert "damaged.jsonl" in ended.complaint()
    assert ended.out.splitlines() == [
        "sound.jsonl: 3 new results, 0 known already",
        "sound.jsonl: 0 new results, 3 known already",
    ]


def test_a_report_of_a_tier_has_the_models_of_that_tier_alone(porting: Run) -> None:
    assert "no results to show" in porting("report", "--tier", "smoke").complaint()
    assert "unknown tier 'nosuch'" in porting("report", "--tier", "nosuch").complaint()
    assert len(porting("report", MODEL, "--format", "json").json()) == 3


def test_results_go_through_a_pipe(command: Run) -> None:
    line = f"{sys.executable} -m porting results export | {sys.executable} -m porting results import --store piped.db"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "3 new results, 0 known already\n"), done.stderr


def test_a_damaged_export_is_refused_whole(porting: Run, setting: Path) -> None:
    porting("results", "export", "all.jsonl")
    lines = (setting / "all.jsonl").read_text().splitlines()
    (setting / "all.jsonl").write_text("\n".join([lines[0], lines[1][:-9], lines[2]]))
    ended = porting("results", "import", "all.jsonl", "--store", "other.db")
    assert ended.code == 2
    assert "line 2" in ended.complaint()
    assert porting("results", "export", "--store", "other.db").out == ""


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_shards_part_the_models_among_them(porting: Run) -> None:
    models = [f"small_models:{name}" for name in ("narrow", "needs_a_file", "no_inputs")]
    found = []
    for shard in ("1/2", "2/2"):
        porting("check", *models, "--on", "onnxruntime:cuda:fp32", "--shard", shard, "--store", "shards.db")
        found.append({r["model"] for r in json.loads(porting("report", "--store", "shards.db", "--format", "json").out)})
    assert found[0] < found[1] == set(models), "none is left out"
    assert len(found[0]) == 2, "and none is done twice"


def test_a_shard_without_models_is_empty_and_no_failure(porting: Run) -> None:
    ended = porting("check", MODEL, "--on", "faulty:none:fp32", "--shard", "2/2", "--format", "json")
    assert (ended.code, ended.json()) == (0, [])
    assert porting("check", MODEL, "--on", "faulty:none:fp32", "--shard", "2/2").code == 0
