"""Locate and reduce, with faults planted in kernels and in groups of operators of a real runtime."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from porting import registry
from porting.api import Setting
from porting.cells.pipeline import Pipeline
from porting.diagnose import window
from porting.diagnose.case import Case
from porting.diagnose.cut import Piece
from porting.diagnose.locate import Located, Locator, Settings
from porting.diagnose.reduce import Reduced, Reducer
from porting.diagnose.subject import open_subject
from porting.diagnose.trial import Journal

TESTS = Path(__file__).parent
NUMERIC_PROCESSES, OTHER_PROCESSES = 5, 18
"""A fault is found with so many processes on the target: one of numbers, and one that ends the process or raises."""

# Ten kinds of fault for each of six kinds of model; one hang, which waits for its limit.
KERNELS = {
    "encoder": (
        "sign-MatMul", "scale-Add", "slightly-MatMul", "axis-Softmax", "eps-LayerNormalization", "half-MatMul", "nan-Gelu",
        "tanh-Gelu", "abort-Softmax", "refuse-Gelu", "drift-Gather",
    ),
    "residual": (
        "sign-Conv", "scale-Relu", "slightly-Conv", "half-Conv", "nan-Relu", "drift-MaxPool", "abort-MaxPool", "refuse-Gemm",
        "scale-Gemm", "slightly-ReduceMean", "hang-MaxPool",
    ),
    "recurrent": (
        "sign-LSTM", "scale-Tanh", "slightly-LSTM", "half-MatMul", "drift-Add", "abort-LSTM", "refuse-LSTM", "sign-Transpose",
        "scale-MatMul", "abort-Tanh",
    ),
    "gated": (
        "sign-Mul", "scale-Sigmoid", "slightly-Div", "half-MatMul", "nan-Sigmoid", "drift-ReduceMean", "abort-MatMul",
        "refuse-Div", "sign-Add", "scale-Div",
    ),
    "perceptron": (
        "sign-Gemm", "scale-Gemm", "slightly-Softmax", "half-Gemm", "nan-Relu", "drift-Softmax", "abort-Relu", "refuse-Softmax",
        "axis-Softmax", "scale-Relu",
    ),
    "unet": (
        "sign-Conv", "scale-Concat", "slightly-AveragePool", "half-Conv", "nan-Sigmoid", "drift-Relu", "abort-Concat",
        "refuse-AveragePool", "axis-Concat", "scale-Sigmoid",
    ),
}  # fmt: skip
FUSED = (
    ("encoder", "fused-MatMul-Add"), ("encoder", "fused-Add-LayerNormalization"), ("encoder", "fused-MatMul-Add-Gelu"),
    ("encoder", "fused_abort-MatMul-Add"), ("residual", "fused-Conv-Relu"), ("residual", "fused-Conv-Add-Relu"),
    ("residual", "fused_refuse-Conv-Relu"), ("recurrent", "fused-MatMul-Add"), ("gated", "fused-MatMul-Add"),
    ("gated", "fused-Sigmoid-Mul"), ("perceptron", "fused-Gemm-Relu"), ("residual", "fused_free-Conv-Relu"),
)  # fmt: skip
RIGHT = ("planted:none:fp32", "onnxruntime:cpu:fp32", "openvino:cpu:fp32", "onnxruntime:cpu:fp16", "openvino:cpu:bf16")
QUICK = (
    ("encoder", "sign-MatMul"), ("residual", "nan-Relu"), ("recurrent", "refuse-LSTM"), ("perceptron", "abort-Relu"),
    ("residual", "fused-Conv-Relu"),
)  # fmt: skip


def some(cases: Any) -> list[Any]:
    return [pytest.param(*case, id="-".join(case), marks=() if case in QUICK else pytest.mark.slow) for case in cases]


@pytest.fixture(scope="module")
def planted() -> Iterator[Any]:
    """The adapter's module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "faulty_adapter"))
        registry.refresh()
        yield importlib.import_module("planted")
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
    def locate(model: str, target: str, **settings: Any) -> tuple[Locator, Located]:
        (spec,) = Setting.find().resolve([f"{TESTS / 'planted_models.py'}:{model}"])
        wanted = Settings(**{"seconds": 20.0, "rerun": True, **settings})
        locator = Locator(pipeline, open_subject(pipeline, spec, registry.target(target)), wanted, lambda _: None)
        return locator, locator.run()

    return locate


def effective(locator: Locator, planted: Any, device: str) -> set[int]:
    """The nodes that a planted fault changes by far more than float32 rounds; what it leaves as it is cannot be found."""
    import onnxruntime

    assert locator.cutter
    kind, _, operator = device.partition("-")
    found = set()
    for number, node in enumerate(locator.graph.nodes):
        if node.op_type != operator:
            continue
        if kind in ("abort", "refuse", "hang"):
            found.add(number)
            continue
        piece = locator.cutter.alone([number])
        model = piece.alone()
        planted.spoil(model, device)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        for value, actual in zip(piece.outputs.values(), session.run(None, dict(piece.feeds)), strict=True):
            right = np.asarray(locator.cutter.values[value])
            same = actual.shape == right.shape and np.abs(actual - right).max() <= 2e-5 * np.abs(right).max()
            found |= set() if same else {number}
    return found


