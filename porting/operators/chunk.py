"""Node cases in one process of a backend's interpreter, and what became of each.

A case that ends the process is tried once more in a process of its own, since what ended it may have been left behind by a
case before; the rest of the chunk goes on in a new one.
"""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from porting import registry, verdict
from porting.adapter import Adapter, ExportedForm
from porting.cell import LOG_TAIL, printable
from porting.compare import Verdict
from porting.jobs import Trail, fault_of, utc_now
from porting.operators.job import MARK
from porting.operators.judge import judge
from porting.operators.suite import INPUTS, MODEL, NodeCase, Suite
from porting.pipeline import Pipeline
from porting.runner import JobEnd, Limits, stage_times
from porting.signature import signature
from porting.tensors import read_tensors
from porting.types import (
    Artifact,
    Cause,
    Evidence,
    Json,
    Outcome,
    Placement,
    Precision,
    Result,
    Stage,
    StageTime,
    Target,
    from_json,
    to_json,
)  # fmt: skip
from porting.verdict import Finding

FOLDED = "the answer is right, and nothing ran for it: the stack worked it out while it compiled, or passed an input on"
CHUNK_SECONDS = 15.0
"""A process begins no further case after this long, so that what it has done is recorded and progress is seen."""


@dataclass(frozen=True)
class Piece:
    """One planned (case, target)."""

    case: NodeCase
    target: Target
    key: str


@dataclass(frozen=True)
class Chunk:
    """Pieces of one target for one process."""

    target: Target
    pieces: tuple[Piece, ...]
    suspect: str = ""
    """Of a piece that ended a process which had worked others before: how."""


