"""The helper that ported code imports: torch.cuda's answers without an accelerator, a plugin's module with one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from porting.codemod import helper
from porting.codemod.finding import table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def accel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The helper, as it is where no plugin is: a stand-in that another test has installed is out of sight."""
    file = tmp_path / helper.FILE
    file.write_text(helper.text())
    spec = importlib.util.spec_from_file_location(helper.NAME, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in (torch._C._get_privateuse1_backend_name(), *module.MAKERS):
        monkeypatch.delattr(torch, name, raising=False)
    for plugin, _collective, _variable in module.MAKERS.values():
        monkeypatch.delitem(sys.modules, plugin, raising=False)
    return module


GIVEN: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("stream", "set_stream", "device_of", "StreamContext"), (None,)),
    **dict.fromkeys(("manual_seed", "manual_seed_all"), (1,)),
    **dict.fromkeys(("set_device", "device"), (0,)),
    "set_per_process_memory_fraction": (0.5,),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
@pytest.mark.parametrize("name", [n for n in table("api")["safe"] if not n.startswith("set_rng")])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_without_an_accelerator_nothing_raises_and_answers_are_torch_cudas(accel: ModuleType, name: str) -> None:
    given = GIVEN.get(name, ())
    ours = getattr(accel, name)(*given)
    if isinstance(getattr(torch.cuda, name, None), type):
        return  # streams, events and contexts are objects of nobody's
    try:
        theirs = getattr(torch.cuda, name)(*given)
    except (AssertionError, AttributeError, RuntimeError, KeyError):
        return  # it raises for want of a card; ours did not
    if type(theirs).__module__ != "torch.cuda":  # so are those that a function makes
        assert ours == theirs


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_without_an_accelerator_comparisons_stay_false_and_things_are_placed_on_the_cpu(accel: ModuleType) -> None:
    assert (accel.type, accel.name, accel.at(1), accel.at("cuda:1"), accel.dist_backend()) == (
        "cpu", "cuda", torch.device("cpu"), torch.device("cpu"), "gloo",
    )  # fmt: skip
    assert accel.dist_backend("nccl") == "nccl"
    assert not accel.is_on(torch.ones(1))
    assert accel.get_device_capability() == (0, 0)
    assert accel.visible_devices == "CUDA_VISIBLE_DEVICES"
    assert accel.is_dist_backend_available() is torch.distributed.is_nccl_available()
    assert accel.profiler_activity is torch.profiler.ProfilerActivity.CUDA
    assert not hasattr(accel, "no_such_name")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_without_an_accelerator_tensor_types_make_tensors_of_the_cpu_and_know_none(accel: ModuleType) -> None:
    made = accel.LongTensor([1, 2])
    assert made.tolist() == [1, 2]
    assert (made.device.type, made.dtype, isinstance(made, accel.LongTensor)) == ("cpu", torch.int64, False)
    assert torch.ones(2).type(accel.DoubleTensor).dtype is torch.float64
    assert not hasattr(accel, "Tensor")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_autocast_takes_arguments_in_torch_cudas_order_and_changes_nothing_on_the_cpu(accel: ModuleType) -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"), accel.amp.autocast(True, torch.bfloat16):
        result = torch.ones(2, 2) @ torch.ones(2, 2)
    assert result.dtype is torch.float32


