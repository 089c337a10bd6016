"""From node cases to results: which are to be run, and where; what has a result for the same contents is not run again.

What happens in a process is porting.operators.chunk's.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from porting import keys, registry
from porting.errors import UsageError
from porting.operators.chunk import Chunk, ChunkRun, Piece
from porting.operators.suite import NodeCase, Suite
from porting.pipeline import Event, Pipeline, reusable
from porting.types import Precision, Result, Target

if TYPE_CHECKING:
    from porting.store import Store

CHUNK = 64
"""Cases given to one process."""


def refusal(target: Target) -> str:
    """Why a target cannot be given node cases; empty when it can."""
    adapter = registry.adapter(target.adapter)
    if adapter.need.kind != "onnx":
        return f"{target} takes {adapter.need.kind} programs, and node cases are ONNX models"
    if target.precision is Precision.INT8:
        return f"{target} needs inputs to calibrate with, and a node case has one"
    if adapter.need.at_target_precision and target.precision is not Precision.FP32:
        return f"{target} takes models exported in {target.precision.value}, and node cases are as they are"
    return ""


class OperatorRun:
    """Works node cases within a pipeline: its jobs, its options, its run."""

    def __init__(self, pipeline: Pipeline, store: Store, suite: Suite) -> None:
        self._pipeline, self._store, self._suite = pipeline, store, suite
        self._jobs, self._options = pipeline.jobs, pipeline.options
        self._done = self._began_with = self._total = 0
        self._start = 0.0

    def check(self, cases: Sequence[NodeCase], targets: Sequence[Target]) -> list[Result]:
        """Work every case on every target that is here. Returns a result each, cases in their order, targets within."""
        for target in targets:
            if words := refusal(target):
                raise UsageError(f"{words}.", "porting targets show TARGET tells what an adapter takes.")
        pieces = [Piece(case, target, self._key(case, target)) for case in cases for target in targets]
        results = self._known(pieces)
        self._store.begin_run(self._pipeline.run_id, [(p.case.model, str(p.target)) for p in pieces], self._options.command)
        self._store.reuse(self._pipeline.run_id, results.values())
        self._total, self._done = len(pieces), len(results)
        self._pipeline.tell(Event("plan", done=self._done, total=self._total))
        status = "interrupted"
        try:
            self._work([piece for piece in pieces if piece.key not in results], results)
            status = "finished"
        finally:
            self._store.finish_run(self._pipeline.run_id, status)
        return [results[piece.key] for piece in pieces]

    def _key(self, case: NodeCase, target: Target) -> str:
        versions = self._jobs.prober.probe(target.adapter).versions
        return keys.operator_key(case.digest, target, registry.fingerprint(target.adapter), versions)

    def _known(self, pieces: Sequence[Piece]) -> dict[str, Result]:
        if self._options.rerun:
            return {}
        return reusable(self._store.by_keys(piece.key for piece in pieces))

    # ---- chunks

    def _work(self, pieces: Sequence[Piece], results: dict[str, Result]) -> None:
        """Keep every worker busy until each piece has its result."""
        self._jobs.expected = len(pieces)
        self._start, self._began_with = time.monotonic(), self._done
        waiting = deque(_chunks(pieces, self._options.workers or len(os.sched_getaffinity(0))))
        active: set[Future[tuple[list[Result], list[Chunk]]]] = set()
        workers = self._options.workers or len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(workers) as pool:
            try:
                while waiting or active:
                    while waiting and len(active) < workers:
                        active.add(pool.submit(self._chunk, waiting.popleft()))
                    done, active = wait(active, return_when=FIRST_COMPLETED)
                    for future in done:
                        found, rest = future.result()
                        results.update((result.key, result) for result in found)
                        waiting.extendleft(reversed(rest))
                        self._tell(found)
            except BaseException:
                self._jobs.cancel()  # so that the threads come back
                raise

    def _tell(self, found: Sequence[Result]) -> None:
        self._done += len(found)
        left = (time.monotonic() - self._start) * (self._total - self._done) / max(1, self._done - self._began_with)
        for result in found[-1:]:
            self._pipeline.tell(Event("chunk", result.model, result.target, None, self._done, self._total, left))

    def _chunk(self, chunk: Chunk) -> tuple[list[Result], list[Chunk]]:
        """Work a chunk in one process, as far as that goes. Returns the results, recorded, and what is left."""
        folder = self._jobs.cells / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            found, rest = ChunkRun(chunk, self._suite, self._pipeline, folder).run()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._store.extend(found)
        return [result for result, _ in found], rest


def _chunks(pieces: Sequence[Piece], workers: int) -> list[Chunk]:
    """Pieces in processes: small enough that every worker gets some."""
    chunks = []
    for target in dict.fromkeys(piece.target for piece in pieces):
        own = [piece for piece in pieces if piece.target == target]
        size = max(1, min(CHUNK, -(-len(own) // workers)))
        chunks += [Chunk(target, tuple(own[at : at + size])) for at in range(0, len(own), size)]
    return chunks
