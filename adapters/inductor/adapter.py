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
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from porting.adapter import SHARED_FOLDER, Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .. import _torch_device as device_family
from .. import _torch_program as programs
from .._causes import Meaning, Rule, first_match, one_line

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

CACHE = "inductor_cache"
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

RULES: Tuple[Rule, ...] = (
    (r"InvalidCxxCompiler|No working C\+\+ compiler", Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY),
    (r"MissingOperator|missing lowering|make_fallback", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Data-dependent|torch\._dynamo\.exc\.Unsupported|^Unsupported:", Outcome.UNSUPPORTED, Cause.CONTROL_FLOW),
    *device_family.RULES,
)


class InductorAdapter(Adapter):
    """Compiles the exported program, at the target's precision, to C++ for this CPU."""

    name = "inductor"
    vendor = "PyTorch Foundation"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2", at_target_precision=True)
    devices = {"cpu": (Precision.FP32, Precision.FP16, Precision.BF16)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("torch",)
    install_hint = "pip install torch, and a C++ compiler: apt install g++"

    @classmethod
    def warm(cls) -> None:
        import_inductor()
        rehearse()

    def probe(self) -> Probe:
        try:
            torch = device_family.import_torch()
            compiler = compiler_version()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            reason = f"{one_line(error)}; {self.install_hint}"
            return Probe({"cpu": DeviceState(False, reason, Cause.MISSING_DEPENDENCY)})
        return Probe({"cpu": DeviceState(True)}, {"torch": torch.__version__, "c++": compiler})

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

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def compiler_version() -> str:
    """First line of what the C++ compiler that Inductor would take says of itself. Raises when there is none."""
    import subprocess

    from torch._inductor.cpp_builder import get_cpp_compiler

    compiler = get_cpp_compiler()
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60, check=True)
    return said.stdout.splitlines()[0]


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


def import_inductor() -> Any:
    """Import Inductor's entry module and let it compile in this process: workers would outlive the job."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch 2.13 warns of its own torch.jit.script_method
        import torch._inductor.compile_fx as inductor
        import torch._inductor.config as config

    config.compile_threads = 1
    share_what_no_model_changes()
    return inductor


def rehearse() -> None:
    """Go once through everything in front of code generation: its imports and tables take three seconds of every process."""
    import torch
    import torch._dynamo
    from torch._inductor.fx_passes import joint_graph, post_grad

    with torch.no_grad():
        joint_graph.lazy_init()
        post_grad.lazy_init()
        layer = torch.compile(torch.nn.Linear(2, 2).eval(), fullgraph=True, dynamic=True, backend="aot_eager")
        layer(torch.ones(3, 2))
    torch._dynamo.reset()


def share_what_no_model_changes() -> None:
    """Keep the precompiled header and the probe of the vector unit, ten CPU-seconds together, where the next cell finds them."""
    shared = os.environ.get(SHARED_FOLDER)
    if not shared:
        return
    from torch._inductor import codecache, cpu_vec_isa

    own, common = os.environ.get(CACHE_VARIABLE), str(Path(shared) / "inductor")
    codecache._HEADER_DIR = str(Path(common) / "precompiled_headers")  # private: without it the header is made once a job
    os.environ[CACHE_VARIABLE] = common
    try:
        cpu_vec_isa.pick_vec_isa()
    finally:
        if own is None:
            del os.environ[CACHE_VARIABLE]
        else:
            os.environ[CACHE_VARIABLE] = own


def any_size() -> Any:
    """Within it a dynamic axis of size 1 is one like any other; otherwise it is compiled for apart."""
    from torch.fx.experimental import _config

    return _config.patch(backed_size_oblivious=True)


class InductorSession:
    """A program that Inductor compiles on its first run, out of its cache where that has it."""

    def __init__(self, folder: Path, artifact: Artifact, target: Target) -> None:
        self._torch = device_family.import_torch()
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
            self._note(graph.graph.nodes)
        before = len(PyCodeCache.modules)
        compiled = self._inductor.compile_fx(graph, examples)
        self._generated += [Path(module.__file__) for module in PyCodeCache.modules[before:]]
        return compiled

    def _note(self, nodes: Any) -> None:
        for node in nodes:
            if node.op in ("call_function", "call_method", "call_module"):
                self._operators += 1
                given = [source.meta.get("example_value") for source in node.all_input_nodes]
                programs.note(self._trace, str(node.target), str(node.target), given, node.meta.get("example_value"), "cpu")

    def run(self, inputs: Arrays) -> Arrays:
        values = programs.ordered_inputs(inputs, self._artifact)
        with self._torch.no_grad(), any_size():
            self._mark_dynamic(values)
            result = self._compiled(*values)
        return programs.named_outputs(result, [spec.name for spec in self._artifact.outputs])

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
