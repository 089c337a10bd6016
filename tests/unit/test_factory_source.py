"""Models that a function of a person's own makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from source_kit import build, run, spec

from porting.errors import ModelError
from porting.sources import _code, source
from porting.types import InputSpec

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.table = nn.Embedding(30, width)
        self.drop = nn.Dropout(0.5)
    def forward(self, tokens, scale):
        return self.drop(self.table(tokens.long().reshape(-1))).sum() * scale

class WithExamples(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
    def example_inputs(self):
        return (torch.zeros(1, 3),)

def by_name():
    return Net(), {"tokens": torch.zeros(2, 7, dtype=torch.int32), "scale": torch.ones(2, 5)}

def wide(width):
    return Net(width), {"tokens": torch.zeros(2, 7, dtype=torch.int64), "scale": torch.ones(2, 5)}

instance = nn.Linear(3, 2)

def bare():
    return nn.Linear(3, 2)

def raises():
    raise KeyError("no weights")

def leaves():
    raise SystemExit(3)

def nothing():
    return None

def misfit():
    return nn.Linear(3, 2), {"input": torch.zeros(2, 4)}

def misnamed():
    return nn.Linear(3, 2), {"x": "text"}

class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(1, 3) * 2

def one_at_a_time():
    return Fixed(), torch.zeros(1, 3)
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(FACTORIES)
    return tmp_path


def test_a_factory_with_example_inputs_is_ready_to_run_and_draws_ids_inside_the_table(nets: Path) -> None:
    built = build("factory", "nets.py:by_name", nets)
    tokens, scale = built.inputs
    assert (tokens.kind, tokens.dtype, tokens.shape, tokens.low, tokens.high) == ("ids", "int32", ("batch", "sequence"), 0, 30)
    assert (scale.kind, scale.shape) == ("normal", ("batch", 5))
    assert built.sizes == {"batch": 2, "sequence": 7}
    run(built)


def test_a_module_name_is_looked_up_from_the_folder_of_the_project(nets: Path) -> None:
    (nets / "package_of_mine").mkdir()
    (nets / "package_of_mine" / "__init__.py").write_text("from package_of_mine.inner import make\n")
    (nets / "package_of_mine" / "inner.py").write_text(FACTORIES + "\nmake = by_name\n")
    assert build("factory", "package_of_mine.inner:make", nets).sizes["sequence"] == 7


def test_config_is_given_to_the_factory(nets: Path) -> None:
    built = build("factory", "nets.py:wide", nets, config={"width": 6})
    assert built.module is not None
    assert built.module.table.weight.shape == (30, 6)


def test_a_module_with_example_inputs_needs_no_more_and_its_batch_of_one_becomes_two(nets: Path) -> None:
    built = build("factory", "nets.py:WithExamples", nets)
    assert [(i.name, i.shape) for i in built.inputs] == [("input", ("batch", 3))]
    assert built.sizes == {"batch": 2}
    run(built, frozenset({"batch"}))


def test_a_model_that_takes_one_at_a_time_keeps_its_batch_of_one(nets: Path) -> None:
    assert build("factory", "nets.py:one_at_a_time", nets).sizes == {"batch": 1}


def test_inputs_may_be_listed_instead(nets: Path) -> None:
    given = (InputSpec("input", "float32", ("batch", 3), "normal"),)
    for name in ("nets.py:bare", "nets.py:instance"):
        built = build("factory", name, nets, inputs=given)
        assert built.inputs == given
        assert run(built)[0].shape == (2, 2)


def test_an_axis_without_a_size_is_an_error_that_names_it(nets: Path) -> None:
    with pytest.raises(ModelError, match="no size is given for axis 'hops'"):
        build("factory", "nets.py:bare", nets, inputs=(InputSpec("input", "float32", ("hops", 3), "normal"),))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets.py:raises", r"factory 'nets\.py:raises' raised KeyError: 'no weights' at nets\.py:\d+"),
        ("nets.py:leaves", "raised SystemExit: 3"),
        ("nets.py:nothing", r"returned None, which is no torch\.nn\.Module"),
        ("nets.py:bare", "nothing says what inputs the model takes"),
        ("nets.py:misfit", "called on its example inputs, raised RuntimeError"),
        ("nets.py:misnamed", "example input 'x' is a str, not a tensor"),
        ("nets.py:absent", "has no 'absent'"),
        ("elsewhere.py:make", "does not exist"),
        ("no_such_package_of_mine:make", "raised ModuleNotFoundError"),
        ("nets.py", "names no factory"),
    ],
)
def test_what_is_wrong_with_a_factory_is_one_line(nets: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        build("factory", name, nets)
    assert "\n" not in str(raised.value)


def test_the_fingerprint_of_a_factory_follows_its_code_and_the_weights_beside_it_and_nothing_else(nets: Path) -> None:
    def mark() -> Any:
        return source("factory").fingerprint(spec("factory", "nets.py:by_name", nets))

    first = mark()
    (nets / "results.sqlite").write_text("grows with every run")
    assert mark() == first
    (nets / "nets.py").write_text(FACTORIES + "\n# changed\n")
    second = mark()
    assert second != first
    (nets / "weights.safetensors").write_bytes(b"new")
    assert mark() != second
    assert source("factory").fingerprint(spec("factory", "absent:make", nets))["factory"] == "not found"


IMPORTS = ["import blocks", "from blocks.layers import first", "import importlib\nimportlib.import_module(f'blocks.{1}')"]


@pytest.mark.parametrize("line", IMPORTS)
@pytest.mark.parametrize("marked", [True, False], ids=["package", "folder"])
def test_the_fingerprint_follows_what_the_factory_imports_from_elsewhere_in_the_project(
    tmp_path: Path, line: str, marked: bool
) -> None:
    (tmp_path / "blocks" / "deep").mkdir(parents=True)
    (tmp_path / "blocks" / "__init__.py").write_text("") if marked else None
    (tmp_path / "blocks" / "layers.py").write_text("import helpers")
    (tmp_path / "blocks" / "deep" / "more.py").write_text("first = 1")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("import numpy, pytest, os, not_here")
    (tmp_path / "unused").mkdir()
    (tmp_path / "unused" / "__init__.py").write_text("first = 1")
    (tmp_path / "build.py").write_text(f"{line}\ndef make(): ...\n")

    def mark() -> dict[str, str]:
        return dict(source("factory").fingerprint(spec("factory", "build:make", tmp_path)))

    first = mark()
    assert first["pytest"] == pytest.__version__, "an installed package counts by its version"
    assert set(first) == {"torch", "factory", "pytest"}
    (tmp_path / "unused" / "__init__.py").write_text("second = 2")
    assert mark() == first
    (tmp_path / "blocks" / "deep" / "more.py").write_text("second = 2")
    second = mark()
    assert second != first
    (tmp_path / "helpers" / "__init__.py").write_text("import numpy, pytest, os\n")
    assert mark() != second, "what is imported by what is imported"


def test_the_fingerprint_stops_at_installed_packages_of_any_environment_and_at_this_toolkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "env" / "lib" / "site-packages" / "their_net"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("first = 1")
    monkeypatch.syspath_prepend(str(installed.parent))
    nets = tmp_path / "nets.py"
    nets.write_text("import porting.types, their_net\ndef make(): ...\n")
    assert _code.files(nets, tmp_path) == ({nets}, {"their_net"})


def test_the_fingerprint_of_a_factory_deep_in_a_package_follows_the_whole_package(tmp_path: Path) -> None:
    inner = tmp_path / "mine" / "inner"
    inner.mkdir(parents=True)
    for path in (tmp_path / "mine" / "__init__.py", tmp_path / "mine" / "core.py", inner / "__init__.py"):
        path.write_text("first = 1")
    (inner / "build.py").write_text("from ..core import first\ndef make(): ...\n")

    def mark() -> Any:
        return source("factory").fingerprint(spec("factory", "mine.inner.build:make", tmp_path))

    before = mark()
    (tmp_path / "mine" / "core.py").write_text("second = 2")
    assert mark() != before


def test_the_code_of_an_editable_install_counts_though_a_finder_of_its_own_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util
    import sys

    (tmp_path / "elsewhere.py").write_text("first = 1")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            return importlib.util.spec_from_file_location(name, tmp_path / "elsewhere.py") if name == "editable_net" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    found = source("factory").fingerprint(spec("factory", "editable_net:make", tmp_path / "nowhere"))
    assert found["factory"].startswith("sha256:")


def test_the_fingerprint_of_a_net_of_the_catalog_follows_the_blocks_that_these_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("porting.__path__", [str(tmp_path)])
    (tmp_path / "models" / "domain").mkdir(parents=True)
    (tmp_path / "models" / "domain" / "net.py").write_text("first = 1")
    (tmp_path / "models" / "layers.py").write_text("first = 1")

    def mark() -> Any:
        return source("factory").fingerprint(spec("factory", "net.py:make", tmp_path / "models" / "domain"))

    before = mark()
    (tmp_path / "models" / "layers.py").write_text("second = 2")
    assert mark() != before
