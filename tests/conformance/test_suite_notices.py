"""The conformance suite fails an adapter that breaks its word: one planted fault a test."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "example_adapter" / "src"))

from onnx_reference_adapter.adapter import OnnxReferenceAdapter, ReferenceSession

from porting.adapter import DeviceState, Probe
from porting.conformance import AdapterConformance
from porting.types import Artifact, Placement, Precision, Target

TARGET = Target("onnx_reference", "cpu", Precision.FP32)


def suite(adapter: type[OnnxReferenceAdapter]) -> AdapterConformance:
    """The suite over `adapter`, whose tests are then called one by one."""
    return type("Suite", (AdapterConformance,), {"adapter": adapter})()


def answering(change: Callable[[dict[str, Any]], dict[str, Any]]) -> type[OnnxReferenceAdapter]:
    """An adapter whose every answer goes through `change`."""

    class Session(ReferenceSession):
        def run(self, inputs: Any) -> Any:
            return change(dict(super().run(inputs)))

    class Faulty(OnnxReferenceAdapter):
        def load(self, artifact: Artifact, target: Target, folder: Path) -> ReferenceSession:
            return Session(super().load(artifact, target, folder)._evaluator)

    return Faulty


def test_the_adapter_that_the_faults_are_planted_in_passes() -> None:
    sound = suite(answering(lambda answers: answers))
    sound.test_it_answers_what_eager_answers(TARGET)
    sound.test_outputs_have_the_declared_names_dtypes_and_shapes(TARGET)
    sound.test_an_answer_outlives_the_next_run(TARGET)


def test_wrong_numbers_are_noticed() -> None:
    with pytest.raises(AssertionError, match="relative error"):
        suite(answering(lambda a: {**a, "logits": -a["logits"]})).test_it_answers_what_eager_answers(TARGET)


def test_not_a_number_is_noticed() -> None:
    with pytest.raises(AssertionError, match="relative error"):
        suite(answering(lambda a: {**a, "logits": a["logits"] * np.nan})).test_it_answers_what_eager_answers(TARGET)


def test_another_dtype_is_noticed() -> None:
    faulty = answering(lambda a: {**a, "best.id": a["best.id"].astype(np.int32)})
    with pytest.raises(AssertionError, match=r"best\.id"):
        suite(faulty).test_outputs_have_the_declared_names_dtypes_and_shapes(TARGET)


def test_a_dropped_output_is_noticed() -> None:
    faulty = answering(lambda a: {name: value for name, value in a.items() if name != "lambda"})
    with pytest.raises(AssertionError):
        suite(faulty).test_outputs_have_the_declared_names_dtypes_and_shapes(TARGET)


def test_a_batch_cut_to_one_row_is_noticed() -> None:
    faulty = answering(lambda a: {name: value[:1] for name, value in a.items()})
    with pytest.raises(AssertionError, match="shape"):
        suite(faulty).test_dynamic_axes_take_other_sizes(TARGET)


def test_an_output_buffer_that_is_used_again_is_noticed() -> None:
    kept: dict[str, Any] = {}

    def reuse(answers: dict[str, Any]) -> dict[str, Any]:
        for name, value in answers.items():
            np.copyto(kept.setdefault(name, value), value)
        return dict(kept)

    with pytest.raises(AssertionError, match="differs"):
        suite(answering(reuse)).test_an_answer_outlives_the_next_run(TARGET)


def test_answers_that_change_from_run_to_run_are_noticed() -> None:
    random = np.random.default_rng(0)
    faulty = answering(lambda a: {**a, "logits": a["logits"] + random.normal(size=1).astype(np.float32)})
    with pytest.raises(AssertionError, match="logits differs"):
        suite(faulty).test_the_same_inputs_give_the_same_answer(TARGET)


def test_a_target_that_executed_nothing_is_noticed() -> None:
    class Session(ReferenceSession):
        def placement(self) -> Placement:
            return Placement(0, 12, "numpy")

    class Faulty(OnnxReferenceAdapter):
        def load(self, artifact: Artifact, target: Target, folder: Path) -> ReferenceSession:
            return Session(super().load(artifact, target, folder)._evaluator)

    with pytest.raises(AssertionError):
        suite(Faulty).test_it_says_what_ran_on_the_target(TARGET)


class Forgetful(OnnxReferenceAdapter):
    """Writes its model to one file and names another; importable, since a new process loads it."""

    def convert(self, form: Any, target: Target, folder: Path) -> Artifact:
        artifact = super().convert(form, target, folder)
        (folder / "notes.txt").write_text("no model")
        return dataclasses.replace(artifact, files=("notes.txt",))

    def load(self, artifact: Artifact, target: Target, folder: Path) -> ReferenceSession:
        return super().load(dataclasses.replace(artifact, files=("model.onnx",)), target, folder)


def test_a_file_that_the_artifact_does_not_list_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"model\.onnx"):
        suite(Forgetful).test_the_artifact_is_all_that_a_new_process_needs(TARGET, tmp_path)


class Raising(OnnxReferenceAdapter):
    def probe(self) -> Probe:
        import onnx

        return Probe({"cpu": DeviceState(True)}, {"onnx": onnx.__version__})


def test_a_probe_that_raises_without_its_backend_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"ImportError|ModuleNotFoundError"):
        suite(Raising).test_probing_without_the_backend_gives_a_reason_instead_of_an_error(tmp_path)


def test_a_device_that_is_missing_without_a_reason_is_noticed() -> None:
    class Silent(OnnxReferenceAdapter):
        def probe(self) -> Probe:
            return Probe({"cpu": DeviceState(False)})

    with pytest.raises(AssertionError, match="no reason"):
        suite(Silent).test_probing_says_of_every_device_whether_it_is_here_and_why_not()
