"""The verbs as Python functions."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import small_models
import torch

import porting
from porting.errors import InfrastructureError, ModelError, StoreError, UnknownName, UsageError

TARGETS = ["onnxruntime:cpu:fp32"]


def inputs(rows: int = 3) -> dict[str, np.ndarray]:
    return {"input": np.random.default_rng(rows).standard_normal((rows, 6), dtype=np.float32)}


def test_several_models_give_a_result_each_in_order() -> None:
    names = ["small_models:narrow", "sample_models:raises"]
    results = porting.check(names, targets=TARGETS)
    assert [(r.model, r.outcome.value) for r in results] == [(names[0], "pass"), (names[1], "invalid")]
    (result,) = porting.check(names[0], targets=TARGETS)
    assert (result.outcome, result.evidence) == (porting.Outcome.PASS, porting.Evidence.HOST)


def test_a_module_in_this_process_is_checked_with_its_inputs_and_left_as_it_was() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.9), torch.nn.Linear(8, 3)).train()
    module[1].eval()  # frozen on purpose
    before = {name: value.clone() for name, value in module.state_dict().items()}
    (result,) = porting.check(module, inputs=inputs(), targets=TARGETS)
    assert result.outcome is porting.Outcome.PASS, result.message
    assert result.model == "module/Sequential"
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_module_takes_tensors_and_several_cases_and_its_result_can_be_made_again() -> None:
    from porting.cli import run

    cases = [{"input": torch.randn(3, 6, requires_grad=True)}, {"input": torch.randn(3, 6, dtype=torch.float64)}]
    (result,) = porting.check(small_models.wide()[0], inputs=cases, targets=TARGETS)
    assert result.outcome is porting.Outcome.PASS, result.message
    assert [case.name for case in result.cases] == ["given-1", "given-2"]
    words = result.reproduce.split()
    assert words[:2] == ["porting", "check"]
    assert Path(words[2]).is_file()
    assert run([*words[1:], "--rerun"]) == 0


def test_a_module_takes_inputs_in_the_order_of_its_forward() -> None:
    (result,) = porting.check(small_models.narrow()[0], inputs=torch.randn(2, 6), targets=TARGETS)
    assert result.outcome is porting.Outcome.PASS, result.message
    pair = (torch.randn(2, 6), torch.randn(2, 6))
    with pytest.raises(UsageError, match="2 inputs by position, but forward takes input"):
        porting.check(small_models.narrow()[0], inputs=pair, targets=TARGETS)


def test_a_module_that_cannot_be_captured_says_why_and_is_left_as_it_was() -> None:
    module = small_models.narrow()[0].train()
    with pytest.raises(ModelError, match="cannot be captured with these inputs"):
        porting.check(module, inputs={"input": np.zeros((2, 7), np.float32)}, targets=TARGETS)
    assert module.training


def test_a_module_without_inputs_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="a module needs inputs"):
        porting.check(small_models.narrow()[0], targets=TARGETS)


def test_convert_writes_a_folder_and_says_what_came_of_it(tmp_path: Path) -> None:
    result = porting.convert("small_models:narrow", TARGETS[0], tmp_path / "port")
    assert result.outcome is porting.Outcome.PASS
    assert (tmp_path / "port" / "run.py").is_file()
    with pytest.raises(UsageError, match="not empty"):
        porting.convert("small_models:narrow", TARGETS[0], tmp_path / "port")


def test_what_is_wrong_is_raised_as_the_documented_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean transformers/bert"):
        porting.check("bert", targets=TARGETS)
    with pytest.raises(UnknownName, match="Did you mean onnxruntime"):
        porting.check("small_models:narrow", targets=["onnxruntim:cpu:fp32"])
    with pytest.raises(ModelError, match="no such checkpoint"):
        porting.check("sample_models:raises", targets=TARGETS)
    with pytest.raises(ModelError, match="no such checkpoint"):
        porting.convert("sample_models:raises", TARGETS[0], tmp_path / "port")
    assert not (tmp_path / "port").exists()
    with pytest.raises(UsageError, match="no array of real numbers"):
        porting.check("small_models:narrow", inputs={"input": np.array(["a"])}, targets=TARGETS)
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "broken.db").write_bytes(b"no database" * 200)
    with pytest.raises(StoreError) as caught:
        porting.check("small_models:narrow", targets=TARGETS, store=str(tmp_path / "broken.db"))
    assert isinstance(caught.value, InfrastructureError)
    assert caught.value.hint


def test_models_and_targets_are_lists_of_what_there_is() -> None:
    assert "transformers/bert" in {spec.id for spec in porting.models()}
    assert [spec.id for spec in porting.models(["transformers/bert"])] == ["transformers/bert"]
    importlib.import_module("porting.models.layers")  # a package of the same name, which a net of the catalog brings in
    assert "transformers/bert" in {spec.id for spec in porting.models()}
    found = {str(state.target): state for state in porting.targets()}
    assert found[TARGETS[0]].available
    assert not found["onnxruntime:cuda:fp32"].available


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        porting.chek  # noqa: B018


def test_results_are_judged_by_what_was_accepted(setting: Path) -> None:
    from gate_kit import entry, write

    write(setting, "faulty:sign:fp32", entry("mismatch", models="small_models:narrow"))
    results = porting.check("small_models:narrow", targets=["faulty:sign:fp32"])
    judged = porting.gate(results, "expect", strict=True)
    assert (judged.exit_code, judged.headline) == (0, "gate as expected: 1 as expected")
    assert porting.gate(results).exit_code == 1, "the toolkit's own say nothing of it"
