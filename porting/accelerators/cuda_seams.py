"""How a build of PyTorch for the CPU is brought to know a CUDA device: by the two tables in its C++ that a build for CUDA fills.

One holds a guard for each kind of device, which the autograd engine and `torch.device` ask; into it goes the fake guard that
PyTorch has for its own fake tensors. The other is the table of hooks that ask whether CUDA is there; a copy of it answers that it
is, with functions of PyTorch's own that give the same numbers. All else, dispatch key, autocast, autograd, the reading of 'cuda',
is in every build. The places in the tables are those of one version (headers c10/core/impl/DeviceGuardImplInterface.h,
ATen/detail/AcceleratorHooksInterface.h and CUDAHooksInterface.h), so no other is touched.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from typing import Any

from porting.accelerators.ledger import Unavailable

VERSION = "2.13.0"
"""Of torch, whose tables these are."""
MACHINE = "x86_64"

_CPU, _CUDA = 0, 1  # c10::DeviceType
_KINDS = 21
_GUARD_SET_DEVICE, _GUARD_COUNT, _GUARD_SLOTS = 3, 15, 16
_HOOKS_SLOTS = 48
_HOOKS_COUNT = 6  # gives 0 without CUDA
_TRUE = (2, 3, 4, 6, 16, 46)  # isBuilt, isAvailable, hasPrimaryContext, deviceCount (1), hasCUDA, getNumGPUs (1)
_ZERO = (8, 9, 10, 26)  # getCurrentDevice, exchangeDevice, maybeExchangeDevice, current_device
_NOTHING = (5, 7, 47)  # init, setCurrentDevice, deviceSynchronize
_PINNED_MEMORY = 12  # getPinnedMemoryAllocator
_BEFORE = 2  # words before a table of virtual functions: offset and type


def why_not() -> str:
    """Why this process cannot have the stand-in for CUDA; empty where it can."""
    import torch

    if sys.platform != "linux" or platform.machine() != MACHINE:
        return f"the stand-in for CUDA needs Linux on {MACHINE}, and this is {sys.platform} on {platform.machine()}"
    if torch.__version__.partition("+")[0] != VERSION:
        return f"the stand-in for CUDA is made for torch {VERSION}, and this is {torch.__version__}"
    if torch._C._has_cuda or torch.version.hip or getattr(torch.version, "xpu", None):
        return f"the stand-in for CUDA takes the build of torch for the CPU, and this is {torch.__version__}"
    return ""


def open_seams() -> None:
    """Let PyTorch in this process know a CUDA device, for good. Raises Unavailable."""
    import torch

    reason = why_not()
    if reason:
        raise Unavailable(reason)
    try:
        c10, guards, hooks = _tables(Path(torch.__file__).parent / "lib")
    except (OSError, ValueError, AttributeError) as error:  # a build of one's own without them
        raise Unavailable(f"torch {torch.__version__} lacks what the stand-in for CUDA needs: {error}") from None
    if guards[_CUDA] or not guards[_CPU]:
        raise Unavailable("something else has given this torch a CUDA device")
    host = _functions(guards[_CPU], _GUARD_SLOTS)
    one, nothing, zero = host[_GUARD_COUNT], host[_GUARD_SET_DEVICE], _functions(hooks, _HOOKS_SLOTS)[_HOOKS_COUNT]
    _set_guard(torch, guards, zero)
    answers = {**dict.fromkeys(_TRUE, one), **dict.fromkeys(_ZERO, zero), **dict.fromkeys(_NOTHING, nothing)}
    answers[_PINNED_MEMORY] = ctypes.cast(c10._ZN3c1015GetCPUAllocatorEv, ctypes.c_void_p).value
    _set_hooks(hooks, answers)
    found = torch.accelerator.current_accelerator()
    if found is None or found.type != "cuda":
        raise Unavailable(f"torch {torch.__version__} does not take the stand-in for CUDA")


def _tables(folder: Path) -> Any:
    """The library of one table, that table of guards, and the address of the hooks."""
    c10, aten = (ctypes.CDLL(str(folder / name)) for name in ("libc10.so", "libtorch_cpu.so"))
    guards = (ctypes.c_void_p * _KINDS).in_dll(c10, "_ZN3c104impl26device_guard_impl_registryE")
    find_hooks = aten._ZN2at6detail12getCUDAHooksEv
    find_hooks.restype = ctypes.c_void_p
    return c10, guards, find_hooks()


def _functions(thing: Any, slots: int) -> Any:
    """The virtual functions of an object in C++."""
    return (ctypes.c_void_p * slots).from_address(ctypes.c_void_p.from_address(thing).value or 0)


def _set_guard(torch: Any, guards: Any, zero: Any) -> None:
    """PyTorch puts its fake guard where there is one that counts no devices: give it such a one to replace."""
    functions = (ctypes.c_void_p * _GUARD_SLOTS)()
    functions[_GUARD_COUNT] = zero
    guard = (ctypes.c_void_p * 1)(ctypes.addressof(functions))
    guards[_CUDA] = ctypes.addressof(guard)
    torch._C._ensureCUDADeviceGuardSet()
    if guards[_CUDA] == ctypes.addressof(guard):
        guards[_CUDA] = None
        raise Unavailable(f"torch {torch.__version__} has no fake guard for CUDA")


def _set_hooks(hooks: int, answers: Any) -> None:
    pointer = ctypes.c_void_p.from_address(hooks)
    words = ctypes.c_void_p * (_BEFORE + _HOOKS_SLOTS)
    size = ctypes.sizeof(ctypes.c_void_p)
    copy = words.from_buffer_copy(words.from_address((pointer.value or 0) - _BEFORE * size))
    for slot, function in answers.items():
        copy[_BEFORE + slot] = function
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(copy))  # C++ points at it until after the interpreter's end
    pointer.value = ctypes.addressof(copy) + _BEFORE * size
