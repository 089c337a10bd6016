"""Jobs for tests of other interpreters: what process they run in, and how they end it."""

from __future__ import annotations

import os
import sys
from typing import Any

LOADED: list[str] = []
"""What was preloaded in this process, or in the one it was forked from."""


def remember(word: str) -> None:
    LOADED.append(word)


def tell(_job: Any, _clock: Any, _adapter: Any) -> dict[str, Any]:
    variables = {name: os.environ.get(name, "") for name in ("TMPDIR", "PORTING_JOB", "OF_ITS_OWN", "OMP_NUM_THREADS")}
    return {"pid": os.getpid(), "parent": os.getppid(), "loaded": LOADED, "modules": sorted(sys.modules), **variables}


def abort(_job: Any, _clock: Any, _adapter: Any) -> None:
    os.abort()


def leave_a_child(_job: Any, _clock: Any, _adapter: Any) -> int:
    import subprocess

    return subprocess.Popen(["sleep", "600.25"], start_new_session=True).pid
