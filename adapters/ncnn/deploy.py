"""ncnn alone, on the CPU.

Needs: pip install ncnn numpy
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the network in the target's arithmetic, and run it once."""
    dtypes, batch, shapes = (artifact["options"].get(name, {}) for name in ("blobs", "batch", "shapes"))
    net = load(artifact["files"], target.split(":")[2], artifact["options"].get("winograd", True))
    extractor = net.create_extractor()
    for number, spec in enumerate(artifact["inputs"]):
        for blob in (f"in{number}", f"in{number}f"):  # in0f is in0 as floats
            if blob in dtypes:  # what the network does not read is not part of it
                value = np.array(np.atleast_1d(inputs[spec["name"]]), dtypes[blob], order="C")
                value = value.reshape(shapes.get(blob, value.shape))
                extractor.input(blob, ncnn.Mat(value, batch_index=batch[blob]).clone())
    print(f"{artifact['files'][0]} as {target} on this CPU")
    outputs = {}
    for number, spec in enumerate(artifact["outputs"]):
        blob = f"out{number}"
        code, mat = extractor.extract(blob)
        if code:
            sys.exit(f"ncnn does not give {spec['name']}: it returned {code}")
        value = mat.numpy("i" if dtypes[blob] == "int32" else "", batch_index=batch[blob])
        outputs[spec["name"]] = np.array(value.reshape(spec["shape"]), spec["dtype"])
    return outputs


def load(files: list[str], precision: str, winograd: bool) -> ncnn.Net:
    """The network, its layers and its weights, with fp16, ncnn's default, and bf16 off unless they are asked for."""
    net = ncnn.Net()
    net.opt.use_winograd_convolution = winograd
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = precision == "fp16"
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = precision == "bf16"
    if net.load_param(str(HERE / files[0])) or net.load_model(str(HERE / files[1])):
        sys.exit(f"ncnn could not load {' and '.join(files)}")
    return net
