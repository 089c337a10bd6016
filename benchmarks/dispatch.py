"""What it costs to hand out a cell and take its result in, with no work in it: each launcher against the bare scheduler.

    python benchmarks/dispatch.py [--cells N] [--bare N] [--submitit N] [--on slurm,ray,local]

A cell's target is here by the coordinator's facts, and its node says that it is not: so nothing runs, and everything else is as
always: slices written, jobs queued, the program started on a node, a record a cell, read, checked, recorded in SQLite, removed.
Slurm and Ray are those of tests/fleet, three nodes each on this machine: coordinator, scheduler and nodes share its cores. `here`
is the CPU time of the coordinator alone: the rest is the nodes', which a cluster has elsewhere.
Needs what `make fleet-test` installs, and submitit in the same environment for its line.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "fleet"), str(ROOT / "tests" / "fleet" / "brand_adapter"), str(ROOT)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "fleet" / "brand_adapter"), str(ROOT)])

import ray_kit  # noqa: E402
import slurm_kit  # noqa: E402

from porting import registry  # noqa: E402
from porting.cells.jobs import Cell, Options  # noqa: E402
from porting.cells.pipeline import Pipeline  # noqa: E402
from porting.launch.fleet import Fleet  # noqa: E402
from porting.launch.start import Place, start_fleet  # noqa: E402
from porting.launch.work import FleetWork, Wishes  # noqa: E402
from porting.store import Store  # noqa: E402
from porting.types import ModelSpec, Target  # noqa: E402
from porting.workspace import Workspace  # noqa: E402

DAY = 86_400
TARGET = Target.parse("brand:nowhere:fp32")


class OneKind:
    """Stands in for what nodes were asked: all cells go to the nodes without a device."""

    def __init__(self, fleet: Fleet) -> None:
        self._kind = next(kind for kind in fleet.cluster.kinds() if not kind.device)

    def route(self, _: Target) -> Any:
        return self._kind


def cells(count: int) -> list[Cell]:
    adapter = registry.adapter("brand")
    specs = [ModelSpec(f"null/model{n}", "factory", "small_models:narrow") for n in range(count)]
    return [Cell(spec, TARGET, adapter, f"{n:064x}", f"{n:064x}") for n, spec in enumerate(specs)]


def used() -> float:
    """CPU seconds of this process and of those that it has waited for, such as squeue."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def told(name: str, count: int, wall: float, here: float | None) -> None:
    mine = f"{here / count * 1e3:>12.2f}" if here is not None else " " * 12
    print(f"{name:<44}{count:>8,}{wall / count * 1e3:>12.1f}{mine}{count / wall * DAY:>14,.0f}", flush=True)


def fleet(launcher: str, count: int, folder: Path) -> None:
    """Null cells through a launcher of porting, recorded in a store."""
    workspace = Workspace(folder, folder / "state", folder / "cache")
    os.environ["PORTING_CACHE"] = str(folder / "cache")
    place, run = Place(launcher, wishes=Wishes()), "bench"
    with Store.open(folder / "results.db") as store:
        with start_fleet(place, run, workspace, {}, store, Options(), ["brand:*"], lambda _: None) as opened:
            opened.facts = OneKind(opened)  # type: ignore[assignment]
            planned = cells(count)
            store.begin_run(run, [(cell.spec.id, str(cell.target)) for cell in planned])
            recorded = 0

            def done(pairs: Sequence[Any], _: float) -> None:
                nonlocal recorded
                recorded += len(store.answer(run, [(result, log) for _, result, log in pairs]))

            begun, spent = time.perf_counter(), used()
            FleetWork(opened, Nothing(), run, place.wishes, lambda _: None).work(planned, done)  # type: ignore[arg-type]
            told(f"porting check --launcher {launcher}", count, time.perf_counter() - begun, used() - spent)
        assert recorded == count
        assert store.missing(run) == []


class Nothing:
    """Stands in for the launcher of this machine, which has nothing to do."""

    def work(self, cells: Sequence[Cell], _: Any) -> None:
        assert not cells


