"""Whether a port does what the original does: both are run on the CPU and on a stand-in for CUDA, the port also on stand-ins for
other accelerators, and what they came to is compared. What no run has reached is told, too."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from porting.accelerators.cuda import NAME as CUDA
from porting.codemod.alike import ON_CPU, allowed, compare, compare_calls, first_skip
from porting.codemod.edits import Edit, changed
from porting.codemod.runs import CPU, ORIGINAL, ORIGINAL_ON_CUDA, Run, copy, start


@dataclass
class Verified:
    """What came of it."""

    edits: list[Edit]
    runs: list[Run]
    unverified: list[Edit]
    """Edits that no run has reached."""

    @property
    def comparable(self) -> bool:
        """Whether the original ran somewhere, so that there is something to compare with."""
        return any(run.ran for run in self.runs if run.original)

    @property
    def shown(self) -> bool:
        """Whether a run came to anything that another can be held against: a program may end well and show nothing."""
        return any(run.events or run.output for run in self.runs if run.ran)

    @property
    def without_cuda(self) -> str:
        """Why nothing was compared on CUDA, where that was asked for; else empty."""
        original = next((run for run in self.runs if run.where == ORIGINAL_ON_CUDA), None)
        if original is None or original.ran:
            return ""
        if original.refusals:
            refusal = original.refusals[0]
            return f"the original asks for {refusal['operator']} at {refusal['place']}: {refusal['why']}"
        at = f", at {original.place}" if original.place else ""
        return original.unavailable or f"the original ends with {original.status} on the stand-in for CUDA: {original.error}{at}"


def verify(original: Path, ported: Path, devices: Sequence[str], program: str, arguments: Sequence[str]) -> Verified:
    """Run a program of a project in copies of both trees. devices: `cuda`, and names of profiles to stand in for."""
    edits = list(changed(original, ported))
    with tempfile.TemporaryDirectory(prefix="porting-verify-") as folder:

        def ran(where: str) -> Run:
            of_original = where in (ORIGINAL, ORIGINAL_ON_CUDA)
            name = where.replace(" ", "-") if of_original else f"ported-{where}"
            fresh = copy(original if of_original else ported, Path(folder) / name)
            done = start(fresh, where, [] if of_original else edits, program, arguments)
            shutil.rmtree(fresh)
            return done

        runs = [ran(ORIGINAL), ran(CPU)]
        if CUDA in devices:
            runs.append(ran(ORIGINAL_ON_CUDA))
            runs += [ran(CUDA)] if runs[-1].ran else []
        runs += [ran(device) for device in devices if device != CUDA]
    _compare(runs)
    covered = {(path, line) for run in runs for path, lines in run.covered.items() for line in lines}
    unverified = [e for e in edits if not any((e.path, line) in covered for line in range(e.first, e.last + 1))]
    return Verified(edits, runs, unverified)


def _compare(runs: Sequence[Run]) -> None:
    """Note in each run of the port what differs from the run that it is held against: the original's on the same device; where
    there is none, the port's on the CPU, or on CUDA where it does not run on the CPU."""
    by = {run.where: run for run in runs}
    original, cpu, on_cuda = by[ORIGINAL], by[CPU], by.get(ORIGINAL_ON_CUDA)
    if CUDA in by and on_cuda:
        by[CUDA].differences = compare(on_cuda, by[CUDA], ON_CPU) or compare_calls(on_cuda, by[CUDA])
    if original.ran:
        cpu.differences = compare(original, cpu, ON_CPU)
    elif on_cuda and on_cuda.ran:
        _across(on_cuda, cpu)
    against = next((run for run in (cpu, by.get(CUDA)) if run and run.ran), None)
    for run in runs:
        if against and not run.original and run.device not in (CPU, CUDA):
            _across(against, run)


def _across(one: Run, other: Run) -> None:
    """Hold a run against one on another device."""
    other.differences = compare(one, other, allowed(one, other), same_device=False)
    other.compared = first_skip(one, other)
