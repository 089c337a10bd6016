"""What an ONNX export costs with the exporter's rules tried at every node, as it does, and only where they can match.

    python benchmarks/export_rules.py [MODEL ...]

Both ways in turn, in one process, on one thread; the captured program is the same. The files have to be equal, byte for byte.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import onnx
from measure import stamp

from porting.api import Setting
from porting.bundles import build, export
from porting.bundles.bundle import FormKey, write_bundle
from porting.bundles.optimizer import rooted_rules
from porting.bundles.reference import Reference
from porting.types import Precision

MODELS = ("transformers/bert", "timm/vit_tiny_patch16_224", "transformers/qwen3_moe", "timm/crossvit_9_240", "transformers/t5")
KEY = FormKey("onnx", Precision.FP32, "dynamic")


def row(name: str) -> str:
    import torch

    torch.set_num_threads(1)
    spec = Setting.find().catalog.get(name)
    with tempfile.TemporaryDirectory() as folder:
        work = Reference(spec, build.build(spec), Path(folder))
        bundle = write_bundle(replace(work.make(None), versions={}), [])
        exporter = build._exporter(work, bundle, Precision.FP32)
        exporter.export(KEY)  # captures, and warms what the first one pays
        spent, files = [], []
        for way in (contextlib.nullcontext, rooted_rules):
            export.rooted_rules = way
            start = time.process_time()
            record = exporter.export(KEY)
            spent.append(time.process_time() - start)
            files.append((Path(folder) / record.path).read_bytes())
        nodes = len(onnx.load_model_from_string(files[0]).graph.node)
    same = "yes" if files[0] == files[1] else "NO"
    return f"| {name} | {nodes} | {spent[0]:.2f} | {spent[1]:.2f} | {spent[1] / spent[0]:.2f} | {same} |"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"### The exporter's rules, tried everywhere and at their roots ({stamp()})\n")
    print("| model | operators | everywhere, CPU-s | at their roots, CPU-s | ratio | same file |\n|---|---|---|---|---|---|")
    for name in sys.argv[1:] or MODELS:
        print(row(name), flush=True)
