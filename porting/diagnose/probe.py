"""Runs cuts in children, on the target's own adapter or on the clean runtime; whatever becomes of one is an `Ending`.

What an ending means for a model is not known here.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import registry, verdict
from porting.adapter import Adapter
from porting.bundles.tensors import read_tensors
from porting.cells.jobs import Jobs, Trail
from porting.diagnose import clean, eager
from porting.diagnose.cut import Piece
from porting.errors import InfrastructureError, ModelError
from porting.serialization import Json, from_json, to_json
from porting.signature import normalise
from porting.types import INFRASTRUCTURE, Artifact, Cause, Outcome, Precision, Stage, Target, TensorSpec
from porting.verdict import Finding
from porting.workers.runner import JobEnd, Limits
from porting.workspace import disk_errors

if TYPE_CHECKING:
    import numpy

    from porting.adapter import ExportedForm

    Array = numpy.ndarray[Any, Any]

CLEAN: Mapping[Target, type[Adapter]] = {clean.TARGET: clean.CleanRuntime, eager.TARGET: eager.EagerRuntime}
"""Runtimes that targets are held against."""
ANSWERS = "answers.jsonl"
SLACK = 10.0
"""Times the slowest stage of a model that went well, a limit is never less than."""
LEAST_SECONDS = 5.0
_WORD = re.compile(r"[^\s'\"`,;()\[\]{}<>=]+")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_REPEATED = re.compile(r"(QUOTED|NAME|N)((, | and | )\1)+")


@dataclass(frozen=True)
class Ending:
    """What became of a cut."""

    kind: str
    """`ok`, `exception`, `crash`, `hang`, `memory`."""
    sign: str = ""
    """Equal for failures of the same kind: kind, cause and what the message says without names and numbers."""
    message: str = ""
    stage: Stage = Stage.RUN
    cause: Cause | None = None
    outcome: Outcome | None = None
    case: str = ""
    """The case that was run when it happened."""
    outputs: Mapping[str, Path] = field(default_factory=dict)
    """Files of outputs by case."""
    precision: Precision | None = None
    """Computed in, by the backend's own word."""
    declared: tuple[TensorSpec, ...] = ()
    """Outputs that the artifact promises."""

    @property
    def ok(self) -> bool:
        return self.kind == "ok"

    def read(self, case: str = "") -> dict[str, Array] | None:
        """The outputs of a case, where there are any."""
        path = self.outputs.get(case)
        return read_tensors(path) if path and path.exists() else None


@dataclass
class Spent:
    """What probing has cost."""

    processes: int = 0
    models: int = 0
    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0
    """The largest of any child."""

    def add(self, end: JobEnd, models: int) -> None:
        self.processes += 1
        self.models += models
        self.cpu_seconds += sum(stage.cpu_seconds for stage in end.stages)
        self.peak_rss_bytes = max(self.peak_rss_bytes, end.peak_rss_bytes)


@dataclass(frozen=True)
class Work:
    """A model to be run: how to write it, and where its inputs are."""

    write: Callable[[Path], ExportedForm]
    """Writes it into a folder that is not there yet."""
    cases: Mapping[str, Path] = field(default_factory=dict)
    """Input files by case; without any, the one that `write` leaves."""


