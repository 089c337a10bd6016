"""`porting reduce` beside Polygraphy's `debug reduce`, on the same files and planted faults.

    python benchmarks/diagnose.py [SECONDS]

Needs Polygraphy (pip install --no-deps polygraphy onnx-graphsurgeon). Its check is a script that runs a cut on the spoilt runtime
and on the right one, fed with reference values, and fails when the answers differ. SECONDS is how long it may take, 300 by
default.
Prints a table as it stands in benchmarks/RESULTS.md.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FAULTY = ROOT / "tests" / "faulty_adapter"
sys.path[:0] = [str(HERE), str(ROOT), str(FAULTY)]

from measure import Cost, cost, stamp  # noqa: E402

FAULTS = (
    ("encoder", "sign-MatMul"), ("gated", "nan-Sigmoid"), ("encoder", "abort-Softmax"), ("residual", "hang-MaxPool"),
    ("encoder", "fused-MatMul-Add-Gelu"), ("residual", "fused-Conv-Add-Relu"), ("recurrent", "sign-LSTM"),
)  # fmt: skip
OUT_OF_TIME = 124
"""Exit status of `timeout`."""
LIMIT = 5
"""Seconds after which a cut counts as hanging, for both."""
START = "import sys; from polygraphy.tools import main; sys.exit(main())"
CHECK = """
import signal, sys
sys.path.insert(0, {faulty!r})
import numpy as np, onnx, onnxruntime, planted
open({log!r}, "a").write("x")
signal.alarm({limit})
model = onnx.load(sys.argv[1])
values = np.load({values!r})
def run(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {{i.name: values[i.name] for i in session.get_inputs()}})
right = run(model)
planted.spoil(model, {device!r})
for a, r in zip(run(model), right):
    if a.shape != r.shape or not np.allclose(a, r, 1e-3, 1e-5):
        sys.exit(1)
"""
LOADER = """
import numpy as np
def load_data():
    values = np.load({values!r})
    yield {{name: values[name] for name in {inputs!r}}}
"""


def export(model: str, folder: Path) -> Path:
    """Write a model as a file with fixed sizes, and all its values beside it."""
    import numpy as np
    import onnx
    import onnxruntime
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    import planted_models

    torch.manual_seed(0)
    net, inputs = getattr(planted_models, model)()
    path = folder / f"{model}.onnx"
    torch.onnx.export(
        net, tuple(inputs.values()), str(path), input_names=list(inputs), dynamo=True, external_data=False, verbose=False
    )
    whole = onnx.load(path)
    for node in whole.graph.node:
        known = {output.name for output in whole.graph.output}
        whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name and name not in known)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
    np.savez(path.with_suffix(".npz"), **feeds, **dict(zip(names, session.run(names, feeds), strict=True)))
    return path


def ours(path: Path, device: str, folder: Path) -> tuple[str, Cost]:
    """Reduce with porting: what is left, and the cost."""
    environment = {
        "PORTING_HOME": str(folder / "home"),
        "PORTING_CACHE": str(folder / "cache"),
        "PYTHONPATH": f"{ROOT}:{FAULTY}",
    }
    line = [sys.executable, "-m", "porting", "reduce", str(path), f"planted:{device}:fp32", "--out", str(folder / "case")]
    done = cost([*line, "--timeout", str(LIMIT), "--rerun", "--format", "json"], environment)
    try:
        (found,) = json.loads(done.output[done.output.index("[\n") :])
    except ValueError:
        return "nothing", done
    tries = found["tries"] + found["located"]["processes"]
    return f"{' + '.join(found['operators'])}; {tries} tries; {found['bytes']:,}", done


def polygraphy(path: Path, device: str, folder: Path, seconds: float) -> tuple[str, Cost]:
    """Reduce with Polygraphy: what is left, and the cost."""
    import onnx

    log, check, loader, out = (folder / name for name in ("log", "check.py", "loader.py", "reduced.onnx"))
    values = str(path.with_suffix(".npz"))
    inputs = [value.name for value in onnx.load(path).graph.input]
    check.write_text(CHECK.format(faulty=str(FAULTY), log=str(log), limit=LIMIT, values=values, device=device))
    loader.write_text(LOADER.format(values=values, inputs=inputs))
    tool = ["timeout", str(seconds), sys.executable, "-c", START, "debug", "reduce", str(path), "-o", str(out)]
    more = ["--mode", "bisect", "--data-loader-script", str(loader)]
    done = cost([*tool, *more, "--check", sys.executable, str(check), "polygraphy_debug.onnx"], {}, str(folder))
    tries = len(log.read_text()) if log.exists() else 0
    if not out.exists():
        return f"{'not finished' if done.code == OUT_OF_TIME else 'nothing'}; {tries} checks", done
    left = [node.op_type for node in onnx.load(out).graph.node]
    names = " + ".join(left) if len(left) <= 4 else f"{len(left)} operators"
    return f"{names}; {tries} checks; {out.stat().st_size:,}", done


def row(model: str, device: str, who: str, what: str, spent: Cost) -> None:
    print(f"| {model} {device} | {who} | {what} | {spent.cpu:.1f} | {spent.wall:.0f} |", flush=True)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    print(f"### The smallest case of a planted fault ({stamp()})\n")
    print("| model, fault | by | operators; tries; bytes | CPU-s | wall s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for model, device in FAULTS:
            folder = place / f"{model}-{device}"
            folder.mkdir()
            path = export(model, folder)
            row(model, device, "porting", *ours(path, device, folder))
            row(model, device, "Polygraphy", *polygraphy(path, device, folder, seconds))
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
