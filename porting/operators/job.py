"""Node cases in a backend's interpreter: each is converted, loaded and run, one after the other in one process.

Which case is being worked is in the stage side file, so that a crash, a hang or a limit is that case's; the answers are
written as they come, so that those before it are kept. Python 3.9, standard library and numpy; judges nothing.
"""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import Any, Dict, List

from porting.adapter import Adapter
from porting.serialization import Json
from porting.types import Stage
from porting.workers import worker

MARK = "porting: node case "
"""Begins the line in the log after which a case's own output stands."""


class CaseClock:
    """Notes the stages of one case, with its name, where the job's are noted."""

    def __init__(self, clock: worker.Clock, case: str) -> None:
        self._clock, self._case = clock, case
        self.marks: List[Dict[str, Any]] = []

    def enter(self, stage: Stage, _detail: str = "") -> None:
        """Enter a stage. What else the job says of it, its case, is known."""
        self._clock.enter(stage, self._case)
        self.marks.append({"stage": stage.value, **worker.usage()})


def run(job: Json, clock: worker.Clock, adapter: Adapter) -> Json:
    """Work `cases` until all are done or `seconds` have passed, at least one. Writes a line to `answers` for each."""
    until = time.monotonic() + job["seconds"]
    with open(job["answers"], "w") as answers:
        for number, case in enumerate(job["cases"]):
            if number and time.monotonic() > until:
                break
            print(MARK + case["name"], flush=True)
            answers.write(json.dumps(_answer(job, case, CaseClock(clock, case["name"]), adapter)) + "\n")
            answers.flush()
    return None


def _answer(job: Json, case: Json, clock: CaseClock, adapter: Adapter) -> Json:
    """What came of a case: what the convert and run jobs of a model return, or the error that ended it."""
    answer: Dict[str, Any] = {"name": case["name"]}
    try:
        answer.update(_work(job, case, clock, adapter))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever ends a case is its result
        traceback.print_exc()
        answer["error"] = worker.describe(error, adapter)
    answer.update(marks=clock.marks, usage=worker.usage())
    return answer


def _work(job: Json, case: Json, clock: Any, adapter: Adapter) -> Json:
    """Do what the jobs of a model do, in one process."""
    convert, run_cases = worker.handler("convert"), worker.handler("run")
    place = {"target": job["target"], "artifact_folder": case["artifact_folder"]}
    artifact = convert({**place, "form": case["form"]}, clock, adapter)
    if job["compile_only"]:
        return {"artifact": artifact}
    Path(case["outputs"]).parent.mkdir(parents=True, exist_ok=True)
    files = {"name": case["name"], "inputs": case["inputs"], "outputs": case["outputs"]}
    return {"artifact": artifact, **run_cases({**place, "artifact": artifact, "cases": [files]}, clock, adapter)}
