"""Names become adapters: built-in ones by folder, third parties' by entry point, none of them taking the others down."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from porting import registry
from porting.adapter import Adapter
from porting.errors import EnvironmentMissing, UnknownName, UsageError
from porting.types import Precision, Target

ADAPTER = """
from porting.adapter import Adapter, Family, FormNeed
from porting.types import Precision

class {name}(Adapter):
    contract = {contract}
    name = "{target}"
    vendor = "somebody"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = {{"cpu": (Precision.FP32,)}}
    distributions = ("numpy",)
    install_hint = "pip install numpy"
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one entry point on sys.path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def distribution(name: str, point: str, source: str = "", module: str = "") -> Path:
        module = module or name
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[porting.adapters]\n{point}\n")
        (tmp_path / f"{module}.py").write_text(source)
        registry.refresh()
        return tmp_path / f"{module}.py"

    registry.refresh()
    yield distribution
    registry.refresh()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(sys.modules[name].__file__).startswith(str(tmp_path)):
            del sys.modules[name]


def source(target: str, name: str = "Mine", contract: int = 1) -> str:
    return ADAPTER.format(target=target, name=name, contract=contract)


def test_the_built_in_adapters_are_listed() -> None:
    assert {"inductor", "onnxruntime", "openvino", "torch"} <= set(registry.names())


def test_listing_names_and_targets_imports_no_backend() -> None:
    code = (
        "import sys; from porting import registry; registry.names(); registry.all_targets(); registry.fingerprint('torch');"
        "print([m for m in ('torch', 'numpy', 'onnx', 'onnxruntime', 'openvino') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_an_adapter_is_a_class_with_the_name_it_is_found_by() -> None:
    for name in registry.names():
        found = registry.adapter(name)
        assert issubclass(found, Adapter)
        assert found.name == name


def test_a_target_is_read() -> None:
    assert registry.target("onnxruntime:cpu:fp16") == Target("onnxruntime", "cpu", Precision.FP16)


@pytest.mark.parametrize("text", ["onnxruntime", "onnxruntime:cpu", "onnxruntime:cpu:fp32:x", "onnxruntime::fp32", ""])
def test_text_of_another_form_is_no_target(text: str) -> None:
    with pytest.raises(UsageError, match="adapter:device:precision"):
        registry.target(text)


@pytest.mark.parametrize(
    ("text", "kind", "near"),
    [
        ("onxruntime:cpu:fp32", "adapter", "onnxruntime"),
        ("onnxruntime:cdua:fp32", "device", "cuda"),
        ("torch:cpu:fp61", "precision", "fp16"),
        ("onnxruntime:cpu:bf16", "precision", "fp16"),
    ],
)
def test_an_unknown_part_of_a_target_is_answered_with_near_names(text: str, kind: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown {kind} ") as caught:
        registry.target(text)
    assert near in str(caught.value)


def test_all_targets_read_back_and_are_unique() -> None:
    targets = registry.all_targets()
    assert len(set(targets)) == len(targets)
    assert all(registry.target(str(target)) == target for target in targets)


def test_a_third_party_is_found_by_its_entry_point(install: Install) -> None:
    install("mine_pkg", "mine = mine_pkg:Mine", source("mine"))
    assert "mine" in registry.names()
    assert registry.module_of("mine") == "mine_pkg:Mine"
    assert Target("mine", "cpu", Precision.FP32) in registry.all_targets()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ImportError('libvendor.so.1: cannot open')", "libvendor.so.1"),
        ("raise SystemExit(3)", "SystemExit"),
        ("class Mine: pass", "no subclass"),
        ("", "Mine"),
        (source("another"), "calls itself 'another'"),
    ],
)
def test_a_third_party_that_is_broken_keeps_its_name_and_takes_no_other_down(install: Install, text: str, reason: str) -> None:
    install("bad_pkg", "bad = bad_pkg:Mine", text)
    assert "bad" in registry.names()
    assert reason in registry.broken()["bad"]
    assert registry.target("onnxruntime:cpu:fp32") in registry.all_targets()
    with pytest.raises(EnvironmentMissing, match="bad"):
        registry.target("bad:cpu:fp32")


def test_another_contract_is_refused_with_what_to_do(install: Install) -> None:
    install("old_pkg", "old = old_pkg:Mine", source("old", contract=99))
    with pytest.raises(EnvironmentMissing, match=r"contract 99.*Update old_pkg 1\.0"):
        registry.adapter("old")


def test_a_third_party_cannot_take_a_name_that_is_taken(install: Install) -> None:
    install("evil_pkg", "onnxruntime = evil_pkg:Mine", source("onnxruntime"))
    assert registry.module_of("onnxruntime").startswith("porting.adapters.onnxruntime")
    assert "taken" in registry.broken()["onnxruntime@evil_pkg"]


def test_a_fingerprint_follows_the_source_and_nothing_else(install: Install) -> None:
    file = install("mine_pkg", "mine = mine_pkg:Mine", source("mine"))
    first = registry.fingerprint("mine")
    assert registry.fingerprint("mine") == first
    others = {name: registry.fingerprint(name) for name in registry.names() if name != "mine"}
    file.write_text(source("mine") + "# changed\n")
    assert registry.fingerprint("mine") != first
    assert {name: registry.fingerprint(name) for name in others} == others


def test_a_fingerprint_follows_the_family_of_a_built_in_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    import porting.adapters

    copy = tmp_path / "adapters"
    shutil.copytree(next(iter(porting.adapters.__path__)), copy)
    monkeypatch.setattr(porting.adapters, "__path__", [str(copy)])
    registry.refresh()
    try:
        before = {name: registry.fingerprint(name) for name in ("onnxruntime", "torch")}
        family = copy / "_onnx_session.py"
        family.write_text(family.read_text() + "# changed\n")
        assert registry.fingerprint("onnxruntime") != before["onnxruntime"]
        assert registry.fingerprint("torch") == before["torch"]
    finally:
        registry.refresh()
