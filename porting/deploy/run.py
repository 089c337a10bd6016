"""Run this model with its backend alone: python run.py [--input inputs.npz] [--check]"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SAMPLE = HERE / "sample.npz"
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2, "int8": 0.2}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run this model, or check it against the answers it was shipped with.")
    parser.add_argument("--input", type=Path, default=SAMPLE, help="npz with one array an input, by name")
    parser.add_argument("--check", action="store_true", help="compare with the outputs in sample.npz; exit 1 if they differ")
    parser.add_argument("--tolerance", type=float, help="allowed relative difference (default: by the target's precision)")
    options = parser.parse_args()
    port = json.loads((HERE / "port.json").read_text())
    inputs = read_inputs(port["artifact"], SAMPLE if options.check else options.input)
    outputs = load_backend(HERE / "backend.py").run(port["artifact"], port["target"], inputs)
    for name, value in outputs.items():
        print(f"{name} {value.dtype} {list(value.shape)} {np.array2string(value.ravel()[:5], precision=5)}")
    allowed = options.tolerance if options.tolerance is not None else TOLERANCE[port["target"].split(":")[2]]
    if options.check and not check(outputs, [spec["name"] for spec in port["artifact"]["outputs"]], allowed):
        sys.exit(1)


def load_backend(path: Path) -> Any:
    """Import the file beside this one that knows the backend. Ends the process with what has to be installed where it cannot."""
    spec = importlib.util.spec_from_file_location("backend", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # the folder stays as it was shipped
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        sys.exit(f"{error}. {(ast.get_docstring(ast.parse(path.read_text())) or '').replace(chr(10), ' ')}")
    return module


def read_inputs(artifact: dict[str, Any], path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by input name, in the dtypes the model declares; numpy has no bfloat16, so that stays float32."""
    names = ", ".join(spec["name"] for spec in artifact["inputs"])
    if not path.is_file():
        sys.exit(f"{path} is not there: give --input FILE.npz with {names}")
    with np.load(path) as file:
        lost = [spec["name"] for spec in artifact["inputs"] if spec["name"] not in file]
        if lost:
            sys.exit(f"{path} lacks {', '.join(lost)}: it has to hold {names}")
        return {spec["name"]: typed(file[spec["name"]], spec["dtype"]) for spec in artifact["inputs"]}


def typed(value: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    return value.astype("float32" if dtype == "bfloat16" else dtype)


def check(outputs: dict[str, np.ndarray[Any, Any]], names: list[str], allowed: float) -> bool:
    """Compare with the outputs that were shipped: relative L2 for floats, share of differing elements for the rest. Nothing
    missing, of another shape or not finite where it should be is good."""
    good = True
    with np.load(SAMPLE) as file:
        for name in names:
            if name not in outputs:
                print(f"{name}: missing")
                good = False
                continue
            error = difference(outputs[name], file[f"output:{name}"])
            good = good and error <= allowed
            print(f"{name}: differs by {error:.2e}, allowed {allowed:.0e}")
    return good


def difference(value: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """Infinity where the two cannot be compared."""
    if value.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind != "f":
        return float(np.mean(value != expected)) if expected.size else 0.0
    same = (value == expected) | (np.isnan(value) & np.isnan(expected))  # infinities and what is rightly not a number
    with np.errstate(invalid="ignore"):
        wrong = np.where(same, 0.0, value.astype(np.float64) - expected)
    finite = np.where(np.isfinite(expected), expected, 0.0)
    error = float(np.linalg.norm(wrong) / max(np.linalg.norm(finite), 1e-30))
    return error if np.isfinite(error) else float("inf")


if __name__ == "__main__":
    main()
