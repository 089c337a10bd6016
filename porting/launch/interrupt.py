"""Ctrl-C on a terminal asks before it ends the jobs of a cluster: hours of other people's machines may be in them."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

AGAIN_SECONDS = 10.0
_QUESTION = f"\nEnd the jobs of this run? Press Ctrl-C again within {AGAIN_SECONDS:.0f} seconds; else it goes on.\n"


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Within this, Ctrl-C interrupts when it comes a second time within some seconds. Where nobody can be asked, at once."""
    if not sys.stderr.isatty() or threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -math.inf

    def heard(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last < AGAIN_SECONDS:
            signal.default_int_handler(number, frame)
        last = time.monotonic()
        os.write(sys.stderr.fileno(), _QUESTION.encode())

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
