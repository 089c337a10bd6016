"""A model that is known to work, worked on an accelerator before a job's first cell and after a cell that failed.

Where it fails, the device is broken, and nothing that happened on it since it last passed says anything of a model. Where it
passes, the failure is the cell's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from porting.types import Cause, ModelSpec, Outcome, Result, Stage, Target

if TYPE_CHECKING:
    from porting.cells.pipeline import Pipeline

SPEC = ModelSpec("porting/canary", "factory", "porting.launch.canary:network", family="porting")

_STAGES = frozenset({Stage.LOAD, Stage.RUN, Stage.COMPARE})
"""What a device has a part in; conversion has none."""
_CAUSES = frozenset(
    {Cause.EXCEPTION, Cause.CRASH, Cause.HANG, Cause.TIMEOUT, Cause.DEVICE_OOM, Cause.NONFINITE, Cause.TOLERANCE}
    | {Cause.NOTHING_EXECUTED, Cause.NONDETERMINISTIC}
)


def network() -> Any:
    """What every stack can compute: two products, a sum and a Relu."""
    import torch

    layers = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    return layers, {"input": torch.zeros(2, 16)}


class BrokenDevice(Exception):
    """The canary failed."""

    def __init__(self, why: str, cells: Iterable[int] = ()) -> None:
        """cells: those that failed on the device when the canary had passed on it before."""
        super().__init__(why)
        self.cells = tuple(cells)


class Canary:
    """Asks a device whether it still computes, for one job."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._sound: set[Target] = set()
        """Targets on which it has passed in this job: on others it tells nothing."""

    def before(self, targets: Iterable[Target]) -> None:
        """Ask before anything is worked. Raises BrokenDevice."""
        for target in dict.fromkeys(targets):
            result = self._work(target)
            if result.outcome in (Outcome.PASS, Outcome.DEGRADED):
                self._sound.add(target)
            elif of_device(result):
                raise BrokenDevice(_told(result))

    def after(self, target: Target, result: Result, number: int) -> None:
        """Ask after a cell that may have failed because of its device. Raises BrokenDevice with the cell's number."""
        if target in self._sound and of_device(result):
            again = self._work(target)
            if of_device(again):
                raise BrokenDevice(_told(again), [number])

    def _work(self, target: Target) -> Result:
        run, result = self._pipeline.convert(SPEC, target)
        run.clean()
        return result


def of_device(result: Result) -> bool:
    """Whether a broken device may be why a cell does not pass."""
    failed = result.outcome in (Outcome.FAIL, Outcome.MISMATCH)
    return failed and result.stage in _STAGES and result.cause in _CAUSES


def _told(result: Result) -> str:
    cause = result.cause.value if result.cause else result.outcome.value
    return f"{result.target}: {result.stage.value}, {cause}: {result.message.strip().partition(chr(10))[0][:200]}"
