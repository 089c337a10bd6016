"""The verbs as Python functions: check, gate, convert, ops, models, targets. The command line is a thin layer over these."""

from __future__ import annotations

import contextlib
import fnmatch
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from porting import registry
from porting.cells.jobs import Options
from porting.errors import EnvironmentMissing, ModelError, UnknownName, UsageError
from porting.types import WRONG_INPUT, Cause, Evidence, ModelSpec, Outcome, Precision, Result, Target
from porting.workers.runner import Limits
from porting.workspace import Workspace

if TYPE_CHECKING:
    import numpy
    import torch
    from torch import nn

    from porting.adapter import Probe
    from porting.catalog import Catalog
    from porting.catalog.project import Project
    from porting.cells.pipeline import Event, Pipeline
    from porting.expect import Gate
    from porting.launch.start import Place
    from porting.store import Store

    Array: TypeAlias = numpy.ndarray[Any, Any] | torch.Tensor
    Case: TypeAlias = Path | str | Mapping[str, Array] | Array | tuple[Array, ...]
    Inputs: TypeAlias = Case | Sequence[Case] | None

Silent: Callable[[Event], None] = lambda _: None  # noqa: E731 -- a typed default


@dataclass(frozen=True)
class Setting:
    """What a call works in: the workspace, a person's porting.toml, the catalog that both give."""

    workspace: Workspace
    project: Project | None
    catalog: Catalog
    store_url: str | None = None

    @classmethod
    def find(cls, folder: Path | None = None, store: str | None = None) -> Setting:
        """Find the setting of a folder, the current one by default. Raises CatalogError for a broken porting.toml or catalog."""
        from porting import catalog
        from porting.catalog.project import find_project

        project = find_project(folder or Path.cwd())
        url = store or (project.store if project else None)
        return cls(Workspace.find(folder), project, catalog.load(project=project), url)

    @property
    def environments(self) -> Mapping[str, Mapping[str, Any]]:
        """Interpreters by adapter. Raises UnknownName for one of an adapter that nobody knows."""
        named = self.project.environments if self.project else {}
        for name in named:
            if name not in registry.names():
                hint = f"It is named in [environments.{name}] of {self.project.file if self.project else ''}."
                raise UnknownName("adapter", name, registry.names(), hint)
        return named

    def open_store(self) -> Store:
        """Open the result store. Raises StoreError."""
        from porting.store import Store

        return Store.open(self.store_url or self.workspace.prepare().store)

    def resolve(self, names: Sequence[str], tier: str | None = None, trust: bool = False) -> list[ModelSpec]:
        """The models meant by names, globs, paths and factories; without any, those of the project or of the tier."""
        from porting import catalog

        specs = [spec for name in names for spec in catalog.resolve(name, self.catalog, trust)]
        if not names:
            if not tier and not (self.project and self.project.models):
                hint = "Name some (porting models list shows them), take --tier smoke, or start your own with porting init."
                raise UsageError("no model given.", hint)
            specs = list(self.project.models) if self.project and not tier else self.catalog.match((), tier)
        elif tier:
            specs = [spec for spec in specs if tier in spec.tiers]
        unique = {spec.id: spec for spec in specs}
        if not unique:
            raise UsageError(f"no model matches{f' in tier {tier}' if tier else ''}.", "porting models list shows what there is.")
        return list(unique.values())

    @contextlib.contextmanager
    def pipeline(
        self,
        store: Store | None = None,
        options: Options | None = None,
        on_event: Callable[[Event], None] = Silent,
        run_id: str = "",
    ) -> Iterator[Pipeline]:
        from porting.cells.pipeline import Pipeline

        with Pipeline(self.workspace, store, options, self.environments, on_event, run_id=run_id) as pipeline:
            yield pipeline

    @contextlib.contextmanager
    def pipeline_at(
        self, place: Place | None, store: Store, options: Options, patterns: Sequence[str], on_event: Callable[[Event], None]
    ) -> Iterator[Pipeline]:
        """A pipeline whose cells are worked on a cluster, or here without a place. patterns: targets that will be asked for."""
        if place is None:
            with self.pipeline(store, options, on_event) as pipeline:
                yield pipeline
            return
        from porting.cells.pipeline import Event, Pipeline
        from porting.launch.start import start_fleet

        place = replace(place, setups=self.project.nodes if self.project else {})
        run, wanted = uuid.uuid4().hex[:12], patterns or (self.project.targets if self.project else ())

        def tell(text: str, kind: str = "fleet") -> None:
            on_event(Event(kind, text=text))

        with (
            start_fleet(place, run, self.workspace, self.environments, store, options, wanted, tell) as fleet,
            Pipeline(self.workspace, store, options, self.environments, on_event, fleet, run) as pipeline,
        ):
            yield pipeline


