"""The .rknn file on a board's NPU; without a board, the network in the toolkit's simulator.

Needs: on a board, pip install rknn-toolkit-lite2 numpy; elsewhere, pip install rknn-toolkit2
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DISABLED = ["swap_reshape_branch_elements", "cvt_and_to_fp_mul", "fuse_slice_slice_concat_to_conv"]  # the compiler hangs, or dies


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Run the model once on the chip of the target, or in its simulator."""
    values = [np.array(inputs[spec["name"]], spec["dtype"], ndmin=1) for spec in artifact["inputs"]]
    layouts = ["nchw" if value.ndim == 4 else "undefined" for value in values]
    try:
        from rknnlite.api import RKNNLite
    except ImportError:
        rknn = simulator(artifact["files"], target.split(":")[1])
        print(f"no rknn-toolkit-lite2 here: {artifact['files'][1]} in the simulator for {target}")
    else:
        rknn = RKNNLite()
        rknn.load_rknn(str(HERE / artifact["files"][0]))
        print(f"{artifact['files'][0]} on this board's NPU")
    if rknn.init_runtime() != 0:
        raise SystemExit("the runtime does not start; what it printed says why")
    answers = rknn.inference(inputs=values, data_format=layouts)
    return {spec["name"]: np.array(value, spec["dtype"]) for spec, value in zip(artifact["outputs"], answers)}  # noqa: B905


def simulator(files: list[str], chip: str) -> Any:
    """The network, built anew: a .rknn file cannot be simulated. files: of the artifact, calibration data after the models."""
    from rknn.api import RKNN

    samples: dict[str, list[str]] = {}
    for name in sorted(name for name in files if name.endswith(".npy")):
        samples.setdefault(Path(name).name.split(".")[0], []).append(str(HERE / name))
    dataset = HERE / "dataset.txt"
    dataset.write_text("".join(" ".join(sample) + "\n" for sample in samples.values()))
    rknn = RKNN()
    rknn.config(target_platform=chip, disable_rules=DISABLED)
    rknn.load_onnx(model=str(HERE / files[1]))
    if rknn.build(do_quantization=bool(samples), dataset=str(dataset)) != 0:
        raise SystemExit("the toolkit cannot build the model; what it printed says why")
    return rknn
