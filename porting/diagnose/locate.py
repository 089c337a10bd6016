"""Which operators of a model are wrong on a target by themselves, rather than inherit an error.

First whether the target answers alike twice, then every operator by itself (porting.diagnose.isolate), then, for what only shows
in company, the smallest group that is wrong together (porting.diagnose.window).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porting.diagnose import kinds
from porting.diagnose.context import Context
from porting.diagnose.cut import Cutter
from porting.diagnose.graph import Source
from porting.diagnose.isolate import BUDGET, Fault, Isolated, Isolation
from porting.diagnose.noise import Noise
from porting.diagnose.probe import Lab, Spent
from porting.diagnose.subject import Subject, Whole, drop_tensors, run_whole, working_folder
from porting.diagnose.trial import Bench, Journal
from porting.serialization import from_json, to_json
from porting.types import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from porting.cells.pipeline import Pipeline

RIGHT, WRONG, TOGETHER, AMPLIFIED = "right", "wrong_operators", "wrong_together", "amplified"
UNSTEADY, EXPORT, WHOLE, REFUSED = "nondeterministic", "export", "whole_only", "refused"
VERDICTS = {
    RIGHT: "the model is right, and so is every operator by itself",
    WRONG: "operators are wrong by themselves",
    TOGETHER: "operators are right by themselves, and wrong together",
    AMPLIFIED: "no operator is wrong: each is within its own error, which the model adds up or amplifies",
    UNSTEADY: "the target does not answer alike twice, so nothing can be told from single answers",
    EXPORT: "the exported model is wrong on a clean runtime, too: the fault is in the export, not in the target",
    WHOLE: "the failure goes away when the model is cut out of its file",
    REFUSED: "an exporter refuses a part of the model, so that the target never sees it",
}


@dataclass(frozen=True)
class Blamed:
    """A node that is at fault."""

    node: int
    """Number in the exported form."""
    operator: str
    value: str
    """Name of its first output."""
    kind: str
    """`mismatch`, `nonfinite`, `structure`, `exception`, `crash`, `hang`, `memory`, `export` (a part is refused)."""
    distance: float | None = None
    """From the reference; None where that is infinite, or there was no answer."""
    allowed: float | None = None
    message: str = ""
    inputs: tuple[str, ...] = ()
    """Dtypes and shapes."""
    source: Source = field(default_factory=Source)
    kernel: int = 0
    """Nodes with the same number are one kernel to the target."""
    tried: bool = True
    """False for one of a kernel that ended the process when another node of it was tried."""


@dataclass(frozen=True)
class Located:
    """What was found out."""

    model: str
    target: str
    verdict: str
    """One of VERDICTS."""
    said: str
    """What it means, in a sentence."""
    whole: str
    """What the whole model does on the target."""
    case: str
    """The case whose values the operators were fed."""
    blamed: tuple[Blamed, ...] = ()
    group: tuple[Blamed, ...] = ()
    """Nodes that are wrong together."""
    refused: tuple[Blamed, ...] = ()
    """Nodes that fail by themselves, but otherwise than the whole model does."""
    notes: tuple[str, ...] = ()
    nodes: int = 0
    kernels: int = 0
    sign: str = ""
    """What has to be the same in a smaller case."""
    processes: int = 0
    """Started on the target."""
    models: int = 0
    """Converted and loaded there."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the processes on the target."""
    peak_rss_bytes: int = 0
    """Of the largest of them, the whole model's left out."""


@dataclass(frozen=True)
class Settings:
    """How to look."""

    seconds: float = 60.0
    """Wall time that a stage of one cut may take."""
    budget: int = BUDGET
    """Bytes that the operators of one cut may read and make."""
    rerun: bool = False
    """Forget what was found out before."""
    form: str = ""
    """Kind of the form to look at, `onnx`, `pt2` or `aten`; the first that the target takes by default."""
    route: str = ""
    """The route along which it is made, in the words of `porting routes`; the usual one by default."""


