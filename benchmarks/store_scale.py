"""A million results in one store, SQLite or PostgreSQL: how long the questions take that a centre asks of it.

    python benchmarks/store_scale.py [--records N] [--models N] [--targets N] [--store PATH] [--repeats N] [--postgresql]

The records are made up but whole: every one passes the same checks as an import of real ones. With --store the file is
kept, and taken as it is when it is there already. --postgresql starts a server of its own, of the Debian packages that `make
postgresql` installs; its CPU time is told beside our own. At the end the store is compacted, and asked again.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from postgresql import server, spent

from porting.diagnose.verbs import unlock
from porting.records.history import may_hit, query
from porting.serialization import to_json
from porting.store import Store
from porting.types import (
    CaseNumbers,
    Cause,
    Evidence,
    Outcome,
    OutputNumbers,
    Placement,
    Precision,
    Result,
    Stage,
    StageTime,
    Target,
)

BATCH = 50_000  # records in one import
BUDGET = {"matrix": 0.2, "page of 1,100 x 20": 2.0}  # seconds
STACKS = 8  # sweeps between two updates of a software stack
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
FATES = (
    [(Outcome.PASS, Stage.COMPARE, None)] * 12
    + [(Outcome.FAIL, Stage.CONVERT, Cause.UNSUPPORTED_OP), (Outcome.MISMATCH, Stage.COMPARE, Cause.TOLERANCE)]
    + [(Outcome.FAIL, Stage.RUN, Cause.CRASH), (Outcome.UNAVAILABLE, Stage.ENVIRONMENT, Cause.MISSING_DEVICE)]
)


def template() -> dict[str, Any]:
    numbers = OutputNumbers(
        "logits", 2.1e-4, 3.9e-4, 1.1e-3, 2.7e-3, 0.9999998, 68.1, 2.0e-3, 6.0e-3, 2.0e-2, 4.0e-4, elements=65536
    )
    stages = (Stage.BUILD, Stage.REFERENCE, Stage.EXPORT, Stage.CONVERT, Stage.LOAD, Stage.RUN, Stage.COMPARE)
    result = Result(
        "", "", Stage.COMPARE, Outcome.PASS, evidence=Evidence.HOST, route=("export:strict", "onnx:18"),
        cases=tuple(CaseNumbers(name, (numbers,)) for name in ("nominal", "masked")),
        axes={"batch": "dynamic", "sequence": "dynamic"}, placement=Placement(139, 0, "CPU", {"CPU": 139}),
        stages=tuple(StageTime(stage, 1.9, 1.7, 421_000_000) for stage in stages), bundle="sha256:" + "5" * 64,
        seconds=12.5, peak_rss_bytes=421_000_000,
    )  # fmt: skip
    data: dict[str, Any] = to_json(result)
    return data


def cells(models: int, targets: int) -> list[tuple[str, str]]:
    names = [str(Target(f"backend{n // 4}", "cpu", list(Precision)[n % 4])) for n in range(targets)]
    return [(f"transformers/model{n}", target) for n in range(models) for target in names]


def lines(records: int, models: int, targets: int) -> Iterator[bytes]:
    """Whole sweeps over all cells, one after another, as years of nightly runs would leave them."""
    data, draw = template(), random.Random(1)
    every = cells(models, targets)
    for number in range(records):
        sweep, place = divmod(number, len(every))
        model, target = every[place]
        outcome, stage, cause = FATES[hash((place, draw.random() < 0.05)) % len(FATES)]
        data |= {
            "model": model, "target": target, "key": f"{sweep}:{place}", "run": f"sweep{sweep}", "outcome": outcome.value,
            "stage": stage.value, "cause": cause and cause.value, "signature": cause and f"{place % 40:06x}",
            "message": (cause and f"{cause.value}: node {place % 40} of the graph") or "", "family": "transformers",
            "started": (START + timedelta(seconds=number * 50)).isoformat(timespec="microseconds"),
            "environment": {"fingerprint": f"{sweep // STACKS:032x}", "torch": "2.13.0", "backend": f"1.{sweep // STACKS}"},
            "reproduce": f"porting check {model} --on {target}",
        }  # fmt: skip
        yield json.dumps(data).encode()


def fill(store: Store, content: Iterator[bytes], records: int) -> tuple[float, float]:
    """Import in batches; returns CPU and wall seconds without the making of the records; a server's CPU time is not in it."""
    spent = waited = 0.0
    for done in range(0, records, BATCH):
        batch = [line for _, line in zip(range(min(BATCH, records - done)), content, strict=False)]
        begun, clock = time.process_time(), time.perf_counter()
        store.import_jsonl(batch)
        spent += time.process_time() - begun
        waited += time.perf_counter() - clock
        print(f"\r{done + len(batch):>9,} records", end="", flush=True)
    print()
    return spent, waited


