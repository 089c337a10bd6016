"""Tracing with expressions of sizes walked once comes to the same graph, names, lines and file, in fewer steps."""

from __future__ import annotations

import contextlib
import importlib
import math
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
import sympy
import torch
from torch import nn
from torch.fx.experimental.sym_node import SymNode
from torch.utils._sympy import interp, value_ranges
from torch.utils._sympy.functions import FloorDiv

from porting.bundles import export as exporting
from porting.bundles import tracing
from porting.bundles.bundle import FormKey
from porting.bundles.eager import EagerModel
from porting.bundles.export import Exporter
from porting.types import Precision, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves

printing = importlib.import_module("sympy.printing.repr")
SOURCE_LINE = "pkg.torch.onnx.stack_trace"


class Same(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Pads by itself at each of three strides, as TensorFlow does, so that sizes hold each other."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, stride=2) for _ in range(3))

    def forward(self, x: Any) -> Any:
        for conv in self.convs:
            pads = [max((math.ceil(side / 2) - 1) * 2 + 3 - side, 0) for side in x.shape[-2:]]
            x = conv(nn.functional.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2)))
        return x


def exported(folder: Path) -> tuple[str, bytes, bytes]:
    """The text of the captured program, the ONNX file, and the program as it is saved."""
    folder.mkdir()
    torch.manual_seed(0)
    x = torch.randn(2, 3, 37, 41)
    flat = EagerModel(Same().eval(), ["x"], {}).flat()
    with torch.no_grad():
        (y,) = flat(x)
    spec = TensorSpec("x", "float32", ("batch", 3, "height", "width"))
    outputs = [TensorSpec("y", "float32", tuple(y.shape))]
    exporter = Exporter(flat, [spec], outputs, [x], frozenset({"batch", "height", "width"}), folder)
    record = exporter.export(FormKey("onnx", Precision.FP32, "dynamic"))
    ((program, kept),) = exporter._captured.values()
    assert kept == {"batch", "height", "width"}
    saved = exporter.export(FormKey("pt2", Precision.FP32, "dynamic"))
    with zipfile.ZipFile(folder / saved.path) as archive:
        (written,) = (archive.read(name) for name in archive.namelist() if name.endswith("/models/model.json"))
    return str(program), (folder / record.path).read_bytes(), written


def test_the_program_and_the_file_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = exported(tmp_path / "shared")
    for name in ("shared_walks", "untold_places"):
        monkeypatch.setattr(exporting, name, contextlib.nullcontext)
    assert exported(tmp_path / "plain") == shared


def test_a_part_that_is_there_many_times_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    size = sympy.Symbol("size", positive=True, integer=True)
    nested: Any = size
    for _ in range(4):
        nested = FloorDiv(nested + sympy.Max(0, FloorDiv(nested, 2) - nested), 2)
    steps: list[Any] = []
    step = interp._run_sympy_handler
    monkeypatch.setattr(interp, "_run_sympy_handler", lambda *args, **how: (steps.append(args[2]), step(*args, **how))[1])
    ranges = {size: value_ranges.ValueRanges(1, 512)}
    plain = value_ranges.bound_sympy(nested, ranges)
    assert len(steps) > 5 * len(set(steps))
    steps.clear()
    with tracing.shared_walks():
        assert value_ranges.bound_sympy(nested, ranges) == plain
    assert len(steps) == len(set(steps))


def test_operators_keep_the_lines_of_the_model_that_they_come_from(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(exported(tmp_path / "shared")[1])
    lines = [{p.key: p.value for p in node.metadata_props}[SOURCE_LINE] for node in model.graph.node if node.op_type == "Conv"]
    assert len(lines) == 3
    assert all(Path(__file__).name in line and "x = conv(" in line for line in lines)


def test_all_that_was_replaced_is_put_back_also_after_an_error() -> None:
    def now() -> tuple[Any, ...]:
        number = vars(sympy.Expr)["is_number"]
        return sympy.Basic.free_symbols, sympy.Basic.atoms, number, SymNode.str, printing.srepr, value_ranges.sympy_interp

    before, quiet = now(), torch.fx.config.do_not_emit_stack_traces
    with contextlib.suppress(KeyError), tracing.shared_walks() as count, tracing.untold_places():
        assert count == 6
        assert all(was is not is_now for was, is_now in zip(before, now(), strict=True))
        assert torch.fx.config.do_not_emit_stack_traces
        raise KeyError
    assert now() == before
    assert torch.fx.config.do_not_emit_stack_traces == quiet


def test_answers_about_expressions_are_the_same() -> None:
    s, t = sympy.symbols("s t", positive=True, integer=True)
    part = sympy.Max(0, s - t // 2)
    asked = [part * part + part, sympy.Integer(3), s, sympy.Eq(part, t), sympy.Function("f")(part, 2)]
    plain = [(e.free_symbols, e.atoms(), e.atoms(sympy.Max), e.atoms(sympy.Integer, sympy.Symbol)) for e in asked]
    ranges = {s: value_ranges.ValueRanges(1, 9), t: value_ranges.ValueRanges(2, 4)}
    bounds = [value_ranges.bound_sympy(e, ranges) for e in asked[:4]]
    asked += [sympy.sqrt(2) + 1, sympy.cos(s - s + 1), sympy.Function("f")(1)]
    told = [(getattr(e, "is_number", None), printing.srepr(e), printing.srepr(e, order="none")) for e in asked]
    with tracing.shared_walks():
        assert [(e.free_symbols, e.atoms(), e.atoms(sympy.Max), e.atoms(sympy.Integer, sympy.Symbol)) for e in asked[:5]] == plain
        for _ in range(2):
            assert [(getattr(e, "is_number", None), printing.srepr(e), printing.srepr(e, order="none")) for e in asked] == told
        assert [value_ranges.bound_sympy(e, ranges) for e in asked[:4]] == bounds
        asked[0].free_symbols.clear()  # an answer is the caller's own
        assert asked[0].free_symbols == {s, t}


@pytest.mark.parametrize(
    "gone",
    [(value_ranges, "sympy_interp"), (interp, "_run_sympy_handler"), (SymNode, "str"), (printing, "srepr")],
    ids=["walk", "step", "text", "written"],
)
def test_what_another_version_has_elsewhere_is_left_alone(gone: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(*gone)
    with tracing.shared_walks() as count:
        assert count == 5
    assert not hasattr(*gone)
