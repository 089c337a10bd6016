"""The stand-in device: right numbers, the maker's list and nothing beyond it, and every refusal with its line.

PyTorch takes one such device a process, so each program here runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HEAD = "import torch\nfrom torch import nn\ntorch.set_num_threads(1)\ntorch.manual_seed(0)\n"


@dataclass
class Ran:
    """What a program came to."""

    code: int
    out: str
    err: str
    report: dict[str, Any]

    def support(self, name: str) -> str:
        return next((o["support"] for o in self.report["operators"] if o["name"] == name), "")

    def line(self, text: str, program: str) -> int:
        """The line of the program that contains a text."""
        return next(number for number, line in enumerate((HEAD + program).splitlines(), 1) if text in line)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def start(profile: str, program: str, fallback: bool = True, keep_going: bool = False) -> Ran:
        file, report = tmp_path / "program.py", tmp_path / "report.json"
        file.write_text(HEAD + program)
        settings = {"profile": profile, "fallback": fallback, "keep_going": keep_going, "report": str(report), "module": False}
        words = [sys.executable, "-m", "porting.accelerators.script", json.dumps(settings), str(file)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=300)
        assert report.is_file(), done.stderr
        return Ran(done.returncode, done.stdout, done.stderr, json.loads(report.read_text()))

    return start


MODELS = """
import copy
DEVICE = {device!r}
def one_step(model, images, device, make):
    model, images = copy.deepcopy(model).to(device), images.to(device)
    optimizer = make(model.parameters())
    labels = torch.tensor([0, 1], device=device)
    for _ in range(2):
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return loss.item(), [p.detach().cpu() for p in model.parameters()]
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.layer = nn.Embedding(50, 16), nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
        self.head = nn.Linear(16, 3)
    def forward(self, tokens):
        return self.head(self.layer(self.embed(tokens)).mean(1))
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru, self.head = nn.LSTM(4, 8, 2, batch_first=True), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 3)
    def forward(self, x):
        return self.head(self.gru(self.lstm(x)[0])[0][:, -1])
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
cases = [(net, torch.randn(2, 3, 8, 8)), (Attention(), torch.randint(0, 50, (2, 5))), (Recurrent(), torch.randn(2, 5, 4))]
for model, inputs in cases:
    for make in (lambda p: torch.optim.AdamW(p, eps=1e-3), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)):
        here, there = one_step(model, inputs, "cpu", make), one_step(model, inputs, DEVICE, make)
        worst = max((a - b).abs().max().item() for a, b in zip(here[1], there[1]))
        print(type(model).__name__, abs(here[0] - there[0]) < 1e-5, worst < 1e-5)
    with torch.no_grad():
        a, b = model.eval()(inputs), copy.deepcopy(model).to(DEVICE)(inputs.to(DEVICE))
    print("inference", b.device.type == DEVICE, torch.allclose(a, b.cpu(), atol=1e-6))
