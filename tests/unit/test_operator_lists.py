"""Lists of operators: what they say of one, and how they are made from what makers ship."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from porting.accelerators.operators import OperatorList, Support, read_list
from porting.accelerators.profile import find, load
from porting.errors import UsageError
from porting.static import lists

FEW = OperatorList(frozenset({"add.out", "gelu", "sort.values_stable", "vision::nms", "_convolution"}))


@pytest.mark.parametrize(
    ("name", "support"),
    [
        ("aten::gelu", Support.NATIVE),
        ("aten::add.out", Support.NATIVE),
        ("aten::add.Tensor", Support.NATIVE),  # generated from add.out
        ("aten::add_.Tensor", Support.NATIVE),
        ("aten::mul.Tensor", Support.FALLBACK),  # generated from mul.out, which is not there
        ("aten::sort", Support.COMPOSITE),  # PyTorch has it from sort.stable
        ("aten::sort.stable", Support.NATIVE),
        ("aten::lgamma", Support.FALLBACK),
        ("aten::repeat", Support.COMPOSITE),
        ("aten::linear", Support.COMPOSITE),
        ("aten::slice_scatter", Support.COMPOSITE),  # has an out= that is generated from it, and not the other way round
        ("aten::convolution_overrideable", Support.FALLBACK),  # its composite kernel only raises
        ("vision::nms", Support.NATIVE),
        ("torchvision::roi_align", Support.UNKNOWN),
    ],
)
def test_what_a_list_says_of_an_operator(name: str, support: Support) -> None:
    assert FEW.support(name) is support


def test_core_operators_are_nearly_all_there_with_every_maker() -> None:
    import torch

    core = [op for op in _overloads() if torch.Tag.core in op.tags]
    assert len(core) > 150
    for profile in (p for p in load().values() if p.listed):
        assert profile.operators
        each = OperatorList(read_list(profile.folder / profile.operators.list))
        lacking = [op.name() for op in core if each.support(op.name()) is Support.FALLBACK]
        assert len(lacking) <= 8, f"{profile.name}: {lacking}"


def _overloads() -> list[object]:
    import torch

    packets = (getattr(torch.ops.aten, name) for name in dir(torch.ops.aten) if not name.startswith("__"))
    return [getattr(packet, o) for packet in packets if hasattr(packet, "overloads") for o in packet.overloads()]


# ---- made from a maker's files

ASCEND_STYLE = """
backend: NPU
supported:
  - add.Tensor
  - func: mul.Tensor
    op_api: True
custom:
  - func: npu_format_cast(Tensor self, int format) -> Tensor
autograd:
  - func: _thnn_fused_gru_cell(Tensor input_gates, Tensor hidden_gates, Tensor hx) -> (Tensor, Tensor)
symint:
  - empty.memory_format
"""
CAMBRICON_STYLE = "aten:\n  - func: add.Tensor\n  - func: cat\n    structured_delegate: cat.out\nvision:\n  - func: nms\n"
MOORE_THREADS_STYLE = "- func: add.Tensor\n- func: amax.out\n  dispatch:\n    PrivateUse1: AMaxOut\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ASCEND_STYLE, {"add.Tensor", "mul.Tensor", "npu_format_cast", "_thnn_fused_gru_cell"}),
        (CAMBRICON_STYLE, {"add.Tensor", "cat", "nms"}),
        (MOORE_THREADS_STYLE, {"add.Tensor", "amax.out"}),
    ],
)
def test_each_makers_yaml_is_read(tmp_path: Path, text: str, names: set[str]) -> None:
    file = tmp_path / "functions.yaml"
    file.write_text(text)
    assert lists.shipped([file]).names == names


def wheel(folder: Path, text: str = ASCEND_STYLE, version: str = "9.9.0") -> Path:
    path = folder / f"torch_npu-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("torch_npu/csrc/aten/npu_native_functions.yaml", text)
        archive.writestr("torch_npu/other.yaml", "supported: [not_an_operator]")
        archive.writestr(f"torch_npu-{version}.dist-info/METADATA", f"Name: torch_npu\nVersion: {version}\n")
    return path


def test_a_profile_is_built_from_a_wheel_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = find("ascend")
    assert base is not None
    made = lists.build(base, lists.shipped([wheel(tmp_path)]), "", tmp_path / "own")
    assert made.operators
    assert made.operators.plugin_version == "torch_npu 9.9.0"
    assert made.operators.forbid == base.operators.forbid  # type: ignore[union-attr]
    assert made.cards == base.cards
    assert made.onnx
    assert "not_an_operator" not in lists.names_of(made)
    again = lists.build(base, lists.shipped([wheel(tmp_path, CAMBRICON_STYLE, "9.9.1")]), "", tmp_path / "own")
    assert [path.name for path in again.folder.glob("torch_npu*")] == ["torch_npu-9.9.1.txt"], "the old list is gone"
    monkeypatch.setenv("PORTING_PROFILES", str(tmp_path / "own"))
    assert lists.names_of(load()["ascend"]) == {"add.Tensor", "cat", "nms"}


def test_a_maker_without_a_list_gets_one_that_refuses_what_is_not_in_it(tmp_path: Path) -> None:
    base = find("enflame")
    assert base is not None
    (tmp_path / "names.txt").write_text("# what we have\naten::add.Tensor\nmul.Tensor(Tensor self) -> Tensor\n\n")
    made = lists.build(base, lists.shipped([tmp_path / "names.txt"]), "3.2", tmp_path / "own")
    assert made.listed
    assert made.operators
    assert made.operators.plugin_version == "torch_gcu 3.2"
    assert made.operators.otherwise == "error"
    assert lists.names_of(made) == {"add.Tensor", "mul.Tensor"}


def test_the_difference_between_two_lists() -> None:
    found = lists.difference(frozenset({"a", "b"}), frozenset({"b", "c"}))
    assert (found.added, found.removed, found.common) == (("c",), ("a",), 1)


@pytest.mark.parametrize("name", ["bad.whl", "empty.yaml", "broken.yaml", "binary.txt"])
def test_a_file_that_is_no_list_is_refused_by_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes({"empty.yaml": b"other: 1\n", "broken.yaml": b"a: [1\n"}.get(name, b"\xff\xfe\x00\x01"))
    with pytest.raises(UsageError, match=name):
        lists.shipped([file])


@pytest.mark.parametrize("line", ["import torch", "print(x)", "else:", "# fine\nadd.Tensor and more", "[operators]"])
def test_a_file_of_another_kind_is_no_list_though_its_lines_begin_with_words(tmp_path: Path, line: str) -> None:
    file = tmp_path / "train.py"
    file.write_text(f"add.Tensor\naten::mul.Tensor(Tensor self, Tensor other) -> Tensor\n{line}\n")
    with pytest.raises(UsageError, match=r"train\.py:[34] names no operator: "):
        lists.shipped([file])


def test_a_stack_without_pytorch_has_no_such_list(tmp_path: Path) -> None:
    base = find("rockchip")
    assert base is not None
    with pytest.raises(UsageError, match="not reached through PyTorch"):
        lists.build(base, lists.Shipped(frozenset({"a"}), "", ""), "", tmp_path)
