"""tinygrad's adapter beyond the conformance suite: what must not be kept between runs, unknown operators, errors."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from porting.adapters.tinygrad import adapter as adapter_module
from porting.adapters.tinygrad.adapter import TinygradAdapter, UntypedError, forget, refuse_unknown_operators

from porting.adapter import ExportedForm
from porting.types import Cause, Outcome, Precision, Target, TensorSpec

TARGET = Target("tinygrad", "cpu", Precision.FP32)


def runner(**options: Any) -> SimpleNamespace:
    """What tinygrad's OnnxRunner is to `forget`, with one node that has `options`."""
    return SimpleNamespace(
        _python_const_cache={"size": 3}, variable_dims={"batch": 2}, graph_nodes=[SimpleNamespace(opts=options)]
    )


def test_nothing_is_kept_between_runs_by_a_runner_or_its_subgraphs() -> None:
    inner = runner()
    outer = runner(then_branch=inner, axis=1)
    forget(outer)
    assert not any((outer._python_const_cache, outer.variable_dims, inner._python_const_cache, inner.variable_dims))


def test_unknown_operators_are_named_before_anything_is_compiled() -> None:
    known = SimpleNamespace(graph_nodes=[SimpleNamespace(op=op) for op in ("Relu", "Foo", "Bar", "Foo")], onnx_ops={"Relu": None})
    with pytest.raises(NotImplementedError, match="op='Bar, Foo' is not supported") as caught:
        refuse_unknown_operators(known)
    assert TinygradAdapter().classify(caught.value) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)


def test_without_a_compiler_it_is_unavailable() -> None:
    error = FileNotFoundError(2, "No such file or directory", "clang")
    assert TinygradAdapter().classify(error) == (Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY)


def test_a_subgraph_without_types_is_unsupported_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: str) -> None:
        raise AssertionError({})

    monkeypatch.setattr(adapter_module, "import_tinygrad", lambda: None)
    monkeypatch.setitem(sys.modules, "tinygrad.nn.onnx", SimpleNamespace(OnnxRunner=read))
    with pytest.raises(UntypedError, match="wants a type of every input and output") as caught:
        adapter_module.open_runner(Path("model.onnx"))
    assert TinygradAdapter().classify(caught.value) == (Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE)


def test_another_value_of_an_input_that_is_a_shape_is_heeded(tmp_path: Path) -> None:
    pytest.importorskip("tinygrad")
    adapter = TinygradAdapter()
    if not adapter.probe().devices["cpu"].available:
        pytest.skip("no clang")
    x, s = (helper.make_tensor_value_info(n, t, d) for n, t, d in (("x", TensorProto.FLOAT, [6]), ("s", TensorProto.INT64, [2])))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "s"], ["y"])], "g", [x, s], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "form.onnx")
    specs = (TensorSpec("x", "float32", (6,)), TensorSpec("s", "int64", (2,))), (TensorSpec("y", "float32", ("rows", "columns")),)
    (tmp_path / "artifact").mkdir()
    form = ExportedForm("onnx", Precision.FP32, tmp_path / "form.onnx", *specs, 18)
    session = adapter.load(adapter.convert(form, TARGET, tmp_path / "artifact"), TARGET, tmp_path / "artifact")
    for shape in ((2, 3), (3, 2)):
        assert session.run({"x": np.arange(6, dtype=np.float32), "s": np.array(shape)})["y"].shape == shape
