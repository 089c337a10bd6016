"""Programs as plain data: written from exported ones, run by PyTorch alone, refused where there is no word for something."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from porting.adapters import _aten
from torch import nn
from torch.export import Dim

from porting.bundles import aten


class Net(nn.Module):
    """Something of every kind of argument: dtypes, devices, slices, infinities, sizes that are computed, tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.mix = nn.Sequential(nn.Linear(6, 6), nn.GELU(approximate="tanh"), nn.LayerNorm(6))
        self.register_buffer("halved", torch.full((6,), 0.5, dtype=torch.bfloat16))
        self.register_buffer("nothing", torch.empty(0))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.embed(tokens) * self.halved.float()
        x = x.masked_fill(mask[..., None] == 0, float("-inf")).softmax(1)
        x = self.mix(x) + torch.arange(tokens.shape[1], dtype=torch.float32, device=tokens.device)[None, :, None]
        return self.head(x[:, -1:]), x.reshape(tokens.shape[0] * tokens.shape[1], 6).to(torch.float16)


def draw(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.ones(batch, length, dtype=torch.int64)
    return torch.randint(0, 11, (batch, length)), mask


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    net, path = Net().eval(), tmp_path_factory.mktemp("aten") / "net.aten"
    dims = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC},) * 2
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a GRU assigns attributes
        aten.save(torch.export.export(net, draw(3, 5), dynamic_shapes=dims, strict=False), path)
    return net, path


@pytest.mark.parametrize(("batch", "length"), [(3, 5), (1, 2), (7, 4)])
def test_a_program_answers_as_the_module_at_every_size(saved: tuple[nn.Module, Path], batch: int, length: int) -> None:
    net, path = saved
    inputs = draw(batch, length)
    with torch.no_grad():
        expected, actual = net(*inputs), _aten.Program(path)(*inputs)
    assert len(actual) == 2
    for one, other in zip(expected, actual, strict=True):
        assert one.dtype is other.dtype
        torch.testing.assert_close(one, other)


def test_tied_weights_are_written_once_and_dtypes_are_kept(saved: tuple[nn.Module, Path]) -> None:
    with zipfile.ZipFile(saved[1]) as archive:
        about = json.loads(archive.read(aten.PROGRAM))["tensors"]
    shapes = [tuple(tensor["shape"]) for tensor in about.values()]
    assert shapes.count((11, 6)) == 1
    assert "bfloat16" in {tensor["dtype"] for tensor in about.values()}


def test_values_are_let_go_after_their_last_use(saved: tuple[nn.Module, Path]) -> None:
    program = _aten.Program(saved[1])
    done = [name for each in program._done for name in each]
    assert len(done) == len(set(done))
    assert len(done) > len(program._calls) // 2


ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from aten_program import Program
tokens = torch.ones(2, 3).long()
print(len(Program(sys.argv[2])(tokens, tokens)), "porting" in sys.modules)
"""


def test_the_runner_needs_nothing_of_ours(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    (tmp_path / "aten_program.py").write_bytes(Path(_aten.__file__).read_bytes())
    words = [sys.executable, "-I", "-c", ALONE, str(tmp_path), str(saved[1])]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"], done.stderr


def test_an_operator_that_this_pytorch_has_not_is_missed_by_name(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    path = rewritten(saved[1], tmp_path, lambda data: data["nodes"][-2].update(function="aten.of_the_future.default"))
    with pytest.raises(_aten.Missing, match=r"torch .* has no operator aten.of_the_future.default"):
        _aten.Program(path)


@pytest.mark.parametrize("what", ["format", "garbage", "empty", "tensor"])
def test_a_file_that_is_no_program_is_refused(saved: tuple[nn.Module, Path], tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.aten"
    if what == "format":
        path = rewritten(saved[1], tmp_path, lambda data: data.update(format=2))
    elif what == "tensor":
        path = rewritten(
            saved[1], tmp_path, lambda data: data["tensors"].update({"tensors/99": {"dtype": "float32", "shape": [1]}})
        )
    else:
        path.write_bytes(b"garbage" if what == "garbage" else b"")
    with pytest.raises(ValueError, match=r"has format 2|is no program"):
        _aten.Program(path)


def rewritten(source: Path, folder: Path, change: Any) -> Path:
    """A copy whose program.json was changed."""
    path = folder / "changed.aten"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == aten.PROGRAM:
                data = json.loads(content)
                change(data)
                content = json.dumps(data).encode()
            new.writestr(member, content)
    return path


def test_control_flow_has_no_word_and_says_so(tmp_path: Path) -> None:
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (x,))

    program = torch.export.export(Branch(), (torch.ones(3),))
    with pytest.raises(aten.NotPlain, match="control flow"):
        aten.save(program, tmp_path / "x.aten")
