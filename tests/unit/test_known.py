"""What is known of why a cell does not pass: located operators, the smallest case, changes that may help, commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porting.diagnose.known import Known, known_of
from porting.diagnose.notes import LOCATED, REDUCED, Smallest, keep
from porting.types import Cause, Evidence, Outcome, Result, Stage
from porting.workspace import Workspace

TARGET = "onnxruntime:cpu:fp32"
REFUSED = Result(
    "m", TARGET, Stage.LOAD, Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, message="Could not find an implementation for Gelu(20)",
    evidence=Evidence.HOST, key="k" * 64, reproduce=f"porting check 'my model' --on {TARGET}",
)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return replace(Workspace.find(tmp_path), cache=tmp_path / "cache")


def known(workspace: Workspace, result: Result) -> Known:
    return known_of(workspace, [result])[result.model, result.target]


def blamed(operator: str, place: str = "") -> dict[str, Any]:
    return {"operator": operator, "kind": "mismatch", "source": {"place": place, "text": "self.conv(x)" if place else ""}}


def test_commands_name_the_model_as_the_record_does(workspace: Workspace) -> None:
    found = known(workspace, REFUSED)
    assert found.commands == (
        f"porting locate 'my model' {TARGET}",
        f"porting reduce 'my model' {TARGET}",
        f"porting unlock {TARGET}",
    )
    gone = known(workspace, replace(REFUSED, target="nobody:cpu:fp32"))
    assert gone.commands == ("porting unlock nobody:cpu:fp32",)


def test_a_change_that_answers_it_is_named_unless_it_was_tried(workspace: Workspace) -> None:
    assert known(workspace, REFUSED).remedies == ("expand=Gelu answers operator: Gelu",)
    tried = replace(REFUSED, attempts=("onnx-fp32-dynamic+expand=Gelu: fail (exception) at load: no",))
    assert known(workspace, tried).remedies == ()


def test_located_operators_are_counted_and_the_first_are_named(workspace: Workspace) -> None:
    names = [blamed("Conv", "net.py:3"), blamed("Conv", "net.py:3"), *(blamed(f"Op{n}") for n in range(9))]
    keep(workspace, LOCATED, REFUSED.key, {"said": "operators are wrong by themselves", "blamed": names[:5], "group": names[5:]})
    found = known(workspace, REFUSED)
    assert found.said == "operators are wrong by themselves"
    assert found.operators[:2] == ("Conv (mismatch) at net.py:3 self.conv(x), 2 nodes", "Op0 (mismatch)")
    assert found.operators[-1] == "and 2 more: porting locate"


def test_a_case_is_known_where_its_folder_is_gone(workspace: Workspace, tmp_path: Path) -> None:
    case = Smallest("exception", "1", ("Gelu",), {"x": "float32[1]"}, 90, str(tmp_path / "case"))
    keep(workspace, REDUCED, REFUSED.key, case)
    assert (known(workspace, REFUSED).smallest, known(workspace, REFUSED).folder) == ("Gelu of float32[1] (90 bytes)", "")
    (tmp_path / "case").mkdir()
    assert known(workspace, REFUSED).folder == str(tmp_path / "case")


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.SKIPPED, Outcome.UNAVAILABLE])
def test_what_is_no_fault_is_not_looked_into(workspace: Workspace, outcome: Outcome) -> None:
    assert known_of(workspace, [replace(REFUSED, outcome=outcome)]) == {}
