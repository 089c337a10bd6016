"""What a scan finds: by file, by rule, by class, and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from porting.accelerators.profile import load
from porting.codemod import baseline, effort
from porting.codemod.finding import Finding, Safety, rules, table
from porting.codemod.scan import Scanned, scan


def scanned(folder: Path, files: dict[str, str], **more: Any) -> Scanned:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return scan(folder, **more)


def found(folder: Path, name: str, text: str) -> list[Finding]:
    return scanned(folder, {name: text}).findings


KINDS = [
    ("conf.yaml", "train:\n  device: 'cuda:0'  # where\n", "PRT350", 2),
    ("conf.yaml", "# device: cuda\nname: cuda_best\n", None, 0),
    ("conf.json", '{\n "device": "cuda",\n "n": 1}', "PRT350", 2),
    ("broken.json", '{"device": 1', "PRT900", 1),
    ("conf.toml", 'backend = "nccl"\n', "PRT350", 1),
    ("broken.toml", "device = \n", "PRT900", 1),
    ("pyproject.toml", '[project]\ndependencies = ["torch", "flash-attn>=2"]\n', "PRT403", 2),
    ("list.yaml", "devices:\n  - cpu\n  - cuda:1\n", "PRT350", 3),
    ("args.yaml", "args: --device cuda --epochs 1\n", "PRT350", 1),
    ("many.json", '{"devices": [\n "cuda:0"\n]}', "PRT350", 2),
    ("run.sh", "#!/bin/sh\nCUDA_VISIBLE_DEVICES=0 python train.py\n", "PRT351", 2),
    ("run.sh", "nvidia-smi -L\n", "PRT353", 1),
    ("run.sh", "python train.py --device cuda:1 --name x\n", "PRT350", 1),
    ("run.sh", "python train.py data/cuda/x\n", None, 0),
    ("Dockerfile", 'FROM python\nCMD ["python", "train.py", "--device", "cuda"]\n', "PRT350", 2),
    ("Dockerfile", "FROM python\nRUN pip install torch && \\\n    pip install xformers\n", "PRT403", 3),
    ("Dockerfile", "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\n", "PRT352", 1),
    ("docker/Dockerfile.gpu", "FROM python:3.11\nENV NCCL_DEBUG=INFO\n", "PRT351", 2),
    ("requirements.txt", "numpy\nflash-attn>=2.5\n", "PRT403", 2),
    ("requirements.txt", "numpy\nnvidia-dali-cuda120\n", "PRT403", 2),
    ("requirements-gpu.txt", "torch==2.4.0+cu121\n", "PRT352", 1),
    ("environment.yml", "dependencies:\n  - pytorch-cuda=12.1\n", "PRT352", 2),
    ("environment.yml", "channels:\n  - pytorch\n  - nvidia\n", "PRT352", 3),
    ("pyproject.toml", '[project.optional-dependencies]\nvllm = [\n "numpy",\n]\n', None, 0),
    ("pyproject.toml", '[tool.poetry.dependencies]\nvllm = "^0.10"\n', "PRT403", 2),
    ("csrc/ops.cu", "// x\n__global__ void add(float* a, int n) { a[0] = n; }\nvoid f() { add<<<1, 2>>>(p, 1); }\n", "PRT401", 2),
    ("csrc/ops.cpp", 'int f() { asm volatile("mov.u32 %0, %%laneid;" : "=r"(x)); }\n', "PRT406", 1),
    ("csrc/plain.cpp", "int f() { return 1; } // cuda\n", None, 0),
    ("setup.py", "from torch.utils.cpp_extension import CUDAExtension\next = CUDAExtension('ops', ['a.cu'])\n", "PRT404", 2),
    ("setup.py", "from torch.utils.cpp_extension import CUDAExtension\nkind = CUDAExtension\n", "PRT404", 2),
    ("jit.py", "from torch.utils.cpp_extension import load\nops = load('ops', sources)\n", "PRT404", 2),
    ("jit.py", "from torch.utils.cpp_extension import load\nops = load('ops', ['a.cpp'])\n", None, 0),
    ("broken.py", "import torch\ndef f(:\n", "PRT900", 2),
    ("broken.py", "import torch\ntorch.cuda.init()\ndef f(:\n", "PRT900", 3),
    ("stray.py", "nonlocal x\n", None, 0),
    ("pyproject.toml", 'url = "https://download.pytorch.org/whl/cu118"\n', "PRT352", 1),
    ("run.sh", "export CUBLAS_WORKSPACE_CONFIG=:4096:8\n", "PRT351", 1),
    ("none.py", "import torch\nx = torch.ones(1)\n", None, 0),
    ("gpu.py", "import subprocess\nsubprocess.run(['nvidia-smi', '-L'])\n", "PRT270", 2),
    ("dp.py", "import torch.nn as nn\nm = nn.DataParallel(nn.Linear(1, 1))\n", "PRT330", 2),
    ("impl.py", "def f(x, impl='cuda'):\n    return x\n", "PRT405", 1),
    ("dist.py", "import torch.distributed as dist\nassert dist.is_nccl_available()\n", "PRT220", 2),
    ("dist.py", "import torch.distributed as dist\ndist.init_process_group('cuda:nccl,cpu:gloo')\n", "PRT220", 2),
    ("star.py", "from torch.cuda import *\n", "PRT116", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "rule", "line"), KINDS, ids=[f"{n}:{t.split()[-1][:20]}" for n, t, _, _ in KINDS])
def test_each_kind_of_file_is_read(name: str, text: str, rule: str | None, line: int, tmp_path: Path) -> None:
    assert [(f.rule, f.line) for f in found(tmp_path, name, text)] == ([(rule, line)] if rule else [])


def test_a_notebook_is_read_as_one_program_and_told_by_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["cuda"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import torch as t\n", "!nvidia-smi"]},
        {"cell_type": "code", "source": "x = 1\nt.cuda.empty_cache()"},
    ]
    tool, use = found(tmp_path, "a.ipynb", json.dumps({"cells": cells}))
    assert (use.rule, use.cell, use.line, use.safety) == ("PRT110", 2, 2, Safety.SAFE)
    assert use.place == "a.ipynb:cell 2:2"
    assert (tool.rule, tool.cell, tool.line) == ("PRT353", 1, 3)


def test_marks_set_aside_in_a_notebook_too(tmp_path: Path) -> None:
    source = "import torch\ntorch.cuda.empty_cache()  # porting: ignore[PRT110] measured"
    result = scanned(tmp_path, {"a.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": source}]})})
    assert result.findings == []
    assert [(i.finding.place, i.reason) for i in result.ignored] == [("a.ipynb:cell 1:2", "measured")]


def test_a_notebook_in_another_language_is_left_alone(tmp_path: Path) -> None:
    book = {"metadata": {"kernelspec": {"language": "R"}}, "cells": [{"cell_type": "code", "source": "x <- 'cuda'"}]}
    assert found(tmp_path, "a.ipynb", json.dumps(book)) == []


def test_every_value_of_a_line_is_told(tmp_path: Path) -> None:
    lines = found(tmp_path, "a.yaml", 'devices: [cuda:0, "cuda:1", cpu]\n')
    assert [(f.rule, f.column) for f in lines] == [("PRT350", 11), ("PRT350", 20)]


def test_folders_of_installed_packages_and_of_builds_are_left_out_others_are_not(tmp_path: Path) -> None:
    use = "import torch\ntorch.cuda.empty_cache()\n"
    tree = {f"{folder}/a.py": use for folder in ("env", "venv", "build", "lib/build", "node_modules", ".hidden")}
    files = {**tree, "venv/pyvenv.cfg": "", "setup.py": ""}
    assert [f.path for f in scanned(tmp_path, files).findings] == ["env/a.py", "lib/build/a.py"]


CUDA = """__global__ void __launch_bounds__(128) scan(const float* x,
  int n) {
  __shared__ float s[32];
}
at::Tensor go(at::Tensor x, int n) { // {
  scan<<<1, 128>>>(x, 3);
  return x;
}
"""
BOUND = 'at::Tensor go(at::Tensor x, int n);\nPYBIND11_MODULE(T, m) { m.def("scan_forward", &go, "scan"); }\n'
SCHEMA = 'TORCH_LIBRARY(ext, m) { m.def("scan_forward(Tensor x, int n) -> Tensor"); m.impl("scan_forward", &go); }\n'
USE = "import ext\n\ndef run(x):\n    return ext.scan_forward(x, 3)\n"


@pytest.mark.parametrize(
    ("binding", "signature"),
    [(BOUND, "(at::Tensor x, int n)"), (SCHEMA, "(Tensor x, int n) -> Tensor")],
    ids=["pybind", "library"],
)
def test_a_kernel_is_told_with_its_operator_and_its_call_sites_across_files(binding: str, signature: str, tmp_path: Path) -> None:
    tree = {"csrc/k.cu": CUDA, "csrc/bind.cpp": binding, "net/use.py": USE}
    (kernel,) = scanned(tmp_path, tree).findings
    assert kernel.details == {
        "kernel": "scan", "signature": "const float* x, int n", "lines": 3, "effort": "medium", "calls": ["csrc/k.cu:6"],
        "operators": [{"name": "scan_forward", "signature": signature, "calls": ["net/use.py:4"]}],
    }  # fmt: skip
    for said in ("medium", "csrc/k.cu:6", f"scan_forward{signature}", "net/use.py:4"):
        assert said in kernel.why


def test_a_kernel_that_is_handed_on_as_a_pointer_is_found_by_it(tmp_path: Path) -> None:
    text = "template <class T> __global__ void act(T p) { p; }\nvoid* choose() { return (void*)act<float>; }\n"
    text += 'void run() { cudaLaunchKernel(choose(), 1, 1); }\nPYBIND11_MODULE(T, m) { m.def("act", &run); }\n'
    (kernel,) = found(tmp_path, "k.cu", text)
    assert kernel.details is not None
    assert kernel.details["calls"] == ["k.cu:2"]
    assert [operator["name"] for operator in kernel.details["operators"]] == ["act"]


def test_cuda_in_a_string_is_a_kernel_with_the_function_that_load_inline_gives(tmp_path: Path) -> None:
    text = "from torch.utils.cpp_extension import load_inline\nsource = r'''\n" + CUDA + "'''\n"
    text += "ext = load_inline('ext', cuda_sources=[source], functions=['go'])\ny = ext.go(x, 1)\n"
    kernel, build = found(tmp_path, "a.py", text)
    assert (kernel.rule, kernel.line, build.rule) == ("PRT401", 3, "PRT404")
    assert kernel.details is not None
    assert kernel.details["calls"] == ["a.py:8"]
    assert kernel.details["operators"] == [{"name": "go", "signature": "(at::Tensor x, int n)", "calls": ["a.py:13"]}]


def test_a_triton_kernel_is_told_with_its_call_sites(tmp_path: Path) -> None:
    text = "import triton\nimport triton.language as tl\n\n@triton.jit\n"
    text += "def add(x, n, B: tl.constexpr):\n    tl.store(x, tl.load(x))\n\ndef go(x):\n    add[(1,)](x, 3, B=4)\n"
    (kernel,) = found(tmp_path, "k.py", text)
    assert (kernel.rule, kernel.line) == ("PRT402", 5)
    assert kernel.details is not None
    assert (kernel.details["signature"], kernel.details["calls"], kernel.details["effort"]) == ("x, n, B", ["k.py:9"], "small")


def test_a_triton_kernel_knows_who_calls_it_from_another_file(tmp_path: Path) -> None:
    kernel = "import triton\n@triton.jit\ndef add(x):\n    pass\n"
    tree = {"net/ops.py": kernel, "net/__init__.py": "from .ops import add\n", "use.py": "from net import add\nadd[(1,)](3)\n"}
    (found,) = scanned(tmp_path, tree).findings
    assert found.details is not None
    assert found.details["calls"] == ["use.py:2"]


GUARDS = [
    ("import flash_attn\n", False),
    ("try:\n    import flash_attn\nexcept ImportError:\n    flash_attn = None\n", True),
    (
        "from utils import is_flash_attn_available\nif is_flash_attn_available():\n    from flash_attn import flash_attn_func\n",
        True,
    ),
    ("def fast():\n    from flash_attn.bert_padding import pad_input\n", True),
]


@pytest.mark.parametrize(("text", "guarded"), GUARDS)
def test_a_package_is_told_guarded_or_not_with_alternatives(text: str, guarded: bool, tmp_path: Path) -> None:
    (package,) = found(tmp_path, "a.py", text)
    assert package.details is not None
    assert (package.details["package"], package.details["guarded"]) == ("flash_attn", guarded)
    assert "scaled_dot_product_attention" in package.details["alternatives"]["anywhere"]
    assert package.details["alternatives"]["Huawei Ascend"] == "torch_npu.npu_fusion_attention"


def test_a_folder_of_the_tree_with_a_packages_name_is_not_that_package(tmp_path: Path) -> None:
    tree = {"apex/__init__.py": "", "train.py": "import apex\n"}
    assert scanned(tmp_path, tree).findings == []


LAYERS = """from torch import nn
class Base(nn.Module):
    pass
