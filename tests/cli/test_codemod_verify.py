"""Proving a port: the original and the port are really run, on the CPU and on a stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import Ended

from porting.codemod.alike import compare, compare_calls, first_skip
from porting.codemod.edits import changed
from porting.codemod.runs import Run
from porting.codemod.verify import Verified

Porting = Callable[..., Ended]

TRAIN = """import torch
from torch import nn

device = "cuda" if torch.cuda.is_available() else "cpu"
if torch.cuda.is_available():
    graph = torch.cuda.CUDAGraph()
net = nn.Linear(4, 2).to(device)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)


def tidy():
    torch.cuda.empty_cache()


for step in range(2):
    loss = net(torch.randn(3, 4, device=device)).square().mean()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", float(loss))
"""


@pytest.fixture
def trees(porting: Porting, setting: Path) -> tuple[Path, Path]:
    original, ported = setting / "original", setting / "ported"
    original.mkdir()
    (original / "train.py").write_text(TRAIN)
    shutil.copytree(original, ported)
    assert porting("rewrite", ported, "--write").code == 0
    return original, ported


def test_a_right_port_passes_and_what_it_leaves_is_told(porting: Porting, trees: tuple[Path, Path]) -> None:
    ended = porting("verify", *trees, "--on", "cuda", "--on", "npu", "--format", "json", "--", "train.py")
    assert ended.code == 0, ended.out + ended.err
    (found,) = ended.json()
    _, cpu, _, _, ascend = found["runs"]
    assert [run["where"] for run in found["runs"]] == ["original", "cpu", "original on cuda", "cuda", "ascend"]
    assert [run["noted"] for run in found["runs"]] == [6] * 5
    assert [(run["differences"], run["refusals"]) for run in found["runs"]] == [([], [])] * 5
    assert (cpu["evidence"], found["devices"]) == ("host", {"cpu": "host", "cuda": "virtual", "ascend": "virtual"})
    assert found["without_cuda"] == ""
    assert [(c["what"], c["place"]) for c in ascend["leftovers"]] == [("torch.cuda.is_available", "train.py:6")]
    assert {w["place"] for w in ascend["waits"]} == {"train.py:20"}
    assert found["unverified"] == [{"path": "train.py", "first": 13, "last": 13}]


def test_a_program_that_shows_nothing_proves_nothing(porting: Porting, trees: tuple[Path, Path]) -> None:
    for tree in trees:
        (tree / "train.py").write_text("import torch\n\nx = torch.ones(2) * 2\n")
    done = porting("verify", *map(str, trees), "--cpu-only", "--", "train.py")
    assert done.code == 3, done.out + done.err
    assert "nothing is compared: the program has no loss, output or step and prints nothing" in done.out
    assert "as expected" not in done.out


def test_a_device_that_nobody_knows_is_answered_with_those_there_are(porting: Porting, trees: tuple[Path, Path]) -> None:
    done = porting("verify", "--on", "cudda", *map(str, trees), "--", "train.py")
    assert done.code == 2
    assert "unknown accelerator 'cudda'. Did you mean cuda?" in done.err
    assert "Besides cuda, there are lists for ascend" in done.err


def test_a_wrong_port_fails_and_says_where_it_parts(porting: Porting, trees: tuple[Path, Path]) -> None:
    original, ported = trees
    (ported / "train.py").write_text((ported / "train.py").read_text().replace("lr=0.1", "lr=0.2"))
    ended = porting("verify", original, ported, "--cpu-only", "--", "train.py")
    assert ended.code == 1
    assert "NOT as expected" in ended.out
    assert "3. step" in ended.out


ON_CUDA_ALONE = [
    (
        "accel.type if accel.is_available() else",
        "'cpu' if accel.is_available() else",
        "operators: aten::addmm 0 times instead of 2",
    ),
    ("lr=0.1", "lr=0.2 if accel.is_available() else 0.1", "3. step"),
]


@pytest.mark.parametrize(("right", "wrong", "told"), ON_CUDA_ALONE)
def test_a_port_that_is_wrong_on_cuda_alone_fails(
    porting: Porting, trees: tuple[Path, Path], right: str, wrong: str, told: str
) -> None:
    original, ported = trees
    text = (ported / "train.py").read_text()
    assert right in text
    (ported / "train.py").write_text(text.replace(right, wrong))
    ended = porting("verify", original, ported, "--on", "cuda", "--", "train.py")
    assert ended.code == 1, ended.out
    cpu, _, on_cuda = ended.out.partition("original on a stand-in for cuda (virtual)")
    assert "port on the CPU: 6 losses, outputs and steps as expected" in cpu
    assert told in on_cuda


NEEDS_A_CARD = """import torch
torch.cuda.manual_seed(3)
print(torch.nn.Linear(2, 2).to({device})(torch.ones(2).to({device})).shape)
"""


def test_an_original_that_needs_a_card_is_held_against_on_the_stand_in(porting: Porting, trees: tuple[Path, Path]) -> None:
    original, ported = trees
    for tree, device in ((original, "'cuda'"), (ported, "'cuda' if torch.cuda.is_available() else 'cpu'")):
        (tree / "train.py").write_text(NEEDS_A_CARD.format(device=device))
    ended = porting("verify", original, ported, "--on", "cuda", "--format", "json", "--", "train.py")
    (found,) = ended.json()
    assert ended.code == 0, found
    assert [(run["status"], run["noted"]) for run in found["runs"]] == [(1, 0), (0, 1), (0, 1), (0, 1)]
    left = {call["what"]: call["place"] for call in found["runs"][1]["leftovers"]}
    assert left == {"torch.cuda.manual_seed": "train.py:2"}, "what an edit asks for is the helper's"


def test_what_the_stand_in_for_cuda_has_not_is_no_pass(porting: Porting, trees: tuple[Path, Path]) -> None:
    for tree in trees:
        (tree / "train.py").write_text("import torch\nif torch.cuda.is_available():\n    torch.ones(1).cuda().to_sparse()\n")
    ended = porting("verify", *trees, "--on", "cuda", "--", "train.py")
    assert ended.code == 3, ended.out
    assert "nothing is compared on CUDA: the original asks for sparse tensors (aten::_to_sparse) at train.py:3" in ended.out


def test_where_there_is_no_stand_in_for_cuda_the_reason_is_told() -> None:
    runs = [Run("original", 0), Run("cpu", 0), Run("original on cuda", 3, accelerator={"unavailable": "this is torch 2.9.0"})]
    found = Verified([], runs, [])
    assert (found.comparable, found.without_cuda) == (True, "this is torch 2.9.0")


REFUSED = """import torch

