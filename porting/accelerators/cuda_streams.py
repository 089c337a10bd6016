"""Streams and events of the stand-in for CUDA. Work is done when it is asked for, so that every order is kept."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porting.accelerators.cuda import Cuda

_identities = itertools.count(1)


class _OfTheCard:
    """What a card waits for, or is waited for by."""

    card: Cuda
    """Set when the stand-in is brought."""

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.card.call(f"{type(self).__name__}.synchronize")
        self.card.ledger.wait("synchronize", self.card.place())


class Stream(_OfTheCard):
    """torch.cuda.Stream, of a card that is never busy."""

    def __init__(self, device: Any = None, priority: int = 0, **known: Any) -> None:
        import torch

        if "stream_id" not in known:
            self.card.call("Stream")
        self.stream_id = self.cuda_stream = known.get("stream_id") if "stream_id" in known else next(_identities)
        self.device_index, self.device_type, self.priority = 0, 1, priority
        self.device = torch.device("cuda", torch.device(device).index or 0 if device is not None else 0)

    def is_capturing(self) -> bool:
        return False

    def wait_event(self, _event: Any) -> None: ...
    def wait_stream(self, _stream: Any) -> None: ...

    def record_event(self, event: Any = None) -> Any:
        event = event or Event()
        event.record(self)
        return event

    def __enter__(self) -> Any:
        import torch

        self._context = torch.cuda.stream(self)
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Stream) and other.stream_id == self.stream_id

    def __hash__(self) -> int:
        return hash(self.stream_id)


class Event(_OfTheCard):
    """torch.cuda.Event: the host's clock."""

    def __init__(self, enable_timing: bool = False, *_more: Any, **_named: Any) -> None:
        self._timed = enable_timing or bool(_more and _more[0])  # torch.Event takes a device first
        self._at = 0.0

    def record(self, _stream: Any = None) -> None:
        self.card.call("Event.record")
        self._at = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds."""
        if not (self._timed and end._timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if not (self._at and end._at):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end._at - self._at) * 1e3

    def wait(self, _stream: Any = None) -> None: ...


def bring_streams(torch: Any, card: Cuda) -> None:
    """Put them where programs find them."""
    _OfTheCard.card = card
    for module in (torch.cuda, torch.cuda.streams):
        module.Stream, module.Event, module.ExternalStream = Stream, Event, Stream
    torch.Stream, torch.Event = Stream, Event
    torch._C._accelerator_getStream = torch.cuda.current_stream
    torch._C._accelerator_setStream = torch.cuda.set_stream
    torch._C._accelerator_synchronizeDevice = torch.cuda.synchronize
    torch._C._accelerator_getMemoryInfo = torch.cuda.mem_get_info
