"""1,000 nodes of 8 brands with failures, in simulated time: porting's coordinator as it is, against first in, first out.

    python benchmarks/fleet_simulation.py [--models N] [--seed N]

The coordinator is porting.launch.work itself, with its slices, files, retries, canary and clock; the cluster below it is
simulated (simulated_cluster.py). First in, first out: one job a cell in the catalog's order, a lost cell at
the end of the queue again, no canary. Both get the same nodes, the same cells and the same rates of failures.
"""

from __future__ import annotations

import argparse
import functools
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulated_cluster import Job, Rates, SimulatedCluster, Work

from porting import registry
from porting.cells.jobs import Cell, Options
from porting.launch.cluster import ENDED, Kind
from porting.launch.fleet import Fleet
from porting.launch.watch import Clock
from porting.launch.work import FleetWork, Wishes
from porting.types import ModelSpec, Target

BRANDS = {"npu": 170, "mlu": 150, "musa": 140, "supa": 130, "gcu": 120, "cuda": 110, "hpu": 100, "sdaa": 80}
"""Nodes by the device that PyTorch calls theirs."""
PRECISIONS = ("fp32", "fp16", "bf16")
LOOK_SECONDS = 5.0
"""How often the coordinator looks in simulated time; in true time it does twice a second."""


class Everything:
    """Stands in for what nodes were asked: every brand has its own targets."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = {kind.label: kind for kind in kinds}

    def route(self, target: Target) -> Kind:
        return self._kinds[target.device]


class Nothing:
    """Stands in for the launcher of this machine, which has nothing to do."""

    def work(self, cells: Sequence[Cell], _: Any) -> None:
        assert not cells


def workload(models: int, seed: int) -> tuple[list[Cell], Work]:
    """Models of very different sizes on every target: most small, a few that take many times as long."""
    draw = random.Random(seed)
    adapter = registry.adapter("torch")
    targets = [Target.parse(f"torch:{device}:{precision}") for device in BRANDS for precision in PRECISIONS]
    cells, seconds, build = [], [], {}
    for number in range(models):
        params = int(10 ** draw.gauss(7.5, 0.8))
        spec = ModelSpec(f"zoo/model{number}", "factory", "zoo:net", params=params)
        base = 30.0 + 20.0 * (params / 1e7) ** 0.7
        build[spec.id] = base * draw.lognormvariate(0.0, 0.4)
        for target in targets:
            cells.append(Cell(spec, target, adapter, spec.id, str(len(cells))))
            seconds.append(base * draw.lognormvariate(0.0, 0.5))
    return cells, Work([cell.spec.id for cell in cells], [str(cell.target) for cell in cells], seconds, build)


def kinds() -> list[Kind]:
    return [Kind(device, nodes, nodes, f"gpu:{device}", (device,), device) for device, nodes in BRANDS.items()]


def ours(cells: list[Cell], work: Work, rates: Rates, seed: int, past: bool = False) -> tuple[SimulatedCluster, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        made: list[SimulatedCluster] = []

        def cluster(place: Path, _: str) -> SimulatedCluster:
            made.append(SimulatedCluster(kinds(), work, rates, place, seed))
            return made[-1]

        wishes = Wishes()
        fleet = Fleet(Path(folder), "run", "store", cluster, {}, Options(), [], wishes, {}, lambda _: None)
        simulated = made[0]
        fleet.facts = Everything(simulated.groups)  # type: ignore[assignment]
        if past:
            fleet.expected = lambda cell: work.cell[int(cell.key)]  # type: ignore[method-assign]
        clock = Clock(lambda: simulated.now, lambda: simulated.now, lambda _: simulated.sleep(LOOK_SECONDS))
        found: dict[str, list[str]] = {}

        def done(pairs: Sequence[Any], _: float) -> None:
            for cell, result, _log in pairs:
                found.setdefault(cell.key, []).append(result.outcome.value)

        begun = time.process_time()
        FleetWork(fleet, Nothing(), "run", wishes, lambda _: None, clock).work(cells, done)  # type: ignore[arg-type]
        spent = time.process_time() - begun
        assert all(len(outcomes) == 1 for outcomes in found.values())
        assert len(found) == len(cells)
        told = {"wrong": sum(outcomes != ["pass"] for outcomes in found.values()), "cpu": spent}
        fleet.close()
    return simulated, told


def fifo(cells: list[Cell], work: Work, rates: Rates, seed: int) -> tuple[SimulatedCluster, dict[str, Any]]:
    groups = {kind.label: kind for kind in kinds()}
    simulated = SimulatedCluster(list(groups.values()), work, rates, Path(), seed)
    left, wrong = set(range(len(cells))), set[int]()

    def finish(_: Job, number: int, broken: bool) -> None:
        left.discard(number)
        if broken:
            wrong.add(number)

    simulated.finish = finish
    for number, cell in enumerate(cells):
        simulated.queue(Job(f"c{number}", groups[cell.target.device], [number], False))
    while left:
        simulated.sleep(LOOK_SECONDS)
        for name, job in list(simulated.jobs.items()):
            if job.state.phase == ENDED:
                del simulated.jobs[name]
                if job.numbers[0] in left:
                    simulated.queue(Job(f"{name}.", job.kind, job.numbers, False))
    return simulated, {"wrong": len(wrong), "cpu": 0.0}


SCHEDULES = (
    ("first in, first out", fifo),
    ("porting, first run", ours),
    ("porting, with records", functools.partial(ours, past=True)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cells, work = workload(options.models, options.seed)
    needed = dict.fromkeys(BRANDS, 0.0)
    for cell, seconds in zip(cells, work.cell, strict=True):
        needed[cell.target.device] += seconds
    bound = max(needed[device] / nodes for device, nodes in BRANDS.items())
    total = sum(work.cell) + sum(work.build.values())
    print(f"{len(cells):,} cells of {options.models:,} models on {sum(BRANDS.values()):,} nodes, {total / 3600:,.0f} node hours")
    print(f"no schedule is done before {bound / 3600:.2f} h: the busiest brand with nothing lost")
    heads = (("done, h", 9), ("over bound", 12), ("utilisation", 13), ("lost, h", 9), ("wait, h", 9), ("start, h", 10))
    print(" " * 22 + "".join(f"{head:>{width}}" for head, width in (*heads, ("faults", 8), ("wrong", 7))))
    for name, schedule in SCHEDULES:
        simulated, told = schedule(cells, work, Rates(), options.seed)
        t, hours = simulated.times, simulated.now / 3600
        share = t.useful / (simulated.now * len(simulated.nodes))
        print(
            f"{name:<22}{hours:>9.2f}{simulated.now / bound:>12.2f}{share:>13.1%}{t.lost / 3600:>9.1f}{t.waiting / 3600:>9.1f}"
            f"{t.starting / 3600:>10.1f}{simulated.failures:>8}{told['wrong']:>7}"
        )
        if told["cpu"]:
            print(f"coordinator: {told['cpu']:.0f} CPU-s with the simulation, {told['cpu'] / len(cells) * 1e3:.1f} ms a cell")


if __name__ == "__main__":
    main()
