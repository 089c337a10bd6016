"""Files that no rule's words stand in are not looked at: the words let every finding through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from porting.codemod import prefilter
from porting.codemod.finding import table
from porting.codemod.prefilter import Word, may_hold_something
from porting.codemod.scan import Scanned, scan

EXAMPLES = [
    ("PRT101", "import torch\ntorch.cuda.amp.autocast()\n"),
    ("PRT110", "import torch\ntorch.cuda.synchronize()\n"),
    ("PRT111", "import torch\ntorch.cuda.get_device_properties(0)\n"),
    ("PRT112", "import torch\ntorch.cuda.get_device_capability()\n"),
    ("PRT112", "import torch\ntorch.version.hip\n"),
    ("PRT115", "import torch\ntorch.cuda.nvtx.range_push('a')\n"),
    ("PRT116", "from torch.cuda import synchronize\n"),
    ("PRT118", "from torch.profiler import ProfilerActivity\nkinds = [ProfilerActivity.CUDA]\n"),
    ("PRT118", "profiler.table(sort_by='cuda_time_total')\n"),
    ("PRT120", "import torch\ntorch.backends.cuda.matmul.allow_tf32 = True\n"),
    ("PRT120", "import torch.backends.cudnn as cudnn\ncudnn.benchmark = True\n"),
    ("PRT201", "x.cuda()\n"),
    ("PRT202", "x.is_cuda\n"),
    ("PRT210", "x.to('cuda')\n"),
    ("PRT211", "device.type == 'cuda'\n"),
    ("PRT212", "device = f'cuda:{rank}'\n"),
    ("PRT213", "def f(device='cuda'): pass\n"),
    ("PRT213", "def f(backend='nccl'): pass\n"),
    ("PRT220", "import torch.distributed as dist\ndist.init_process_group('nccl')\n"),
    ("PRT230", "import torch\ntorch.load(path)\n"),
    ("PRT230", "import torch\ntorch . \\\n load(path)\n"),
    ("PRT230", "import torch\nstate = (torch  # of the run\n  .load(path))\n"),
    ("PRT230", "import torch as th\nth.load(path)\n"),
    ("PRT230", "from torch import load\nload(path)\n"),
    ("PRT230", "from torch import load as read\nread(path)\n"),
    ("PRT230", "from torch import (\n    nn, load\n)\nload (path)\n"),
    ("PRT230", "from torch import *\nload(path)\n"),
    ("PRT260", "import os\nos.environ['CUDA_VISIBLE_DEVICES'] = '0'\n"),
    ("PRT260", "import os\nos.environ['NCCL_DEBUG'] = 'INFO'\n"),
    ("PRT260", "import os\nos.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'\n"),
    ("PRT260", "import os\nos.environ.get('NVIDIA_VISIBLE_DEVICES')\n"),
    ("PRT260", "import os\nos.environ['PYTORCH_NVML_BASED_DEVICE_COUNT'] = '1'\n"),
    ("PRT270", "run('nvidia-smi')\n"),
    ("PRT270", "run('nvprof python a.py')\n"),
    ("PRT270", "run('nsys profile python a.py')\n"),
    ("PRT270", "run('ncu python a.py')\n"),
    ("PRT301", "import torch\ntorch.cuda.FloatTensor(3)\n"),
    ("PRT302", "x.type('torch.cuda.FloatTensor')\n"),
    ("PRT310", "import torch\ntorch.cuda.jiterator\n"),
    ("PRT311", "import torch\nmodule = torch.cuda\n"),
    ("PRT320", "names = ['cuda', other]\n"),
    ("PRT320", "names = ['nccl', other]\n"),
    ("PRT330", "from torch import nn\nnn.DataParallel(model)\n"),
    ("PRT401", "source = '''\n__global__ void k(float* a) { a[0] = 1; }\n'''\n"),
    ("PRT402", "import triton\n@triton.jit\ndef k(x): pass\n"),
    ("PRT402", "from triton import jit\n@jit\ndef k(x): pass\n"),
    ("PRT403", "import flash_attn\n"),
    ("PRT403", "import os, sys as s, \\\n  apex\n"),
    ("PRT403", "from \\\n apex.optimizers import FusedAdam\n"),
    ("PRT403", "if fast: from\tapex import amp\n"),
    ("PRT403", "import größe.teil as g, apex\n"),
    ("PRT404", "from torch.utils.cpp_extension import load\nops = load('ops', sources)\n"),
    ("PRT404", "from torch.utils import cpp_extension as c\nc.load_inline('ops', sources)\n"),
    ("PRT404", "from torch.utils.ffi import create_extension\ncreate_extension('ops')\n"),
    ("PRT405", "run(backend='cuda')\n"),
    ("PRT406", "import triton\n@triton.jit\ndef k(x):\n    triton.language.inline_asm_elementwise('a')\n"),
]


@pytest.mark.parametrize(("rule", "text"), EXAMPLES)
def test_a_rules_own_example_has_its_words(tmp_path: Path, rule: str, text: str) -> None:
    (tmp_path / "a.py").write_text(text)
    assert rule in [f.rule for f in scan(tmp_path).findings]
    entries = [[entry] if isinstance(entry, str) else entry for entry in table("rules")[rule].get("words", ())]
    own = [[Word.of(word) for word in entry] for entry in entries]
    assert rule == "PRT403" or any(all(word.stands_in(text.encode()) for word in words) for words in own)


def test_every_rule_that_has_words_has_an_example() -> None:
    of_python = {name for name, rule in table("rules").items() if "words" in rule and rule["kind"] != "target"}
    assert {rule for rule, _ in EXAMPLES} == of_python | {"PRT403"}


def test_a_words_plain_beginning_stands_in_all_that_it_finds() -> None:
    for rule in table("rules").values():
        for word in (word for entry in rule.get("words", ()) for word in ([entry] if isinstance(entry, str) else entry)):
            begins = re.match(r"\w+(?![?*{|])", word)
            outside = re.sub(r"\(.*?\)", "", word)
            assert begins, word
            assert "|" not in outside, word


@pytest.mark.parametrize(
    "text",
    [
        "# DistributedDataParallel\nmodel = DistributedDataParallel(model)\n",
        "import json\njson.load(file)\nmodel.load_state_dict(state)\n",
        "'''As fast as apex.'''\nimport os\nnames = apex\n",
        "import os\n\napex, triton = 1, 2\n",
    ],
)
def test_words_that_stand_there_for_something_else_let_nothing_through(text: str) -> None:
    assert not may_hold_something(text.encode(), named=False)


def test_looking_at_all_files_finds_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = Path(__file__).parents[1]

    def found(tree: Scanned) -> list[tuple[str, str, int]]:
        return [(f.rule, f.path, f.line) for f in tree.findings]

    before = found(scan(tests))
    monkeypatch.setattr(prefilter, "may_hold_something", lambda _data, _named: True)
    assert found(scan(tests)) == before


def test_a_launch_is_seen_in_a_file_without_any_rules_words(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("import triton\n@triton.jit\ndef add(x): pass\n")
    (tmp_path / "use.py").write_text("from kernels import add as plus\nplus[(1,)](3)\n")
    (kernel,) = [f for f in scan(tmp_path).findings if f.rule == "PRT402"]
    assert kernel.details
    assert kernel.details["calls"] == ["use.py:2"]