def local(count: int, folder: Path) -> None:
    """Null cells on this machine, by the whole pipeline."""
    workspace = Workspace(folder, folder / "state", folder / "cache")
    with Store.open(folder / "results.db") as store, Pipeline(workspace, store) as pipeline:
        planned = cells(count)
        begun, spent = time.perf_counter(), used()
        assert len(pipeline.check_cells(planned)) == count
        told("porting check", count, time.perf_counter() - begun, used() - spent)


def bare_slurm(cluster: slurm_kit.MiniSlurm, count: int) -> None:
    """A task a cell that does nothing, in one array; nothing is recorded."""
    begun, spent = time.perf_counter(), used()
    cluster.call("sbatch", f"--array=0-{count - 1}", "--mem=100", "-o", "/dev/null", "--wrap", "true")
    slurm_kit.wait_until(lambda: not cluster.call("squeue", "-h").strip(), "the array did not end", 3000)
    told("sbatch --array, a task a cell", count, time.perf_counter() - begun, used() - spent)


def bare_submitit(count: int, folder: Path) -> None:
    import submitit

    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    executor.update_parameters(timeout_min=10, slurm_array_parallelism=64, slurm_mem="300M", cpus_per_task=1)
    begun, spent = time.perf_counter(), used()
    with executor.batch():
        jobs = [executor.submit(int, number) for number in range(count)]
    waiting = set(range(count))
    while waiting:  # by its result files: what it asks the scheduler with needs an accounting database
        waiting = {number for number in waiting if not jobs[number].paths.result_pickle.exists()}
        time.sleep(0.2)
    told("submitit, a batch of jobs", count, time.perf_counter() - begun, used() - spent)


def bare_ray(count: int) -> None:
    import ray

    @ray.remote(num_cpus=1)
    def nothing(number: int) -> int:
        return number

    ray.get([nothing.remote(number) for number in range(20)])
    begun, spent = time.perf_counter(), used()
    assert ray.get([nothing.remote(number) for number in range(count)]) == list(range(count))
    told("Ray tasks, a task a cell", count, time.perf_counter() - begun, used() - spent)


@contextlib.contextmanager
def variables(changed: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def on_slurm(options: argparse.Namespace, folder: Path) -> None:
    cluster = slurm_kit.MiniSlurm(folder / "slurm")
    cluster.start()
    try:
        with variables({name: cluster.environment[name] for name in ("SLURM_CONF", "PATH")}):
            fleet("slurm", options.cells, folder / "ours")
            bare_slurm(cluster, options.bare)
            if importlib.util.find_spec("submitit"):
                bare_submitit(options.submitit, folder / "submitit")
    finally:
        cluster.stop()


def on_ray(options: argparse.Namespace, folder: Path) -> None:
    import ray

    unseen = folder / "unseen"
    unseen.mkdir(parents=True)
    cluster = ray_kit.MiniRay(folder, unseen)
    try:
        cluster.start()
        with variables({"RAY_ADDRESS": cluster.address}):
            fleet("ray", options.cells, folder / "ours")
            bare_ray(options.bare * 5)
    finally:
        ray.shutdown()
        cluster.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=3000)
    parser.add_argument("--bare", type=int, default=200)
    parser.add_argument("--submitit", type=int, default=20)
    parser.add_argument("--on", default="local,slurm,ray")
    options = parser.parse_args()
    todo: dict[str, Callable[[Path], None]] = {
        "local": lambda folder: local(options.cells, folder),
        "slurm": lambda folder: on_slurm(options, folder),
        "ray": lambda folder: on_ray(options, folder),
    }
    load = subprocess.run(["uptime"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{os.cpu_count()} cores; {load}")
    print(f"{'null cells by':<44}{'cells':>8}{'wall, ms':>12}{'here, ms':>12}{'cells a day':>14}")
    for name in options.on.split(","):
        with tempfile.TemporaryDirectory() as folder:
            todo[name](Path(folder) / name)


if __name__ == "__main__":
    main()
