"""torch.compile with Inductor on the CPU. Calling programs is the family's; here are compiling, its cache, its counts.

The artifact is the program with the cache that compiling it filled, C++ objects included: PyTorch's own cache artifact
(torch.compiler.save_cache_artifacts, 2.13) leaves those out, so that loading it elsewhere compiles most of it again.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence

from porting.adapter import ExportedForm
from porting.types import Artifact, Placement, Precision, Target

from .. import _torch_program as programs
from .._inductor import CACHE_VARIABLE, CompilerAdapter, any_size, import_inductor
from .._torch import import_torch

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

CACHE = "inductor_cache"


class InductorAdapter(CompilerAdapter):
    """Compiles on the first run, as torch.compile does; what it compiled goes with the program."""

    name = "inductor"

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        programs.copy_program(form.path, folder)
        dynamic = any(isinstance(dim, str) for spec in form.inputs for dim in spec.shape)
        artifact = Artifact((programs.FILE, CACHE), form.inputs, form.outputs, {"dynamic": dynamic})
        os.environ[CACHE_VARIABLE] = str(folder / CACHE)
        session = InductorSession(folder, artifact, target)
        for number in range(len(form.samples)):  # all of them, in case one size needs code of its own
            session.run(form.sample(number))
        shutil.rmtree(str(folder / CACHE / "locks"), ignore_errors=True)
        files = [str(path.relative_to(folder)) for path in sorted((folder / CACHE).rglob("*")) if path.is_file()]
        return Artifact((programs.FILE, *files), form.inputs, form.outputs, artifact.options, session.placement())

    def load(self, artifact: Artifact, target: Target, folder: Path) -> InductorSession:
        add_to_cache(folder / CACHE, use_cache())
        return InductorSession(folder, artifact, target)


def use_cache() -> Path:
    """Let Inductor keep what it compiles in a folder of this process alone, and return it.

    One folder for all sessions: entries are named by content, and the variable is the process's. The artifact's own stays
    as it is, since it may be read-only. Removed at exit.
    """
    folder = _cache_by_process.get(os.getpid())
    if folder is None:
        # TMPDIR is asked anew: a forked process has the parent's idea of it cached in `tempfile`.
        folder = Path(tempfile.mkdtemp(prefix="inductor-", dir=os.environ.get("TMPDIR")))
        _cache_by_process[os.getpid()] = folder
        atexit.register(shutil.rmtree, str(folder), ignore_errors=True)
    os.environ[CACHE_VARIABLE] = str(folder)
    return folder


def add_to_cache(entries: Path, cache: Path) -> None:
    """Copy entries that `cache` lacks. One that it has stays untouched: its object file may be mapped into this process."""
    for source in entries.rglob("*"):
        destination = cache / source.relative_to(entries)
        if source.is_file() and not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(source), str(destination))


_cache_by_process: Dict[int, Path] = {}  # a forked process starts one of its own


class InductorSession:
    """A program that Inductor compiles on its first run, out of its cache where that has it."""

    def __init__(self, folder: Path, artifact: Artifact, target: Target) -> None:
        self._torch = import_torch()
        self._inductor = import_inductor()
        self._artifact = artifact
        self._target = target
        self._trace = programs.Trace()
        self._operators = 0
        self._generated: List[Path] = []
        module = programs.load_module(folder / artifact.files[0])
        dynamic = bool(artifact.options["dynamic"])
        self._compiled = self._torch.compile(module, fullgraph=True, dynamic=dynamic, backend=self._compile)

    def _compile(self, graph: Any, examples: Sequence[Any]) -> Any:
        """Inductor itself, with a note of what it was given and what it made of it."""
        from torch._inductor.codecache import PyCodeCache

        if not self._operators:
            self._operators = programs.note_graph(self._trace, graph.graph.nodes, "example_value")
        before = len(PyCodeCache.modules)
        compiled = self._inductor.compile_fx(graph, examples)
        self._generated += [Path(module.__file__) for module in PyCodeCache.modules[before:]]
        return compiled

    def run(self, inputs: Arrays) -> Arrays:
        values = programs.ordered_inputs(inputs, self._artifact)
        with self._torch.no_grad(), any_size():
            self._mark_dynamic(values)
            result = self._compiled(*values)
        return programs.named_outputs(result, self._artifact.outputs)

    def _mark_dynamic(self, values: Sequence[Any]) -> None:
        dynamo = self._torch._dynamo
        for spec, value in zip(self._artifact.inputs, values):  # noqa: B905 -- `strict` came with 3.10
            for axis, dim in enumerate(spec.shape):
                mark = dynamo.mark_dynamic if isinstance(dim, str) else dynamo.mark_static
                mark(value, axis)

    def placement(self) -> Placement:
        # Whole-graph capture leaves nothing to Python, so there are no others; zero means that Inductor was never called.
        return Placement(self._operators, 0, "cpu", {"operators": self._operators, **kernel_counts(self._generated)})

    def effective_precision(self) -> Precision:
        return self._trace.precision() or self._target.precision


def kernel_counts(generated: Sequence[Path]) -> Dict[str, int]:
    """Kernels in code that Inductor generated: its own, and calls of ATen and other libraries."""
    text = "\n".join(path.read_text() for path in generated)
    own = len(re.findall(r"^\w+ = async_compile\.", text, re.MULTILINE))
    library = len(re.findall(r"^\s+(?:\w+ = )?(?:extern_kernels|torch\.ops|aten)\.[\w.]+\(", text, re.MULTILINE))
    return {"generated kernels": own, "library calls": library}