x = torch.ones(3)
if torch.cuda.is_available():
    x = x.cuda()
print(torch.histogram(x, bins=2).hist.sum().item())
y = x + torch.ones(3)
w = x.clone().requires_grad_()
(w * torch.ones(3)).sum().backward()
"""


def test_what_a_card_would_refuse_is_told_with_its_lines(porting: Porting, trees: tuple[Path, Path]) -> None:
    original, ported = trees
    (original / "more.py").write_text(REFUSED)
    shutil.copy(original / "more.py", ported)
    assert porting("rewrite", ported, "--write").code == 0
    ended = porting("verify", original, ported, "--device", "musa", "--format", "json", "--", "more.py")
    assert ended.code == 1
    (found,) = ended.json()
    _, _, musa = found["runs"]
    refused = [(refusal["kind"], refusal["operator"], refusal["place"]) for refusal in musa["refusals"]]
    assert refused.pop() == ("device", "aten::mul.Tensor", "more.py:10 (backward)")
    assert refused.pop() == ("device", "aten::mul.Tensor", "more.py:10")
    assert refused == [("operator", "aten::histogram.bin_ct", "more.py:7"), ("device", "aten::add.Tensor", "more.py:8")]
    assert [wait["place"] for wait in musa["waits"]] == ["more.py:7"]


def test_an_original_that_needs_a_card_proves_nothing(porting: Porting, trees: tuple[Path, Path]) -> None:
    original, ported = trees
    for tree in trees:
        (tree / "train.py").write_text("import torch\nif 'ported' not in __file__:\n    torch.ones(1).cuda()\n")
    ended = porting("verify", original, ported, "--cpu-only", "--", "train.py")
    assert ended.code == 3
    assert "does not run here" in ended.out
    assert "at train.py:3" in ended.out


def test_there_has_to_be_a_program(porting: Porting, trees: tuple[Path, Path]) -> None:
    ended = porting("verify", *trees, "--", "no.py")
    assert ended.code == 2
    assert "no.py" in ended.complaint()


ONE = Run("original", 0, output=["loss 1.5"], events=[("loss", [1.5, 1.5]), ("step", [0.0, 10.0])])
OTHERS = [
    (Run("cpu", 0, output=["loss 1.7"], events=[("loss", [1.5, 1.5]), ("step", [1e-7, 10.0])]), True),
    (Run("cpu", 0, output=["loss   12"], events=ONE.events), True),
    (Run("cpu", 0, output=["loss 1.5"], events=[("loss", [1.5001, 1.5001]), ("step", [0.0, 10.0])]), False),
    (Run("cpu", 0, output=["loss 1.5"], events=[("loss", [1.5, 1.5])]), False),
    (Run("cpu", 0, output=["loss 1.5"], events=[("loss", [float("nan"), 1.5]), ("step", [0.0, 10.0])]), False),
    (Run("cpu", 0, output=["loss on the CPU 1.5"], events=ONE.events), False),
    (Run("cpu", 1, output=["loss 1.5"], events=ONE.events), False),
]


@pytest.mark.parametrize(("other", "alike"), OTHERS)
def test_runs_are_alike_by_their_numbers_words_and_end(other: Run, alike: bool) -> None:
    assert (compare(ONE, other, 1e-6) == []) is alike


def test_on_two_devices_runs_are_held_against_each_other_until_one_skips_a_step() -> None:
    steps = [("loss", [1.0, 1.0]), ("step", [2.0, 2.0]), ("loss", [3.0, 3.0])]
    one, other = Run("cpu", 0, events=steps), Run("ascend", 0, events=[steps[0], ("loss", [9.0, 9.0])], skips=[1])
    assert first_skip(one, other) == 1
    assert first_skip(other, other) is None
    assert compare(one, other, 1e-3, same_device=False) == []
    assert compare(one, other, 1e-3) != []
    other.events[0] = ("loss", [1.5, 1.5])
    assert compare(one, other, 1e-3, same_device=False) != []


def test_calls_are_alike_by_how_often_each_was_made() -> None:
    one, other = (
        Run("cuda", 0, accelerator={"operators": [{"name": "aten::mm", "count": count}], "calls": {"synchronize": 1}})
        for count in (2, 3)
    )
    assert compare_calls(one, one) == []
    assert compare_calls(one, other) == ["operators: aten::mm 3 times instead of 2"]
    other.accelerator = {**one.accelerator, "calls": {}}
    assert compare_calls(one, other) == ["calls: synchronize 0 times instead of 1"]


def test_an_edit_is_the_statement_around_its_lines(setting: Path) -> None:
    for name, word in (("a", "1"), ("b", "2")):
        (setting / name).mkdir()
        (setting / name / "x.py").write_text(f"def f(\n    a={word},\n):\n    b = [\n        {word},\n    ]\n    return b\n")
    assert [(e.first, e.last) for e in changed(setting / "a", setting / "b")] == [(1, 3), (4, 6)]


def test_edits_of_notebooks_and_settings_are_edits_that_no_run_reaches(setting: Path) -> None:
    for folder, word in (("a", "cuda"), ("b", "npu")):
        (setting / folder).mkdir()
        (setting / folder / "conf.yaml").write_text(f"steps: 2\ndevice: {word}\n")
        (setting / folder / "a.ipynb").write_text(f'{{"cells": [],\n"{word}": 1}}')
    assert [(e.path, e.first, e.last) for e in changed(setting / "a", setting / "b")] == [("a.ipynb", 2, 2), ("conf.yaml", 2, 2)]


SCALED = """import torch
from torch import nn

