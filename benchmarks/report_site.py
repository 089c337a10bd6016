"""The report's pages at 1,100 models on 20 targets: how long they take to write, to open and to filter, in headless Chromium.

    python benchmarks/report_site.py [--models N] [--targets N] [--out DIR] [--slow FACTOR] [--axe]

The cells are the published records (models/records), multiplied: a model `x` comes again as `x~2`, `x~3`, a target as
`adapter:device~2:precision` where there are too few. Only the past is made up, for the charts and the list of changes: earlier
days on which some cells had the outcome of another cell. --slow throttles the browser's CPU; --axe also looks for violations of
WCAG 2 A and AA.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import lzma
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from porting import registry
from porting.catalog import load
from porting.diagnose.unlock import blocked_cells, remedies, weights
from porting.records.diff import diff
from porting.records.story import Story, walk
from porting.report import Matrix, ModelRow, TargetColumn
from porting.report.html import write_site
from porting.serialization import from_json
from porting.store.records import Verdict, moment
from porting.types import Evidence, ModelSpec, Result, Target

RECORDS = Path(__file__).resolve().parents[1] / "models" / "records"
NAMES = ("chromium", "chromium-browser", "google-chrome")
NOW = "2026-11-28T12:00:00Z"
PAST = 20  # earlier days
REPEATS = 3
QUERIES = ("qwen", "is:fail", "on:onnxruntime is:mismatch", "ev:virtual is:pass", "cause:unsupported_op", "")
"""Typed one after the other; the last is all cells again."""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


# ---- a large report of real cells ---------------------------------------------------------------------------------


def records() -> dict[tuple[str, str], Result]:
    """The published results by model and target."""
    found = {}
    for file in sorted(RECORDS.glob("*.jsonl.xz")):
        with lzma.open(file) as lines:
            for line in lines:
                result = from_json(Result, json.loads(line))
                found[result.model, result.target] = result
    return found


def names(known: Iterable[str], count: int) -> list[tuple[str, str]]:
    """So many names, each with the one that it repeats: `model~2`, `adapter:device~2:precision`."""
    known = list(known)
    rounds = ((_again(name, n), name) for n in itertools.count(1) for name in known)
    return list(itertools.islice(rounds, count))


def _again(name: str, number: int) -> str:
    if number == 1:
        return name
    head, colon, precision = name.rpartition(":")
    return f"{head}~{number}:{precision}" if colon else f"{name}~{number}"


def matrix(models: int = 1100, targets: int = 20) -> Matrix:
    """A report of real cells, multiplied, with a past that is made up."""
    real = records()
    specs = {spec.id: spec for spec in load()}
    parsed = {target: Target.parse(target) for _, target in real}
    strength = {name: registry.adapter(target.adapter).evidence_of(target.device) for name, target in parsed.items()}
    rows = names(sorted({model for model, _ in real}), models)
    columns = names(sorted(strength, key=lambda target: (list(Evidence).index(strength[target]), target)), targets)
    cells = {
        (model, target): dataclasses.replace(real[of_model, of_target], model=model, target=target, started=NOW)
        for model, of_model in rows
        for target, of_target in columns
        if (of_model, of_target) in real
    }
    return Matrix(
        tuple(_row(name, specs.get(model)) for name, model in rows),
        tuple(TargetColumn(name, strength[target]) for name, target in columns),
        cells,
        generated=NOW,
        story=story(list(cells.values())),
    )


def _row(name: str, spec: ModelSpec | None) -> ModelRow:
    if spec is None:
        return ModelRow(name)
    return ModelRow(name, spec.family, spec.task, "+".join(spec.modalities), spec.house, spec.params)


def story(results: list[Result]) -> Story:
    """What changed since yesterday, the days before, and what to mend first. The past is made up."""
    draw = random.Random(1)
    before = [r if draw.random() > 0.02 else _other(r, draw.choice(results)) for r in results]
    verdicts = [v for back in range(PAST, 0, -1) for v in _day(before if back == 1 else results, results, back, draw)]
    verdicts += [Verdict(r.model, r.target, "", moment(NOW), r.outcome, r.evidence) for r in results]
    old, days = walk(verdicts, moment(NOW))
    told = remedies(blocked_cells(results, {}), weights(results))[:200]
    moved = {"onnxruntime": ("1.31.0", "1.32.0"), "torch": ("2.12.1", "2.13.0")}
    return Story(NOW, len(old), diff(before, results).changes, 0, moved, tuple(days), tuple(told))


def _other(result: Result, like: Result) -> Result:
    return dataclasses.replace(like, model=result.model, target=result.target, evidence=result.evidence)


def _day(state: list[Result], results: list[Result], back: int, draw: random.Random) -> Iterator[Verdict]:
    at = moment(
        (datetime.fromisoformat(NOW.replace("Z", "+00:00")) - timedelta(days=3 * back)).astimezone(timezone.utc).isoformat()
    )
    for result in state:
        like = result if draw.random() > 0.01 * back else draw.choice(results)
        yield Verdict(result.model, result.target, "", at, like.outcome, result.evidence)


# ---- in the browser -----------------------------------------------------------------------------------------------

FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

# As a key does it, until the second frame after it: what a reader waits for.
TYPE = """async query => {
    const field = document.getElementById("query");
    field.value = query;
    field.dispatchEvent(new Event("input"));
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""

SCROLL = """async () => {
    const grid = document.getElementById("grid");
    for (let n = 0; n < 60; n++) {
        grid.scrollTop += 400;
        await new Promise(done => requestAnimationFrame(done));
    }
}"""

AUDIT = "tags => axe.run({preload: false, runOnly: {type: 'tag', values: tags}}).then(done => done.violations)"


class Clock:
    """Milliseconds of wall time, and of CPU time of the pages' processes: on a busy machine only the second says anything."""

    def __init__(self, browser: Any) -> None:
        self._session = browser.new_browser_cdp_session()
        self._begun, self._spent = time.perf_counter(), self._cpu()

    def _cpu(self) -> float:
        found = self._session.send("SystemInfo.getProcessInfo")["processInfo"]
        return sum(process["cpuTime"] for process in found if process["type"] == "renderer")

    def read(self) -> tuple[float, float]:
        return 1e3 * (time.perf_counter() - self._begun), 1e3 * (self._cpu() - self._spent)


def opened(browser: Any, address: str, slow: float, ready: str = "main[data-page]") -> tuple[Any, tuple[float, float]]:
    """A page in a fresh profile, and the time until it stood there."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    if slow > 1:
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
    clock = Clock(browser)
    page.goto(address)
    page.wait_for_selector(ready)
    page.evaluate(FRAMES)
    return page, clock.read()


def line(what: str, times: list[tuple[float, float]]) -> None:
    wall, cpu = (statistics.median(one[n] for one in times) for n in (0, 1))
    print(f"| {what} | {wall:.0f} | {cpu:.0f} |", flush=True)


def measure(browser: Any, index: str, slow: float) -> None:
    cells = json.loads((Path(index.removeprefix("file://")).parent / "data.js").read_text()[len("const DATA = ") : -len(";\n")])
    model, target = cells["models"][0][0], cells["targets"][0][0]
    part = [quote(text, safe="") for text in (model, target)]
    pages = {
        "overview": "#/", "matrix": "#/matrix", "matrix without groups": "#/matrix?group=none",
        "what changed": "#/changes", "what to mend first": "#/unlock",
        "model": f"#/model/{part[0]}", "target": f"#/target/{part[1]}", "cell": f"#/cell/{part[0]}/{part[1]}",
    }  # fmt: skip
    for name, address in pages.items():
        times = []
        for _ in range(REPEATS):
            page, took = opened(browser, index + address, slow)
            times.append(took)
            page.context.close()
        line(f"open {name}", times)
    page, _ = opened(browser, f"{index}#/matrix", slow)
    clock = Clock(browser)
    page.locator("[data-action=fold]").click()
    page.evaluate(FRAMES)
    line("open all groups", [clock.read()])
    clock = Clock(browser)
    page.evaluate(SCROLL)
    line("scroll through it, 60 frames", [clock.read()])
    page.locator("#group").select_option("none")  # so that the filter is asked for rows, not for sums
    for query in QUERIES:
        clock = Clock(browser)
        page.evaluate(TYPE, query)
        took = clock.read()
        line(f"filter `{query}`: {page.locator('#shown').inner_text()}" if query else "the empty filter again", [took])
    page.context.close()


def audit(browser: Any, index: str) -> int:
    """Let axe look at every kind of page in both themes. Returns how many violations there are."""
    from importlib.resources import files

    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    found = 0
    for scheme in ("light", "dark"):
        for address in ("#/", "#/matrix?q=qwen", "#/changes", "#/unlock"):
            context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto(index + address)
            page.wait_for_selector("main[data-page]")
            page.evaluate(axe)
            violations = page.evaluate(
                "tags => axe.run({preload: false, runOnly: {type: 'tag', values: tags}}).then(done => done.violations)", TAGS
            )
            found += len(violations)
            print(f"axe, {scheme}, {address}: {[v['id'] for v in violations] or 'no violation'}")
            context.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1100)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--out", type=Path, help="keep the report here")
    parser.add_argument("--slow", type=float, default=1.0, metavar="FACTOR", help="throttle the browser's CPU")
    parser.add_argument("--axe", action="store_true")
    options = parser.parse_args()
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        print("no browser is here: apt-get install -y --no-install-recommends chromium", file=sys.stderr)
        return 3
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        made = matrix(options.models, options.targets)
        begun, spent = time.perf_counter(), time.process_time()
        index = write_site(made, options.out or folder).resolve()
        took = (1e3 * (time.perf_counter() - begun), 1e3 * (time.process_time() - spent))
        size = sum(path.stat().st_size for path in index.parent.rglob("*") if path.is_file())
        print(f"{len(made.models):,} models x {len(made.targets)} targets, CPU slowed down {options.slow:g} times")
        print("| what | wall ms | CPU ms |\n|---|---|---|")
        line(f"write it, {size / 1e6:.1f} MB", [took])
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        measure(browser, index.as_uri(), options.slow)
        faults = audit(browser, index.as_uri()) if options.axe else 0
        browser.close()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