# ---- targets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TargetState:
    """A target and whether it can be used here."""

    target: Target
    evidence: Evidence
    available: bool
    reason: str = ""
    hint: str = ""


def target_state(target: Target, probe: Probe) -> TargetState:
    """A target with what its adapter's probe says of it."""
    from porting.environments.probing import device_state

    adapter = registry.adapter(target.adapter)
    state = device_state(adapter, target, probe)
    refused = state.cause in (Cause.UNSUPPORTED_DTYPE, Cause.UNSUPPORTED_TARGET)
    hint = "" if state.available or refused else adapter.install_hint
    return TargetState(target, adapter.evidence_of(target.device), state.available, state.reason, hint)


def target_states(probe: Callable[[str], Probe]) -> list[TargetState]:
    """Every declared target with what `probe` says of it."""
    return [target_state(target, probe(target.adapter)) for target in registry.all_targets()]


def choose_targets(patterns: Sequence[str], pipeline: Pipeline, project: Project | None = None) -> list[Target]:
    """Targets by name or glob; `all` means every one that is here. Without any: the project's, else those
    here at fp32 on which models run; what is only compiled for, read from lists or stood in for has to be named.

    Raises UsageError, UnknownName with near names, and EnvironmentMissing when there is none to check on.
    """
    wanted = list(patterns) or list(project.targets if project else ())
    probe = pipeline.jobs.prober.probe
    if not wanted:
        here = [s for s in target_states(probe) if s.available and s.evidence.ran and s.evidence is not Evidence.VIRTUAL]
        return _some([s.target for s in here if s.target.precision is Precision.FP32])
    chosen: list[Target] = []
    for pattern in wanted:
        if pattern == "all":
            chosen += [s.target for s in target_states(probe) if s.available]
        elif any(c in pattern for c in "*?["):
            chosen += _matching(pattern)
        else:
            chosen.append(registry.target(pattern))
    return _some(list(dict.fromkeys(chosen)))


def _some(chosen: list[Target]) -> list[Target]:
    if not chosen:  # a check of nothing would end as if all were well
        raise EnvironmentMissing("no target is here.", "porting doctor tells what is missing.")
    return chosen


def _matching(pattern: str) -> list[Target]:
    every = registry.all_targets()
    found = [target for target in every if fnmatch.fnmatchcase(str(target), pattern)]
    if not found:
        raise UnknownName("target", pattern, [str(t) for t in every], "porting targets list shows what there is.")
    return found


# ---- the verbs ----------------------------------------------------------------------------------------------------


def models(patterns: Sequence[str] = (), tier: str | None = None) -> list[ModelSpec]:
    """The catalog's entries, those of the project in the current folder included."""
    return Setting.find().catalog.match(patterns, tier)


def targets() -> list[TargetState]:
    """Every target and whether it can be used here."""
    with Setting.find().pipeline() as pipeline:
        return target_states(pipeline.jobs.prober.probe)


def check(
    model: str | nn.Module | Sequence[str],
    inputs: Inputs = None,
    targets: Sequence[str] = (),
    *,
    tier: str | None = None,
    trust: bool = False,
    options: Options | None = None,
    store: str | None = None,
    on_event: Callable[[Event], None] = Silent,
) -> list[Result]:
    """Check models on targets and record what came of it.

    model: catalog id, glob, path, `package.module:factory`, several of these, or a torch.nn.Module (with `inputs`).
    inputs: arrays by input name, one case or a list of several, or npz files; drawn from the model's spec when not given. For a
    module also an array or a tuple of arrays, in the order of its forward.
    targets: names or globs such as `openvino:*`; by default what is here at fp32. Returns a result a (model, target).
    Raises UsageError for what cannot be understood, ModelError when nothing handed in is a model or the inputs do not fit, and
    InfrastructureError when nothing can be recorded.
    """
    setting = Setting.find(store=store)
    inputs = _named(inputs, model)
    options = replace(options or Options(), given=_given(inputs, setting.workspace))
    specs = _specs(model, inputs, setting, tier, trust)
    with setting.open_store() as records, setting.pipeline(records, options, on_event) as pipeline:
        results = pipeline.check(specs, choose_targets(targets, pipeline, setting.project))
    wrong = wrong_input(specs, results, options)
    if wrong and len(wrong) == len(results):
        raise ModelError(wrong[0].message, wrong[0].hint)
    return results