def test_a_checkpoint_of_the_cpu_is_loaded_as_ever(accel: ModuleType, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")
    assert torch.equal(torch.load(tmp_path / "a.pt", map_location=accel.map_location, weights_only=True)["w"], torch.ones(2))
    storage = object()
    assert accel.map_location(storage, "cpu") is None
    assert accel.map_location(storage, "cuda:0") is (None if torch.cuda.is_available() else storage)


PROGRAM = """
import torch
import porting_accel as accel
assert accel.type == accel.name == "npu", accel.type
assert accel.is_available() and accel.device_count() == 1
x = torch.ones(2, 2).to(accel.type)
assert accel.is_on(x) and not accel.is_on(torch.ones(1))
assert accel.at("cuda:0") == torch.device("npu:0") and accel.at(0) == torch.device("npu:0") and accel.at("cpu").type == "cpu"
assert accel.dist_backend() == "hccl" and accel.visible_devices == "ASCEND_RT_VISIBLE_DEVICES"
assert accel.get_device_capability() == (0, 0)
accel.empty_cache(); accel.synchronize(); accel.manual_seed_all(3); accel.reset_max_memory_allocated()
with accel.stream(accel.Stream()):
    pass
assert torch.ones(1).pin_memory().device.type == "cpu"
y = accel.FloatTensor([1.0, 2.0])
assert accel.is_on(y) and isinstance(y, accel.FloatTensor) and not isinstance(y, accel.HalfTensor)
assert accel.is_on(torch.ones(1).type(accel.HalfTensor)) and y.type(accel.HalfTensor).dtype is torch.float16
with accel.amp.autocast(enabled=True, dtype=torch.bfloat16):
    assert (x @ x).dtype is torch.bfloat16
with accel.nvtx.range("a"):
    accel.nvtx.range_push("b"); accel.nvtx.range_pop()
print("well")
"""


MODULE = """
import contextlib, sys, types
import torch

class Stream:
    pass

asked = []
npu = types.ModuleType("torch.npu")
npu.is_available, npu.device_count, npu.current_device = lambda: True, lambda: 2, lambda: 1
npu.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
npu.synchronize, npu.manual_seed_all, npu.Stream = asked.append, asked.append, Stream
npu.stream = contextlib.nullcontext
torch.utils.rename_privateuse1_backend("npu")
torch._register_device_module("npu", npu)

import porting_accel as accel
assert accel.type == accel.name == "npu", accel.type
assert accel.is_available() and accel.device_count() == 2 and accel.current_device() == 1
accel.synchronize(1); accel.manual_seed_all(3)
assert asked == [1, 3] and accel.Stream is Stream
assert accel.at() == torch.device("npu") and accel.at("cpu") == torch.device("cpu")
assert accel.at(1) == accel.at("cuda:1") == torch.device("npu:1")
assert not accel.is_on(torch.ones(1))
assert accel.dist_backend() == "hccl" and accel.visible_devices in ("ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
assert accel.get_device_capability() == (0, 0)
assert accel.is_dist_backend_available()
assert accel.profiler_activity is torch.profiler.ProfilerActivity.PrivateUse1
accel.empty_cache(); accel.reset_max_memory_allocated()
assert accel.memory_allocated() == 0
assert torch.load(sys.argv[1], map_location=accel.map_location, weights_only=True)["w"].device.type == "cpu"
autocast = accel.amp.autocast(True, torch.bfloat16, False)
assert (autocast.device, autocast._enabled, autocast.fast_dtype, autocast._cache_enabled) == ("npu", True, torch.bfloat16, False)
assert accel.amp.autocast().fast_dtype is torch.float16
assert isinstance(accel.GradScaler(enabled=False), torch.amp.GradScaler)
npu.amp = types.SimpleNamespace(GradScaler=lambda **given: given)
assert accel.amp.GradScaler(2.0, 3.0, 0.25, 5, False) == {
    "init_scale": 2.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 5, "enabled": False
}
try:
    accel.get_gencode_flags
except AttributeError as error:
    assert "torch.npu has no 'get_gencode_flags'" in str(error), error
else:
    raise AssertionError("a name that the plugin lacks")
print("well")
"""


def test_a_module_like_torch_npu_answers_with_any_supported_torch(tmp_path: Path) -> None:
    (tmp_path / helper.FILE).write_text(helper.text())
    (tmp_path / "program.py").write_text(MODULE)
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")
    words = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "a.pt")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "well", done.stderr


@pytest.mark.skipif(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10), reason="stand-ins need PyTorch 2.10")
def test_with_a_plugin_the_plugins_module_answers(tmp_path: Path) -> None:
    (tmp_path / helper.FILE).write_text(helper.text())
    (tmp_path / "program.py").write_text(PROGRAM)
    settings = {"profile": "ascend", "fallback": True, "keep_going": False, "report": str(tmp_path / "r.json"), "module": False}
    words = [sys.executable, "-m", "porting.accelerators.script", json.dumps(settings), str(tmp_path / "program.py")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.stdout.strip() == "well", done.stderr


def test_the_helper_needs_no_newer_python_than_its_readers_and_no_torch_to_be_imported() -> None:
    import ast

    tree = ast.parse(helper.text(), feature_version=(3, 8))
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert "torch" not in top
    assert top <= set(sys.stdlib_module_names) | {"importlib.util"}