@dataclasses.dataclass
class Cost:
    """What a question costs: wall seconds of the first time, medians of the others, and the size of the answer."""

    first: float
    wall: float
    cpu: float
    server: float
    rows: int


def measure(question: Callable[[], Any], repeats: int, store: Store) -> Cost:
    costs, answer = [], None
    there = (lambda: spent(store.name)) if "://" in store.name else (lambda: 0.0)
    for _ in range(repeats):
        served, begun, spent_here = there(), time.perf_counter(), time.process_time()
        answer = question()
        wall, cpu = time.perf_counter() - begun, time.process_time() - spent_here
        costs.append((wall, cpu, there() - served))
    rows = len(answer) if isinstance(answer, (list, dict, tuple)) else 1
    return Cost(costs[0][0], *map(statistics.median, zip(*costs[1:], strict=True)), rows)


def questions(store: Store, count: int, models: int, targets: int) -> dict[str, Callable[[], Any]]:
    every = cells(models, targets)
    last = (count - 1) // len(every)
    known = [f"{last if place <= (count - 1) % len(every) else last - 1}:{place}" for place in range(min(6000, len(every)))]
    model, target = every[len(every) // 2]
    new = iter(range(10**6))
    sample = dataclasses.replace(store.latest([model], [target])[0], key="appended")
    name = store.name
    week = (datetime.now(timezone.utc) - START).days - count * 50 / 86_400 + 7  # the last of those that are recorded
    return {
        "matrix": store.matrix,
        "page of 1,100 x 20": lambda: page(store),
        "history of a cell": lambda: store.history(model, target),
        "history --query regressed, all cells": lambda: list(
            query("regressed", store.histories(always, may_hit("regressed", week)), store, week)
        ),
        "unlock, all targets": lambda: unlock(store=name).remedies,
        f"by_keys, {len(known):,} keys": lambda: store.by_keys(known),
        "latest, one target, whole": lambda: store.latest(targets=[target]),
        "append, one result and its log": lambda: store.append(
            dataclasses.replace(sample, seconds=float(next(new))), b"log\n" * 500
        ),
    }


def always(*_: str) -> bool:
    return True


def page(store: Store) -> bytes:
    """What a report's page needs before it shows its matrix."""
    return json.dumps([(*row[:3], row.outcome.value, row.since) for row in store.matrix()]).encode()


def report(store: Store, options: argparse.Namespace) -> None:
    print(f"{'question':<38}{'first, s':>10}{'median, s':>11}{'CPU, s':>10}{'server, s':>11}{'rows':>9}  budget")
    for name, question in questions(store, options.records, options.models, options.targets).items():
        c = measure(question, options.repeats, store)
        print(f"{name:<38}{c.first:>10.4f}{c.wall:>11.4f}{c.cpu:>10.4f}{c.server:>11.4f}{c.rows:>9,}  {BUDGET.get(name, '')}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=1100)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--store", type=Path, help="keep the store here, or take the one that is there")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--postgresql", action="store_true", help="in a PostgreSQL server that is started for it")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = stack.enter_context(server()) if options.postgresql else options.store or folder / "results.db"
        there = isinstance(place, Path) and place.exists()
        with Store.open(place) as store:
            if not there:
                spent, waited = fill(store, lines(options.records, options.models, options.targets), options.records)
                print(f"import: {waited:.0f} s, {spent:.0f} CPU-s here, {options.records / waited:,.0f} records/s{size(place)}")
        with Store.open(place) as store:
            report(store, options)
            begun = time.perf_counter()
            found = store.compact((START + timedelta(seconds=options.records * 45)).isoformat())
            print(f"compact: {time.perf_counter() - begun:.0f} s, {found.results:,} removed, {found.kept:,} stay{size(place)}")
            report(store, options)


def size(place: Path | str) -> str:
    return f", {place.stat().st_size / 1e9:.2f} GB" if isinstance(place, Path) else ""


if __name__ == "__main__":
    main()
