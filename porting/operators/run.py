"""From node cases to results: which are to be run, and where; what has a result for the same contents is not run again.

What happens in a process is porting.operators.chunk's.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from porting import registry
from porting.adapter import Adapter, FormNeed, Probe
from porting.cells import keys
from porting.cells.pipeline import Event, Pipeline, reusable
from porting.environments.probing import device_state
from porting.errors import UsageError
from porting.operators.chunk import Chunk, ChunkRun
from porting.operators.record import Piece, Recorder
from porting.operators.suite import NodeCase, Suite
from porting.types import Cause, Outcome, Precision, Result, Stage, Target
from porting.verdict import Finding
from porting.workspace import disk_errors

if TYPE_CHECKING:
    from porting.store import Store

CHUNK = 64
"""Cases given to one process."""


def _onnx(adapter: type[Adapter]) -> FormNeed | None:
    """The need of an adapter that node cases meet."""
    return next((need for need in adapter.needs() if need.kind == "onnx"), None)


def refusal(target: Target) -> str:
    """Why a target cannot be given node cases; empty when it can."""
    adapter = registry.adapter(target.adapter)
    need = _onnx(adapter)
    if need is None:
        return f"{target} takes {adapter.need.kind} programs, and node cases are ONNX models"
    if target.precision is Precision.INT8:
        return f"{target} needs inputs to calibrate with, and a node case has a single one"
    if need.at_target_precision and target.precision is not Precision.FP32:
        return f"{target} takes models exported in {target.precision.value}, and node cases are as they are"
    return ""


def reasons_against(wanted: Sequence[Target], probe: Callable[[str], Probe]) -> tuple[dict[Target, str], dict[Target, str]]:
    """Why some targets cannot be given node cases, and why some of the others are not here."""
    refused = {target: words for target in wanted if (words := refusal(target))}
    fitting = [target for target in wanted if target not in refused]
    states = {t: device_state(registry.adapter(t.adapter), t, probe(t.adapter)) for t in fitting}
    return refused, {target: state.reason for target, state in states.items() if not state.available}


def known_before(piece: Piece) -> Finding | None:
    """What is known of a case without running it."""
    case, adapter = piece.case, registry.adapter(piece.target.adapter)
    if case.untested:
        return Finding(Stage.PLAN, Outcome.SKIPPED, None, f"not tested: {case.untested}")
    need = _onnx(adapter)
    limit = need.opset if need else None
    if limit and not case.domain and case.opset > limit:
        message = f"the case is of opset {case.opset}; {adapter.name} reads at most {limit}"
        return Finding(Stage.EXPORT, Outcome.UNSUPPORTED, Cause.OPSET, message)
    return None


class OperatorRun:
    """Works node cases within a pipeline: its jobs, its options, its run."""

    def __init__(self, pipeline: Pipeline, store: Store, suite: Suite) -> None:
        self._pipeline, self._store, self._suite = pipeline, store, suite
        self._jobs, self._options = pipeline.jobs, pipeline.options
        self._recorder = Recorder(pipeline.jobs, pipeline.run_id, suite.version)
        self._workers = self._options.workers or len(os.sched_getaffinity(0))

    def check(self, cases: Sequence[NodeCase], targets: Sequence[Target]) -> list[Result]:
        """Work every case on every target. Returns a result each, case by case; each is recorded when it comes.

        Raises UsageError for a target that cannot be given node cases.
        """
        for target in targets:
            if words := refusal(target):
                raise UsageError(f"{words}.", "porting targets show TARGET tells what an adapter takes.")
        pieces = [Piece(case, target, self._key(case, target)) for case in cases for target in targets]
        results = self._recorded(pieces)
        run = self._pipeline.run_id
        self._store.begin_run(run, [(p.case.model, str(p.target)) for p in pieces], self._options.command)
        self._store.reuse(run, results.values())
        self._pipeline.tell(Event("plan", done=len(results), total=len(pieces)))
        status = "interrupted"
        try:
            self._work([piece for piece in pieces if piece.key not in results], results, len(pieces))
            status = "finished"
        finally:
            self._store.finish_run(run, status)
        return [results[piece.key] for piece in pieces]

    def _key(self, case: NodeCase, target: Target) -> str:
        versions = self._jobs.prober.probe(target.adapter).versions
        return keys.operator_key(case.digest, target, registry.fingerprint(target.adapter), versions)

    def _recorded(self, pieces: Sequence[Piece]) -> dict[str, Result]:
        """Results of equal contents that answer again."""
        return {} if self._options.rerun else reusable(self._store.by_keys(piece.key for piece in pieces))

    def _work(self, pieces: Sequence[Piece], results: dict[str, Result], total: int) -> None:
        """Keep every worker busy until each piece has its result."""
        self._jobs.expected = len(pieces)
        clear = [(piece, finding) for piece in pieces if (finding := known_before(piece))]
        told = [self._recorder.record(piece, finding) for piece, finding in clear]
        self._store.extend(told)
        results.update((result.key, result) for result, _ in told)
        waiting = deque(self._chunks([piece for piece in pieces if piece.key not in results]))
        start, before = time.monotonic(), len(results)
        active: set[Future[tuple[list[Result], list[Chunk]]]] = set()
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                while waiting or active:
                    while waiting and len(active) < self._workers:
                        active.add(pool.submit(self._chunk, waiting.popleft()))
                    ended, active = wait(active, return_when=FIRST_COMPLETED)
                    for found, rest in (future.result() for future in ended):
                        results.update((result.key, result) for result in found)
                        waiting.extendleft(reversed(rest))
                        rate = (time.monotonic() - start) / max(1, len(results) - before)
                        self._tell(found, len(results), total, rate)
            except BaseException:
                self._jobs.cancel()  # so that the threads come back
                raise

    def _tell(self, found: Sequence[Result], done: int, total: int, rate: float) -> None:
        """rate: seconds that a piece takes."""
        for result in found[-1:]:
            self._pipeline.tell(Event("chunk", result.model, result.target, None, done, total, rate * (total - done)))

    def _chunks(self, pieces: Sequence[Piece]) -> list[Chunk]:
        """Pieces by process: small enough that every worker gets some."""
        found = []
        for target in dict.fromkeys(piece.target for piece in pieces):
            own = tuple(piece for piece in pieces if piece.target == target)
            size = max(1, min(CHUNK, -(-len(own) // self._workers)))
            found += [Chunk(target, own[at : at + size]) for at in range(0, len(own), size)]
        return found

    def _chunk(self, chunk: Chunk) -> tuple[list[Result], list[Chunk]]:
        """Work a chunk as far as one process gets. Returns the results, recorded, and what is left."""
        folder = self._jobs.cells / uuid.uuid4().hex
        with disk_errors(folder):
            folder.mkdir(parents=True)
        try:
            found, rest = ChunkRun(chunk, self._suite, self._jobs, self._options.limits, self._recorder, folder).run()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._store.extend(found)
        return [result for result, _ in found], rest