# ---- locate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "device"), some((model, device) for model, devices in KERNELS.items() for device in devices))
def test_every_wrong_kernel_is_found_and_nothing_else_is_blamed(look: Look, planted: Any, model: str, device: str) -> None:
    locator, found = look(model, f"planted:{device}:fp32", seconds=5.0)
    assert {blamed.node for blamed in found.blamed} == effective(locator, planted, device) != set()
    assert found.verdict == "wrong_operators"
    assert found.group == ()
    numeric = {blamed.kind for blamed in found.blamed} <= {"mismatch", "nonfinite"}
    assert found.processes <= (NUMERIC_PROCESSES if numeric else OTHER_PROCESSES)
    assert all("planted_models.py:" in blamed.source.place for blamed in found.blamed)


@pytest.mark.parametrize(("model", "device"), some(FUSED))
def test_operators_that_are_wrong_together_are_found_as_exactly_that_group(
    look: Look, planted: Any, model: str, device: str
) -> None:
    _, found = look(model, f"planted:{device}:fp32")
    assert found.verdict == "wrong_together"
    assert tuple(blamed.operator for blamed in found.group) == planted.FUSED[device]
    assert found.blamed == ()
    assert any("axes may have any size" in note for note in found.notes) == ("free" in device)
    assert found.processes <= OTHER_PROCESSES


@pytest.mark.parametrize("model", [pytest.param(m, marks=() if m == "residual" else pytest.mark.slow) for m in KERNELS])
@pytest.mark.parametrize("target", [pytest.param(t, marks=() if "openvino:cpu:fp32" in t else pytest.mark.slow) for t in RIGHT])
def test_a_right_target_is_blamed_for_nothing(look: Look, model: str, target: str) -> None:
    if target.startswith("openvino"):
        pytest.importorskip("openvino")
    if (model, target) == ("recurrent", "onnxruntime:cpu:fp16"):
        pytest.skip("onnxruntime 1.32 dies (SIGSEGV) of Transpose and MatMul at fp16 where axes may have any size")
    _, found = look(model, target)
    assert (found.verdict, found.blamed, found.group) == ("right", (), ())


def test_a_fault_that_the_whole_models_tolerance_hides_is_found(look: Look, planted: Any) -> None:
    locator, found = look("perceptron", "planted:slightly-Relu:fp32")
    if found.whole.startswith("pass"):
        assert any("passes all the same" in note for note in found.notes)
    assert {blamed.node for blamed in found.blamed} == effective(locator, planted, "slightly-Relu") != set()


def test_a_target_that_answers_otherwise_each_time_is_told_before_anything_is_blamed(look: Look) -> None:
    _, found = look("perceptron", "planted:unsteady:fp32")
    assert (found.verdict, found.blamed) == ("nondeterministic", ())
    assert "differs between two runs" in found.notes[0]


def test_an_error_that_the_model_amplifies_is_no_operators_fault(look: Look) -> None:
    _, found = look("chaotic", "planted:ulps-Mul:fp32")
    assert found.whole.startswith("mismatch")
    assert (found.verdict, found.blamed) == ("amplified", ())


@pytest.mark.slow
def test_small_chunks_find_the_same(look: Look, planted: Any) -> None:
    locator, found = look("residual", "planted:sign-Conv:fp32", budget=4096)
    assert {blamed.node for blamed in found.blamed} == effective(locator, planted, "sign-Conv")
    assert found.models > 10


@pytest.mark.slow
def test_a_second_look_asks_the_target_nothing(look: Look) -> None:
    _, first = look("gated", "planted:sign-Mul:fp32")
    _, second = look("gated", "planted:sign-Mul:fp32", rerun=False)
    assert first.processes > 0
    assert second.processes == 0
    assert second.blamed == first.blamed


# ---- reduce -------------------------------------------------------------------------------------------------------

Reduce = Callable[..., Reduced]


@pytest.fixture
def reduce(look: Look, tmp_path: Path) -> Reduce:
    def find(model: str, device: str, **settings: Any) -> Reduced:
        locator, found = look(model, f"planted:{device}:fp32", **settings)
        return Reducer(locator, found, lambda _: None).run(tmp_path / "case")

    return find


