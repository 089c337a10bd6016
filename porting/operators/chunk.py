"""Node cases in one process of a backend's interpreter, and what became of each.

A case that ends the process is tried once more in a process of its own, since what ended it may have been left behind by a
case before; the rest of the chunk goes on in a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from porting import registry, verdict
from porting.adapter import ExportedForm
from porting.bundles.tensors import read_tensors
from porting.cells.jobs import Jobs, Trail, fault_of, utc_now
from porting.numerics.compare import Verdict
from porting.operators.job import MARK
from porting.operators.judge import judge
from porting.operators.record import Piece, Recorder, Worked
from porting.operators.suite import INPUTS, MODEL, NodeCase, Suite
from porting.serialization import Json, from_json, to_json
from porting.types import Artifact, Cause, Outcome, Placement, Precision, Result, Stage, Target  # fmt: skip
from porting.verdict import Finding
from porting.workers.runner import JobEnd, Limits

CHUNK_SECONDS = 15.0
"""A process begins no further case after this long, so that what it has done is recorded and progress is seen."""
FOLDED = "the answer is right, and nothing ran for it: the stack worked it out while it compiled, or passed an input on"
ELSEWHERE = "the answer is right, but the target has no part in it: the stack ran the operator elsewhere"
ANSWERS = "answers.jsonl"

Recorded: TypeAlias = tuple[Result, bytes | None]
"""A result with its log."""


@dataclass(frozen=True)
class Chunk:
    """Pieces of one target for one process."""

    target: Target
    pieces: tuple[Piece, ...]
    suspect: str = ""
    """Of a piece that ended a process which had worked others before: how."""


class ChunkRun:
    """Works one chunk in one process."""

    def __init__(self, chunk: Chunk, suite: Suite, jobs: Jobs, limits: Limits, recorder: Recorder, folder: Path) -> None:
        """limits: of one stage of one case. folder: an empty one, for artifacts and outputs."""
        self._chunk, self._suite, self._jobs, self._limits = chunk, suite, jobs, limits
        self._recorder, self._folder = recorder, folder
        self._adapter = registry.adapter(chunk.target.adapter)
        self._evidence = self._adapter.evidence_of(chunk.target.device)
        self._compile_only = not self._evidence.ran
        self._started = utc_now()

    def run(self) -> tuple[list[Recorded], list[Chunk]]:
        """Work the chunk as far as its process gets. Returns the results, and the chunks that are left."""
        pieces = self._chunk.pieces
        end = self._job()
        answers, logs = _lines(self._folder / ANSWERS), _cut(end.log)
        done = [self._judged(*pair, logs) for pair in zip(pieces, answers, strict=False)]
        left = pieces[len(answers) :]
        finding = verdict.of_end(replace(end, seconds=end.stage_seconds))
        if finding is None or not left or (answers and end.detail != left[0].case.name):  # that: it ended between two cases
            return done, self._chunks(left)
        if answers:
            how = f"it ended a process that had worked {len(answers)} other cases before ({finding.message})"
            return done, [Chunk(self._chunk.target, left[:1], how), *self._chunks(left[1:])]
        guilty = left[:1] if end.detail == left[0].case.name else left  # all of them where not one could be begun
        done += [self._recorder.record(piece, finding, self._worked(log=end.log)) for piece in guilty]
        return done, self._chunks(left[len(guilty) :])

    def _chunks(self, pieces: tuple[Piece, ...]) -> list[Chunk]:
        return [Chunk(self._chunk.target, pieces)] if pieces else []

    # ---- the job

    def _job(self) -> JobEnd:
        self._jobs.warm_for(adapter=self._adapter)
        payload = {
            "kind": "porting.operators.job:run",
            "adapter": registry.module_of(self._chunk.target.adapter),
            "target": str(self._chunk.target),
            "compile_only": self._compile_only,
            "seconds": CHUNK_SECONDS,
            "answers": str(self._folder / ANSWERS),
            "cases": [self._payload(piece.case) for piece in self._chunk.pieces],
        }
        whole = self._limits.seconds * 3 * (len(self._chunk.pieces) + 1)  # stages: convert, load, run
        limits = replace(self._limits, step_seconds=self._limits.seconds, seconds=whole)
        return self._jobs.run(payload, Trail(), self._chunk.target.adapter, limits)

    def _payload(self, case: NodeCase) -> Json:
        place, inputs = self._folder / case.name, self._suite.file(case, INPUTS)
        opset = None if case.domain else case.opset
        form = ExportedForm(
            "onnx", Precision.FP32, self._suite.file(case, MODEL), case.inputs, case.outputs, opset, samples=(inputs,)
        )
        return {
            "name": case.name,
            "form": to_json(form),
            "inputs": str(inputs),
            "artifact_folder": str(place / "artifact"),
            "outputs": str(place / "outputs.npz"),
        }

    # ---- an answer

    def _judged(self, piece: Piece, answer: Json, logs: Mapping[str, bytes]) -> Recorded:
        """The result of a case that did not end its process."""
        log = logs.get(piece.case.name, b"")
        said: Verdict | None = None
        try:
            finding, said = self._judge(piece, answer)
        except Exception as error:  # noqa: BLE001 -- see fault_of
            trail = Trail(logs=[log])
            finding, log = fault_of(error, trail), b"".join(trail.logs)
        return self._recorder.record(piece, finding, self._worked(answer, said, log))

    def _worked(self, answer: Json = None, said: Verdict | None = None, log: bytes = b"") -> Worked:
        return Worked(answer or {}, said, log, self._chunk.suspect, self._started)

    def _judge(self, piece: Piece, answer: Json) -> tuple[Finding, Verdict | None]:
        if "error" in answer:
            return _of_error(answer), None
        if self._compile_only:
            made = from_json(Artifact, answer["artifact"])
            return verdict.of_artifact(made, self._adapter.minimum_target_share, self._evidence), None
        asked, effective = piece.target.precision, _effective(answer, piece.target)
        outputs = read_tensors(self._folder / piece.case.name / "outputs.npz")
        said = judge(piece.case, outputs, self._suite.expected(piece.case), verdict.judged_precision(asked, effective))
        placement = from_json(Placement, answer["placement"])
        if said.outcome is Outcome.SKIPPED:
            return Finding(Stage.COMPARE, Outcome.SKIPPED, None, said.message), said
        if said.outcome is Outcome.PASS and placement.target_ops == 0:
            outcome = (Outcome.UNSUPPORTED, Cause.FALLBACK) if placement.other_ops else (Outcome.DEGRADED, Cause.NOTHING_EXECUTED)
            return Finding(Stage.COMPARE, *outcome, ELSEWHERE if placement.other_ops else FOLDED), said
        return verdict.of_comparison(said, placement, self._adapter.minimum_target_share, asked, effective), said


def _effective(answer: Json, target: Target) -> Precision:
    """What was computed in; an operator of integers is no sign that others were asked for less."""
    effective = Precision(answer["effective_precision"])
    return target.precision if effective is Precision.INT8 else effective


def _of_error(answer: Json) -> Finding:
    """A case that an exception ended."""
    stage = Stage(answer["marks"][-1]["stage"]) if answer["marks"] else Stage.CONVERT
    finding = verdict.of_end(JobEnd("error", error=answer["error"], stage=stage))
    assert finding
    return finding


def _lines(path: Path) -> list[Json]:
    """The answers that were written whole."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole]


def _cut(log: bytes) -> dict[str, bytes]:
    """The part of a log that each case printed, by name."""
    parts: Sequence[tuple[bytes, bytes, bytes]] = [part.partition(b"\n") for part in log.split(MARK.encode())[1:]]
    return {name.decode("utf-8", "replace"): text for name, _, text in parts}
