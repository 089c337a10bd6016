"""An opset that a backend can read is planned before the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from porting.adapter import FormNeed
from porting.bundles.bundle import FormKey
from porting.bundles.export import Exporter, OpsetError
from porting.types import Precision, Target, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves


class Normal(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """LayerNormalization is an operator from opset 17 on, GELU from 20; both are written out before."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(6)

    def forward(self, x: Any) -> tuple[Any]:
        return (torch.nn.functional.gelu(self.norm(x)),)


def exporter(folder: Path, module: torch.nn.Module) -> Exporter:
    specs = [TensorSpec(name, "float32", ("batch", 6)) for name in ("x", "y")]
    return Exporter(module.eval(), specs[:1], specs[1:], [torch.ones(2, 6)], frozenset({"batch"}), folder)


@pytest.mark.parametrize("opset", [None, 19, 18, 17, 13])
@pytest.mark.parametrize("dynamic", [True, False])
def test_a_form_is_written_in_an_opset_that_serves(tmp_path: Path, opset: int | None, dynamic: bool) -> None:
    key = FormKey("onnx", Precision.FP32, "dynamic" if dynamic else "static", opset)
    record = exporter(tmp_path, Normal()).export(key)
    model = onnx.load(tmp_path / record.path)
    (found,) = (imported.version for imported in model.opset_import if imported.domain in ("", "ai.onnx"))
    assert record.opset == found
    assert opset is None or found == min(opset, 18)  # the dynamo exporter leaves it at 18 where 19 is asked for
    assert record.inputs[0].shape == (("batch" if dynamic else 2), 6)
    assert {node.op_type for node in model.graph.node}.isdisjoint({"LayerNormalization"} if found < 17 else set())
    assert record.path == f"{key}.onnx"


def test_an_operator_that_came_later_has_no_form_at_an_old_opset(tmp_path: Path) -> None:
    class Grid(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> tuple[Any]:
            return (torch.nn.functional.grid_sample(x.reshape(1, 1, 2, 6), x.reshape(1, 3, 2, 2), align_corners=False),)

    with pytest.raises((OpsetError, torch.onnx.errors.OnnxExporterError)):
        exporter(tmp_path, Grid()).export(FormKey("onnx", Precision.FP32, "static", 13))


def test_a_need_is_part_of_the_name_of_a_form() -> None:
    target = Target("rknn", "rk3588", Precision.INT8)
    keys = [FormKey.of(FormNeed("onnx", dynamic=False, opset=opset), target) for opset in (None, 19)]
    assert [str(key) for key in keys] == ["onnx-fp32-static", "onnx-fp32-static-opset19"]
    assert [FormKey.parse(str(key)) for key in keys] == keys