class ChunkRun:
    """Works one chunk in one process and tells what became of each of its cases."""

    def __init__(self, chunk: Chunk, suite: Suite, pipeline: Pipeline, folder: Path) -> None:
        self._chunk, self._suite, self._pipeline, self._folder = chunk, suite, pipeline, folder
        self._jobs = pipeline.jobs
        self._adapter: type[Adapter] = registry.adapter(chunk.target.adapter)
        self._evidence = self._adapter.evidence_of(chunk.target.device)
        self._started = utc_now()

    def run(self) -> tuple[list[tuple[Result, bytes | None]], list[Chunk]]:
        """Returns results with their logs, and the chunks that are left."""
        idle = [(piece, said) for piece in self._chunk.pieces if (said := self._said_before(piece.case))]
        done = [(self._result(piece, said), None) for piece, said in idle]
        pieces = [piece for piece in self._chunk.pieces if not self._said_before(piece.case)]
        if not pieces:
            return done, []
        end = self._job(pieces)
        answers = _lines(self._folder / "answers.jsonl")
        logs = _cut(end.log)
        done += [self._judged(piece, answer, logs) for piece, answer in zip(pieces, answers, strict=False)]
        left = pieces[len(answers) :]
        finding = self._finding_of_end(end)
        if finding is None or not left:
            return done, self._go_on(left)
        if end.detail != left[0].case.name:  # the process ended before its first case, or between two
            if answers:
                return done, self._go_on(left)
            return done + [(self._result(piece, finding), end.log) for piece in left], []
        if answers:
            why = f"it ended a process that had worked {len(answers)} other cases before ({finding.message})"
            return done, [Chunk(self._chunk.target, (left[0],), why), *self._go_on(left[1:])]
        return [*done, (self._result(left[0], finding), end.log)], self._go_on(left[1:])

    def _go_on(self, left: Sequence[Piece]) -> list[Chunk]:
        return [Chunk(self._chunk.target, tuple(left))] if left else []

    def _said_before(self, case: NodeCase) -> Finding | None:
        """What is known of a case without running it."""
        if case.untested:
            return Finding(Stage.PLAN, Outcome.SKIPPED, None, f"not tested: {case.untested}")
        limit = self._adapter.need.opset
        if limit and not case.domain and case.opset > limit:
            message = f"the case is of opset {case.opset}; {self._adapter.name} reads at most {limit}"
            return Finding(Stage.EXPORT, Outcome.UNSUPPORTED, Cause.OPSET, message)
        return None

    # ---- the job

    def _job(self, pieces: Sequence[Piece]) -> JobEnd:
        self._jobs.warm_for(adapter=self._adapter)
        payload = {
            "kind": "porting.operators.job:run",
            "adapter": registry.module_of(self._chunk.target.adapter),
            "target": str(self._chunk.target),
            "compile_only": self._evidence is Evidence.COMPILED,
            "seconds": CHUNK_SECONDS,
            "answers": str(self._folder / "answers.jsonl"),
            "cases": [self._payload(piece.case) for piece in pieces],
        }
        asked = self._pipeline.options.limits
        limits: Limits = replace(asked, step_seconds=asked.seconds, seconds=3 * asked.seconds * (len(pieces) + 1))
        return self._jobs.run(payload, Trail(), self._chunk.target.adapter, limits)

    def _payload(self, case: NodeCase) -> Json:
        samples = (self._suite.file(case, INPUTS),)
        model = self._suite.file(case, MODEL)
        form = ExportedForm("onnx", Precision.FP32, model, case.inputs, case.outputs, None if case.domain else case.opset, samples)
        place = self._folder / case.name
        return {
            "name": case.name,
            "form": to_json(form),
            "inputs": str(samples[0]),
            "artifact_folder": str(place / "artifact"),
            "outputs": str(place / "outputs.npz"),
        }

    def _finding_of_end(self, end: JobEnd) -> Finding | None:
        return verdict.of_end(replace(end, seconds=end.stage_seconds))

    # ---- a case

    def _judged(self, piece: Piece, answer: Json, logs: Mapping[str, bytes]) -> tuple[Result, bytes | None]:
        """The result of a case that did not end its process, with its log where something is wrong."""
        log = logs.get(piece.case.name, b"")
        try:
            result = self._result(piece, *self._judge(piece, answer), answer=answer, log=log)
        except Exception as error:  # noqa: BLE001 -- see fault_of
            trail = Trail(logs=[log])
            result, log = self._result(piece, fault_of(error, trail), answer=answer), b"".join(trail.logs)
        return result, None if result.outcome in (Outcome.PASS, Outcome.SKIPPED) else log

    def _judge(self, piece: Piece, answer: Json) -> tuple[Finding, Verdict | None]:
        if "error" in answer:
            stage = Stage(answer["marks"][-1]["stage"]) if answer["marks"] else Stage.CONVERT
            finding = verdict.of_end(JobEnd("error", error=answer["error"], stage=stage))
            assert finding
            return finding, None
        if self._evidence is Evidence.COMPILED:
            return _compiled(from_json(Artifact, answer["artifact"])), None
        effective = Precision(answer["effective_precision"])
        asked = piece.target.precision
        outputs = self._folder / piece.case.name / "outputs.npz"
        said = judge(
            piece.case, read_tensors(outputs), self._suite.expected(piece.case), verdict.judged_precision(asked, effective)
        )
        if said.outcome is Outcome.SKIPPED:
            return Finding(Stage.COMPARE, Outcome.SKIPPED, None, said.message), said
        placement, share = from_json(Placement, answer["placement"]), self._adapter.minimum_target_share
        if said.outcome is Outcome.PASS and (placement.target_ops, placement.other_ops or 0) == (0, 0):
            return Finding(Stage.COMPARE, Outcome.DEGRADED, Cause.NOTHING_EXECUTED, FOLDED), said
        return verdict.of_comparison(said, placement, share, asked, effective), said

    # ---- the record

    def _result(
        self, piece: Piece, finding: Finding, said: Verdict | None = None, answer: Json = None, log: bytes = b""
    ) -> Result:
        case, target, answer = piece.case, piece.target, answer or {}
        times: Sequence[StageTime] = stage_times(answer["marks"], answer["usage"]) if answer else ()
        ran = finding.stage not in (Stage.PLAN, Stage.EXPORT)
        notes = [self._chunk.suspect] * bool(self._chunk.suspect)
        return Result(
            model=case.model,
            target=str(target),
            stage=finding.stage,
            outcome=finding.outcome,
            cause=finding.cause,
            evidence=self._evidence if ran else None,
            signature=signature(target.adapter, finding.stage, finding.cause, finding.message) if finding.cause else None,
            message=finding.message,
            hint=finding.hint,
            route=(f"onnx:{case.subject}", f"opset:{case.opset}", *(["expanded"] if case.expanded else [])),
            effective_precision=answer.get("effective_precision"),
            cases=said.cases if said else (),
            placement=from_json(Placement, answer["placement"]) if "placement" in answer else None,
            stages=tuple(times),
            environment=self._environment(),
            notes=tuple(notes),
            log_tail=printable(log[-LOG_TAIL:]) if finding.outcome not in (Outcome.PASS, Outcome.SKIPPED) else "",
            key=piece.key,
            run=self._pipeline.run_id,
            family=case.subject,
            reproduce=shlex.join(["porting", "ops", "--on", str(target), "--case", case.name]),
            started=self._started,
            seconds=round(sum(time.seconds for time in times), 3),
            peak_rss_bytes=max((time.peak_rss_bytes for time in times), default=0),
        )

    def _environment(self) -> dict[str, str]:
        host = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        return {**host, "onnx": self._suite.version, **self._jobs.prober.probe(self._chunk.target.adapter).versions}


def _compiled(artifact: Artifact) -> Finding:
    """A target whose compiler alone is here: what counts is that it compiled the operator."""
    if not artifact.quantity:
        message = "the compiler ended well, but says that it compiled no operator"
        return Finding(Stage.CONVERT, Outcome.FAIL, Cause.NOTHING_EXECUTED, message)
    return Finding(Stage.CONVERT, Outcome.PASS, None, f"{artifact.quantity} operators compiled; nothing ran")


# ---- what a process left behind -----------------------------------------------------------------------------------


def _lines(path: Path) -> list[Json]:
    """The answers that were written whole."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole]


def _cut(log: bytes) -> dict[str, bytes]:
    """The part of a log that each case printed, by name."""
    found = {}
    for part in log.split(MARK.encode())[1:]:
        name, _, text = part.partition(b"\n")
        found[name.decode("utf-8", "replace")] = text
    return found
