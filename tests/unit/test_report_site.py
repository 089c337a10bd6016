"""The report as a site: its files, whatever kills a writer, its words, and that text from outside stays text."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sample_results as sample
from rich.console import Console

from porting.diagnose import blockers
from porting.errors import DiskError
from porting.records.diff import Kind
from porting.report import Matrix, ModelRow, TargetColumn, json_, markdown, tally
from porting.report.html import PAGE, index, write_site
from porting.report.static_table import render as render_table
from porting.report.table import print_matrix
from porting.types import CaseNumbers, Cause, Evidence, Outcome, OutputNumbers, Result, Stage

KINDS = [
    getattr(blockers, name) for name in ("OPERATOR", "DTYPE", "SHAPE", "CONTROL", "BUG", "NUMBERS", "LIMIT", "FORM", "PLACEMENT")
]


def messages(language: str) -> dict[str, str]:
    text = (PAGE / f"messages_{language}.js").read_text(encoding="utf-8")
    start = f"const MESSAGES_{language.upper()} = "
    return json.loads(text[text.index(start) + len(start) : text.rindex(";")])


def printed(matrix: Matrix, width: int = 300, **console: Any) -> str:
    file = io.StringIO()
    print_matrix(matrix, Console(file=file, width=width, **console))
    return file.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def details(folder: Path) -> dict[str, list[Any]]:
    found = {}
    for path in (folder / "d").iterdir():
        match = re.fullmatch(r'Details\.add\("(\w+)", "(.*)"\);\n', path.read_text())
        assert match is not None
        found[match[1]] = json.loads(gzip.decompress(base64.b64decode(match[2])))
    return found


def data(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "data.js").read_text()[len("const DATA = ") : -len(";\n")])


def test_the_same_matrix_makes_the_same_bytes(tmp_path: Path) -> None:
    write_site(sample.plausible(), tmp_path / "a")
    write_site(sample.plausible(), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_text_renderers_repeat_themselves() -> None:
    for render in (markdown.render, json_.render, render_table, printed):
        assert render(sample.plausible()) == render(sample.plausible())


def test_the_site_has_the_records_of_every_model_and_nothing_for_a_missing_cell(tmp_path: Path) -> None:
    matrix = sample.plausible()
    write_site(matrix, tmp_path)
    records = details(tmp_path)
    digests = data(tmp_path)["details"]
    assert len(digests) == len(matrix.models)
    silero = records[digests[-1]]
    assert [record and record["target"] for record in silero] == [
        None if t.id == "rknn:rk3588:fp16" else t.id for t in matrix.targets
    ]


def test_the_index_spells_every_outcome_evidence_stage_and_cause() -> None:
    matrix = sample.every_kind()
    found = index(matrix)
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    outcomes = [found["outcomes"][digits.index(char)] for char in found["cells"]["outcome"]]
    evidences = [[*found["evidences"], None][digits.index(char)] for char in found["cells"]["evidence"]]
    results = list(matrix.results())
    assert outcomes == [r.outcome.value for r in results]
    assert evidences == [r.evidence and r.evidence.value for r in results]
    assert found["causes"] == [c.value for c in Cause]


def test_a_second_report_replaces_the_first_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    write_site(sample.plausible(), tmp_path)
    write_site(sample.hostile(), tmp_path)
    fresh = tmp_path / "fresh"
    write_site(sample.hostile(), fresh)
    expected = contents(fresh)
    for path in sorted(fresh.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    fresh.rmdir()
    assert contents(tmp_path) == expected


def test_files_of_other_people_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("notes.txt", "d/mine.js"):
        (tmp_path / name).write_text("mine")
    write_site(sample.plausible(), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "d/mine.js").read_text() == "mine"


def test_a_writer_killed_at_any_move_leaves_a_report_whose_details_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    moves = 0
    real = os.replace
    for limit in range(40):
        write_site(sample.plausible(), tmp_path)
        moves = 0

        def replace(source: Any, target: Any, limit: int = limit) -> None:
            nonlocal moves
            if moves == limit:
                raise Killed
            moves += 1
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        try:
            write_site(sample.hostile(), tmp_path)
            break
        except Killed:
            pass
        finally:
            monkeypatch.setattr(os, "replace", real)
        present = {path.stem for path in (tmp_path / "d").iterdir()}
        assert set(data(tmp_path)["details"]) <= present
        assert (tmp_path / "index.html").is_file()
    assert limit > 10


def test_what_a_killed_writer_left_is_swept_up_by_the_next(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    left = tmp_path / f".writing-{child}-abc"
    left.mkdir()
    write_site(sample.plausible(), tmp_path)
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DiskError, match=r"cannot write the report to .*file: ") as caught:
        write_site(sample.plausible(), tmp_path / "file")
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_a_full_disk_leaves_the_old_report_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(sample.plausible(), tmp_path)
    before = contents(tmp_path)

    def full(*_args: Any, **_named: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskError, match="No space left on device"):
        write_site(sample.hostile(), tmp_path)
    assert contents(tmp_path) == before


def test_a_matrix_without_models_is_still_a_report(tmp_path: Path) -> None:
    empty = Matrix((), (TargetColumn("onnxruntime:cpu:fp32", Evidence.HOST),), {})
    assert write_site(empty, tmp_path).is_file()
    assert "0 planned" in printed(empty)
    assert json.loads(json_.render(empty)) == []
    assert "0 models on 1 target" in markdown.render(empty)


def test_the_plain_page_keeps_hostile_text_as_text() -> None:
    page = render_table(sample.hostile())
    assert "<img" not in page
    assert "<script" not in page
    assert "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;" in page


def test_data_from_outside_cannot_end_a_script_element(tmp_path: Path) -> None:
    write_site(sample.hostile(), tmp_path)
    assert "<" not in (tmp_path / "data.js").read_text()


def test_the_page_allows_no_script_but_its_own_and_no_network() -> None:
    page = (PAGE / "index.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"\son\w+=|style=|https?:", page)
    listed = set(re.findall(r'<script src="(\w+\.js)"', page))
    assert listed == {path.name for path in PAGE.glob("*.js")} | {"data.js"}
    assert set(re.findall(r'href="(\w+\.css)"', page)) == {path.name for path in PAGE.glob("*.css")}


def test_the_script_is_made_of_the_sources_beside_it() -> None:
    folder = PAGE / "src"
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.ts"), *folder.glob("*.tsx"), folder / "package-lock.json"), key=lambda p: p.name):
        digest.update(f"{path.name}\n{path.read_text(encoding='utf-8')}".encode())
    assert f"sha256:{digest.hexdigest()}" in (PAGE / "app.js").read_text(encoding="utf-8").splitlines()[0], "make page"


def test_the_script_is_what_the_bundler_makes() -> None:
    folder = PAGE / "src"
    if shutil.which("node") is None or not (folder / "node_modules").is_dir():
        pytest.skip("node or its packages are not here; make page")
    done = subprocess.run(["npm", "run", "--silent", "check"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- words of the page --------------------------------------------------------------------------------------------


def test_every_text_of_the_page_is_there_in_both_languages() -> None:
    english, chinese = messages("en"), messages("zh")
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert text, key
        assert chinese[key], key
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", chinese[key])), key


def test_every_value_of_a_result_has_a_word() -> None:
    table = messages("en")
    words = [f"outcome.{o.value}" for o in Outcome] + [f"means.{o.value}" for o in Outcome]
    words += [f"{part}.{e.value}" for part in ("evidence", "rests", "passed") for e in Evidence]
    words += [f"passed.{e.value}.means" for e in Evidence]
    words += [f"stage.{s.value}" for s in Stage] + [f"cause.{c.value}" for c in Cause]
    changes = [kind.value.replace(" ", "-") for kind in Kind]
    words += [f"change.{name}" for name in changes] + [f"change.{name}.means" for name in changes]
    words += [f"blocker.{kind.replace(' ', '-')}" for kind in KINDS]
    assert [word for word in words if word not in table] == []


def test_the_scripts_use_no_word_that_is_not_there_and_none_is_there_for_nothing() -> None:
    table = messages("en")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (PAGE / "src").glob("*.ts*"))
    used = set(re.findall(r'\b(?:t|counted)\(\s*"([\w.]+)"', code))
    assert used - set(table) == set()
    built = re.findall(r"`((?:\w+\.)+)\$\{", code)
    rest = {key for key in table if f'"{key}"' not in code and not key.startswith(tuple(built))}
    assert {key for key in rest if not key.endswith(".one")} == set()


# ---- shares and story ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "digit"), [(0.0, "A"), (1e-3, "A"), (0.0011, "B"), (1.0, "e"), (1.0001, "f"), (99.0, "y"), (1e6, "y")]
)
def test_the_index_tells_the_share_of_what_is_allowed_and_one_is_allowed(share: float, digit: str) -> None:
    judged = sample.output("y", 1e-3, share, row=None, allowed_row=None, peak=None, allowed_peak=None)
    cells = {("m", "t"): with_output(judged), ("m", "u"): sample.result("m", "u", Outcome.FAIL, Evidence.HOST)}
    matrix = Matrix((ModelRow("m"),), (TargetColumn("t", Evidence.HOST), TargetColumn("u", Evidence.HOST)), cells)
    assert index(matrix)["cells"]["error"] == f"{digit}9"


def test_an_output_that_is_not_finite_is_furthest_over_the_limit() -> None:
    cells = {("m", "t"): with_output(sample.output("y", 1e-3, 0.5, nonfinite=3))}
    matrix = Matrix((ModelRow("m"),), (TargetColumn("t", Evidence.HOST),), cells)
    assert index(matrix)["cells"]["error"] == "y"


def with_output(output: OutputNumbers) -> Result:
    return sample.result("m", "t", Outcome.PASS, Evidence.HOST, cases=(CaseNumbers("nominal", (output,)),))


def test_the_story_keeps_passes_of_different_evidence_apart() -> None:
    story = index(sample.plausible())["story"]
    place = [target.id for target in sample.TARGETS].index("iree:rocm-gfx942:fp16")
    known, passes = story["days"][-1][1][str(place)]
    assert known == 12
    assert {e.value: n for e, n in zip(Evidence, passes, strict=True) if n} == {"compiled": 12}


def test_a_change_whose_cell_is_not_in_the_report_is_left_out() -> None:
    matrix = sample.plausible()
    fewer = dataclasses.replace(matrix, models=tuple(row for row in matrix.models if row.id != "transformers/whisper"))
    assert len(index(fewer)["story"]["changes"]) == len(index(matrix)["story"]["changes"]) - 1


def test_results_without_evidence_claim_none(tmp_path: Path) -> None:
    matrix = sample.plausible()
    unavailable = matrix.result("transformers/qwen3", "torch:npu:bf16")
    assert unavailable.evidence is None
    assert tally([unavailable]).claims() == {}
    bare = dataclasses.replace(unavailable, outcome=Outcome.PASS)
    assert tally([bare]).claims() == {}


def test_no_renderer_needs_numpy_torch_or_the_store() -> None:
    code = """
import sys
import porting.report.html, porting.report.json_, porting.report.markdown, porting.report.table
print(*sorted({"numpy", "torch", "onnx", "sqlalchemy", "porting.store"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
