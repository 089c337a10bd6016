"""From endings and numbers to outcomes: the one place that says pass.

A pass needs every declared output, finite and within tolerance on every case, at least one operator executed by the
target by the backend's own word, nothing run elsewhere or in another precision, and an artifact. All else is something else.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from porting.bundles.bundle import Bundle, Case, Failure, FormRecord
from porting.numerics.compare import Verdict
from porting.numerics.tokens import Said
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Stage
from porting.workers.runner import JobEnd
from porting.workers.worker import DISK_STATUS

_BEFORE_TARGET = (Stage.BUILD, Stage.REFERENCE)
"""What goes wrong there says nothing about any target."""
_LIMITS = {
    "timeout": (Cause.TIMEOUT, "no result within the time limit"),
    "hang": (Cause.HANG, "no CPU use and no output for too long"),
    "memory": (Cause.HOST_OOM, "the process tree used more memory than allowed"),
    "output": (Cause.HARNESS, "the job printed more than is kept"),
}
_MORE = {
    Cause.TIMEOUT: "Give it more with --timeout SECONDS",
    Cause.HANG: "If it only waits, give it more with --silence SECONDS",
    Cause.HOST_OOM: "Give it more with --memory GIB, or fewer --workers",
}


@dataclass(frozen=True)
class Finding:
    """What a step of a cell came to."""

    stage: Stage
    outcome: Outcome
    cause: Cause | None = None
    message: str = ""
    hint: str = ""


def of_end(end: JobEnd, bundle: Bundle | None = None) -> Finding | None:
    """Say what the ending of a job means; None when it ended well. bundle: tells which cases are at nominal sizes."""
    if end.ending == "ok":
        return None
    outcome, cause, message = _of_ending(end)
    if end.stage in _BEFORE_TARGET and outcome is Outcome.FAIL and cause not in (Cause.HARNESS, Cause.DISK, Cause.NETWORK):
        outcome = Outcome.INVALID
    if end.stage is Stage.RUN and cause is Cause.EXCEPTION and bundle and not _nominal(end.detail, bundle):
        cause = Cause.DYNAMIC_SHAPE
        message = f"case {end.detail}: {message}"
    hint = str(end.error.get("hint", "")) or _more(cause)
    return Finding(end.stage, outcome, cause, message, hint)


def _more(cause: Cause | None) -> str:
    """How to lift a limit that ended a job; without --rerun the record would answer again."""
    return f"{_MORE[cause]} and --rerun." if cause in _MORE else ""


def _nominal(case: str, bundle: Bundle) -> bool:
    return all(c.nominal for c in bundle.cases if c.name == case)


def _of_ending(end: JobEnd) -> tuple[Outcome, Cause, str]:
    if end.ending == "error":
        kind, message = end.error["type"], end.error["message"]
        words = message if end.error.get("ours") else f"{kind}: {message}"
        return Outcome(end.error["outcome"]), Cause(end.error["cause"]), words
    if end.ending in _LIMITS:
        cause, message = _LIMITS[end.ending]
        return Outcome.FAIL, cause, f"{message} ({end.seconds:.0f} s, {end.peak_rss_bytes >> 20} MiB)"
    if end.ending == "signal":
        name = signal.Signals(-end.code).name
        if end.code == -signal.SIGKILL:  # not by us: most likely the kernel, short of memory
            return Outcome.FAIL, Cause.HOST_OOM, f"the process was killed ({name})"
        return Outcome.FAIL, Cause.CRASH, f"the process crashed ({name})"
    if end.ending == "exit" and end.code == DISK_STATUS:
        return Outcome.FAIL, Cause.DISK, "the job could not write its end: no space left in the cache folder"
    if end.ending == "exit":
        return Outcome.FAIL, Cause.CRASH, f"the process ended by itself with exit status {end.code} and no result"
    return Outcome.FAIL, Cause.HARNESS, "the job was lost: its process could not be started or watched"


def of_failure(failure: Failure) -> Finding:
    """A failure that the bundle recorded."""
    return Finding(failure.stage, failure.outcome, failure.cause, failure.message, _more(failure.cause))


def with_tokens(verdict: Verdict, said: Said) -> Verdict:
    """Add what greedy generation came to: where every call is right, other tokens than eager's are a mismatch all the same."""
    if verdict.outcome is not Outcome.PASS:
        return verdict
    if said.complaint:
        return replace(verdict, outcome=Outcome.MISMATCH, cause=Cause.TOKENS, message=said.complaint)
    return replace(verdict, message=f"{verdict.message}; {said.message}") if said.message else verdict


