"""Cut models in a backend's interpreter: each is converted, loaded and run, one after the other in one process.

Which one is being worked is in the stage side file, so that a crash, a hang or a limit is that one's; answers are written as
they come. Python 3.9, standard library and numpy; judges nothing.
"""

from __future__ import annotations

import gc
import json
import shutil
import traceback
from typing import Any, Dict

from porting.adapter import Adapter
from porting.serialization import Json
from porting.types import Stage
from porting.workers import worker


class PieceClock:
    """Notes the stages of one model, with its number and case, where the job's are noted."""

    def __init__(self, clock: worker.Clock, name: str) -> None:
        self._clock, self._name = clock, name
        self.stage = Stage.CONVERT
        self.case = ""

    def enter(self, stage: Stage, detail: str = "") -> None:
        """Enter a stage. detail: the case that is run."""
        self.stage, self.case = stage, detail
        self._clock.enter(stage, f"{self._name}/{detail}")


def run(job: Json, clock: worker.Clock, adapter: Adapter) -> Json:
    """Work `models` in order. Writes a line to `answers` for each."""
    with open(job["answers"], "w") as answers:
        for model in job["models"]:
            answers.write(json.dumps(_answer(job, model, PieceClock(clock, model["name"]), adapter)) + "\n")
            answers.flush()
            shutil.rmtree(model["artifact_folder"], ignore_errors=True)
            gc.collect()  # a session may hang on a circle, and the next one would need as much again
    return None


def _answer(job: Json, model: Json, clock: PieceClock, adapter: Adapter) -> Json:
    """What came of a model: what the convert and run jobs return, or the error that ended it."""
    answer: Dict[str, Any] = {"name": model["name"]}
    try:
        answer.update(_work(job, model, clock, adapter))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever ends a model is its result
        traceback.print_exc()
        answer.update(error=worker.describe(error, adapter), stage=clock.stage.value, case=clock.case)
    return answer


def _work(job: Json, model: Json, clock: Any, adapter: Adapter) -> Json:
    """Do what the jobs of a cell do, in one process."""
    convert, run_cases = worker.handler("convert"), worker.handler("run")
    place = {"target": job["target"], "artifact_folder": model["artifact_folder"]}
    artifact = convert({**place, "form": model["form"]}, clock, adapter)
    if job["compile_only"]:
        return {"artifact": artifact}
    return {"artifact": artifact, **run_cases({**place, "artifact": artifact, "cases": model["cases"]}, clock, adapter)}
