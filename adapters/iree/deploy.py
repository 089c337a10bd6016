"""Run this model with IREE's runtime alone: python run.py [--input inputs.npz] [--check]

Needs: pip install iree-base-runtime numpy. The module holds native code for the CPU it was made on.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import iree.runtime as iree
import numpy as np

HERE = Path(__file__).resolve().parent
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}


def run(port: dict[str, Any], precision: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the module and its weights, and run the model once."""
    config = iree.Config("local-task")
    instance, modules = config.vm_instance, []
    for weights in port["files"][1:]:
        index = iree.ParameterIndex()
        index.load(str(HERE / weights))
        modules.append(iree.create_io_parameters_module(instance, index.create_provider("model")))
    modules.append(iree.create_hal_module(instance, config.device))
    program = iree.VmModule.copy_buffer(instance, (HERE / port["files"][0]).read_bytes())
    (entry,) = [name for name in program.function_names if not re.search(r"^__|\$async$", name)]
    print(f"{port['files'][0]} at {precision} on {config.device}")
    answer = iree.load_vm_modules(*modules, program, config=config)[-1][entry](*[inputs[spec["name"]] for spec in port["inputs"]])
    results = answer if isinstance(answer, (tuple, list)) else [answer]
    names = [spec["name"] for spec in port["outputs"]]
    return {name: np.array(value.to_host()) for name, value in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well


def read_inputs(port: dict[str, Any], path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by input name, in the dtypes the model declares."""
    if not path.is_file():
        sys.exit(f"{path} is not there: give --input FILE.npz with {', '.join(spec['name'] for spec in port['inputs'])}")
    with np.load(path) as file:
        return {spec["name"]: file[spec["name"]].astype(spec["dtype"]) for spec in port["inputs"]}


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