def of_comparison(
    verdict: Verdict, placement: Placement, minimum_target_share: float, asked: Precision, effective: Precision
) -> Finding:
    """Join what the numbers say with what really ran, where, and in which precision."""
    if verdict.outcome is not Outcome.PASS:
        stage = Stage.REFERENCE if verdict.outcome is Outcome.INVALID else Stage.COMPARE
        return Finding(stage, verdict.outcome, verdict.cause, verdict.message)
    if not placement.target_ops:
        said = "cannot say that any operator" if placement.target_ops is None else "says that no operator"
        message = f"the numbers are right, but the backend {said} ran on the target"
        return Finding(Stage.COMPARE, Outcome.FAIL, Cause.NOTHING_EXECUTED, message)
    elsewhere = _elsewhere(placement, minimum_target_share, "ran elsewhere than on the target")
    if elsewhere:
        return Finding(Stage.COMPARE, Outcome.DEGRADED, Cause.FALLBACK, f"{elsewhere}; {verdict.message}")
    if effective is not asked:
        message = f"the numbers are right, but {asked.value} was asked for and {effective.value} computed; {verdict.message}"
        return Finding(Stage.COMPARE, Outcome.DEGRADED, Cause.PRECISION, message)
    return Finding(Stage.COMPARE, Outcome.PASS, None, verdict.message)


def of_artifact(artifact: Artifact, minimum_target_share: float, evidence: Evidence) -> Finding:
    """What a compiler, or a list, that nothing runs after says: a pass by that evidence, which says nothing about numbers."""
    placement = artifact.placement
    if not placement or not placement.target_ops:
        said = "does not say that it compiled" if not placement or placement.target_ops is None else "says that it compiled not"
        return Finding(Stage.CONVERT, Outcome.FAIL, Cause.NOTHING_EXECUTED, f"the compiler {said} one operator for the target")
    if evidence is Evidence.STATIC:
        made = f"{placement.target_ops} calls of operators are in the list for {placement.device}; nothing was built, nothing ran"
    else:
        made = f"compiled {placement.target_ops} operators or kernels for {placement.device}; nothing ran"
    elsewhere = _elsewhere(placement, minimum_target_share, "are left to others than the target")
    if elsewhere:
        return Finding(Stage.CONVERT, Outcome.DEGRADED, Cause.FALLBACK, f"{elsewhere}; {made}")
    return Finding(Stage.CONVERT, Outcome.PASS, None, made)


def _elsewhere(placement: Placement, minimum: float, what: str) -> str:
    """What ran elsewhere than on the target, where that is more than it may be; empty otherwise. Where all has to be on the
    target (1.0), every operator counts, whatever its part of the arithmetic."""
    target, other = placement.target_ops or 0, placement.other_ops or 0
    share = target / (target + other) if placement.arithmetic is None else placement.arithmetic
    if not other or (minimum < 1 and share >= minimum):
        return ""
    arithmetic = "" if placement.arithmetic is None else f", {1 - placement.arithmetic:.1%} of the arithmetic,"
    return f"{other} of {target + other} operators{arithmetic} {what}"


def of_mixed(finding: Finding, kept: str, asked: Precision) -> Finding:
    """Where layers were kept in fp32, right numbers are not those of the precision that was asked for alone."""
    if not kept or finding.outcome is not Outcome.PASS:
        return finding
    message = f"{asked.value} with {kept} kept in fp32; {finding.message}"
    return Finding(finding.stage, Outcome.DEGRADED, Cause.PRECISION, message)


def judged_precision(asked: Precision, effective: Precision) -> Precision:
    """The precision to judge by: the one the backend says it computed in, coarser or finer than asked.

    Not where fp32 was asked: who asks for that gets it, or a mismatch. A stack whose default is TF32 or bf16 has targets
    named so. Nor int8, which names a scheme of quantisation that computes in whatever its kernels accumulate in.
    """
    return asked if asked in (Precision.FP32, Precision.INT8) else effective


def axes_of(bundle: Bundle, form: FormRecord, judged: Sequence[Case], verdict: Verdict) -> Mapping[str, str]:
    """What is known about each axis on this target: `dynamic` only after it was right at two other sizes."""
    nominal = next(case.sizes for case in bundle.cases if case.nominal)
    found = {}
    for axis, state in bundle.axes.items():
        if state != "varies" or axis not in form.dynamic_axes:
            found[axis] = "static"
            continue
        others = [case for case in judged if case.sizes.get(axis) != nominal[axis]]
        if any(case.name in verdict.failed_cases for case in others):
            found[axis] = "wrong at other sizes"
        else:
            proven = len({case.sizes[axis] for case in others}) >= 2 and verdict.outcome is Outcome.PASS
            found[axis] = "dynamic" if proven else "unproven"
    return found
