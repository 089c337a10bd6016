"""What `torch.npu` is to a program, for a stand-in: as much of it as programs ask, each answer that of one idle device."""

from __future__ import annotations

import contextlib
import types
from typing import TYPE_CHECKING, Any, Dict

from porting.accelerators.scaler import grad_scaler

if TYPE_CHECKING:
    from porting.accelerators.standin import StandIn


def device_module(device: StandIn) -> Any:
    """A module like the maker's, by the device's name: torch.npu, torch.mlu, torch.musa."""
    module = _DeviceModule(f"torch.{device.name}")
    module.__dict__.update(_answers(device))
    return module


class _DeviceModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = f"the stand-in for {self.__name__} has no {name!r}: the maker's plugin may have it"
        raise AttributeError(message)


class _Nothing:
    """A stream or an event of a device that is never busy."""

    def __init__(self, *_args: Any, **_more: Any) -> None: ...

    def record(self, *_args: Any) -> None: ...
    def wait(self, *_args: Any) -> None: ...
    def wait_event(self, *_args: Any) -> None: ...
    def wait_stream(self, *_args: Any) -> None: ...
    def synchronize(self) -> None: ...
    def query(self) -> bool:
        return True

    def elapsed_time(self, _other: Any) -> float:
        return 0.0


def _answers(device: StandIn) -> Dict[str, Any]:
    import torch

    def nothing(*_args: Any, **_more: Any) -> None: ...

    def synchronize(*_args: Any) -> None:
        device.ledger.wait("synchronize", device.place())

    def seed(value: int) -> None:
        torch.default_generator.manual_seed(int(value))

    lacks = device.profile.dtypes.lacks if device.profile.dtypes else ()
    low = [dtype for dtype in (torch.float16, torch.bfloat16) if str(dtype).partition(".")[2] not in lacks]
    single = "float64" in lacks and not (device.profile.dtypes and device.profile.dtypes.casts)
    properties = types.SimpleNamespace(name=f"stand-in for {device.profile.vendor}", total_memory=0, major=0, minor=0)
    return {
        **dict.fromkeys(("set_device", "empty_cache", "reset_peak_memory_stats", "init", "ipc_collect"), nothing),
        **dict.fromkeys(("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"), lambda *_: 0),
        **dict.fromkeys(("Stream", "Event"), _Nothing),
        **dict.fromkeys(("device", "stream"), lambda *_: contextlib.nullcontext()),
        **dict.fromkeys(("manual_seed", "manual_seed_all"), seed),
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_is_in_bad_fork": lambda: False,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "current_stream": lambda *_: _Nothing(),
        "default_stream": lambda *_: _Nothing(),
        "synchronize": synchronize,
        "get_device_name": lambda *_: properties.name,
        "get_device_properties": lambda *_: properties,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
        "get_amp_supported_dtype": lambda: low,
        "is_bf16_supported": lambda: torch.bfloat16 in low,
        "amp": types.SimpleNamespace(GradScaler=grad_scaler(device.name, single)),
    }