class Net(Base):
    pass
class Odd(Base):
    def cuda(self):
        return self
def build():
    net = Net()
    return net
"""
PLACED = "Model().cuda()\nbuild().cuda()\nOdd().cuda()\ntorch.cuda.empty_cache()\n"


def test_proofs_reach_across_the_package(tmp_path: Path) -> None:
    tree = {
        "net/__init__.py": "from .layers import Net as Model\n",
        "net/layers.py": LAYERS,
        "common.py": "import torch\n",
        "train.py": "from common import *\nfrom net import Model\nfrom net.layers import Odd, build\n" + PLACED,
    }
    files = scanned(tmp_path, tree).findings
    assert [(f.path, f.line, f.rule, f.safety.value) for f in files] == [
        ("train.py", 4, "PRT201", "safe"), ("train.py", 5, "PRT201", "safe"), ("train.py", 6, "PRT201", "keep"),
        ("train.py", 7, "PRT110", "safe"),
    ]  # fmt: skip


def test_modules_that_star_import_each_other_end(tmp_path: Path) -> None:
    tree = {"a.py": "from b import *\nimport torch\n", "b.py": "from a import *\ntorch.cuda.empty_cache()\n"}
    assert [f.rule for f in scanned(tmp_path, tree).findings] == ["PRT110"]


def test_dtypes_are_held_against_named_targets_only(tmp_path: Path) -> None:
    files = {"a.py": "import torch\nx = torch.zeros(1, dtype=torch.float64)\ny = x.double()\nz = math.double\n"}
    assert scanned(tmp_path, files).findings == []
    named = scanned(tmp_path, files, targets=[load()["ascend"]]).findings
    assert [(f.rule, f.line) for f in named] == [("PRT410", 2), ("PRT410", 3)]
    assert "Huawei Ascend lacks float64" in named[0].why


LACKING = """import torch
from torch import nn

