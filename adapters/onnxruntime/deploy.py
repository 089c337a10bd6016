"""Run this model with ONNX Runtime alone: python run.py [--input inputs.npz] [--check]

Needs: pip install onnxruntime numpy, or the onnxruntime distribution that has the provider in port.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: onnxruntime reports sessions over the network otherwise
import onnxruntime

HERE = Path(__file__).resolve().parent
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}


def run(port: dict[str, Any], precision: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Open a session on the provider the model was ported to, and no other, and run it once."""
    provider = port["options"]["provider"]
    wanted = [(provider, port["options"]["provider_options"])]
    session = onnxruntime.InferenceSession(str(HERE / port["files"][0]), providers=wanted, enable_fallback=0)
    if session.get_providers()[0] != provider:
        sys.exit(f"{provider} did not start; the session came up on {session.get_providers()}")
    names = [output.name for output in session.get_outputs()]
    print(f"{port['files'][0]} at {precision} on {provider}")
    return dict(zip(names, session.run(names, inputs)))  # noqa: B905 -- runs on Python 3.9 as well


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
