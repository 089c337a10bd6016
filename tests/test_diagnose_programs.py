"""Locate and reduce on exported programs, for targets that take no ONNX models: faults planted in PyTorch's own operators."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting import registry
from porting.api import Setting
from porting.bundles import aten
from porting.cells.pipeline import Pipeline
from porting.diagnose.locate import Located, Locator, Settings
from porting.diagnose.reduce import Reduced, Reducer
from porting.diagnose.subject import open_subject

TESTS = Path(__file__).parent
NUMERIC_PROCESSES, OTHER_PROCESSES = 5, 18

KERNELS = {
    "encoder": (
        "sign-linear", "scale-add", "slightly-matmul", "half-linear", "nan-gelu", "drift-embedding", "abort-softmax",
        "refuse-gelu", "scale-layer_norm", "sign-transpose",
    ),
    "residual": (
        "sign-conv2d", "scale-relu", "slightly-conv2d", "nan-relu", "drift-max_pool2d", "abort-max_pool2d", "scale-mean",
    ),
    "recurrent": ("sign-lstm", "scale-tanh", "refuse-lstm", "half-linear"),
    "gated": ("sign-mul", "scale-silu", "drift-mean", "abort-linear", "scale-add"),
    "unet": ("scale-cat", "nan-sigmoid", "refuse-cat"),
}  # fmt: skip
FUSED = (
    ("encoder", "fused-linear-gelu"), ("residual", "fused-conv2d-relu"), ("encoder", "fused-add-layer_norm"),
    ("perceptron", "fused_refuse-linear-relu"),
)  # fmt: skip
QUICK = (("encoder", "slightly-matmul"), ("recurrent", "sign-lstm"), ("residual", "abort-max_pool2d"))
RIGHT = ("planted_program:none:fp32", "torch:cpu:fp32", "torch:cpu:bf16", "inductor:cpu:fp32", "aotinductor:cpu:fp32")


def some(cases: Any, quick: Any = QUICK) -> list[Any]:
    return [pytest.param(*case, id="-".join(case), marks=() if case in quick else pytest.mark.slow) for case in cases]


@pytest.fixture(scope="module")
def planted() -> Iterator[Any]:
    """The adapter's module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "faulty_adapter"))
        registry.refresh()
        yield importlib.import_module("planted_program")
    registry.refresh()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, planted: Any) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("diagnose")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTING_CACHE", str(folder / "cache"))
        patch.setenv("PORTING_HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (TESTS, TESTS / "faulty_adapter", TESTS.parent))))
        with Setting.find(folder).pipeline() as found:
            yield found


Look = Callable[..., tuple[Locator, Located]]


@pytest.fixture
def look(pipeline: Pipeline) -> Look:
    def locate(model: str, target: str, kind: str = "pt2", **settings: Any) -> tuple[Locator, Located]:
        (spec,) = Setting.find().resolve([f"{TESTS / 'planted_models.py'}:{model}"])
        wanted = Settings(**{"seconds": 30.0, "rerun": True, **settings})
        subject = open_subject(pipeline, spec, registry.target(target), kind)
        locator = Locator(pipeline, subject, wanted, lambda _: None)
        return locator, locator.run()

    return locate


def effective(locator: Locator, planted: Any, device: str) -> set[int]:
    """The calls that a planted fault changes by far more than float32 rounds."""
    assert locator.cutter
    kind, _, operator = device.partition("-")
    values, found = locator.cutter.values, set()
    for number, call in enumerate(locator.graph.nodes):
        if call.op_type.split(".")[1] != operator:
            continue
        right = np.asarray(values[locator.graph.used(number)[0]])
        given = [aten.tensor_of(locator.graph.value(name, values)) for name in locator.graph.reads[number]]
        wrong = right if kind in ("abort", "refuse") else np.asarray(planted.spoil(kind, aten.tensor_of(right), given))
        changed = not np.abs(wrong - right).max() <= 2e-5 * np.abs(right).max()
        found |= {number} if changed or wrong is right else set()
    return found


# ---- locate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "device"), some((model, device) for model, devices in KERNELS.items() for device in devices))
def test_every_wrong_operator_is_found_and_nothing_else_is_blamed(look: Look, planted: Any, model: str, device: str) -> None:
    locator, found = look(model, f"planted_program:{device}:fp32")
    assert {blamed.node for blamed in found.blamed} == effective(locator, planted, device) != set()
    assert (found.verdict, found.group) == ("wrong_operators", ())
    numeric = {blamed.kind for blamed in found.blamed} <= {"mismatch", "nonfinite"}
    assert found.processes <= (NUMERIC_PROCESSES if numeric else OTHER_PROCESSES)
    assert all("planted_models.py:" in blamed.source.place for blamed in found.blamed)


@pytest.mark.parametrize(("model", "device"), some(FUSED, quick=FUSED[1:2]))
def test_operators_that_are_wrong_together_are_found_as_exactly_that_group(
    look: Look, planted: Any, model: str, device: str
) -> None:
    _, found = look(model, f"planted_program:{device}:fp32")
    assert found.verdict == "wrong_together"
    assert tuple(blamed.operator.split(".")[1] for blamed in found.group) == planted.FUSED[device]
    assert found.blamed == ()
    assert found.processes <= OTHER_PROCESSES


@pytest.mark.parametrize("model", [pytest.param(m, marks=() if m == "encoder" else pytest.mark.slow) for m in KERNELS])
@pytest.mark.parametrize("target", [pytest.param(t, marks=() if "bf16" in t else pytest.mark.slow) for t in RIGHT])
def test_a_right_target_is_blamed_for_nothing(look: Look, model: str, target: str) -> None:
    _, found = look(model, target)
    assert (found.verdict, found.blamed, found.group) == ("right", (), ())


@pytest.mark.slow
def test_a_program_as_plain_data_is_looked_into_in_the_same_way(look: Look, planted: Any) -> None:
    locator, found = look("gated", "planted_program:sign-mul:fp32", "aten")
    assert {blamed.node for blamed in found.blamed} == effective(locator, planted, "sign-mul") != set()


# ---- reduce -------------------------------------------------------------------------------------------------------


@pytest.fixture
def reduce(look: Look, tmp_path: Path) -> Callable[..., Reduced]:
    def find(model: str, device: str) -> Reduced:
        locator, found = look(model, f"planted_program:{device}:fp32")
        return Reducer(locator, found, lambda _: None).run(tmp_path / "case")

    return find


def reproduce(folder: Path) -> int:
    """Run the case's script where nothing of ours can be imported but what lies beside it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([sys.executable, str(folder / "reproduce.py")], cwd=folder, env=clean, capture_output=True).returncode


@pytest.mark.parametrize(
    ("model", "device", "operators", "elements", "shows"),
    [
        ("perceptron", "scale-relu", ("relu",), 1, 1),
        pytest.param("encoder", "sign-linear", ("linear",), 3, 1, marks=pytest.mark.slow),
        pytest.param("residual", "sign-conv2d", ("conv2d",), 3, 1, marks=pytest.mark.slow),
        pytest.param("encoder", "refuse-gelu", ("gelu",), 1, 1, marks=pytest.mark.slow),
        pytest.param("residual", "abort-max_pool2d", ("max_pool2d",), 4, -6, marks=pytest.mark.slow),
        pytest.param("residual", "fused-conv2d-relu", ("conv2d", "relu"), 3, 1, marks=pytest.mark.slow),
    ],
)
def test_a_case_is_small_and_shows_the_failure_with_the_backend_alone(
    reduce: Callable[..., Reduced], tmp_path: Path, model: str, device: str, operators: Any, elements: int, shows: int
) -> None:
    found = reduce(model, device)
    assert tuple(name.split(".")[1] for name in found.operators) == operators
    with np.load(tmp_path / "case" / "inputs.npz") as inputs:
        assert sum(inputs[name].size for name in inputs.files) <= elements
    case = json.loads((tmp_path / "case" / "case.json").read_text())
    assert (case["form"]["kind"], case["failure"]) == ("pt2", found.kind)
    assert reproduce(tmp_path / "case") == shows
    assert "planted_models.py:" in (tmp_path / "case" / "README.md").read_text()
