"""The .bmodel in tpu-mlir's simulator of its chip. On a card, give the same file to the runtime of its driver (sail, bmrt).

Needs: pip install --no-deps tpu-mlir, on Python 3.10, and what it imports
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Run the model once, in the simulator."""
    options = artifact["options"]
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "given.npz", Path(folder) / "answer.npz"
        np.savez(str(given), **{name: inputs[own] for own, name in options["inputs"].items()})  # type: ignore[arg-type]
        runner = Path(sys.executable).with_name("model_runner")
        command = [runner, "--input", given, "--model", HERE / artifact["files"][0], "--output", answer]
        subprocess.run([sys.executable, *map(str, command)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with np.load(str(answer)) as file:
            values = [file[name] for name in file.files]
    print(f"{artifact['files'][0]} in the simulator for {target}")
    found = dict(zip(options["outputs"], values))  # noqa: B905
    found.update({name: inputs[own] for name, own in options["handed"].items()})
    return {spec["name"]: found[spec["name"]].reshape(spec["shape"]).astype(spec["dtype"]) for spec in artifact["outputs"]}
