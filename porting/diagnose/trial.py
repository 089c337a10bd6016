"""Cuts tried on a target and held against the reference: what became of each, kept in a journal that survives any ending."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting.diagnose.cut import Piece
from porting.diagnose.graph import Values
from porting.diagnose.measure import distance, is_nonfinite
from porting.diagnose.probe import Ending, Lab
from porting.numerics.compare import RULES
from porting.serialization import Json, from_json, to_json
from porting.types import Cause, Outcome, Precision, Stage
from porting.workspace import disk_errors

NONFINITE, STRUCTURE, MISMATCH = "nonfinite", "structure", "mismatch"
_QUANTIZING = ("Quantize", "QLinear")


@dataclass(frozen=True)
class Trial:
    """What became of a cut."""

    kind: str
    """As an Ending's."""
    sign: str = ""
    message: str = ""
    stage: Stage = Stage.RUN
    cause: Cause | None = None
    outcome: Outcome | None = None
    off: Mapping[str, float | None] = field(default_factory=dict)
    """Distance from the reference by value, None for infinite."""
    how: Mapping[str, str] = field(default_factory=dict)
    """By value whose distance is infinite: NONFINITE, STRUCTURE or MISMATCH."""

    @property
    def ok(self) -> bool:
        """Whether it ran to its end, right or wrong."""
        return self.kind == "ok"

    def distance(self, value: str) -> float:
        found = self.off.get(value, 0.0)
        return math.inf if found is None else found


class Journal:
    """Lines of JSON by key, each written at once: what was found is there after any ending of this process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, Json] = {}
        if file.exists():
            whole, _, cut = file.read_bytes().rpartition(b"\n")
            for line in whole.splitlines():
                key, value = json.loads(line)
                self._known[key] = value
            if cut:  # a kill in the middle of a line: the next one must not be joined to it
                file.write_bytes(whole + b"\n")

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Json:
        return self._known[key]

    def get(self, key: str) -> Json:
        """What is noted, None where nothing is."""
        return self._known.get(key)

    def __setitem__(self, key: str, value: Json) -> None:
        with disk_errors(self._file), open(self._file, "ab", buffering=0) as file:
            file.write((json.dumps([key, value]) + "\n").encode())
        self._known[key] = value


class Bench:
    """Tries cuts on a target. values: the reference. precision: the one that the target is judged at."""

    def __init__(self, lab: Lab, values: Values, journal: Journal, precision: Precision) -> None:
        self.lab, self.values, self._journal, self.precision = lab, values, journal, precision
        self._flips = RULES[precision].flips
        self._memory: dict[str, Trial] = {}

    def try_some(self, pieces: Sequence[Piece], patient: bool = False) -> list[Trial]:
        """Try cuts in one process until all are done or one ends it. Returns what became of those, at least one."""
        known = [self._memory_of(piece.key) for piece in pieces]
        done = next((number for number, trial in enumerate(known) if trial is None), len(pieces))
        if done:
            return [trial for trial in known[:done] if trial]
        fresh = next((number for number, trial in enumerate(known) if trial), len(pieces))
        endings = self.lab.run([self.lab.piece(piece) for piece in pieces[:fresh]], patient)
        trials = [self.judged(piece, ending) for piece, ending in zip(pieces, endings, strict=False)]
        for piece, trial in zip(pieces, trials, strict=False):
            self._journal[piece.key] = to_json(trial)
        return trials

    def try_one(self, piece: Piece, patient: bool = False) -> Trial:
        return self.try_some([piece], patient)[0]

    def try_all(self, pieces: Sequence[Piece], patient: bool = False) -> list[Trial]:
        """Try cuts, in as many processes as it takes."""
        trials: list[Trial] = []
        while len(trials) < len(pieces):
            trials += self.try_some(pieces[len(trials) :], patient)
        return trials

    def _memory_of(self, key: str) -> Trial | None:
        if key not in self._memory and key in self._journal:
            self._memory[key] = from_json(Trial, self._journal[key])
        return self._memory.get(key)

    def judged(self, piece: Piece, ending: Ending) -> Trial:
        """Hold what a cut gave against the reference. Its outputs have to be there still."""
        if not ending.ok:
            return Trial(ending.kind, ending.sign, ending.message, ending.stage, ending.cause, ending.outcome)
        if self.lab.compile_only:
            return Trial("ok")
        got = ending.read() or {}
        off: dict[str, float | None] = {}
        how: dict[str, str] = {}
        for output, value in piece.outputs.items():
            far, why = self._far(got.get(output), value, self._step(piece, output))
            off[value] = far if math.isfinite(far) else None
            if why:
                how[value] = why
        return Trial("ok", off=off, how=how)

    def _far(self, actual: Any, value: str, step: int) -> tuple[float, str]:
        reference = self.values[value]
        if actual is None or actual.shape != reference.shape:
            return math.inf, STRUCTURE
        far = distance(actual, reference, self._flips, step)
        if math.isfinite(far):
            return far, ""
        return far, NONFINITE if is_nonfinite(actual, reference) else MISMATCH

    @staticmethod
    def _step(piece: Piece, output: str) -> int:
        """Half-way cases of quantisation may go either way."""
        maker = next(node for node in piece.nodes if output in node.output)
        return int(any(word in maker.op_type for word in _QUANTIZING))