x = torch.ones(2)
y = x.lgamma()
z = x.softmax(0)
loss = nn.HuberLoss()
w = unknown(x).lgamma()
"""


def test_operators_are_held_against_the_lists_of_named_targets(tmp_path: Path) -> None:
    named = scanned(tmp_path, {"a.py": LACKING}, targets=[load()["ascend"], load()["moore_threads"], load()["enflame"]]).findings
    assert [(f.rule, f.line) for f in named] == [("PRT411", 5), ("PRT411", 7)]
    assert named[0].why == "Huawei Ascend has no aten::lgamma, which falls back to the CPU"


# ---- marks and baselines


IGNORES = [
    ("torch.cuda.empty_cache()  # porting: ignore[PRT110] measured: needed\n", [], 1),
    ("# porting: ignore[PRT110, PRT201] measured\ntorch.cuda.empty_cache()\n", [], 1),
    ("torch.cuda.empty_cache()  # porting: ignore[PRT110]\n", ["PRT110", "PRT901"], 0),
    ("torch.cuda.empty_cache()  # porting: ignore[PRT201] other rule\n", ["PRT110", "PRT901"], 0),
    ("torch.cuda.empty_cache(); s = '# porting: ignore[PRT110] text'\n", ["PRT110"], 0),
]


@pytest.mark.parametrize(("line", "stand", "ignored"), IGNORES)
def test_a_mark_sets_aside_what_it_names_for_a_reason(line: str, stand: list[str], ignored: int, tmp_path: Path) -> None:
    result = scanned(tmp_path, {"a.py": "import torch\n" + line})
    assert sorted(f.rule for f in result.findings) == stand
    assert len(result.ignored) == ignored


def test_a_baseline_knows_findings_that_moved_and_counts_those_alike(tmp_path: Path) -> None:
    old = found(tmp_path, "a.py", "import torch\ntorch.cuda.empty_cache()\n")
    file = tmp_path / "base.json"
    assert baseline.write(file, old) == 1
    moved = found(
        tmp_path, "a.py", "import torch\n\n\ntorch.cuda.empty_cache()\ntorch.cuda.empty_cache()\ntorch.cuda.synchronize()\n"
    )
    known = baseline.read(file)
    assert [f.line for f in baseline.new(moved, known)] == [5, 6]
    assert baseline.gone([], known) == 1


# ---- effort and data


def test_the_estimate_is_the_sum_of_what_it_shows(tmp_path: Path) -> None:
    text = "import torch\nimport apex\nimport apex.amp\ntorch.cuda.empty_cache()\ntorch.cuda.synchronize()\nf(torch.cuda)\n"
    lines = {line.what: line for line in effort.estimate(found(tmp_path, "a.py", text))}
    assert {what: line.count for what, line in lines.items()} == {"safe": 2, "care": 1, "package_unguarded": 1}
    assert lines["safe"].total == 2 * table("effort")["hours"]["safe"]


def test_what_each_finding_adds_comes_to_the_estimate_and_a_package_counts_once(tmp_path: Path) -> None:
    text = "import torch\ntry:\n    import apex\nexcept ImportError:\n    pass\nimport apex.amp\n"
    text += "torch.backends.cudnn.benchmark = True\n"
    findings = found(tmp_path, "a.py", text)
    assert [share.what for share in effort.shares(findings)] == ["", "package_unguarded", ""]
    assert sum(share.hours for share in effort.shares(findings)) == sum(line.total for line in effort.estimate(findings))


def test_a_package_that_is_to_be_installed_counts_as_the_line_that_asks_for_it(tmp_path: Path) -> None:
    (asked,) = found(tmp_path, "requirements.txt", "flash-attn>=2.5\n")
    assert asked.details is not None
    assert asked.details["package"] == "flash_attn"
    assert {"anywhere", "Huawei Ascend"} <= asked.details["alternatives"].keys()
    assert [share.what for share in effort.shares([asked])] == ["config"]


def test_a_mark_about_a_target_waits_for_the_scan_that_names_it(tmp_path: Path) -> None:
    text = "import torch\nx = y.double()  # porting: ignore[PRT410] on the host\n"
    assert found(tmp_path, "a.py", text) == []
    with_maker = scanned(tmp_path, {"a.py": text}, targets=[load()["ascend"]])
    assert (with_maker.findings, len(with_maker.ignored)) == ([], 1)


def test_every_rule_says_all_that_it_has_to(tmp_path: Path) -> None:
    for rule in rules().values():
        assert all((rule.what, rule.reason, rule.remedy)), rule.id
        assert rule.kind in ("code", "kernel", "package", "config", "target", "file"), rule.id
    hours = table("effort")["hours"]
    assert {"safe", "care", "report", "config", "target", "file", "kernel_small", "kernel_medium", "kernel_large"} <= set(hours)


def test_makers_that_bring_something_are_makers_that_there_are() -> None:
    named = {maker for entry in table("packages").values() for maker in entry.get("by", {})}
    assert named <= set(load())