"""


@pytest.mark.parametrize(("profile", "device"), [("ascend", "npu"), ("cambricon", "mlu"), ("moore_threads", "musa")])
def test_models_train_and_answer_as_on_the_cpu(run: Any, profile: str, device: str) -> None:
    ran = run(profile, MODELS.format(device=device))
    assert ran.code == 0, ran.err
    assert ran.out.count("True True") == 9, ran.out
    assert "False" not in ran.out
    assert not ran.report["refusals"]
    assert sum(o["count"] for o in ran.report["operators"] if o["support"] == "native") > 200


def test_what_the_maker_has_whole_is_not_taken_apart_and_what_it_has_not_is(run: Any) -> None:
    program = "x = torch.randn(1, 2, 3, 4).to({!r}).requires_grad_()\n"
    program += "nn.functional.scaled_dot_product_attention(x, x, x).sum().backward()\n"
    ascend, cambricon = run("ascend", program.format("npu")), run("cambricon", program.format("mlu"))
    assert ascend.support("aten::scaled_dot_product_attention") == "native"
    assert ascend.support("aten::scaled_dot_product_attention (backward)") == "native"
    assert ascend.support("aten::bmm") == ""
    assert cambricon.support("aten::bmm") == "native"
    assert cambricon.support("aten::scaled_dot_product_attention") == ""


LACKING = """x = torch.randn(4, 4).to({!r})
y = torch.lgamma(x.abs())
print("went on", y.device.type, torch.allclose(y.cpu(), torch.lgamma(x.cpu().abs())))
"""


def test_what_falls_back_is_counted_with_its_line_and_computed_right(run: Any) -> None:
    program = LACKING.format("npu")
    ran = run("ascend", program)
    assert ran.code == 0
    assert "went on npu True" in ran.out
    entry = next(o for o in ran.report["operators"] if o["name"] == "aten::lgamma")
    assert entry["support"] == "fallback"
    assert list(entry["places"]) == [
        f"{Path(next(iter(entry['places']))).parent}/program.py:{ran.line('torch.lgamma(x.abs', program)}"
    ]


def test_with_fallback_forbidden_the_first_such_call_is_refused(run: Any) -> None:
    program = LACKING.format("npu")
    ran = run("ascend", program, fallback=False)
    assert ran.code == 1
    assert "went on" not in ran.out
    (refusal,) = ran.report["refusals"]
    assert (refusal["kind"], refusal["operator"]) == ("operator", "aten::lgamma")
    assert refusal["place"].endswith(f"program.py:{ran.line('torch.lgamma', program)}")
    assert ran.report["refused"]
    assert "standin.py" not in ran.err, "the traceback is the program's"


def test_a_maker_without_a_fallback_refuses_what_it_lacks(run: Any) -> None:
    ran = run("moore_threads", "x = torch.eye(3).to('musa')\ntorch.linalg.matrix_exp(x)\n")
    assert ran.code == 1
    assert ran.report["refusals"][0]["operator"] == "aten::linalg_matrix_exp"
    assert ran.report["refusals"][0]["why"].startswith("not in the list of torch_musa")


def test_all_refusals_are_found_in_one_run_when_it_keeps_going(run: Any) -> None:
    wrong = ("torch.lgamma(x)", "x.double().sum()", "x + torch.ones(4, 4)", "torch.special.i0(x)")
    program = "\n".join(["x = torch.randn(4, 4).to('npu')", *wrong, "print('end')"])
    ran = run("ascend", program, fallback=False, keep_going=True)
    assert "end" in ran.out
    assert [r["kind"] for r in ran.report["refusals"]] == ["operator", "dtype", "device", "operator"]
    assert [int(r["place"].rpartition(":")[2]) for r in ran.report["refusals"]] == [6, 7, 8, 9]


def test_tensors_of_two_devices_are_refused_and_scalars_are_not(run: Any) -> None:
    ran = run("ascend", "x = torch.randn(3).to('npu')\nx * torch.tensor(2.0)\nx[torch.tensor([0, 1])]\nx + torch.ones(3)\n")
    assert ran.code == 1
    assert "Expected all tensors to be on the same device" in ran.err
    assert ran.report["refusals"][0]["place"].endswith(":8")


def test_a_dtype_that_the_maker_lacks_is_refused_or_cast_as_its_plugin_does(run: Any) -> None:
    program = "x = torch.randn(3, dtype=torch.float64).to({!r})\nprint(x.dtype)\nprint((x + x).dtype)\n"
    ascend, cambricon = run("ascend", program.format("npu")), run("cambricon", program.format("mlu"))
    assert ascend.out.split() == ["torch.float64"]
    assert "Huawei Ascend lacks float64" in ascend.err
    assert cambricon.out.split() == ["torch.float32", "torch.float32"]
    assert cambricon.report["casts"][0]["dtype"] == "float64"


def test_every_wait_of_the_host_has_its_line(run: Any) -> None:
    waiting = ("x.sum().item()", "x.cpu()", "x.tolist()", "x.nonzero()", "x[x > 0]", "torch.npu.synchronize()")
    program = "\n".join(["x = torch.randn(4).to('npu')", *waiting, "x.half()", "x[1:]"])
    waits = run("ascend", program).report["waits"]
    assert {int(w["place"].rpartition(":")[2]) for w in waits} == {6, 7, 8, 9, 10, 11}


PACKED = """
import copy
def through(device):
    x, lengths = torch.arange(24.0).reshape(2, 3, 4).div(24).to(device), torch.tensor([2, 3])
    torch.manual_seed(1)
    lstm = nn.LSTM(4, 5, batch_first=True).to(device)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    found, long = nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
    found.sum().backward()
    print(found.device.type, long.device.type, long.tolist())
    return found.detach().cpu(), lstm.weight_ih_l0.grad.cpu()
