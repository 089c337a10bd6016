"""What a capture, an ONNX export and reading a saved program cost as torch does them, and with ours: rules of the exporter tried
where they can match, its tables made once, expressions of sizes walked once and read once, no line looked for anew.

    python benchmarks/export.py [MODEL ...]

Both ways in turn, each from the model on, in one process, on one thread. The ONNX files have to be equal, byte for byte, and the
texts of the programs that are read.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import onnx
import torch
from measure import stamp
from porting.adapters import _torch_program

from porting.api import Setting
from porting.bundles import build, export
from porting.bundles.bundle import Bundle, FormKey, write_bundle
from porting.bundles.reference import Reference
from porting.types import Precision

MODELS = (
    "transformers/bert", "timm/vit_tiny_patch16_224", "transformers/qwen3_moe", "timm/crossvit_9_240", "transformers/t5",
    "timm/tf_mobilenetv3_small_075", "timm/tf_efficientnet_b0",
)  # fmt: skip
OURS = ("rooted_rules", "shared_walks", "untold_places", "kept_tables")
PROGRAM, GRAPH = FormKey("aten", Precision.FP32, "dynamic"), FormKey("onnx", Precision.FP32, "dynamic")
SAVED = FormKey("pt2", Precision.FP32, "dynamic")


@contextlib.contextmanager
def without_ours() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name in OURS:
            stack.enter_context(patch.object(export, name, contextlib.nullcontext))
        yield


def spent(work: Reference, bundle: Bundle) -> tuple[float, float, bytes]:
    """CPU seconds of the capture and of the ONNX export, and the file."""
    exporter = build._exporter(work, bundle, Precision.FP32)
    start = time.process_time()
    exporter.export(PROGRAM)
    between = time.process_time()
    record = exporter.export(GRAPH)
    return between - start, time.process_time() - between, (bundle.folder / record.path).read_bytes()


def reading(path: Path) -> tuple[float, float, bool]:
    """CPU seconds of reading a saved program as torch does it and with ours, and whether it is the same."""
    _torch_program.rehearse()
    start = time.process_time()
    plain = torch.export.load(str(path))
    between = time.process_time()
    ours = _torch_program.read_program(path)
    return between - start, time.process_time() - between, str(plain) == str(ours)


def row(name: str) -> str:
    torch.set_num_threads(1)
    spec = Setting.find().catalog.get(name)
    with tempfile.TemporaryDirectory() as folder:
        work = Reference(spec, build.build(spec), Path(folder))
        bundle = write_bundle(replace(work.make(None), versions={}), [])
        spent(work, bundle)  # warms what the first one pays
        with without_ours():
            capture, graph, file = spent(work, bundle)
        our_capture, our_graph, our_file = spent(work, bundle)
        record = build._exporter(work, bundle, Precision.FP32).export(SAVED)
        read, our_read, alike = reading(bundle.folder / record.path)
    ratio = (our_capture + our_graph) / (capture + graph)
    nodes = len(onnx.load_model_from_string(file).graph.node)
    same = "yes" if file == our_file and alike else "NO"
    seconds = " | ".join(
        f"{each:.2f}" for each in (capture, our_capture, graph, our_graph, ratio, read, our_read, our_read / read)
    )
    return f"| {name} | {nodes} | {seconds} | {same} |"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"### Capture, ONNX export and reading a saved program, as torch does them and with ours ({stamp()})\n")
    print("| model | operators | capture, CPU-s | ours | ONNX, CPU-s | ours | ratio | reading, CPU-s | ours | ratio | same |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or MODELS:
        print(row(name), flush=True)
