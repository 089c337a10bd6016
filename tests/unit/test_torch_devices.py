"""Real devices through PyTorch, without one: makers told apart, plugins that misbehave, and the whole way over a plugin whose
device is a stand-in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from porting.adapters import _torch_device as devices
from porting.adapters.torch.adapter import TorchAdapter

from porting.conformance import models
from porting.types import Cause, Precision

ROOT = Path(__file__).parents[2]


# ---- whose build of torch it is


def build(version: str, **more: Any) -> Any:
    """A torch as far as its marks go."""
    return SimpleNamespace(__version__=version, version=SimpleNamespace(cuda=None, hip=None), **more)


@pytest.mark.parametrize(
    ("marks", "maker"),
    [
        (build("2.9.0+cu128"), "NVIDIA"),
        (build("2.9.0+das.opt1.dtk2604"), "Hygon DCU"),
        (build("2.8.0+metax3.5.3.9"), "MetaX"),
        (build("2.7.1+corex.4.4.0"), "Iluvatar CoreX"),
        (build("2.7.1", corex=object()), "Iluvatar CoreX"),
        (build("2.9.0+rocm6.4"), "AMD"),
        (build("2.13.0+cpu"), ""),
    ],
)
def test_builds_that_answer_to_cuda_are_told_apart(marks: Any, maker: str) -> None:
    if maker in ("AMD", "Hygon DCU"):
        marks.version.hip = "6.4"
    elif maker:
        marks.version.cuda = "12.8"
    assert devices.maker_of_cuda(marks) == maker


def test_a_maker_is_told_by_its_module_or_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACA_PATH", "/opt/maca")
    assert devices.maker_of_cuda(build("2.8.0")) == "MetaX"
    monkeypatch.delenv("MACA_PATH")
    (tmp_path / "torch_xmlir.py").write_text("raise RuntimeError('not to be imported for this')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert devices.maker_of_cuda(build("2.5.1+cu118")) == "Kunlunxin"


def test_native_names_are_asked_before_cuda_and_every_profiles_device_is_there() -> None:
    names = list(devices.DEVICES)
    assert names[0] == "cpu"
    assert names[-1] == "cuda"
    assert {"npu", "mlu", "musa", "gcu", "supa", "txda", "ptpu", "sdaa", "hpu", "xpu", "mps"} <= set(names)


def test_a_dtype_that_a_maker_lacks_is_no_target() -> None:
    assert Precision.BF16 not in TorchAdapter.devices["ptpu"]
    assert Precision.BF16 in TorchAdapter.devices["npu"]


# ---- plugins that misbehave

STAND_IN = """
from porting.accelerators import standin
from porting.accelerators.profile import find
device = standin.install(find("ascend"))
"""
ASKED = """
import torch, types
def no(): raise AssertionError("driver mismatch")
torch.npu = types.SimpleNamespace(is_available=no)
"""
SHIM = """
import torch
torch.cuda.is_available = lambda: True
torch.npu = torch.cuda
"""
ALLOCATOR = (
    STAND_IN
    + """
def no(*_): raise RuntimeError("NPUCachingAllocator INTERNAL ASSERT FAILED")
device._work = no
"""
)
MISBEHAVING = {
    "no SDK": ("raise ImportError('libhccl.so: cannot open shared object file')", "libhccl.so", Cause.MISSING_SDK),
    "exits": ("raise SystemExit('driver too old')", "driver too old", Cause.MISSING_SDK),
    "asserts when imported": ("assert False, 'no device context'", "no device context", Cause.MISSING_SDK),
    "brings no device": ("", "sees no npu device", Cause.MISSING_DEVICE),
    "asserts when asked": (ASKED, "driver mismatch", Cause.MISSING_DEVICE),
    "answers for cuda": (SHIM, "PrivateUse1|privateuseone|npu", Cause.MISSING_DEVICE),
    "allocator asserts": (ALLOCATOR, "INTERNAL ASSERT FAILED", Cause.MISSING_DEVICE),
}


def probed(folder: Path, plugin: str) -> dict[str, Any]:
    """What the adapter's probe says in a process that finds `plugin` as torch_npu."""
    (folder / "torch_npu.py").write_text(f"__version__ = '9.9'\n{plugin}\n")
    code = (
        "import json\nfrom porting.serialization import to_json\nfrom porting.adapters.torch.adapter import TorchAdapter\n"
        "print(json.dumps(to_json(TorchAdapter().probe())))"
    )
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("how", MISBEHAVING)
def test_a_plugin_that_misbehaves_costs_its_own_device_and_says_so_in_its_own_words(tmp_path: Path, how: str) -> None:
    plugin, words, cause = MISBEHAVING[how]
    found = probed(tmp_path, plugin)
    assert found["devices"]["cpu"]["available"]
    state = found["devices"]["npu"]
    assert not state["available"]
    assert re.search(words, state["reason"])
    assert not found["devices"]["cuda"]["available"]
    assert state["cause"] == cause.value


# ---- the whole way, on a device that is there

WHOLE_WAY = """
import json, sys
from pathlib import Path
from porting.adapter import ExportedForm
from porting.adapters.torch.adapter import TorchAdapter
from porting.bundles.tensors import as_declared, read_tensors, write_tensors
from porting.serialization import from_json, to_json
from porting.types import Target
folder = Path(sys.argv[1])
adapter, target = TorchAdapter(), Target.parse("torch:npu:fp32")
probe = adapter.probe()
form = from_json(ExportedForm, json.loads((folder / "form.json").read_text()))
form = ExportedForm(**{**form.__dict__, "path": Path(form.path)})
(folder / "artifact").mkdir()
artifact = adapter.convert(form, target, folder / "artifact")
session = adapter.load(artifact, target, folder / "artifact")
write_tensors(folder / "outputs.npz", session.run(as_declared(read_tensors(folder / "inputs.npz"), artifact.inputs)))
said = {"placement": to_json(session.placement()), "precision": session.effective_precision().value}
print(json.dumps({**said, "state": to_json(probe.devices["npu"]), "versions": dict(probe.versions)}))
"""


def whole_way(folder: Path, plugin: str) -> dict[str, Any]:
    """What the adapter of real devices comes to with a small model and a plugin."""
    from porting.adapter import FormNeed
    from porting.bundles.tensors import write_tensors
    from porting.serialization import to_json

    model = models.mixed()
    form = models.export(model, FormNeed("pt2", at_target_precision=True), Precision.FP32, folder)
    (folder / "form.json").write_text(json.dumps(to_json(form)))
    write_tensors(folder / "inputs.npz", model.draw(models.NOMINAL))
    (folder / "torch_npu.py").write_text(plugin)
    path = os.pathsep.join([str(folder), str(ROOT)])
    words = [sys.executable, "-c", WHOLE_WAY, str(folder)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_model_goes_the_whole_way_on_a_plugins_device(tmp_path: Path) -> None:
    from porting.bundles.tensors import read_tensors

    found = whole_way(tmp_path, f"__version__ = '2.13.0'\n{STAND_IN}")
    assert found["state"]["available"]
    assert found["versions"]["npu"] == "stand-in for Huawei Ascend"
    assert found["precision"] == "fp32"
    assert found["placement"]["device"] == "npu"
    assert found["placement"]["target_ops"] > 5
    model = models.mixed()
    expected = model.eager(model.draw(models.NOMINAL))
    for name, value in read_tensors(tmp_path / "outputs.npz").items():
        assert torch.allclose(torch.from_numpy(value).double(), torch.from_numpy(expected[name]).double(), atol=1e-4), name
