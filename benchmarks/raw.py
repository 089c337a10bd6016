"""The raw parts of convert and validate, without this toolkit: `raw.py bare|verify MODEL CASES`.

bare: torch.onnx.export with dynamic axes, an onnxruntime session, and on every case eager float32, eager float64 and the
session. verify: torch.onnx.export(verify=True), which checks one case. CASES: a folder with NAME.inputs.npz files.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402

from models import MODELS  # noqa: E402
from porting.bundles.tensors import read_tensors  # noqa: E402
from porting.sources._torchvision import make_importable  # noqa: E402

torch.set_num_threads(1)
torch.set_grad_enabled(False)


def main(way: str, name: str, folder: str) -> None:
    make_importable()
    torch.manual_seed(0)
    module, example = MODELS[name]()
    names = list(example)
    shapes = {n: {0: "batch", 1: "sequence"} if t.dim() == 2 else {0: "batch"} for n, t in example.items()}
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "model.onnx")
        torch.onnx.export(
            module, (), path, kwargs=example, dynamo=True, dynamic_shapes=shapes, input_names=names, external_data=True,
            verify=way == "verify", verbose=False,
        )  # fmt: skip
        if way == "bare":
            check(module, path, names, folder)


def check(module: torch.nn.Module, path: str, names: list[str], folder: str) -> None:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wide = copy.deepcopy(module).double()
    for file in sorted(Path(folder).glob("*.inputs.npz")):
        arrays = {n: a for n, a in read_tensors(file).items() if n in names}
        tensors = {n: torch.from_numpy(a) for n, a in arrays.items()}
        module(**tensors)
        truth = wide(**{n: t.double() if t.is_floating_point() else t for n, t in tensors.items()})
        first = next(iter(truth.values())) if isinstance(truth, dict) else truth
        got = session.run(None, arrays)[0]
        print(file.name, float(np.abs(got - first.numpy()).max()))


main(*sys.argv[1:])
