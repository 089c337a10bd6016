"""Ctrl-C on a terminal asks before it ends the jobs of a cluster: hours of other people's machines may be in them."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

AGAIN_SECONDS = 10.0
_QUESTION = f"\nEnd the jobs of this run? Press Ctrl-C again within {AGAIN_SECONDS:.0f} seconds; else it goes on.\n"


@contextlib.contextmanager
def asking() -> Iterator[Callable[[], None]]:
    """Within this, Ctrl-C interrupts when it comes a second time within seconds; at once where nobody can be asked, as does a
    request to end. Yields what raises the interrupt again if somebody else's code has swallowed it, as Ray's calls may."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    last, wanted = -math.inf, False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal wanted
        wanted = True
        signal.default_int_handler(number, frame)

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last < AGAIN_SECONDS:
            end(number, frame)
        last = time.monotonic()
        os.write(sys.stderr.fileno(), _QUESTION.encode())

    def again() -> None:
        if wanted:
            raise KeyboardInterrupt

    handlers = {signal.SIGINT: ask if sys.stderr.isatty() else end, signal.SIGTERM: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield again
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
