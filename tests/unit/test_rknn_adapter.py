"""RKNN's adapter beyond the conformance suite: what its compiler prints, what its errors mean, scalars."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from porting.adapters.rknn import table, toolkit
from porting.adapters.rknn.adapter import RknnAdapter
from porting.adapters.rknn.graph import give_scalars_an_axis

from porting.types import Cause, Outcome

PRINTED = """\
D RKNN: [06:43:21.784] ------------------------------------------------------------------------------------
D RKNN: [06:43:21.784]                            Network Layer Information Table                           
D RKNN: [06:43:21.784] ------------------------------------------------------------------------------------
D RKNN: [06:43:21.784] ID   OpType             DataType Target InputShape                               OutputShape            Cycles(DDR/NPU/Total)    RW(KB)       FullName        
D RKNN: [06:43:21.784] ------------------------------------------------------------------------------------
D RKNN: [06:43:21.784] 0    InputOperator      FLOAT16  CPU    \\                                        (2,3,16,16)            0/0/0                    0            InputOperator:pixel/values:0
D RKNN: [06:43:21.784] 2    Gather             FLOAT16  CPU    (11,8),(2,5)                             (2,5,8)                0/0/0                    0            Gather:node_embedding
D RKNN: [06:43:21.784] 3    ConvRelu           FLOAT16  NPU    (2,3,16,16),(8,3,3,3),(8)                (2,8,16,16)            528/4608/4608            4            Conv:node_Conv_15
D RKNN: [06:43:21.784] 4    ConvAddRelu        FLOAT16  NPU    (2,8,16,16),(4,8,3,3),(64),...           (2,4,16,16)            26/288/288               0            Conv:relu_gavg_2conv1
D RKNN: [06:43:21.784] 9    Reshape            FLOAT16  CPU    (1,1,1,1),(0)                            (1)                    0/0/0                    0            Reshape:total-rs
D RKNN: [06:43:21.784] 10   exMatMul           FLOAT16  CPU    (1,4,16),(1,16,2)                        (1,4,2)                0/0/0                    0            MatMul:node_mm  
D RKNN: [06:43:21.784] 22   OutputOperator     FLOAT16  CPU    (1)                                      \\                      0/0/0                    0            OutputOperator:total
D RKNN: [06:43:21.784] ------------------------------------------------------------------------------------
D RKNN: [06:43:21.784] 2   Gather         input.ids                   INT64     UNDEFINED    (2,5)        (2,5)         | 0x00000c00
"""  # noqa: E501, W291 -- as printed


def test_the_table_of_operators_is_read_as_it_is_printed() -> None:
    rows = table.layers(PRINTED)
    assert [row.kind for row in rows] == ["Gather", "ConvRelu", "ConvAddRelu", "Reshape", "exMatMul"]
    assert [row.work for row in rows] == [0, 2 * 8 * 256 * 27, 2 * 4 * 256 * 72, 0, 4 * 2 * 16]
    found = table.placement(rows, "rk3588")
    assert (found.target_ops, found.other_ops, found.cycles) == (2, 3, 4608 + 288)
    assert found.detail == {"CPU": 3, "NPU": 2}
    assert found.arithmetic == pytest.approx(1 - 128 / (110592 + 147456 + 128))
    assert table.dtype(rows) == "FLOAT16"


@pytest.mark.parametrize("printed", ["", "nothing of the kind", PRINTED.replace("CPU    (11,8),(2,5)", "CPU")])
def test_a_table_that_is_missing_or_of_another_form_is_an_error(printed: str) -> None:
    with pytest.raises(table.TableError):
        table.layers(printed)


def test_what_is_printed_is_taken_and_handed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with toolkit.printed() as taken:
        os.write(1, b"\x1b[1;31mE build: no\x1b[0m\n")  # as compiled code does
        os.write(2, b"E RKNN: [06:43:21.777] Unkown op target: 0\n")
        assert toolkit.complaint(taken.text()) == "build: no"
    os.write(1, b"after\n")
    out, err = capfd.readouterr()
    assert out == "after\n"
    assert "E build: no" in err


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("Unsupport onnx opset 20, need <= 19!", (Outcome.UNSUPPORTED, Cause.OPSET)),
        ("The If('If_0') will cause the graph to be a dynamic graph!", (Outcome.UNSUPPORTED, Cause.CONTROL_FLOW)),
        ("The input 0 of NonZero('/NonZero') need to be constant!", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("x takes the shape (2, 3), which the model was built for: (4, 3)", (Outcome.UNSUPPORTED, Cause.DYNAMIC_SHAPE)),
        ("something else", None),
    ],
)
def test_errors_mean_what_they_say(message: str, meaning: tuple[Outcome, Cause] | None) -> None:
    traceback = f'Traceback (most recent call last):\n  File "rknn/api/rknn_log.py"\nValueError: {message}\n'
    assert toolkit.said(ValueError(traceback)) == message
    assert RknnAdapter().classify(toolkit.RknnError(message)) == meaning


def test_an_input_without_axes_is_given_one(tmp_path: Path) -> None:
    sides = [
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]), helper.make_tensor_value_info("n", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    ]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "n"], ["y"])], "g", *sides)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    give_scalars_an_axis(path)
    session = onnxruntime.InferenceSession(path)
    assert [value.shape for value in session.get_inputs()] == [[2], [1]]
    (answer,) = session.run(None, {"x": np.float32([1, 2]), "n": np.float32([3])})
    assert answer.tolist() == [3, 6]
