"""Saved programs, and what in them could run code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from source_kit import build, run

from porting.bundles.cases import cases
from porting.errors import ModelError, UntrustedError
from porting.sources import _inputs, _pt2_guard


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(40, 8)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, scale: float = 1.0, *, more: Any = None) -> dict[str, torch.Tensor]:
        rows = self.table(ids) * mask[..., None] * scale
        return {"rows": rows + more["a"], "sum": rows.sum(1)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dynamic = torch.export.Dim.DYNAMIC
    arguments = (torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64), 2.0)
    axes = {0: dynamic, 1: dynamic}
    exported = torch.export.export(
        Scaled().eval(),
        arguments,
        {"more": {"a": torch.ones(8)}},
        dynamic_shapes={"ids": axes, "mask": axes, "scale": None, "more": {"a": None}},
    )
    path = tmp_path_factory.mktemp("pt2") / "scaled.pt2"
    torch.export.save(exported, path)
    return path


def test_a_saved_program_brings_its_inputs_axes_and_constants(program: Path) -> None:
    built = build("pt2", program.name, program.parent)
    assert [(i.name, i.kind, i.shape) for i in built.inputs] == [
        ("ids", "ids", ("batch", "sequence")),
        ("mask", "mask", ("batch", "sequence")),
        ("more_a", "normal", (8,)),
    ]
    assert built.inputs[0].high == 40
    assert built.sizes == {"batch": 2, "sequence": 7}
    assert len(run(built, frozenset({"batch", "sequence"}))) == 7


def test_a_saved_program_can_be_exported_again(program: Path) -> None:
    built = build("pt2", program.name, program.parent)
    assert built.module is not None
    nominal = _inputs.tensors(cases(built.inputs, built.sizes, frozenset(), "test")[0].arrays)
    again = torch.export.export(built.module, (), nominal)
    assert set(again.graph_signature.user_inputs) == {"ids", "mask", "more_a"}


def rewrite(program: Path, folder: Path, change: Any) -> Path:
    """A copy of the archive with every member passed through `change`."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


def test_a_program_that_names_a_function_of_its_own_choice_needs_trust(program: Path, tmp_path: Path) -> None:
    path = rewrite(program, tmp_path, lambda _, content: content.replace(b"torch.ops.aten.embedding.default", b"torch.os.system"))
    with pytest.raises(UntrustedError, match=r"calls 'torch\.os\.system'"):
        build("pt2", path.name, tmp_path)


def test_a_program_with_a_pickle_of_code_needs_trust(program: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pickle = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    path = rewrite(program, tmp_path, lambda name, content: pickle if "sample_inputs" in name else content)
    with pytest.raises(UntrustedError, match="holds a pickle of more than tensors"):
        build("pt2", path.name, tmp_path)
    assert not ran.exists()


def test_a_program_whose_guards_are_code_needs_trust(program: Path, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        return json.dumps({**json.loads(content), "guards_code": ["__import__('os').system('true') == 0"]}).encode()

    path = rewrite(program, tmp_path, change)
    with pytest.raises(UntrustedError, match="an expression that is no arithmetic"):
        build("pt2", path.name, tmp_path)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("L['ids'].size()[1] == L['mask'].size()[1]", True),
        ("Mul(Integer(8), Symbol('s27', positive=True, integer=True))", True),
        ("4*s3 + Mod(s1, 2)", True),
        ("exec('x')", False),
        ("chr(104)", False),
        ("Symbol('a\"b')", False),
        ("().__class__", False),
        ("L['x'].system('a')", False),
        ("[x for x in y]", False),
        ("lambda: 1", False),
        ("1 +", False),
    ],
)
def test_only_arithmetic_on_sizes_counts_as_harmless(text: str, harmless: bool) -> None:
    assert _pt2_guard.is_arithmetic(text) is harmless


def test_an_archive_that_is_no_program_and_a_damaged_one_are_one_line(program: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.pt2", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(ModelError, match="no exported program"):
        build("pt2", "other.pt2", tmp_path)
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(program.read_bytes()[:-200])
    with pytest.raises(ModelError, match="is damaged"):
        build("pt2", "cut.pt2", tmp_path)
    broken = rewrite(program, tmp_path, lambda name, content: b"{}" if name.endswith("models/model.json") else content)
    with pytest.raises(ModelError, match="cannot read"):
        build("pt2", broken.name, tmp_path)
