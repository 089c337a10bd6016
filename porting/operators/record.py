"""The result of a node case on a target, in the form that results of models have."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from porting import registry
from porting.cells.cell import LOG_TAIL, printable
from porting.cells.jobs import Jobs, utc_now
from porting.numerics.compare import Verdict
from porting.operators.suite import NodeCase
from porting.serialization import from_json
from porting.signature import signature
from porting.types import Outcome, Placement, Result, Stage, Target
from porting.verdict import Finding
from porting.workers.runner import stage_times

QUIET = (Outcome.PASS, Outcome.SKIPPED)
"""Outcomes whose log nobody needs."""


@dataclass(frozen=True)
class Piece:
    """One planned (case, target)."""

    case: NodeCase
    target: Target
    key: str


@dataclass(frozen=True)
class Worked:
    """What is known of a case besides its finding."""

    answer: Mapping[str, Any] = field(default_factory=dict)
    """What the job wrote, see porting.operators.job; empty where the case ended its process, or never ran."""
    said: Verdict | None = None
    log: bytes = b""
    note: str = ""
    started: str = field(default_factory=utc_now)


class Recorder:
    """Makes the results of one run."""

    def __init__(self, jobs: Jobs, run: str, onnx: str) -> None:
        """run: its id. onnx: version of the suite."""
        self._jobs, self._run, self._onnx = jobs, run, onnx

    def record(self, piece: Piece, finding: Finding, worked: Worked | None = None) -> tuple[Result, bytes | None]:
        """The result with its log."""
        case, target, worked = piece.case, piece.target, worked or Worked()
        answer = worked.answer
        stages = stage_times(answer["marks"], answer["usage"]) if answer else ()
        tried = finding.stage not in (Stage.PLAN, Stage.EXPORT)
        log = None if finding.outcome in QUIET else worked.log
        result = Result(
            model=case.model,
            target=str(target),
            stage=finding.stage,
            outcome=finding.outcome,
            cause=finding.cause,
            evidence=registry.adapter(target.adapter).evidence_of(target.device) if tried else None,
            signature=signature(target.adapter, finding.stage, finding.cause, finding.message) if finding.cause else None,
            message=finding.message,
            hint=finding.hint,
            route=(f"onnx:{case.opset}", *(["function body"] if case.expanded else [])),
            effective_precision=answer.get("effective_precision"),
            cases=worked.said.cases if worked.said else (),
            placement=from_json(Placement, answer.get("placement") or answer.get("artifact", {}).get("placement")),
            stages=stages,
            environment=self._environment(target),
            notes=(worked.note,) if worked.note else (),
            log_tail=printable(log[-LOG_TAIL:]) if log else "",
            key=piece.key,
            run=self._run,
            family=case.subject,
            reproduce=shlex.join(["porting", "ops", "--on", str(target), "--case", case.name]),
            started=worked.started,
            seconds=round(sum(stage.seconds for stage in stages), 3),
            peak_rss_bytes=max((stage.peak_rss_bytes for stage in stages), default=0),
        )
        return result, log

    def _environment(self, target: Target) -> dict[str, str]:
        host = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        return {**host, "onnx": self._onnx, **self._jobs.prober.probe(target.adapter).versions}
