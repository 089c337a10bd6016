"""Run this model with the onnx package alone: python run.py [--check]"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from onnx.reference import ReferenceEvaluator

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the outputs in sample.npz; exit 1 if they differ")
    options = parser.parse_args()
    artifact = json.loads((HERE / "port.json").read_text())["artifact"]
    evaluator = ReferenceEvaluator(str(HERE / artifact["files"][0]))
    sample = np.load(HERE / "sample.npz")
    values = evaluator.run(None, {name: sample[name] for name in evaluator.input_names})
    for name, value in zip(evaluator.output_names, values, strict=True):
        print(name, value.dtype, list(value.shape))
        if options.check and not np.allclose(value, sample[f"output:{name}"], rtol=1e-4, atol=1e-5):
            sys.exit(f"{name} is not what it was")


if __name__ == "__main__":
    main()
