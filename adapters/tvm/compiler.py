"""TVM's compiler: from Relax to a library for this CPU, or to objects and kernels for another chip; what it says it made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from porting.serialization import Json
from porting.types import Cause, Outcome, Placement

from .._causes import Rule
from . import chips, cubin
from .chips import CHIPS

LIBRARY, ARCHIVE, KERNELS = "model.so", "model.tar", "kernels.cubin"
CPU = Path("/proc/cpuinfo")
BUILTIN = "vm.builtin."
"""The virtual machine's own functions begin with it: allocation, checks of shapes, reshapes without a copy."""
SHAPES = "shape_func"
"""What TVM calls functions that compute sizes."""

KERNEL: Mapping[str, str] = {
    "cuda": r"\b__global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(",
    "opencl": r"^__kernel void (\w+)\(",
}
"""How a kernel begins in the source that TVM generates for a kind of GPU."""

RULES: Tuple[Rule, ...] = (
    (r"[Nn]ot supported yet", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Unsupported function types?|CodeGenVM cannot emit|IndexPut requires", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Unsupported (data ?type|dtype)|in the function has dtype", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"only supports Tensor that has ShapeExpr shape|to have known shape", Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE),
    (r"object has no attribute 'value'", Outcome.UNSUPPORTED, Cause.DYNAMIC_SHAPE),  # sizes that have to be numbers
    (r"match_cast error|expect Tensor with (dtype|ndim)", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"bad_alloc|[Cc]annot allocate memory", Outcome.FAIL, Cause.HOST_OOM),
)


class CompileError(RuntimeError):
    """TVM could not import or compile a program. Its message is TVM's, without the pages of intermediate code."""


@contextmanager
def readable_errors() -> Iterator[None]:
    """Within it, an error of TVM is a CompileError of one line; the log keeps the whole."""
    try:
        yield
    except (ImportError, MemoryError, OSError):
        raise  # of this machine, not of the program
    except Exception as error:  # noqa: BLE001 -- TVM's importers and passes raise anything, assertions included
        traceback.print_exc(file=sys.stderr)
        raise CompileError(diagnosis(error)) from None


def diagnosis(error: BaseException) -> str:
    """Type and beginning of an error, up to where intermediate code begins; with the operator that it is about."""
    text = str(error).strip()
    operator = re.search(r"Offending call:\s*([\w.]+)\(", text)
    said = re.split(r"\n|The function is #", text, maxsplit=1)[0].strip()
    return f"{type(error).__name__}: {said[:300]}{f' ({operator[1]})' if operator else ''}"


# ---- this CPU -----------------------------------------------------------------------------------------------------


def compile_here(module: Any, folder: Path) -> None:
    """Compile for this CPU to a shared library. Raises CompileError."""
    import tvm

    build(module, tvm.target.Target(this_cpu())).export_library(str(folder / LIBRARY), workspace_dir=os.environ.get("TMPDIR"))


def this_cpu() -> Json:
    """This machine's CPU as a target: by its name, without what the system says it lacks.

    A virtual machine may hide instructions that every CPU of that name has. TVM 0.27 asks LLVM for the name alone, and what it
    compiles then ends the process (SIGILL).
    """
    import tvm
    from tvm.target.codegen import llvm_get_cpu_features, llvm_get_system_cpu

    target: Json = {"kind": "llvm", "mcpu": llvm_get_system_cpu()}
    implied = [str(name) for name in llvm_get_cpu_features(tvm.target.Target(target))]
    hidden = chips.hidden(implied, CPU.read_text() if CPU.exists() else "")
    return {**target, "mattr": [f"-{name}" for name in hidden]} if hidden else target


