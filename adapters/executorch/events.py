"""What ExecuTorch's runtime did in a run, read from the events it records itself (an ETDump)."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence

from porting.types import Precision

from .quiet import quietly, runtime

PRECISIONS = {
    "F32": Precision.FP32, "PF32": Precision.FP32, "F16": Precision.FP16, "PF16": Precision.FP16,
    "QS8": Precision.INT8, "QC8": Precision.INT8, "PQS8": Precision.INT8, "QU8": Precision.INT8,
}  # fmt: skip
"""XNNPACK's names of what goes into an operator; a leading P is a packed layout."""

_MATRIX = re.compile(r"(?:Fully Connected|Convolution|Deconvolution|Matrix Multiply) \(\w+, (\w+)")


@dataclass
class Run:
    """Events of one run."""

    delegates: int = 0
    """Calls of delegates."""
    kernels: int = 0
    """Calls of ExecuTorch's own kernels."""
    inner: Counter[str] = field(default_factory=Counter)
    """Operators that delegates report, by the name they give them: `Fully Connected (NC, F32) GEMM`."""

    def precision(self) -> Optional[Precision]:
        """What most matrix products and convolutions in delegates took; None where there are none."""
        kinds: Counter[Precision] = Counter()
        for name, count in self.inner.items():
            found = _MATRIX.search(name)
            if found and found[1] in PRECISIONS:
                kinds[PRECISIONS[found[1]]] += count
        return kinds.most_common(1)[0][0] if kinds else None


def observed(program: Path, values: Sequence[Any]) -> Run:
    """Load a program, run it once with recording on, and read what it did. values: tensors, by position."""
    loaded = runtime().load_program(program, enable_etdump=True)
    loaded.load_method("forward").execute(values)
    with quietly(), tempfile.TemporaryDirectory() as folder:
        from executorch.devtools.etdump.serialize import deserialize_from_etdump_flatcc

        dump = Path(folder) / "run.etdp"
        loaded.write_etdump_result_to_file(str(dump), str(Path(folder) / "debug.bin"))
        recorded = deserialize_from_etdump_flatcc(dump.read_bytes())
    return summary(event.profile_event for block in recorded.run_data for event in block.events or ())


def summary(events: Iterable[Any]) -> Run:
    """Count events. events: ProfileEvent of ETDump's schema, or None."""
    run = Run()
    for event in events:
        if event is None:
            continue
        run.delegates += event.name == "DELEGATE_CALL"
        run.kernels += event.name == "OPERATOR_CALL"
        if event.delegate_debug_id_str:
            run.inner[re.sub(r" #\d+$", "", event.delegate_debug_id_str)] += 1
    return run
