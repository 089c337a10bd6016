"""JAX alone: XLA compiles the module for the CPU that it is run on.

Needs: pip install jax flatbuffers numpy
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

HERE = Path(__file__).resolve().parent
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)  # integers of 64 bits stay so
jax.config.update("jax_default_matmul_precision", "highest")


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Compile the module and run it once, at the sizes it was made for."""
    module, weights = artifact["files"]
    exported = jax.export.deserialize(bytearray((HERE / module).read_bytes()))
    with np.load(HERE / weights) as file:
        held = [file[f"arr_{number}"] for number in range(len(file.files))]
    print(f"{module} for {target} on {jax.devices()[0]}")
    results = jax.jit(exported.call)(held, tuple(inputs[spec["name"]] for spec in artifact["inputs"]))
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: np.array(result) for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well
