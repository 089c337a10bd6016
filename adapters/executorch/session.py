"""A .pte file in ExecuTorch's own runtime."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional, Sequence

from porting.types import Artifact, Placement, Precision, Target

from .. import _torch_program as programs
from . import events
from .delegates import PORTABLE
from .lowering import LEFT
from .quiet import runtime

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

CODES = {
    0x01: "internal error", 0x02: "invalid state", 0x10: "not supported", 0x11: "not implemented", 0x12: "invalid argument",
    0x13: "invalid type", 0x14: "operator missing", 0x20: "not found", 0x21: "memory allocation failed", 0x22: "access failed",
    0x23: "invalid program", 0x24: "invalid external data", 0x25: "out of resources", 0x30: "delegate: incompatible",
    0x31: "delegate: memory allocation failed", 0x32: "delegate: invalid handle",
}  # fmt: skip
"""The runtime's error codes, as executorch/runtime/core/error.h has them; its messages have the number only."""


class EmptyTensor(RuntimeError):
    """An input has no elements, of which ExecuTorch 1.5.1 ends the process."""


class ExecuTorchSession:
    """A loaded program; values go by position."""

    def __init__(self, artifact: Artifact, target: Target, folder: Path) -> None:
        use_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
        self._artifact, self._target = artifact, target
        self._path = folder / artifact.files[0]
        self._program = runtime().load_program(self._path)
        self._method = self._program.load_method("forward")
        self._last: Sequence[Any] = ()
        self._observed: Optional[events.Run] = None

    def run(self, inputs: Arrays) -> Arrays:
        empty = [spec.name for spec in self._artifact.inputs if not inputs[spec.name].size]
        if empty:
            raise EmptyTensor(f"{', '.join(empty)} has no elements, of which ExecuTorch ends the process")
        self._last = programs.ordered_inputs(inputs, self._artifact)
        with overheard() as said:
            try:
                results = self._method.execute(self._last)
            except RuntimeError as error:
                raise RuntimeError(explained(str(error), said())) from None
        return programs.named_outputs(results, self._artifact.outputs)

    def placement(self) -> Placement:
        """What the runtime records when the last inputs are run again; operators in a delegate are the delegate's own count."""
        planned = self._artifact.placement
        assert planned is not None
        did = self._observe()
        counts = {"delegate calls": did.delegates, "operators in delegates": sum(did.inner.values()), "kernel calls": did.kernels}
        if self._target.device == PORTABLE:
            return Placement(did.kernels, did.delegates, planned.device, counts, planned.arithmetic)
        left = {name: count for name, count in planned.detail.items() if name.endswith(LEFT)}
        detail = {**counts, **did.inner, **left}
        return Placement(counts["operators in delegates"], did.kernels, planned.device, detail, planned.arithmetic)

    def effective_precision(self) -> Precision:
        """What the delegate's matrix operators took; where it has none, the dtype of the program's own."""
        in_program = programs.PRECISIONS.get(str(self._artifact.options["dtype"]))
        return self._observe().precision() or in_program or self._target.precision

    def _observe(self) -> events.Run:
        if self._observed is None:
            self._observed = events.observed(self._path, self._last)
        return self._observed


def use_threads(number: int) -> None:
    """The runtime's pool has a thread a core otherwise, whatever the job was given."""
    from executorch.extension.pybindings import portable_lib

    if portable_lib._threadpool_get_thread_count() != number:
        portable_lib._unsafe_reset_threadpool(number)  # unsafe while a program runs


@contextmanager
def overheard() -> Iterator[Callable[[], str]]:
    """Give a function that returns what was written to the standard error stream so far, C++ included: why a run fails, the
    runtime says there only. All of it goes to the stream in the end."""
    sys.stderr.flush()
    stream = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode("utf-8", "replace")

        try:
            yield said
        finally:
            os.dup2(stream, 2)
            os.close(stream)
            sys.stderr.write(said())


def explained(message: str, log: str) -> str:
    """A message of the runtime with its error code in words, the operator it stopped at and the check that failed."""
    code = re.search(r"error 0x([0-9a-fA-F]+)", message)
    words = CODES.get(int(code[1], 16)) if code else None
    operator = re.search(r"KernelCall failed at .*(in operator [\w:.]+)", log)
    reasons = re.findall(r"^\[\w+\.(?:cpp|h):\d+\] (.*(?:Check failed|resiz).*)", log, re.MULTILINE)
    parts = [f"{message} ({words})" if words else message, *(operator.groups() if operator else ()), *reasons[:1]]
    return ": ".join(part.strip(": ") for part in parts)
