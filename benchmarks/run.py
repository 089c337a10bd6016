"""All benchmarks, each side by side with the raw tool in one run: `python benchmarks/run.py [NAME]...`.

Prints tables as they stand in benchmarks/RESULTS.md. Compare ratios: absolute times depend on the machine and its load.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from measure import Cost, cost, repeat, stamp  # noqa: E402

PORTING = [sys.executable, "-m", "porting"]
TARGET = "onnxruntime:cpu:fp32"


def environment(home: Path) -> dict[str, str]:
    return {"PORTING_HOME": str(home / "state"), "PORTING_CACHE": str(home / "cache"), "PYTHONPATH": str(ROOT)}


def row(name: str, c: Cost, base: Cost | None = None) -> None:
    ratio = f"{c.cpu / base.cpu:.2f} | {c.peak / base.peak:.2f}" if base else " | "
    print(f"| {name} | {c.cpu:.2f} | {c.wall:.2f} | {c.peak >> 20} | {ratio} |")


def head(title: str) -> None:
    print(
        f"\n### {title} ({stamp()})\n\n| what | CPU-s | wall s | peak MiB | CPU ratio | peak ratio |\n|---|---|---|---|---|---|"
    )


def start_up() -> None:
    """`porting --help` beside an empty interpreter."""
    head("Start: `porting --help`, budget 0.15 CPU-s")
    empty = repeat([sys.executable, "-c", "pass"], 5)
    row("python -c pass", empty)
    row("python -c 'import click'", repeat([sys.executable, "-c", "import click"], 5), empty)
    row("porting --help", repeat([*PORTING, "--help"], 5, {"PYTHONPATH": str(ROOT)}), empty)


def warm_job() -> None:
    """A job forked from the warm server beside a fresh interpreter that imports torch."""
    print(f"\n### Start of a warm job, budget 60 ms ({stamp()})\n\n| what | wall ms |\n|---|---|")
    warm = cost([sys.executable, str(HERE / "warm_job.py")], {"PYTHONPATH": f"{ROOT}:{HERE}"})
    fresh = repeat([sys.executable, "-c", "import torch"], 3)
    both = repeat([sys.executable, "-c", "import porting.workers.warm as w; w.rehearse()"], 3, {"PYTHONPATH": str(ROOT)})
    print(f"| job forked from the warm server (median of 40) | {float(warm.output.split()[-1]) * 1000:.0f} |")
    print(f"| fresh interpreter, import torch | {fresh.wall * 1000:.0f} |")
    print(f"| fresh interpreter with all that the server has warm | {both.wall * 1000:.0f} |")


def convert(name: str, runs: int = 1) -> None:
    """Convert and validate on all cases beside the bare parts and beside torch.onnx.export(verify=True)."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        home = Path(folder)
        model = f"{HERE / 'models.py'}:{name}"
        command = [*PORTING, "check", model, "--on", TARGET, "--rebuild", "--workers", "1", "--format", "json"]
        ours = [cost(command, environment(home)) for _ in range(runs)]
        ours.sort(key=lambda c: c.cpu)
        mine = ours[len(ours) // 2]
        assert mine.code == 0, mine.output
        bundle = next((home / "cache" / "bundles").glob("*/bundle.json"))
        weights = json.loads(bundle.read_bytes())["weights_bytes"]
        raw = [sys.executable, str(HERE / "raw.py")]
        bare = cost([*raw, "bare", name, str(bundle.parent / "cases")])
        verify = cost([*raw, "verify", name, "-"])
        assert bare.code == 0, bare.output
        assert verify.code == 0, verify.output
        head(f"Convert and validate: {name}, {weights / 1e6:.0f} MB of weights")
        row("bare parts: export, session, every eager and target run", bare)
        row("torch.onnx.export(verify=True), one case", verify, bare)
        row("porting check, all cases", mine, bare)
        cpu, peak = mine.cpu / verify.cpu, mine.peak / verify.peak
        print(f"\nporting over verify: CPU {cpu:.2f} (budget 1.0), peak {peak:.2f} (budget 0.5)")
        print(f"porting's peak over the weights: {mine.peak / weights:.2f} (budget 2.2 at 0.4 GB, 1.25 at 4.2 GB)")
        print(f"bare peak over the weights: {bare.peak / weights:.2f}; verify's: {verify.peak / weights:.2f}")
        stages = json.loads(mine.output[mine.output.index("[\n") :])[0]["stages"]
        print("\n| stage | CPU-s | peak MiB |\n|---|---|---|")
        for stage in stages:
            print(f"| {stage['name']} | {stage['cpu_seconds']:.2f} | {stage['peak_rss_bytes'] >> 20} |")


def unchanged() -> None:
    """The smoke tier run again with nothing changed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        command = [*PORTING, "check", "--tier", "smoke", "--on", "onnxruntime:cpu:fp32,torch:cpu:fp32,openvino:cpu:fp32"]
        first = cost(command, environment(Path(folder)))
        again = repeat(command, 3, environment(Path(folder)))
        one = repeat([*PORTING, "check", "transformers/bert", "--on", TARGET], 3, environment(Path(folder)))
        head("Unchanged work again, budget 0.5 CPU-s a model")
        row("smoke tier on 3 targets, first time", first)
        row("the same again", again, first)
        row("one model on one target, again", one)


LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 32, "hidden_act": "silu",
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "dtype": "bfloat16",
}  # fmt: skip
SIZES = {
    "1.1 billion": {
        "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_key_value_heads": 4, "vocab_size": 32000,
    },
    "70 billion": {
        "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_key_value_heads": 8, "vocab_size": 128256,
    },
}  # fmt: skip


def weightless() -> None:
    """A model's operators looked up in three lists, beside a bare call of the same net on the meta device."""
    head("Operators looked up without weights, budget 0.6 GB at 1.1 billion parameters, 1 GB at 70 billion")
    for name, sizes in SIZES.items():
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
            (Path(folder) / "config.json").write_text(json.dumps({**LLAMA, **sizes}))
            bare = repeat([sys.executable, str(HERE / "meta.py"), folder], 3, {"PYTHONPATH": str(ROOT)})
            ours = repeat([*PORTING, "ops", folder, "--on", "ascend,cambricon,moore_threads"], 3, environment(Path(folder)))
            assert bare.code == ours.code == 0, bare.output + ours.output
            row(f"bare net on meta, {name}", bare)
            row(f"porting ops on three lists, {name}", ours, bare)


def stand_in() -> None:
    """Training steps on a stand-in beside the same on the CPU."""
    head("Ten training steps of resnet18, batch 8 of 64 x 64")
    program = str(HERE / "train.py")
    bare = repeat([sys.executable, program, "cpu"], 3, {"PYTHONPATH": str(ROOT)})
    ours = repeat([*PORTING, "run", "--device", "npu", program, "npu"], 3, {"PYTHONPATH": str(ROOT)})
    assert bare.code == ours.code == 0, bare.output + ours.output
    row("PyTorch on the CPU", bare)
    row("porting run --device npu", ours, bare)


BENCHMARKS: dict[str, Callable[[], None]] = {
    "start": start_up,
    "warm": warm_job,
    "bert": lambda: convert("bert_base"),
    "vit": lambda: convert("vit_base"),
    "llama": lambda: convert("llama_1b"),
    "unchanged": unchanged,
    "weightless": weightless,
    "standin": stand_in,
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[chosen]()
        sys.stdout.flush()
