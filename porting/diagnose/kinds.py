"""The kinds of form that operators are told apart in, ONNX models and exported programs: how each is read, computed by a clean
runtime, and cut."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.tensors import write_tensors
from porting.cells.jobs import Trail
from porting.diagnose import clean, eager, reference
from porting.diagnose.case import Case
from porting.diagnose.cut import Cutter, Piece
from porting.diagnose.graph import Graph
from porting.diagnose.probe import Lab
from porting.diagnose.program import ProgramGraph
from porting.diagnose.program_case import ProgramCase
from porting.diagnose.program_cut import ProgramCutter, ProgramPiece
from porting.errors import ModelError
from porting.types import Target
from porting.workers.runner import Limits

if TYPE_CHECKING:
    import numpy

    from porting.cells.jobs import Jobs
    from porting.diagnose.subject import Subject

    Array = numpy.ndarray[Any, Any]

SECONDS = 1800.0
"""Wall time of a program's reference run."""


def read(subject: Subject) -> Graph:
    """The subject's form as numbered nodes. Raises ModelError."""
    return Graph(subject.exported.path) if subject.program is None else ProgramGraph(subject.program)


def clean_target(subject: Subject) -> Target:
    """The runtime that answers are held against."""
    return clean.TARGET if subject.program is None else eager.TARGET


def case_of(piece: Piece) -> Case:
    """A cut as something that can be made smaller."""
    return ProgramCase.of(piece) if isinstance(piece, ProgramPiece) else Case.of(piece)


def cutter(subject: Subject, graph: Graph, case: str, lab: Lab, jobs: Jobs, folder: Path, tell: Callable[[str], None]) -> Cutter:
    """Compute the reference values of a case into a folder, where they are not there yet. lab: of the clean runtime. Raises
    ModelError where it does not run the model."""
    inputs = subject.inputs(case)
    if subject.program is None:
        return Cutter(graph, reference.build(graph, inputs, lab, folder, subject.sizes(case), tell))
    tell("reference values")
    values, scalars = _program_values(subject.program, inputs, jobs, folder)
    return ProgramCutter(graph, values, scalars, subject.form.key.partition("-")[0])


def _program_values(
    program: Path, inputs: Mapping[str, Array], jobs: Jobs, folder: Path
) -> tuple[reference.Tensors, Mapping[str, Any]]:
    """Run a program operator by operator in a child: every tensor to the folder, its numbers from there."""
    given = folder.with_name(f"{folder.name}.inputs.npz")
    shutil.rmtree(folder, ignore_errors=True)
    values = reference.Tensors(folder)
    write_tensors(given, inputs)
    payload = {
        "kind": "porting.diagnose.eager:values",
        "path": str(program),
        "inputs": str(given),
        "names": list(inputs),
        "folder": str(folder),
    }
    end = jobs.run(payload, Trail(), limits=Limits(seconds=SECONDS, silent_seconds=SECONDS))
    if end.ending != "ok":
        hint = "Where PyTorch itself cannot run the exported program, nothing can be held against it."
        raise ModelError(f"PyTorch itself cannot run the exported program: {end.error or end.ending}.", hint)
    return values, end.value