class Locator:
    """Looks into one model on one target; keeps what a reduction goes on from."""

    def __init__(self, pipeline: Pipeline, subject: Subject, settings: Settings, tell: Callable[[str], None]) -> None:
        self.pipeline, self.subject, self.settings, self.tell = pipeline, subject, settings, tell
        self.folder = working_folder(pipeline, subject)
        if settings.rerun:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.graph = kinds.read(subject)
        self.journal = Journal(self.folder / "journal.jsonl")
        self.lab = self._lab("target")
        self.clean = Lab(pipeline.jobs, kinds.clean_target(subject), self._scratch("clean"), settings.seconds)
        self.isolated = Isolated()
        self.context: Context | None = None
        self.bench: Bench | None = None
        self.cutter: Cutter | None = None
        self.kernels: dict[int, int] = {}

    def _lab(self, name: str) -> Lab:
        precision = self.subject.exported.precision
        lab = Lab(self.pipeline.jobs, self.subject.cell.target, self._scratch(name), self.settings.seconds, precision)
        lab.names = self.graph.names
        return lab

    def _scratch(self, name: str) -> Path:
        return self.pipeline.jobs.cells / f"diagnose-{name}"

    def run(self) -> Located:
        """Look. What was tried before, in a run that was ended, is not tried again."""
        start = time.monotonic()
        whole = self._whole()
        of_whole = self.lab.spent
        self.lab.spent = Spent(of_whole.processes, of_whole.models, of_whole.cpu_seconds)
        try:
            found = self._look(whole)
        finally:
            shutil.rmtree(self._scratch("target"), ignore_errors=True)
        return self._located(whole, found, time.monotonic() - start)

    def close(self) -> None:
        """Remove the reference tensors; the journal stays."""
        drop_tensors(self.folder)

    def _whole(self) -> Whole:
        if "whole" not in self.journal:
            self.tell("the whole model, twice")
            self.journal["whole"] = to_json(run_whole(self.subject, self.lab, self.pipeline))
        return from_json(Whole, self.journal["whole"])

    # ---- the steps

    def _look(self, whole: Whole) -> str:
        if whole.unsteady:
            return UNSTEADY
        case = self.case_of(whole)
        if not whole.right and whole.said and self._clean_is_wrong():
            return EXPORT
        self._open(whole, case)
        assert self.cutter
        assert self.bench
        noise = Noise(self.cutter, self.pipeline.jobs, whole.precision, self._scratch("noise"))
        wanted = "" if whole.ending.ok else whole.ending.sign
        isolation = Isolation(self.cutter, self.bench, noise, wanted, self.tell, self.settings.budget)
        self.kernels = {node: number for number, nodes in enumerate(isolation.kernels.values()) for node in nodes}
        self.isolated = isolation.run()
        if whole.right:
            return WRONG if self.isolated.wrong else RIGHT
        self.context = Context(self.cutter, self.bench, noise, wanted, self.clean, self.tell)
        guilty = {self.kernels[node] for node in self.isolated.wrong}
        rest = [node for node in range(len(self.graph)) if self.kernels.get(node) not in guilty]
        self.context.find(rest, free=not self.isolated.wrong)
        if self.isolated.wrong:
            return WRONG
        if self.context.group:
            return AMPLIFIED if self.context.amplified else TOGETHER
        return AMPLIFIED if whole.off and self.context.adds_up(range(len(self.graph)), whole.off) else WHOLE

    def case_of(self, whole: Whole) -> str:
        """The case whose values are looked at: the first that fails."""
        named = whole.ending.case.removesuffix(" again")
        failed = whole.said.failed_cases if whole.said else {named}
        return next((c.name for c in self.subject.bundle.cases_for(self.subject.form) if c.name in failed), self.subject.nominal)

    def _clean_is_wrong(self) -> bool:
        """Whether the exported form does not give the right answer anywhere."""
        self.tell("the whole model on a clean runtime")
        said = run_whole(self.subject, self.clean, self.pipeline).said
        return said is None or said.outcome is Outcome.MISMATCH

    def _open(self, whole: Whole, case: str) -> None:
        place, jobs = self.folder / f"values-{case}", self.pipeline.jobs
        self.cutter = kinds.cutter(self.subject, self.graph, case, self.clean, jobs, place, self.tell)
        self.bench = Bench(self.lab, self.cutter.values, self.journal, whole.precision)

    # ---- the answer

    def _located(self, whole: Whole, found: str, seconds: float) -> Located:
        spent, group = self.lab.spent, self.context.group if self.context else ()
        return Located(
            model=self.subject.cell.spec.id,
            target=str(self.subject.cell.target),
            verdict=found,
            said=VERDICTS[found],
            whole=whole.words,
            case=self.case_of(whole),
            blamed=tuple(self.blamed(fault) for _, fault in sorted(self.isolated.wrong.items())),
            group=tuple(self.blamed(self._in_group(node, whole)) for node in group),
            refused=tuple(self.blamed(fault) for _, fault in sorted(self.isolated.refused.items())),
            notes=tuple(self._notes(whole, found)),
            nodes=len(self.graph),
            kernels=len(set(self.kernels.values())),
            sign=self._sign(whole),
            processes=spent.processes,
            models=spent.models,
            seconds=round(seconds, 2),
            cpu_seconds=round(spent.cpu_seconds, 2),
            peak_rss_bytes=spent.peak_rss_bytes,
        )

    def blamed(self, fault: Fault) -> Blamed:
        graph, node = self.graph, self.graph.nodes[fault.node]
        inputs = tuple(self._described(name) for name in self.graph.reads[fault.node])
        operator = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        return Blamed(
            fault.node,
            operator,
            next(iter(graph.used(fault.node)), ""),
            fault.kind,
            fault.distance,
            fault.allowed,
            fault.message,
            inputs,
            graph.source(fault.node),
            self.kernels.get(fault.node, -1),
            fault.same_as is None,
        )

    def _described(self, name: str) -> str:
        assert self.cutter
        array = self.graph.value(name, self.cutter.values)
        return f"{array.dtype}{list(array.shape)}"

    @staticmethod
    def _in_group(node: int, whole: Whole) -> Fault:
        kind = whole.ending.kind if not whole.ending.ok else "mismatch"
        return Fault(node, kind, message=whole.ending.message)

    def _sign(self, whole: Whole) -> str:
        """Of the first fault that a smaller case has to show."""
        if not whole.ending.ok:
            return whole.ending.sign
        first = next(iter(sorted(self.isolated.wrong.items())), None)
        return first[1].kind if first else "mismatch" if self.context and self.context.group else ""

    def _notes(self, whole: Whole, found: str) -> Sequence[str]:
        notes = [whole.unsteady] if whole.unsteady else []
        if found == WRONG and whole.right:
            notes.append("the whole model passes all the same: its own tolerance hides them on these cases")
        if self.isolated.beside:
            names = ", ".join(sorted({self.graph.nodes[node].op_type for node in self.isolated.beside}))
            notes.append(f"wrong beside other operators, and right in a model of their own: {names}")
        if found == WRONG and not whole.right and self.context:
            rest = f"without them the rest of the model {'is right' if whole.ending.ok else 'does not fail in this way'}"
            notes.append(f"besides, a group of {len(self.context.group)} is wrong" if self.context.group else rest)
        if self.context and self.context.group and self.context.free:
            notes.append("it shows only where axes may have any size: with fixed sizes the target is right")
        return notes
