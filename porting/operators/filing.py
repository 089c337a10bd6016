"""A node case as a folder that stands for itself, for a bug report, in the layout of the ONNX backend tests.

`test_add/` has model.onnx, test_data_set_0/ with the inputs (input_0.pb ...) and the right answer (output_0.pb ...) in the order
of the graph, and results.json: what came of it on each target.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.tensors import read_tensors
from porting.errors import UsageError
from porting.operators.suite import EXPECTED, INPUTS, MODEL, NodeCase, Suite
from porting.report.json_ import record
from porting.types import Result
from porting.workspace import disk_errors

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


def write_case(suite: Suite, case: NodeCase, results: Sequence[Result], folder: Path) -> Path:
    """Write a case below `folder` and return where; files there of the same names are replaced. Raises UsageError for a case
    whose data cannot be written, DiskError."""
    if case.untested:
        raise UsageError(f"{case.name} is not tested: {case.untested}.", "Only what is tested can be written.")
    place = folder / case.name
    with disk_errors(place):
        (place / "test_data_set_0").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(suite.file(case, MODEL), place / MODEL)
        for kind, file in (("input", INPUTS), ("output", EXPECTED)):
            _write_tensors(place / "test_data_set_0", kind, read_tensors(suite.file(case, file)))
        (place / "results.json").write_text(json.dumps([record(r) for r in results], indent=1, ensure_ascii=False) + "\n")
    return place


def _write_tensors(folder: Path, kind: str, arrays: Mapping[str, Array]) -> None:
    from onnx import numpy_helper

    for number, (name, array) in enumerate(arrays.items()):
        (folder / f"{kind}_{number}.pb").write_bytes(numpy_helper.from_array(array, name).SerializeToString())
