"""The onnx package's reference evaluator alone.

Needs: pip install onnx numpy
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx.reference import ReferenceEvaluator

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run the model once, operator by operator in NumPy."""
    evaluator = ReferenceEvaluator(str(HERE / artifact["files"][0]))
    print(f"{artifact['files'][0]} for {target} in NumPy")
    values = evaluator.run(None, {name: inputs[name] for name in evaluator.input_names})
    return dict(zip(evaluator.output_names, values))  # noqa: B905 -- runs on Python 3.9 as well
