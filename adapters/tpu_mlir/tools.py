"""tpu-mlir's programs, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

COMPLAINTS = (
    r"error: (?P<said>.+)",
    r"^(?P<said>(?:\w+\.)*\w*(?:Error|Exception): (?!\[!Error\]).+)",
    r"(?P<said>(?:[Ss]egmentation fault|Aborted|Assertion .* failed|ASSERT|what\(\):).*)",
    r"^(?P<said>RuntimeError: .+)",
)
"""What tells why, before what only tells which program failed."""


class ToolError(RuntimeError):
    """A program failed, or left nothing. The message is what it printed of the reason."""


def run(program: str, *arguments: str, cwd: Path) -> None:
    """Run one of them. What it prints goes to stderr. Raises ToolError when it fails."""
    command = [sys.executable, str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(
        command,
        cwd=str(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    print(done.stdout, file=sys.stderr)
    if done.returncode:
        raise ToolError(f"{program}: {complaint(done.stdout) or f'ended with status {done.returncode}'}")


def must(path: Path, program: str) -> Path:
    """A file that a program was to leave. Raises ToolError where it did not, whatever it answered."""
    if not path.is_file() or not path.stat().st_size:
        raise ToolError(f"{program} ended well and left no {path.name}")
    return path


def complaint(printed: str) -> str:
    """The first line that tells why; empty where none does."""
    for pattern in COMPLAINTS:
        found = re.search(pattern, printed, re.MULTILINE)
        if found:
            return found["said"].strip()[:1000]
    return ""


def evaluate(model: Path, inputs: Arrays, cwd: Path, every_tensor: bool = False) -> Dict[str, Array]:
    """Run a model once, a .bmodel in the simulator of its chip, an .mlir by its interpreter. Returns arrays by the names that
    tpu-mlir gives, in its order. Raises ToolError."""
    import numpy as np

    given, answer = cwd / "given.npz", cwd / "answer.npz"
    np.savez(str(given), **inputs)  # type: ignore[arg-type]  # names are no keywords
    answer.unlink(missing_ok=True)
    more: Sequence[str] = ["--dump_all_tensors"] if every_tensor else []
    run("model_runner", "--input", str(given), "--model", str(model.resolve()), "--output", str(answer), *more, cwd=cwd)
    with np.load(str(must(answer, "model_runner"))) as file:
        return {name: file[name] for name in file.files}