print([torch.allclose(a, b, atol=1e-6) for a, b in zip(through("cpu"), through({device!r}))])
"""


@pytest.mark.parametrize(("profile", "device"), [("ascend", "npu"), ("moore_threads", "musa")])
def test_sequences_are_packed_by_lengths_of_the_host(run: Any, profile: str, device: str) -> None:
    ran = run(profile, PACKED.format(device=device))
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == ["cpu cpu [2, 3]", f"{device} cpu [2, 3]", "[True, True]"]
    assert not ran.report["refusals"]


BACKWARD = """
class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
    @staticmethod
    def backward(ctx, gradient):
        return torch.lgamma(gradient)
x = torch.randn(4).to("npu").requires_grad_()
Function.apply(x).sum().backward()
print("never")
"""


def test_a_refusal_in_a_backward_pass_is_raised_after_it_with_the_line_that_started_it(run: Any) -> None:
    ran = run("ascend", BACKWARD, fallback=False)
    assert ran.code == 1, "an error of the program, and no abort of the process"
    assert "never" not in ran.out
    (refusal,) = ran.report["refusals"]
    assert refusal["operator"] == "aten::lgamma"
    assert refusal["place"].endswith(f"program.py:{ran.line('.backward()', BACKWARD)} (backward)")


def test_programs_find_what_they_expect_of_a_device(run: Any) -> None:
    program = """
import copy, io, torch_npu
assert torch_npu.npu is torch.npu and torch.npu.is_available() and torch.npu.device_count() == 1
assert torch.accelerator.current_accelerator().type == "npu"
net = nn.Linear(3, 2).to("npu")
buffer = io.BytesIO()
torch.save(net.state_dict(), buffer)
buffer.seek(0)
loaded = torch.load(buffer, weights_only=True)
assert loaded["weight"].device.type == "npu" and torch.equal(loaded["weight"].cpu(), net.weight.detach().cpu())
tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
tied[1].weight = tied[0].weight
assert tied.to("npu")[1].weight is tied[0].weight and tied[0].weight.is_npu
twin = copy.deepcopy(net)
assert isinstance(twin.weight, nn.Parameter) and twin.weight.requires_grad
assert torch.as_tensor([1, 2], device="npu").is_npu
with torch.device("npu"):
    assert torch.tensor([1.0]).is_npu and torch.zeros(2).is_npu
generator = torch.Generator(device="npu").manual_seed(3)
a = torch.randn(4, device="npu", generator=generator)
assert torch.equal(a.cpu(), torch.randn(4, generator=torch.Generator().manual_seed(3)))
assert isinstance(torch.default_generator, torch.Generator)
with torch.autocast("npu", dtype=torch.bfloat16):
    y = net(torch.randn(4, 3, device="npu"))
    assert y.dtype is torch.bfloat16 and y.softmax(-1).dtype is torch.float32
x = torch.randn(2, 3, device="npu")
assert torch.equal(x[..., [-1, 0]].cpu(), x.cpu()[..., [-1, 0]])
x[[0], 1] = 5.0
assert x[0, 1].item() == 5.0
x.transpose_(0, 1)
assert x.shape == (3, 2) and x.clone().unsqueeze_(0).shape == (1, 3, 2)
try:
    x.numpy()
except TypeError as error:
    assert "npu:0" in str(error)
from torch_npu import npu_fusion_attention
try:
    npu_fusion_attention(x)
except NotImplementedError as error:
    assert "maker's own" in str(error)
try:
    torch.npu.set_compile_mode
except AttributeError as error:
    assert "stand-in" in str(error)
print("all of it", repr(torch.ones(1, device="npu")))
"""
    ran = run("ascend", program)
    assert ran.code == 0, ran.err
    assert "all of it" in ran.out


@pytest.mark.parametrize(("ending", "code"), [("raise SystemExit(3)", 3), ("raise SystemExit('no')", 1), ("1 / 0", 1), ("", 0)])
def test_the_report_is_left_whatever_ends_the_program(run: Any, ending: str, code: int) -> None:
    ran = run("ascend", f"torch.ones(2, device='npu') + 1\n{ending}\n")
    assert (ran.code, ran.report["status"]) == (code, code)
    assert ran.support("aten::add.Tensor") == "native"