def build(module: Any, target: Any) -> Any:
    """Relax to an executable of the virtual machine, by passes that fuse operators; tvm.compile's own choice does so for GPUs
    only. Those for GPUs schedule every kernel by DLight's rules; nothing is tuned."""
    import tvm
    from tvm import relax
    from tvm.relax.backend import cpu_generic

    passes = relax.get_default_pipeline if "gpu" in target.keys else cpu_generic.get_default_pipeline
    return tvm.compile(module, target=target, relax_pipeline=passes(target))


# ---- other chips --------------------------------------------------------------------------------------------------


def compile_for(module: Any, device: str, folder: Path) -> Tuple[List[str], Placement]:
    """Compile for a chip that is not here, to an archive of objects or C sources. Returns the files and what is in them. Raises
    CompileError."""
    import tvm

    chip = CHIPS[device]
    executable = build(module, tvm.target.Target(dict(chip.target), host=dict(chip.host) or None))
    executable.export_library(str(folder / ARCHIVE), workspace_dir=os.environ.get("TMPDIR"))
    files, called = [ARCHIVE], functions(executable.stats())
    if not chip.host:
        kernels = functions_of_cpu(executable.mod.imports[0], called)
    else:
        source = device_source(executable.mod, chip.kind)
        kernels = sorted(set(re.findall(KERNEL[chip.kind], source, re.MULTILINE)))
        if chip.kind == "cuda":
            files.append(write_cubin(source, kernels, str(chip.target["arch"]), folder))
    left = [name for name in called if "." in name]
    return files, Placement(len(kernels), len(left), device, {"kernels": len(kernels), "functions of the runtime": len(left)})


def functions(statistics: str) -> List[str]:
    """What the compiled program calls besides the virtual machine's own functions and itself, out of TVM's statistics of it."""
    listed = re.search(r"Globals \(#\d+\): \[(.*)\]", statistics)
    names = listed[1].split(", ") if listed else []
    return [name for name in names if is_work(name)]


def is_work(name: str) -> bool:
    """Whether a function of this name computes values of the model."""
    return not name.startswith((BUILTIN, SHAPES)) and name != "main"


def functions_of_cpu(library: Any, called: Sequence[str]) -> List[str]:
    """Those of the called functions that the library of a CPU, objects or C, has. Raises CompileError for C that is none."""
    if library.kind != "c":
        return [name for name in called if library.implements_function(name)]
    source = library.inspect_source()
    check_c(source)
    return [name for name in called if re.search(rf"\b__tvm_ffi_{re.escape(name)}\(.*\{{$", source, re.MULTILINE)]


def check_c(source: str) -> None:
    """Let the C compiler of this machine read the C that TVM wrote: 0.27 writes some that is none, and does not look. Raises
    CompileError."""
    import tvm
    import tvm_ffi
    from tvm.support.cc import get_cc

    folders = [tvm.libinfo.find_include_path(), tvm_ffi.libinfo.find_include_path(), tvm_ffi.libinfo.find_dlpack_include_path()]
    command = [get_cc(), "-fsyntax-only", "-x", "c", *[f"-I{folder}" for folder in folders], "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        found = re.search(r"^.*?\berror: .*$", done.stderr, re.MULTILINE)
        raise CompileError(f"TVM wrote C that is none: {found[0] if found else done.stderr[:200]}")


def device_source(executable: Any, kind: str) -> str:
    """The source of all kernels, in the language of a kind of GPU; empty when the program has none."""
    modules = [module for library in executable.imports for module in library.imports if module.kind == kind]
    return "\n".join(module.inspect_source() for module in modules)


def write_cubin(source: str, kernels: Sequence[str], arch: str, folder: Path) -> str:
    """Compile kernels to machine code as TVM will where the GPU is: without a driver it writes their source, unread. Raises
    CompileError when one of them is not in what comes out."""
    code = cubin.compile_kernels(source, arch)
    lost = cubin.missing(kernels, code)
    if lost:
        raise CompileError(f"NVRTC ended well without {', '.join(lost[:3])}")
    (folder / KERNELS).write_bytes(code)
    return KERNELS
