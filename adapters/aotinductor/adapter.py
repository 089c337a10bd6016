"""AOTInductor: the exported program compiled ahead of time to a package of native code, which PyTorch's runtime loads as it is.

The compiler and its settings are the family's; here are making a package, reading what is in one, running it.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping

from porting.adapter import ExportedForm
from porting.types import Artifact, Placement, Precision, Target

from .. import _torch_program as programs
from .._inductor import CACHE_VARIABLE, CompilerAdapter, any_size, import_inductor
from .._torch import import_torch

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

PACKAGE = "model.pt2"
CHECK_INPUTS = "AOTI_RUNTIME_CHECK_INPUTS"
SETTINGS = {"aot_inductor.check_lowerbound": False}
"""The lower bounds of dynamic axes are what tracing assumed. Which sizes are right is found by running them."""


class AotInductorAdapter(CompilerAdapter):
    """Compiles to a .pt2 package that needs no compiler and no Python code of the model to run."""

    name = "aotinductor"

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        import_torch()
        program = programs.read_program(form.path)
        trace = programs.Trace()
        operators = programs.note_graph(trace, program.graph.nodes, "val")
        compile_package(program, folder / PACKAGE)
        counts = {"operators": operators, **kernel_counts(wrapper_code(folder / PACKAGE))}
        computes_in = trace.precision() or target.precision
        options = {"counts": counts, "computes in": computes_in.value}
        return Artifact((PACKAGE,), form.inputs, form.outputs, options, placement(counts))

    def load(self, artifact: Artifact, target: Target, folder: Path) -> PackageSession:
        del target  # the package knows
        return PackageSession(folder, artifact)


def compile_package(program: Any, package: Path) -> None:
    """Compile a loaded ExportedProgram to native code for this CPU."""
    import_inductor()
    import torch._inductor

    # TMPDIR is asked anew: a forked process has the parent's idea of it cached in `tempfile`.
    scratch = tempfile.TemporaryDirectory(prefix="inductor-", dir=os.environ.get("TMPDIR"))
    with scratch as cache, torch.no_grad(), any_size(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 warns of its own use of LeafSpec
        os.environ[CACHE_VARIABLE] = cache
        torch._inductor.aoti_compile_and_package(program, package_path=str(package), inductor_configs=dict(SETTINGS))


def wrapper_code(package: Path) -> str:
    """The C++ in a package that calls kernels and libraries; it lies beside the library that was made of it."""
    with zipfile.ZipFile(package) as archive:
        names = [name for name in archive.namelist() if name.endswith(".wrapper.cpp")]
        return "\n".join(archive.read(name).decode() for name in names)


def kernel_counts(code: str) -> Dict[str, int]:
    """Calls in generated C++: of the kernels that were generated with it, and of ATen and other libraries."""
    own = len(re.findall(r"^\s+(?:call_)?cpp_\w+\(", code, re.MULTILINE))
    library = len(re.findall(r"\(aoti_torch_(?:cpu_\w+|proxy_executor_call_function)\(", code))
    return {"generated kernels": own, "library calls": library}


def placement(counts: Mapping[str, int]) -> Placement:
    """What a package does; it holds the whole program, so that nothing is left for others."""
    return Placement(counts["generated kernels"] + counts["library calls"], 0, "cpu", counts)


class PackageSession:
    """A loaded package. Values go by position."""

    def __init__(self, folder: Path, artifact: Artifact) -> None:
        os.environ[CHECK_INPUTS] = "1"  # read when the package first runs
        self._torch = import_torch()
        import torch._inductor

        self._artifact = artifact
        self._package = torch._inductor.aoti_load_package(str(folder / artifact.files[0]))

    def run(self, inputs: Arrays) -> Arrays:
        values = programs.ordered_inputs(inputs, self._artifact)
        with self._torch.no_grad():
            result = self._package(*values)
        return programs.named_outputs(result, self._artifact.outputs)

    def placement(self) -> Placement:
        return placement(self._artifact.options["counts"])

    def effective_precision(self) -> Precision:
        return Precision(self._artifact.options["computes in"])