def reproduce(folder: Path) -> int | str:
    """Run the case's script where nothing of ours can be imported but what lies beside it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    line = [sys.executable, str(folder / "reproduce.py")]
    try:
        return subprocess.run(line, cwd=folder, env=clean, capture_output=True, timeout=20).returncode
    except subprocess.TimeoutExpired:
        return "hangs"


@pytest.mark.parametrize(
    ("model", "device", "operators", "size", "shows"),
    [
        pytest.param("encoder", "sign-MatMul", ("MatMul",), 150, 1, marks=pytest.mark.slow),
        pytest.param("residual", "nan-Relu", ("Relu",), 120, 1, marks=pytest.mark.slow),
        ("perceptron", "abort-Relu", ("Relu",), 120, -6),
        pytest.param("encoder", "refuse-Gelu", ("Gelu",), 120, 1, marks=pytest.mark.slow),
        pytest.param("recurrent", "sign-LSTM", ("LSTM",), 400, 1, marks=pytest.mark.slow),
        pytest.param("encoder", "axis-Softmax", ("Softmax",), 150, 1, marks=pytest.mark.slow),
        pytest.param("encoder", "fused-MatMul-Add-Gelu", ("MatMul", "Add", "Gelu"), 250, 1, marks=pytest.mark.slow),
        pytest.param("residual", "fused-Conv-Add-Relu", ("Conv", "Add", "Relu"), 400, 1, marks=pytest.mark.slow),
        pytest.param("residual", "fused_free-Conv-Relu", ("Conv", "Relu"), 400, 1, marks=pytest.mark.slow),
        pytest.param("perceptron", "hang-Softmax", ("Softmax",), 150, "hangs", marks=pytest.mark.slow),
    ],
)
def test_a_case_is_small_and_shows_the_failure_with_the_backend_alone(
    reduce: Reduce, tmp_path: Path, model: str, device: str, operators: tuple[str, ...], size: int, shows: int | str
) -> None:
    found = reduce(model, device, seconds=5.0)
    assert found.operators == operators
    assert found.bytes <= size
    assert reproduce(tmp_path / "case") == shows
    readme = (tmp_path / "case" / "README.md").read_text()
    assert found.signature in readme
    assert "planted_models.py:" in readme


def test_a_case_declares_its_axes_as_the_cut_does_that_it_came_from() -> None:
    piece = Piece(
        nodes=[onnx.helper.make_node("Neg", ["given/long"], ["made/long"])],
        feeds={"given/long": np.zeros((3, 4), np.float32)},
        weights={},
        outputs={"made/long": "made/long"},
        like=onnx.helper.make_model(onnx.helper.make_graph([], "", [], [])),
        dtypes={"made/long": ("float32", ("batch", 4))},
        axes={"given/long": ("batch", 4)},
    )
    case = Case.of(piece).at_size(4, 2)
    (output,) = case.outputs
    graph = case.piece({output: np.zeros((3, 2), np.float32)}).alone().graph
    assert [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)] == [
        ["batch", 2],
        ["batch", 2],
    ]
    assert case.digest != replace(case, leaving={}).digest


def test_a_case_does_not_show_where_the_backend_is_right(reduce: Reduce, tmp_path: Path) -> None:
    reduce("perceptron", "scale-Gemm")
    case = tmp_path / "case" / "case.json"
    case.write_text(case.read_text().replace("planted:scale-Gemm:", "planted:none:"))
    assert reproduce(tmp_path / "case") == 0


@pytest.mark.slow
def test_a_reduction_goes_on_where_an_earlier_one_was_ended(reduce: Reduce, pipeline: Pipeline) -> None:
    whole = reduce("gated", "sign-Mul")
    journal = max(pipeline.jobs.workspace.cache.glob("diagnose/*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-4]) + lines[-4][:10])  # as a kill in the middle of a line leaves it
    again = reduce("gated", "sign-Mul", rerun=False)
    assert 0 < again.tries < whole.tries
    assert (again.bytes, again.shapes) == (whole.bytes, whole.shapes)
    assert reduce("gated", "sign-Mul", rerun=False).tries == 0


# ---- the search alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guilty", [{0, 1}, {3, 4}, {9, 10, 11}, {2, 17}, {5, 6, 7, 19}])
def test_the_smallest_group_is_found_whatever_its_shape(guilty: set[int]) -> None:
    tries: list[int] = []

    def wrong(nodes: Any) -> bool:
        tries.append(len(nodes))
        return guilty <= set(nodes)

    assert set(window.smallest(range(20), wrong)) == guilty
    assert len(tries) < 60


def test_a_search_that_is_not_monotone_still_ends_at_a_real_fault() -> None:
    """A second fault turns the first one's wrong answer right again for some prefixes."""

    def wrong(nodes: Any) -> bool:
        return (3 in nodes) != (6 in nodes)

    found = window.smallest(range(12), lambda nodes: wrong(nodes) or set(nodes) >= {9, 10})
    assert found in ([3], [6], [9, 10])


def test_a_journal_forgets_a_line_that_was_cut_and_keeps_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal["a"], journal["b"] = 1, {"kind": "ok"}
    with open(tmp_path / "journal", "ab") as file:
        file.write(b'["c", {"ki')
    again = Journal(tmp_path / "journal")
    again["d"] = 4
    assert [Journal(tmp_path / "journal").get(key) for key in "abcd"] == [1, {"kind": "ok"}, None, 4]
