"""tinygrad and a C compiler alone: kernels are generated and compiled when the model is run.

Needs: pip install tinygrad numpy, and clang
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ["DEV"] = "CPU"  # before the import: it otherwise takes the first device it finds
from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Read the model and run it once."""
    runner = OnnxRunner(str(HERE / artifact["files"][0]))
    print(f"{artifact['files'][0]} for {target} on this CPU, {len(runner.graph_nodes)} operators compiled by clang")
    answers = runner({name: Tensor(np.array(value)) for name, value in inputs.items()})
    Tensor.realize(*answers.values())
    return {name: np.array(value.numpy()) for name, value in answers.items()}
