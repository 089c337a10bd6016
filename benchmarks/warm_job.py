"""Start jobs that do nothing from a warm server, and print the median wall time in seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = 40


def nothing(_job: Any, _clock: Any, _adapter: Any) -> dict[str, Any]:
    """The job."""
    return {}


def main() -> None:
    from porting.workers.runner import Limits, Runner

    with tempfile.TemporaryDirectory() as folder, Runner(Path(folder), Limits(), imports=("torch",)) as runner:
        runner.preload("porting.workers.warm", "rehearse")
        times = []
        for _ in range(RUNS + 1):
            start = time.perf_counter()
            end = runner.run({"kind": "warm_job:nothing"})
            times.append(time.perf_counter() - start)
            assert end.ending == "ok", end
        print(sorted(times[1:])[RUNS // 2])


if __name__ == "__main__":
    main()
