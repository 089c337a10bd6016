"""Progress of a run: a bar with the time left on a terminal, a line a cell elsewhere. And of tools that print what they do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from porting.types import Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from porting.cells.pipeline import Event


FLEET_SECONDS = 10.0
"""Between two lines about what the nodes are at, in a log."""


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[Event], None]]:
    """Give a function that shows events as they come."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[now]}", markup=False),
    ]
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar)


@contextlib.contextmanager
def steps(console: Console, what: str) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what a tool prints: the latest line on a terminal, elsewhere the lines that tell a step."""
    if not console.is_terminal:
        yield lambda line: console.print(f"{what}: {line.split(' (from ')[0]}") if line.startswith(_STEPS) else None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{what}: making a virtual environment", total=None)
        yield lambda line: bar.update(task, description=f"{what}: {line[:100]}")


_STEPS = ("Collecting ", "Installing ", "ERROR")
"""How pip begins its lines about these."""


class _Bar:
    """A bar, with a line above it for every cell that is no pass."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, left="", now="probing what is here")

    def __call__(self, event: Event) -> None:
        if event.kind == "plan":
            self._bar.update(self._task, total=event.total, completed=event.done, now="starting")
        elif event.kind == "bundle":
            self._bar.update(self._task, now=f"building {event.model}")
        elif event.kind == "fleet":
            self._bar.update(self._task, now=event.text[:160])
        elif event.kind == "news":
            self._bar.console.print(event.text)
        elif event.kind == "chunk":
            self._bar.update(self._task, completed=event.done, left=f"{_clock(event.left)} left", now=event.target)
        elif event.result is not None:
            left, now = f"{_clock(event.left)} left", f"{event.model} on {event.target}"
            self._bar.update(self._task, completed=event.done, left=left, now=now)
            if event.result.outcome.value != "pass":
                self._bar.console.print(line(event))


class _Lines:
    """Plain lines, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._fleet, self._told = "", 0.0

    def __call__(self, event: Event) -> None:
        if event.kind == "plan":
            cells = f"{event.total} cell{'s' * (event.total != 1)}"
            text = f"{cells}, {event.done} with a result for the same contents"
            self._console.print(text)
        elif event.kind == "cell":
            self._console.print(f"[{event.done}/{event.total}, {_clock(event.left)} left] {line(event)}")
        elif event.kind == "fleet" and event.text != self._fleet and time.monotonic() - self._told > FLEET_SECONDS:
            self._fleet, self._told = event.text, time.monotonic()
            self._console.print(event.text)
        elif event.kind == "news":
            self._console.print(event.text)
        elif event.kind == "chunk":
            self._console.print(f"[{event.done}/{event.total}, {_clock(event.left)} left] {event.target}")


def line(event: Event) -> str:
    """One cell in one line."""
    assert event.result is not None
    result = event.result
    why = f": {result.message.splitlines()[0][:160]}" if result.outcome.value != "pass" and result.message else ""
    nothing_ran = result.outcome is Outcome.PASS and result.evidence and not result.evidence.ran
    said = result.evidence.value if nothing_ran and result.evidence else result.outcome.value
    return f"{event.model} {event.target} {said} in {result.seconds:.1f} s{why}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def notes(console: Console) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being done: the latest on a terminal, elsewhere a line each."""
    if not console.is_terminal:
        yield console.print
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda line: bar.update(task, description=line[:100])