device = "cuda" if torch.cuda.is_available() else "cpu"
net = nn.Linear(16, 4).to(device)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
scaler = torch.cuda.amp.GradScaler()
for step in range(4):
    with torch.cuda.amp.autocast():
        loss = net(torch.randn(8, 16).to(device)).float().square().mean()
    if step == 3:
        loss = loss * 1e6
    optimizer.zero_grad()
    if step == 0:
        scaler.scale(loss).backward()
    elif step == 1:
        (scaler.scale(loss) + 0.5 * scaler.scale(loss.sqrt())).backward()
    else:
        torch.autograd.backward(scaler.scale([loss, loss.sqrt()]))
    scaler.step(optimizer)
    scaler.update()
"""


def test_losses_that_a_scaler_has_multiplied_are_told_as_what_they_were(porting: Porting, setting: Path) -> None:
    original, ported = setting / "original", setting / "ported"
    original.mkdir()
    (original / "train.py").write_text(SCALED)
    shutil.copytree(original, ported)
    assert porting("rewrite", ported, "--write").code == 0
    ended = porting("verify", original, ported, "--device", "npu", "--format", "json", "--", "train.py")
    assert ended.code == 0, ended.out + ended.err
    _, cpu, ascend = ended.json()[0]["runs"]
    assert cpu["noted"] == 14  # six losses, four outputs, four steps
    assert (ascend["noted"], ascend["compared"]) == (13, 13), "the last step is skipped, since its gradients overflow"
    assert (cpu["narrow"], ascend["narrow"]) == ([], ["float16"])
    assert (ascend["differences"], ascend["refusals"]) == ([], [])
