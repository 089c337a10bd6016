"""The exporter's optimisations come to the same file when its rules are tried only where they can match."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from onnxscript import rewriter
from torch import nn

from porting.bundles import export as exporting
from porting.bundles import optimizer
from porting.bundles.bundle import FormKey
from porting.bundles.eager import EagerModel
from porting.bundles.export import Exporter
from porting.types import Precision, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves


class Net(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Has something for many of the rules: a normalised convolution, casts, slices, reshapes, clips, a write into a part."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.line = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu6(self.norm(self.conv(nn.functional.pad(x, (1, 1)))))
        rows = self.line(x.flatten(2).transpose(1, 2).to(torch.float64).to(torch.float32))
        rows = nn.functional.scaled_dot_product_attention(rows[:, None], rows[:, None], rows[:, None])[:, 0]
        rows[:, 1:3] = rows[:, :2].clamp(min=0).clamp(max=6)
        return rows.reshape(x.shape[0], -1, 4).unsqueeze(0).squeeze(0)


def written(folder: Path) -> bytes:
    folder.mkdir()
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    flat = EagerModel(Net().eval(), ["x"], {}).flat()
    with torch.no_grad():
        (y,) = flat(x)
    inputs, outputs = [TensorSpec("x", "float32", ("batch", 3, 6, 6))], [TensorSpec("y", "float32", tuple(y.shape))]
    record = Exporter(flat, inputs, outputs, [x], frozenset({"batch"}), folder).export(FormKey("onnx", Precision.FP32, "dynamic"))
    return (folder / record.path).read_bytes()


def test_the_file_is_the_same_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = written(tmp_path / "quick")
    monkeypatch.setattr(exporting, "rooted_rules", contextlib.nullcontext)
    assert written(tmp_path / "plain") == quick


def test_most_rules_of_the_installed_version_are_tried_by_their_root_and_all_are_put_back() -> None:
    before = rewriter._DEFAULT_REWRITE_RULES
    with optimizer.rooted_rules() as count:
        assert count > 20
        assert rewriter._DEFAULT_REWRITE_RULES is not before
    assert rewriter._DEFAULT_REWRITE_RULES is before


def test_a_version_that_keeps_its_rules_elsewhere_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rewriter, "_DEFAULT_REWRITE_RULES")
    with optimizer.rooted_rules() as count:
        assert count == 0
    assert not hasattr(rewriter, "_DEFAULT_REWRITE_RULES")
