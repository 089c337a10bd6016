"""Shows a failure with its backend alone: python reproduce.py

Exit status: 1 when the failure shows, 0 when the backend is right, 2 when it is not installed. `backend/` holds the code that
converts, loads and runs.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

import numpy as np

HERE = Path(__file__).resolve().parent


def main() -> int:
    case = json.loads((HERE / "case.json").read_text())
    inputs, expected = read("inputs.npz", case["bfloat16"]), read("expected.npz", case["bfloat16"])
    print(f"{case['failure']} on {case['target']}; a crash or a hang ends or stops this process")
    sys.stdout.flush()
    try:
        outputs = run(case, inputs)
    except ModuleNotFoundError as error:
        print(f"not here: {error}")
        return 2
    except Exception as error:  # noqa: BLE001 -- whatever the backend raises is what there is to show
        print(f"{type(error).__name__}: {error}")
        return 1
    wrong = [name for name, right in expected.items() if not close(name, outputs.get(name), right, case["allowed"])]
    print(f"wrong: {', '.join(wrong)}" if wrong else "every output is right")
    return 1 if wrong else 0


def run(case: Dict[str, Any], inputs: Dict[str, Any]) -> Dict[str, Any]:
    """Convert the model for the target, load it and run it once."""
    sys.path.insert(0, str(HERE / "backend"))
    types, contract = importlib.import_module("porting.types"), importlib.import_module("porting.adapter")
    serialization = importlib.import_module("porting.serialization")
    module, _, name = case["adapter"].partition(":")
    adapter, target = getattr(importlib.import_module(module), name)(), types.Target.parse(case["target"])
    tensors = importlib.import_module("porting.bundles.tensors")
    with tempfile.TemporaryDirectory() as scratch:
        sample, folder = Path(scratch, "sample.npz"), Path(scratch, "artifact")
        tensors.write_tensors(sample, inputs)
        folder.mkdir()
        model = HERE / ("model." + case["form"]["kind"])
        form = serialization.from_json(contract.ExportedForm, {**case["form"], "path": model, "samples": [sample]})
        artifact = adapter.convert(form, target, folder)
        if case["compile_only"]:
            return {}
        outputs: Dict[str, Any] = adapter.load(artifact, target, folder).run(inputs)
        return outputs


def read(file: str, bfloat16: Any) -> Dict[str, Any]:
    """Arrays by name; numpy has no bfloat16, so that lies as its bits."""
    with np.load(HERE / file) as arrays:
        return {name: typed(arrays[name], name in bfloat16) for name in arrays.files}


def typed(array: Any, is_bfloat16: bool) -> Any:
    return array.view(importlib.import_module("ml_dtypes").bfloat16) if is_bfloat16 else array


def close(name: str, actual: Any, right: Any, allowed: Dict[str, float]) -> bool:
    """Whether an output is within what its operator may be off, and say how far off it is."""
    if actual is None or actual.shape != right.shape:
        print(f"{name}: shape {None if actual is None else actual.shape}, expected {right.shape}")
        return False
    if right.dtype.kind in "iub":
        differ = int((actual != right).sum())
        print(f"{name}: {differ} of {right.size} elements differ")
        return not differ
    a, r = np.asarray(actual, np.float64), np.asarray(right, np.float64)
    odd = int((np.isfinite(a) != np.isfinite(r)).sum())
    both = np.isfinite(a) & np.isfinite(r)
    off = float(np.linalg.norm(a[both] - r[both]) / max(float(np.linalg.norm(r[both])), 1e-30))
    print(f"{name}: relative error {off:.2e}, allowed {allowed.get(name, 0.0):.2e}; {odd} elements finite on one side alone")
    print(f"  got      {np.array2string(a.ravel()[:8], precision=6)}\n  expected {np.array2string(r.ravel()[:8], precision=6)}")
    return not odd and off <= allowed.get(name, 0.0)


if __name__ == "__main__":
    sys.exit(main())
