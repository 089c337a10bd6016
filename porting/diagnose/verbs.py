"""Locate, reduce and unlock as functions; the command line is a thin layer over these."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from porting import registry
from porting.api import Setting
from porting.diagnose.notes import LOCATED, REDUCED, Smallest, keep, smallest
from porting.errors import UsageError

if TYPE_CHECKING:
    from porting.diagnose.locate import Located, Locator, Settings
    from porting.diagnose.reduce import Reduced
    from porting.diagnose.unlock import Plan, Remedy

Tell = Callable[[str], None]


def _silent(_: str) -> None:
    pass


def locate(
    model: str, target: str, *, settings: Settings | None = None, trust: bool = False, on_progress: Tell = _silent
) -> Located:
    """Tell which operators of a model are wrong on a target by themselves, or together.

    model: what names one model on the command line. Raises UsageError for a target that cannot be given parts of it,
    EnvironmentMissing for one that is not here, ModelError where there is no sound reference.
    """
    with _locator(model, target, settings, trust, on_progress) as locator:
        return _located(locator)


def reduce(
    model: str,
    target: str,
    folder: str | Path | None = None,
    *,
    settings: Settings | None = None,
    trust: bool = False,
    on_progress: Tell = _silent,
) -> Reduced:
    """Write the smallest case of a model's failure on a target into a folder, one of its own name by default.

    Of a model that an exporter refuses, the case is the smallest part of it that is refused. Raises as `locate` does, and
    PortingError where nothing fails by itself.
    """
    from porting.diagnose.reduce import Reducer
    from porting.diagnose.refused import reduce_refused
    from porting.diagnose.subject import NoForm

    def place(model: str) -> Path:
        return Path(folder) if folder else default_folder(model, target)

    try:
        with _locator(model, target, settings, trust, on_progress) as locator:
            cell = locator.subject.cell
            found = Reducer(locator, _located(locator), on_progress).run(place(cell.spec.id))
    except NoForm as refused:
        cell = refused.cell
        found = reduce_refused(refused, place(cell.spec.id), settings, on_progress)
    keep(Setting.find().workspace, REDUCED, cell.key, Smallest.of(found))
    return found


def _located(locator: Locator) -> Located:
    """Look, and note what was found for `porting explain`."""
    found = locator.run()
    keep(locator.pipeline.jobs.workspace, LOCATED, locator.subject.cell.key, found)
    return found


@contextlib.contextmanager
def _locator(model: str, target: str, settings: Settings | None, trust: bool, tell: Tell) -> Iterator[Locator]:
    from porting.diagnose.locate import Locator, Settings
    from porting.diagnose.subject import need_of, one_model, open_subject

    wanted = registry.target(target)
    settings = settings or Settings()
    need_of(wanted, settings.form)
    setting = Setting.find()
    spec = one_model(setting.resolve([model], trust=trust))
    with setting.pipeline() as pipeline:
        tell("the model's bundle")
        locator = Locator(pipeline, open_subject(pipeline, spec, wanted, settings.form, settings.route), settings, tell)
        yield locator
        locator.close()  # not after an error: what was computed serves the next try


def default_folder(model: str, target: str) -> Path:
    """`bert-onnxruntime-cpu-fp32`, in the current folder."""
    import re

    return Path(re.sub(r"[^\w.-]+", "-", f"{model.rpartition('/')[2]}-{target}"))


@dataclass(frozen=True)
class Unlocked:
    """What stands between recorded cells and passes."""

    remedies: tuple[Remedy, ...]
    """The one that turns most cells first."""
    plans: tuple[Plan, ...]
    """One a target."""


def unlock(targets: Sequence[str] = (), *, steps: int = 5, store: str | None = None) -> Unlocked:
    """Tell which remedies would turn recorded failures to passes. targets: names or globs, all without any.

    steps: of each target's plan. Raises UsageError where there is no such record.
    """
    from porting.diagnose import unlock as ranking
    from porting.operators import is_case

    setting = Setting.find(store=store)
    with setting.open_store() as records:
        results = [result for result in records.latest() if not is_case(result.model)]
    wanted = [r for r in results if not targets or any(fnmatch.fnmatchcase(r.target, pattern) for pattern in targets)]
    if not wanted:
        hint = "Make some with porting check, or get some with porting results import."
        raise UsageError("there are no results of such targets.", hint)
    sizes = {spec.id: spec.params for spec in setting.catalog if spec.params}
    cells = ranking.blocked_cells(wanted, sizes, smallest(setting.workspace, wanted))
    weight = ranking.weights(wanted)
    names = sorted({result.target for result in wanted})
    plans = tuple(ranking.plan(target, wanted, cells, weight, steps) for target in names)
    return Unlocked(tuple(ranking.remedies(cells, weight)), plans)
