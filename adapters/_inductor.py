"""Inductor on the CPU, what compiling just in time and ahead of time share: the compiler, its settings, what its errors mean.

Programs as such are `_torch_program`'s.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Optional, Tuple

from porting.adapter import SHARED_FOLDER, Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Cause, Evidence, Outcome, Precision

from ._causes import Meaning, Rule, first_match, nothing_here
from ._torch import RULES as TORCH_RULES
from ._torch import import_torch

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

RULES: Tuple[Rule, ...] = (
    (r"InvalidCxxCompiler|No working C\+\+ compiler", Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY),
    (r"MissingOperator|missing lowering|make_fallback", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Data-dependent|torch\._dynamo\.exc\.Unsupported|^Unsupported:", Outcome.UNSUPPORTED, Cause.CONTROL_FLOW),
    (r"input_handles\[\d+\]: (unmatched dim|dim value)", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    *TORCH_RULES,
)


class CompilerAdapter(Adapter):
    """Base of those that compile the exported program, at the target's precision, to C++ for this CPU."""

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
            torch = import_torch()
            compiler = compiler_version()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe({"cpu": DeviceState(True)}, {"torch": torch.__version__, "c++": compiler})

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def compiler_version() -> str:
    """First line of what the C++ compiler that Inductor would take says of itself. Raises when there is none."""
    import subprocess

    from torch._inductor.cpp_builder import get_cpp_compiler

    compiler = get_cpp_compiler()
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60, check=True)
    return said.stdout.splitlines()[0]


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
    # Private: without these the header is made once a job, or by two at once that know nothing of each other's lock.
    codecache._HEADER_DIR = str(Path(common) / "precompiled_headers")
    codecache._HEADER_LOCK_DIR = str(Path(common) / "precompiled_headers" / "locks")
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