def ops(
    targets: Sequence[str],
    cases: Sequence[str] = (),
    operators: Sequence[str] = (),
    *,
    options: Options | None = None,
    store: str | None = None,
    on_event: Callable[[Event], None] = Silent,
) -> list[Result]:
    """Run ONNX node cases, models of one operator, on targets, and record what came of it.

    targets: names or globs of targets that take ONNX models. cases: names or globs, `test_add*`; operators: names, `Gemm`; all
    cases without either. Returns a result a (case, target); its model is `onnx/node/CASE`. Raises UsageError for a target that
    cannot be given cases, EnvironmentMissing for one that is not here, UnknownName for an operator that no case is of.
    """
    from porting.operators.run import OperatorRun, reasons_against
    from porting.operators.suite import open_suite

    setting = Setting.find(store=store)
    options = options or Options(Limits(seconds=60.0, silent_seconds=30.0))
    with setting.open_store() as records, setting.pipeline(records, options, on_event) as pipeline:
        wanted = choose_targets(targets, pipeline, setting.project)
        refused, absent = reasons_against(wanted, pipeline.jobs.prober.probe)
        if refused:
            raise UsageError(f"{next(iter(refused.values()))}.", "porting targets show TARGET tells what an adapter takes.")
        for target, reason in absent.items():
            raise EnvironmentMissing(f"{target} is not here: {reason}.")
        suite = open_suite(pipeline.jobs)
        return OperatorRun(pipeline, records, suite).check(suite.choose((), operators, cases), wanted)


def gate(results: Sequence[Result], expect: Path | str | None = None, *, strict: bool = False) -> Gate:
    """Judge results by what was accepted. Nothing is run again.

    expect: folder of expectation files; by default that of the project, else that of the toolkit's catalog. Returns cells with
    judgements, a headline and an exit code. Raises CatalogError for a file that is not sound.
    """
    from porting.expect.file import folder_of, read_folder
    from porting.expect.judge import judge

    setting = Setting.find()
    book = read_folder(folder_of(setting.project, Path(expect) if expect is not None else None))
    return judge(results, book, {*setting.catalog.ids(), *book.unlisted(setting.workspace.root)}, strict=strict)


def wrong_input(specs: Sequence[ModelSpec], results: Sequence[Result], options: Options) -> list[Result]:
    """Results that say that what the caller handed in is at fault: a path or factory that is no model, inputs that do not fit.

    An entry of a catalog that cannot be built is no wrong input but a failure of that entry.
    """
    handed = {spec.id for spec in specs if not spec.origin or options.given}
    return [r for r in results if r.model in handed and r.outcome is Outcome.INVALID and r.cause in WRONG_INPUT]


def convert(
    model: str | nn.Module,
    to: str,
    folder: str | Path,
    inputs: Inputs = None,
    *,
    trust: bool = False,
    options: Options | None = None,
    store: str | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], None] = Silent,
) -> Result:
    """Convert a model for a target into `folder`, which then deploys without us; only what passed is left there.

    Returns the result; its outcome says whether the folder was written. Raises UsageError when the folder is not empty.
    """
    from porting.deploy.port import free_folder, write_port

    setting = Setting.find(store=store)
    inputs = _named(inputs, model)
    options = replace(options or Options(), given=_given(inputs, setting.workspace))
    specs = _specs(model, inputs, setting, None, trust)
    if len(specs) != 1:
        raise UsageError(f"{model!r} means {len(specs)} models; convert takes one.", "Name one of them.")
    target, place = registry.target(to), Path(folder).absolute()
    with free_folder(place, overwrite), setting.open_store() as records, setting.pipeline(records, options, on_event) as pipeline:
        run, result = pipeline.convert(specs[0], target)
        try:
            write_port(run, result, place)
        finally:
            run.clean()
    if wrong_input(specs, [result], options):
        raise ModelError(result.message, result.hint)
    return result


def _is_module(model: Any) -> bool:
    return not isinstance(model, str) and hasattr(model, "named_parameters")


def _named(inputs: Any, model: Any) -> Any:
    if inputs is None or not _is_module(model):
        return inputs
    from porting.bundles.given import by_name

    return by_name(inputs, model)


def _specs(model: Any, inputs: Inputs, setting: Setting, tier: str | None, trust: bool) -> list[ModelSpec]:
    if _is_module(model):
        from porting.bundles.given import spec_of_module

        return [spec_of_module(model, inputs, setting.workspace)]
    return setting.resolve([model] if isinstance(model, str) else list(model), tier, trust)


def _given(inputs: Inputs, workspace: Workspace) -> Path | None:
    if inputs is None:
        return None
    from porting.bundles.given import store_inputs

    return store_inputs(inputs, workspace)
