"""`porting reduce` where an exporter refuses the model: the part that it refuses, in a folder that shows it without us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_kit import Run

from porting.diagnose import refusal
from porting.diagnose.graph import Source
from porting.diagnose.trial import Journal
from porting.errors import PortingError

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves

TESTS = Path(__file__).parents[1]
MODELS = str(TESTS / "refused_models.py")


def reproduced(folder: Path) -> subprocess.CompletedProcess[str]:
    """What comes of a case where PyTorch is, and nothing of ours."""
    plain = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(folder / "reproduce.py")]
    return subprocess.run(line, env=plain, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("model", "target", "part", "says", "text"),
    [
        ("branching", "torch:cpu:fp32", "Gate", "data-dependent", "if (x.mean() > floor).item():"),
        ("bessel", "onnxruntime:cpu:fp32", "Bessel", "bessel_j0", "return torch.special.bessel_j0(x)"),
    ],
)
def test_the_case_is_the_innermost_module_that_is_refused(
    porting: Run, setting: Path, model: str, target: str, part: str, says: str, text: str
) -> None:
    (found,) = porting("reduce", f"{MODELS}:{model}", target, "--out", "case", "--format", "json").json()
    assert (found["kind"], found["operators"]) == ("export", [part])
    (blamed,) = found["located"]["blamed"]
    assert blamed["value"] == "model.blocks.1.inner"
    assert says in blamed["message"]
    assert blamed["source"]["text"] == text
    assert blamed["source"]["place"].endswith("refused_models.py:" + blamed["source"]["place"].rpartition(":")[2])
    folder = setting / "case"
    own = next(folder.glob("_porting_factory_*.py"))
    assert {path.name for path in folder.iterdir()} == {"README.md", "case.json", "part.pt", "reproduce.py", own.name}
    assert own.read_text() == Path(MODELS).read_text()
    assert str(setting.parent) not in (folder / "README.md").read_text() + (folder / "case.json").read_text()
    ended = reproduced(folder)
    assert ended.returncode == 1, ended.stderr
    assert says in ended.stdout


def test_the_folder_tells_its_part_and_what_it_is_called_with(porting: Run, setting: Path) -> None:
    ended = porting("reduce", f"{MODELS}:branching", "torch:cpu:fp32", "--out", "case")
    assert ended.code == 0, ended.err
    assert "Gate on torch:cpu:fp32: export" in ended.out
    case = json.loads((setting / "case" / "case.json").read_text())
    assert case["part"] == "Gate (model.blocks.1.inner)"
    assert case["shapes"] == {"0": "float32[4, 6]", "floor": "float32[]"}
    assert case["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    again = porting("explain", f"{MODELS}:branching", "torch:cpu:fp32")
    assert again.code != 0, "there is no record yet"


def test_locate_names_the_command_that_finds_the_part(porting: Run) -> None:
    ended = porting("locate", f"{MODELS}:bessel", "onnxruntime:cpu:fp32")
    assert ended.code == 2
    assert "has no onnx form" in ended.complaint()
    assert "porting reduce" in ended.err


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TESTS))
    import refused_models

    from porting.bundles.eager import EagerModel

    torch.manual_seed(0)
    model, inputs = refused_models.branching()
    words = refusal.alike("GuardOnDataDependentSymNode: Could not guard on data-dependent expression Eq(u7, 1)")
    flat = EagerModel(model, list(inputs), {}).flat()
    with torch.no_grad():
        yield refusal.Search(flat, tuple(inputs.values()), "pt2", words, Journal(tmp_path / "parts.jsonl"))


def test_where_no_frame_tells_the_way_is_from_the_outside(search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_suspects", lambda _: ([], Source()))
    found = search.run(tmp_path / "case")
    assert found["path"] == "model.blocks.1.inner"
    assert found["source"]["text"] == "if (x.mean() > floor).item():"


def test_a_part_that_is_refused_otherwise_out_of_its_file_is_no_case(
    search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Otherwise(torch.nn.Module):
        def forward(self) -> None:
            raise ValueError("for another reason")

    monkeypatch.setattr(torch, "load", lambda *_, **__: {"module": Otherwise(), "args": (), "kwargs": {}})
    with pytest.raises(PortingError, match="not refused in the same words"):
        search.run(tmp_path / "case")
    assert not (tmp_path / "case" / refusal.PART).exists()


def test_a_search_that_was_ended_goes_on(search: Any, tmp_path: Path) -> None:
    found = search.run(tmp_path / "case")
    again = refusal.Search(search._flat, search._calls[""].args, "pt2", search._wanted, Journal(tmp_path / "parts.jsonl"))
    second = again.run(tmp_path / "case")
    assert second["path"] == found["path"]
    assert second["tried"] < found["tried"]


@pytest.mark.parametrize(
    ("scope", "path"),
    [("L['self'].model.layers[0].mlp", "model.layers.0.mlp"), ("model.layers.0", "model.layers.0"), ("L__self__", ""), ("", "")],
)
def test_a_graphs_own_words_for_a_module_are_its_path(scope: str, path: str) -> None:
    assert refusal._path_of(scope) == path


def test_refusals_are_alike_but_for_the_names_of_sizes() -> None:
    assert refusal.alike("ValueError: cannot guard on Eq(u0, 3)\nadvice") == refusal.alike(
        "ValueError: cannot guard on Eq(u17, 40)"
    )
    assert refusal.alike("ValueError: one thing") != refusal.alike("ValueError: another")
    assert refusal.alike("") == ""
