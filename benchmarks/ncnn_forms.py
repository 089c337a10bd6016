"""Networks that pnnx translates and networks that are written without it, beside PyTorch, on one core.

    ENVIRONMENT/bin/python benchmarks/ncnn_forms.py

ENVIRONMENT is ncnn's, made by `porting env create ncnn`; `porting env list` tells where it is. CPU milliseconds of a run, the
least of ten, and the peak memory of a process each, its conversion and PyTorch in it.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from adapters.ncnn.adapter import NcnnAdapter  # noqa: E402
from porting.adapter import ExportedForm  # noqa: E402
from porting.bundles import aten  # noqa: E402
from porting.types import Precision, Target, TensorSpec  # noqa: E402

FP32 = Target("ncnn", "cpu", Precision.FP32)
RUNS = 10


class Block(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """A pre-norm transformer block, as vision transformers have it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after, self.heads = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width), heads
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        query, key, value = self.qkv(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.down(torch.nn.functional.gelu(self.up(self.after(x))))


def convolved(given: int, made: int, stride: int = 1) -> Any:
    return torch.nn.Sequential(
        torch.nn.Conv2d(given, made, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(made), torch.nn.ReLU()
    )


def models() -> dict[str, tuple[Any, Any]]:
    torch.manual_seed(0)
    transformer = torch.nn.Sequential(*[Block(384, 6) for _ in range(6)])
    image = [convolved(3, 32, 2), convolved(32, 64), convolved(64, 64), convolved(64, 128, 2), convolved(128, 128)]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(128, 1000)]
    return {
        "transformer, 6 blocks of 384, 197 tokens": (transformer.eval(), torch.randn(1, 197, 384)),
        "convolutions, 3 x 224 x 224": (torch.nn.Sequential(*image, *head).eval(), torch.randn(1, 3, 224, 224)),
    }


def least(run: Callable[[], Any]) -> float:
    """CPU milliseconds of a run."""
    run()
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return 1000 * min(taken)


def measured(model: str, how: str, answer: Any) -> None:
    """Put CPU milliseconds, peak MiB, and how far off the answer is, or why there is none."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    module, x = models()[model]
    with torch.no_grad(), tempfile.TemporaryDirectory() as name:
        expected = module(x).numpy()
        try:
            run = session(module, x, expected, how, Path(name))
            off = float(np.abs(run() - expected).max())
            answer.put((least(run), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, f"{off:.1e}"))
        except RuntimeError as error:
            answer.put((0.0, 0.0, f"{type(error).__name__}: {error}"[:60]))


def session(module: Any, x: Any, expected: Any, how: str, folder: Path) -> Callable[[], Any]:
    if how == "PyTorch":
        return lambda: module(x).numpy()
    program, kind = torch.export.export(module, (x,), strict=False), "pt2" if how == "pnnx" else "aten"
    (torch.export.save if kind == "pt2" else aten.save)(program, folder / f"model.{kind}")
    specs = (TensorSpec("x", "float32", tuple(x.shape)),), (TensorSpec("y", "float32", expected.shape),)
    adapter, form = NcnnAdapter(), ExportedForm(kind, Precision.FP32, folder / f"model.{kind}", *specs)
    loaded = adapter.load(adapter.convert(form, FP32, folder), FP32, folder)
    return lambda: loaded.run({"x": x.numpy()})["y"]


def main() -> None:
    context = multiprocessing.get_context("spawn")
    print("| model | how | CPU ms | times PyTorch's | peak MiB | off by |\n|---|---|---|---|---|---|")
    for model in models():
        base = 0.0
        for how in ("PyTorch", "pnnx", "without pnnx"):
            answer = context.Queue()
            process = context.Process(target=measured, args=(model, how, answer))
            process.start()
            spent, peak, said = answer.get()
            process.join()
            base = base or spent
            figures = f"{spent:.1f} | {spent / base:.2f} | {peak:.0f}" if spent else "- | - | -"
            print(f"| {model} | {how} | {figures} | {said} |", flush=True)


if __name__ == "__main__":
    main()
