"""Tables that the exporter makes anew each time, kept: the same files, and nothing of one export is seen by the next."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch._export import utils
from torch.onnx._internal.exporter import _registration

from porting.bundles import tables
from porting.bundles.tables import kept_tables

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves


def exported(**how: Any) -> bytes:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2)).eval()
    with torch.no_grad():
        program = torch.export.export(layer, (torch.ones(1, 2, 4, 4),), strict=False)
        made = torch.onnx.export(program, (), dynamo=True, verbose=False, **how)
    assert made is not None
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def test_the_files_are_the_same() -> None:
    before = exported(), exported(opset_version=20)
    with kept_tables() as kept:
        assert kept == 2, "this version of torch has a table elsewhere"
        assert (exported(), exported(opset_version=20)) == before
        assert (exported(), exported(opset_version=20)) == before
    assert exported() == before[0]


def test_a_table_is_made_once_and_each_export_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = "aten::relu"
    with kept_tables():
        first, second = (_registration.ONNXRegistry.from_torchlib() for _ in range(2))
        monkeypatch.setattr(_registration, "OnnxDecompMeta", None)  # without it no table can be made
        third = _registration.ONNXRegistry.from_torchlib()
    assert first.functions == second.functions == third.functions
    known = len(first.functions[operator])
    first.functions[operator].append(first.functions[operator][0])
    del second.functions[operator]
    with kept_tables():
        assert len(_registration.ONNXRegistry.from_torchlib().functions[operator]) == known


def test_composed_operators_are_asked_for_again_where_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    there, asked = iter([["aten::one"], ["aten::one"], ["aten::one", "own::two"]]), []
    monkeypatch.setattr(torch._C, "_dispatch_get_registrations_for_dispatch_key", lambda _: next(there))
    monkeypatch.setattr(utils, "_materialize_cpp_cia_ops", lambda: asked.append("asked"))
    monkeypatch.setattr(tables, "_composed", tables._composed.__wrapped__)
    with kept_tables():
        for _ in range(3):
            utils._materialize_cpp_cia_ops()  # type: ignore[attr-defined]
    assert len(asked) == 2


def test_where_another_version_has_no_such_table_its_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(utils, "_materialize_cpp_cia_ops")
    monkeypatch.setattr(tables, "_composed", tables._composed.__wrapped__)
    with kept_tables() as kept:
        assert kept == 1
