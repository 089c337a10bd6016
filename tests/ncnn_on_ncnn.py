"""Run by the interpreter of ncnn's environment, from the repository: what is written for ncnn without pnnx, by ncnn itself.

Prints a line for each case that is wrong, and ends with their number.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import ncnn  # noqa: E402
import ncnn_cases as cases  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from adapters.ncnn.adapter import NcnnAdapter  # noqa: E402
from porting.adapter import ExportedForm  # noqa: E402
from porting.bundles import aten  # noqa: E402
from porting.types import Precision, Target, TensorSpec  # noqa: E402

FP32 = Target("ncnn", "cpu", Precision.FP32)


def wrong(name: str, folder: Path) -> str:
    """What is wrong with a case's answer; nothing where it is right."""
    function, inputs = cases.CASES[name]
    with torch.no_grad():
        aten.save(torch.export.export(cases.Wrapped(function), inputs, strict=False), folder / "program.aten")
        expected = [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(function(*inputs)) if leaf is not None]
    given = {f"x{number}": value.numpy() for number, value in enumerate(inputs)}
    specs = tuple(TensorSpec(key, str(value.dtype), value.shape) for key, value in given.items())
    outputs = tuple(TensorSpec(f"y{number}", str(value.dtype), value.shape) for number, value in enumerate(expected))
    form = ExportedForm("aten", Precision.FP32, folder / "program.aten", specs, outputs)
    adapter = NcnnAdapter()
    session = adapter.load(adapter.convert(form, FP32, folder), FP32, folder)
    answers = session.run(given)
    for spec, value in zip(outputs, expected):  # noqa: B905 -- Python 3.9
        if not np.allclose(answers[spec.name], value, rtol=1e-4, atol=1e-5):
            return f"{spec.name} is off by {np.abs(answers[spec.name].astype(float) - value).max():.3g}"
    return ""


def export_once() -> None:
    """What torch imports with its first export, before a process is made for each case, which would import it again."""
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        ones = (torch.ones(2, 2),)
        aten.save(torch.export.export(cases.Wrapped(torch.Tensor.sum), ones, strict=False), Path(folder, "program.aten"))


def main() -> int:
    """A process each, since ncnn ends it where it writes past its memory."""
    print(f"ncnn {ncnn.__version__}", flush=True)
    export_once()
    failed = 0
    for name in sys.argv[1:] or cases.CASES:
        child = os.fork()
        if not child:
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    said = wrong(name, Path(folder))
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is told
                    said = f"{type(error).__name__}: {error}"
                if said:
                    print(f"{name}: {said}", flush=True)
            os._exit(bool(said))
        _, status = os.waitpid(child, 0)
        failed += bool(status)
        if os.WIFSIGNALED(status):
            print(f"{name}: ended by signal {os.WTERMSIG(status)}", flush=True)
    print(f"{len(sys.argv[1:] or cases.CASES)} cases, {failed} wrong")
    return failed


if __name__ == "__main__":
    sys.exit(main())