class Lab:
    """Runs models of one target. precision: of the form that it takes."""

    def __init__(self, jobs: Jobs, target: Target, work: Path, seconds: float, precision: Precision = Precision.FP32) -> None:
        """seconds: wall time that a stage of a model may take. work: a folder for files."""
        self.target, self.precision, self._jobs, self._work = target, precision, jobs, work
        self._clean = CLEAN.get(target)
        self._adapter = self._clean or registry.adapter(target.adapter)
        self.compile_only = not self._adapter.evidence_of(target.device).ran
        self.seconds, self._slowest = seconds, 0.0
        self.spent = Spent()
        self.names: Collection[str] = ()
        """What messages may call parts of the model by."""

    def piece(self, piece: Piece) -> Work:
        """A cut, to be run on the tensors that it is fed with."""
        return Work(lambda folder: piece.write(folder, self.precision))

    def run(self, works: Sequence[Work], patient: bool = False) -> list[Ending]:
        """Run models in one process, in order, until all are done or one ends it. Returns the endings so far, at least one; their
        outputs are there until the next call.

        patient: give each stage the whole time, however fast others were. Raises InfrastructureError when the rig failed.
        """
        folder = self._work / self.target.adapter
        shutil.rmtree(folder, ignore_errors=True)
        with disk_errors(folder):
            folder.mkdir(parents=True)
            models, unwritten = self._models(folder, works)
        if unwritten and not models:
            return [unwritten]
        end = self._job(folder, models, patient)
        answers = _lines(folder / ANSWERS)
        endings = [self._answered(answer, model) for answer, model in zip(answers, models, strict=False)]
        self.spent.add(end, min(len(answers) + 1, len(models)))
        finding = verdict.of_end(replace(end, seconds=end.stage_seconds))
        if finding is not None and len(endings) < len(models):
            endings.append(self._ended(finding, end))
        elif finding is None:
            self._slowest = max([self._slowest, *(stage.seconds for stage in end.stages)])
        if finding is not None and finding.cause in INFRASTRUCTURE:
            raise InfrastructureError(f"{self.target}: {finding.message}.", finding.hint)
        return endings

    def run_all(self, works: Sequence[Work], patient: bool = False) -> list[Ending]:
        """Run models one by one to their ends, in as many processes as it takes. Their outputs are gone, but for the last's."""
        endings: list[Ending] = []
        while len(endings) < len(works):
            endings += self.run(works[len(endings) :], patient)
        return endings

    def _models(self, folder: Path, works: Sequence[Work]) -> tuple[list[Json], Ending | None]:
        """Write models, up to one that cannot be written; what that is, where there is one."""
        models: list[Json] = []
        try:
            for number, work in enumerate(works):
                models.append(self._model(folder / str(number), work))
        except ModelError as error:
            words = f"not written: {self.normal(error.message)}"
            return models, Ending("exception", words, error.message, Stage.EXPORT, Cause.EXCEPTION, Outcome.FAIL)
        return models, None

    def _model(self, place: Path, work: Work) -> Json:
        form = work.write(place)
        outputs = place.with_name(f"{place.name}.outputs")
        outputs.mkdir()
        files = dict(work.cases) or {"": form.samples[0]}
        cases = [
            {"name": name, "inputs": str(path), "outputs": str(outputs / f"{number}.npz")}
            for number, (name, path) in enumerate(files.items())
        ]
        artifact = str(place.with_name(f"{place.name}.artifact"))
        return {"name": place.name, "form": to_json(form), "artifact_folder": artifact, "cases": cases}

    def _job(self, folder: Path, models: Sequence[Json], patient: bool) -> JobEnd:
        limit = self.limit(patient)
        payload = {
            "kind": "porting.diagnose.job:run",
            "adapter": f"{self._clean.__module__}:{self._clean.__name__}"
            if self._clean
            else registry.module_of(self.target.adapter),
            "target": str(self.target),
            "compile_only": self.compile_only,
            "answers": str(folder / ANSWERS),
            "models": models,
        }
        limits = Limits(seconds=limit * 3 * (len(models) + 1), step_seconds=limit, silent_seconds=limit)
        self._jobs.warm_for(adapter=None if self._clean else self._adapter)
        return self._jobs.run(payload, Trail(), "" if self._clean else self.target.adapter, limits)

    def limit(self, patient: bool = False) -> float:
        """Seconds that a stage may take: what was allowed, or less once it is known how long such models take."""
        if patient or not self._slowest:
            return self.seconds
        return min(self.seconds, max(LEAST_SECONDS, SLACK * self._slowest))

    # ---- endings

    def _answered(self, answer: Json, model: Json) -> Ending:
        if "error" in answer:
            stage = Stage(answer["stage"])
            finding = verdict.of_end(JobEnd("error", error=answer["error"], stage=stage))
            assert finding
            return self._ending("exception", finding, answer["case"])
        outputs = {case["name"]: Path(case["outputs"]) for case in model["cases"]}
        said = answer.get("effective_precision")
        declared = from_json(Artifact, answer["artifact"]).outputs
        return Ending("ok", outputs=outputs, precision=Precision(said) if said else None, declared=declared)

    def _ended(self, finding: Finding, end: JobEnd) -> Ending:
        kinds = {Cause.CRASH: "crash", Cause.TIMEOUT: "hang", Cause.HANG: "hang", Cause.HOST_OOM: "memory"}
        return self._ending(kinds.get(finding.cause or Cause.CRASH, "exception"), finding, end.detail.partition("/")[2])

    def _ending(self, kind: str, finding: Finding, case: str) -> Ending:
        words = "" if kind in ("hang", "memory") else self.normal(finding.message)
        cause = finding.cause.value if finding.cause and kind == "exception" else ""
        sign = ": ".join(filter(None, (kind, cause, words)))
        return Ending(kind, sign, finding.message, finding.stage, finding.cause, finding.outcome, case)

    def normal(self, message: str) -> str:
        """A message without what differs from one cut to another: names of nodes and values, numbers, shapes, paths."""
        plain = _WORD.sub(lambda word: "NAME" if word[0].removesuffix("__alone") in self.names else word[0], message)
        return _REPEATED.sub(r"\1", normalise(_QUOTED.sub("QUOTED", plain)))


def _lines(path: Path) -> list[Json]:
    """The answers that were written whole."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole]


def own_errors(
    jobs: Jobs, pieces: Sequence[Piece], precision: Precision, work: Path, seconds: float
) -> list[dict[str, float | None]]:
    """For every piece, by output, how far its own float32 arithmetic is off, scaled to a precision; None if unknown."""
    folder = work / f"own-{uuid.uuid4().hex[:8]}"
    try:
        with disk_errors(folder):
            forms = [piece.write(folder / str(number), Precision.FP32) for number, piece in enumerate(pieces)]
        models = [
            {"path": str(form.path), "inputs": str(form.samples[0]), "outputs": list(piece.outputs)}
            for form, piece in zip(forms, pieces, strict=True)
        ]
        payload = {"kind": pieces[0].own_errors, "models": models, "precision": precision.value}
        end = jobs.run(payload, Trail(), limits=Limits(seconds=seconds, silent_seconds=seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = end.value if end.ending == "ok" else [None] * len(pieces)
    return [dict(each or {}) for each in found]
