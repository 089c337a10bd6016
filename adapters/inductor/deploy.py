"""Run this model with PyTorch and its compiler alone: python run.py [--input inputs.npz] [--check]

Needs: pip install torch numpy, and a C++ compiler. What was compiled when the model was ported lies in inductor_cache; PyTorch
compiles again what does not fit this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.fx.experimental._config

HERE = Path(__file__).resolve().parent
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}


def run(port: dict[str, Any], precision: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Compile the exported program, out of the cache beside it where that fits, and run it once."""
    cache = tempfile.TemporaryDirectory()  # a copy: the compiler writes there too
    shutil.copytree(HERE / "inductor_cache", cache.name, dirs_exist_ok=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    program = torch.export.load(str(HERE / port["files"][0]))
    module = torch.compile(program.module(check_guards=False), fullgraph=True, dynamic=port["options"]["dynamic"])

    def tensor(spec: dict[str, Any]) -> torch.Tensor:
        value = torch.from_numpy(inputs[spec["name"]]).to(getattr(torch, spec["dtype"]))
        for axis, size in enumerate(spec["shape"]):
            if isinstance(size, str):
                torch._dynamo.mark_dynamic(value, axis)
        return value

    # As it was compiled: one code for every size, 1 included.
    with cache, torch.no_grad(), torch.fx.experimental._config.patch(backed_size_oblivious=True):
        results = module(*(tensor(spec) for spec in port["inputs"]))
    print(f"{port['files'][0]} at {precision} compiled for this CPU")
    names = [spec["name"] for spec in port["outputs"]]
    return {name: host(result) for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well


def host(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """In host memory; numpy has no bfloat16, so that comes as float32."""
    array: np.ndarray[Any, Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).cpu().numpy()
    return array


def read_inputs(port: dict[str, Any], path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by input name, as they are in the file."""
    if not path.is_file():
        sys.exit(f"{path} is not there: give --input FILE.npz with {', '.join(spec['name'] for spec in port['inputs'])}")
    with np.load(path) as file:
        return {spec["name"]: file[spec["name"]] for spec in port["inputs"]}


def check(outputs: dict[str, np.ndarray[Any, Any]], sample: Path, tolerance: float) -> bool:
    """Compare with the outputs that were shipped: relative L2 for floats, share of differing elements for the rest."""
    good = True
    with np.load(sample) as file:
        for name, value in outputs.items():
            expected = file[f"output:{name}"]
            if expected.dtype.kind == "f":
                error = np.linalg.norm(value.astype(np.float64) - expected) / max(np.linalg.norm(expected), 1e-30)
            else:
                error = np.mean(value != expected)
            good = good and value.shape == expected.shape and bool(error <= tolerance)
            print(f"{name}: differs by {error:.2e}, allowed {tolerance:.0e}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description="Run this model, or check it against the answers it was shipped with.")
    parser.add_argument("--input", type=Path, default=HERE / "sample.npz", help="npz with one array an input, by name")
    parser.add_argument("--check", action="store_true", help="compare with the outputs in sample.npz; exit 1 if they differ")
    parser.add_argument("--tolerance", type=float, help="allowed relative difference (default: by the target's precision)")
    options = parser.parse_args()
    description = json.loads((HERE / "port.json").read_text())
    port, precision = description["artifact"], description["target"].split(":")[2]
    outputs = run(port, precision, read_inputs(port, HERE / "sample.npz" if options.check else options.input))
    for name, value in outputs.items():
        print(f"{name} {value.dtype} {list(value.shape)} {np.array2string(value.ravel()[:5], precision=5)}")
    tolerance = options.tolerance if options.tolerance is not None else TOLERANCE[precision]
    if options.check and not check(outputs, HERE / "sample.npz", tolerance):
        sys.exit(1)


if __name__ == "__main__":
    main()
