"""The stand-in for CUDA: what a program for CUDA asks of PyTorch is answered as a card would, what it cannot have is refused.

The device is for good in a process, so each program runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from porting.accelerators import cuda_seams

pytestmark = pytest.mark.skipif(bool(cuda_seams.why_not()), reason=cuda_seams.why_not())

ROOT = Path(__file__).parents[2]
HEAD = "import io\nimport torch\nfrom torch import nn\ntorch.set_num_threads(1)\ntorch.manual_seed(0)\n"


@dataclass
class Ran:
    """What a program came to."""

    code: int
    out: str
    err: str
    report: dict[str, Any]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def start(program: str, before: str = "pass") -> Ran:
        file, report = tmp_path / "program.py", tmp_path / "report.json"
        file.write_text(HEAD + program)
        settings = {"profile": "nvidia", "fallback": True, "keep_going": False, "report": str(report), "module": False}
        ours = f"{before}; import json, sys; from porting.accelerators import script; sys.argv = sys.argv[1:]; "
        ours += "given = json.loads(sys.argv.pop(0)); sys.exit(script.main(given, sys.argv[0]))"
        words = [sys.executable, "-W", "ignore", "-c", ours, json.dumps(settings), str(file)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
        assert report.is_file(), done.stderr
        return Ran(done.returncode, done.stdout, done.stderr, json.loads(report.read_text()))

    return start


ANSWERS = """
torch.manual_seed(5)
before, drawn = torch.randn(2), torch.randn(20, device="cuda")
torch.manual_seed(5)
assert torch.equal(before, torch.randn(2)) and torch.equal(drawn.cpu(), torch.randn(20)), "as a run on the CPU draws"
assert torch.cuda.is_available() and torch.cuda.device_count() == 1 and torch.cuda.current_device() == 0
assert torch.backends.cuda.is_built() and torch.version.cuda and torch.backends.cudnn.version()
assert torch.accelerator.current_accelerator().type == "cuda"
card = torch.cuda.get_device_properties(0)
assert card.name == torch.cuda.get_device_name() and "stand-in" in card.name and card.total_memory == 40 << 30
assert torch.cuda.get_device_capability() == (card.major, card.minor) == (8, 0) and torch.cuda.is_bf16_supported()
assert torch.cuda.mem_get_info()[1] == card.total_memory
torch.cuda.set_device(0)
with torch.cuda.device(0):
    torch.cuda.synchronize()
torch.cuda.empty_cache()
torch.cuda.reset_peak_memory_stats()
assert torch.cuda.memory_allocated() == torch.cuda.max_memory_reserved() == 0 and torch.cuda.memory_summary()

stream, start, end = torch.cuda.Stream(), torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
x = torch.arange(6.0).reshape(2, 3).cuda()
start.record()
stream.wait_stream(torch.cuda.current_stream())
with torch.cuda.stream(stream):
    assert torch.cuda.current_stream() == stream
    x.mul_(2).record_stream(stream)
assert torch.cuda.current_stream() == torch.cuda.default_stream()
end.record()
assert start.elapsed_time(end) > 0 and x.sum().item() == 30.0
torch.cuda.nvtx.range_push("part")
torch.cuda.nvtx.range_pop()

torch.cuda.manual_seed_all(7)
state = torch.cuda.get_rng_state()
drawn = torch.randn(3, device="cuda")
torch.cuda.set_rng_state(state)
assert torch.equal(drawn, torch.randn(3, device="cuda")) and torch.cuda.initial_seed() == 7
generator = torch.Generator(device="cuda").manual_seed(3)
mine = torch.randn(4, device="cuda", generator=generator)
assert generator.device.type == "cuda" and torch.equal(mine.cpu(), torch.randn(4, generator=torch.Generator().manual_seed(3)))

assert x.is_cuda and str(x.device) == "cuda:0" and x.get_device() == 0 and x.type() == "torch.cuda.FloatTensor"
for made in (
    torch.zeros(2, device=0), torch.tensor([1], device="cuda"), x.new_tensor([1]), x.new([1.0]), torch.ones(2).cuda(0),
    torch.ones(2).pin_memory().to("cuda:0", non_blocking=True), torch.empty(2, pin_memory=True).cuda(), x[:, [0, 1]],
):
    assert made.is_cuda
with torch.device("cuda"):
    assert nn.Linear(2, 2).weight.is_cuda
net = nn.DataParallel(nn.Linear(3, 2).cuda())
assert net(torch.ones(4, 3)).is_cuda and next(net.parameters()).is_cuda
packed = nn.utils.rnn.pack_padded_sequence(torch.randn(2, 3, 4).cuda(), torch.tensor([3, 2]), batch_first=True)
states, _ = nn.LSTM(4, 5).cuda()(packed)
assert states.data.is_cuda and nn.utils.rnn.pad_packed_sequence(states)[0].shape == (3, 2, 5)
assert f"{x.sum():.1f}" == "30.0" and torch.equal(x.cpu(), torch.as_tensor(x.cpu().numpy()))
scores = torch.randn(5, 1, 4).cuda().log_softmax(-1).requires_grad_()
lengths = torch.tensor([5]), torch.tensor([2])  # of the host, as a card takes them
nn.functional.ctc_loss(scores, torch.tensor([[1, 2]]).cuda(), *lengths).backward()
print("all of it", repr(torch.ones(1, device="cuda")))
"""


def test_what_programs_ask_of_cuda_is_answered(run: Any) -> None:
    ran = run(ANSWERS)
    assert ran.code == 0, ran.err
    assert "all of it tensor([1.0], device='cuda:0'" in ran.out
    assert ran.report["refusals"] == []
    calls = ran.report["calls"]
    assert (calls["synchronize"], calls["emptyCache"], calls["Event.record"], calls["set_device"]) == (1, 1, 2, 1)
    assert ran.report["waits"]


TRAIN = """
import copy
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.embed = nn.Conv2d(3, 8, 3, groups=1), nn.BatchNorm2d(8), nn.Embedding(5, 8)
        self.deep, self.mix = nn.Conv2d(8, 8, 3, groups=8), nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.head = nn.Linear(8, 3)
    def forward(self, images, words):
        seen = self.deep(torch.relu(self.norm(self.conv(images)))).flatten(2).mean(-1)
        return self.head(self.mix(self.embed(words)).mean(1) + seen)
def steps(model, device, amp):
    model = copy.deepcopy(model).to(device)
    images, words = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([[0, 1, 2], [3, 4, 0]])
    optimizer, scaler = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-3), torch.amp.GradScaler("cuda", enabled=amp)
    for _ in range(2):
        with torch.autocast("cuda", enabled=amp):
            scores = model(images.to(device), words.to(device))
            loss = nn.functional.cross_entropy(scores, torch.tensor([0, 1]).to(device))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return scores.dtype, loss.item(), torch.cat([p.detach().flatten().cpu() for p in model.parameters()])
model = Net()
_, loss, weights = steps(model, "cpu", False)
_, same, there = steps(model, "cuda", False)
assert abs(loss - same) < 1e-6 and (weights - there).abs().max() < 1e-5, (loss, same)
dtype, near, there = steps(model, "cuda", True)
assert dtype is torch.float16 and 0 < abs(loss - near) < 1e-2, (dtype, loss, near)
assert 0 < (weights - there).abs().mean() < 1e-3
with torch.no_grad():
    image, word = torch.ones(1, 3, 8, 8), torch.tensor([[1]])
    here, there = model.eval()(image, word), model.cuda()(image.cuda(), word.cuda())
assert torch.allclose(here, there.cpu(), atol=1e-6)
print("trained")
"""


def test_a_model_trains_as_on_the_cpu_and_within_float16_with_amp(run: Any) -> None:
    ran = run(TRAIN)
    assert ran.code == 0, ran.err
    assert "trained" in ran.out
    names = {use["name"] for use in ran.report["operators"]}
    assert {"aten::convolution", "aten::addmm", "aten::_amp_foreach_non_finite_check_and_unscale_"} <= names


SAVED = """
def through(made, **how):
    file = io.BytesIO()
    torch.save({"weight": made.weight, "row": made.weight[0], "state": made.state_dict()}, file)
    file.seek(0)
    found = torch.load(file, **how)
    assert torch.equal(found["state"]["weight"].cpu(), made.weight.cpu())
    found["row"].data.zero_()
    assert not found["weight"][0].any(), "a view stays one"
    return b"cuda:0" in file.getvalue(), found["state"]["weight"].device.type
there, here = nn.Linear(2, 3).cuda(), nn.Linear(2, 3)
assert through(there) == (True, "cuda")
assert through(there, map_location="cpu") == through(there, map_location=lambda storage, _place: storage) == (True, "cpu")
assert through(there, map_location={"cuda:0": "cpu"}, weights_only=False) == (True, "cpu")
assert through(here) == (False, "cpu")
assert through(here, map_location="cuda") == through(here, map_location=torch.device("cuda:0")) == (False, "cuda")
assert through(here, map_location=lambda storage, _place: storage.cuda(0)) == (False, "cuda")
there.load_state_dict(here.state_dict())
assert there.weight.is_cuda
print("saved and loaded")
"""


def test_files_have_the_places_that_a_card_gives_them_and_load_to_any(run: Any) -> None:
    ran = run(SAVED)
    assert ran.code == 0, ran.err
    assert "saved and loaded" in ran.out


KINDS = """
a, b = torch.cuda.FloatTensor(2, 3), torch.cuda.LongTensor([1, 2])
assert a.is_cuda and a.shape == (2, 3) and b.tolist() == [1, 2] and b.dtype is torch.int64
assert isinstance(b, torch.cuda.LongTensor) and not isinstance(b, torch.cuda.FloatTensor)
assert not isinstance(b.cpu(), torch.cuda.LongTensor) and isinstance(b.cpu(), torch.LongTensor)
half = torch.ones(2).type("torch.cuda.HalfTensor")
assert half.is_cuda and half.dtype is torch.float16 and torch.ones(2).type(torch.cuda.DoubleTensor).dtype is torch.float64
torch.set_default_tensor_type("torch.cuda.FloatTensor")
assert torch.zeros(2).is_cuda and nn.Linear(2, 2).weight.is_cuda
torch.set_default_tensor_type(torch.FloatTensor)
assert not torch.zeros(2).is_cuda
print("known")
"""


def test_tensor_types_of_old_make_and_know_tensors(run: Any) -> None:
    ran = run(KINDS)
    assert ran.code == 0, ran.err
    assert "known" in ran.out


REFUSED = [
    ("x + torch.ones(3, 3)", "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    ("torch.ones(3, 3) @ x", "but got mat2 is on cuda:0, different from other tensors on cpu"),
    ("nn.Linear(3, 3)(x)", "(when checking argument in method wrapper_CUDA_addmm)"),
    ("nn.functional.conv2d(x[None, None], torch.ones(1, 1, 2, 2))", "Input type (torch.cuda.FloatTensor) and weight type"),
    (
        "torch.ones(3)[torch.tensor([0]).cuda()]",
        "indices should be either on cpu or on the same device as the indexed tensor (cpu)",
    ),
    ("x.numpy()", "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first."),
    ("torch.ones(2, device='cuda:1')", "CUDA error: invalid device ordinal"),
    ("torch.cuda.set_device(1)", "CUDA error: invalid device ordinal"),
    ("F.apply(x.requires_grad_()).sum().backward()", "found at least two devices"),
    ("next(iter(torch.utils.data.DataLoader(Moving(), num_workers=1)))", "Cannot re-initialize CUDA in forked subprocess"),
    (
        "nn.utils.rnn.pack_padded_sequence(x[None], torch.tensor([3]).cuda())",
        "'lengths' argument should be a 1D CPU int64 tensor",
    ),
]
ALLOWED = [
    "x * torch.tensor(2.0)",
    "x[torch.tensor([0])]",
    "x.copy_(torch.ones(3, 3))",
    "x.masked_fill(x > 0, torch.tensor(1.0))",
]


CLASSES = """
class F(torch.autograd.Function):
    forward = staticmethod(lambda ctx, x: x * 2)
    backward = staticmethod(lambda ctx, g: g + torch.ones(3, 3))
class Moving(torch.utils.data.Dataset):
    __len__ = lambda self: 1
    __getitem__ = lambda self, index: torch.ones(1).cuda()
x = torch.eye(3).cuda()
"""


def test_tensors_of_two_devices_are_refused_in_pytorchs_words_and_what_a_card_takes_is_taken(run: Any) -> None:
    lines = [CLASSES, *ALLOWED]
    for call, _ in REFUSED:
        lines += [
            "try:",
            f"    {call}",
            "except (RuntimeError, TypeError) as error:",
            "    print(str(error).replace('\\n', ' '))",
        ]
    ran = run("\n".join(lines) + "\n")
    assert ran.code == 0, ran.err
    said = ran.out.splitlines()
    assert len(said) == len(REFUSED)
    assert [line for line, (_, words) in zip(said, REFUSED, strict=True) if words not in line] == []
    assert ran.report["refusals"] == [], "a card would have refused it, not the stand-in"


LACKING = [
    ("with torch.cuda.graph(torch.cuda.CUDAGraph()):\n    x + 1", "CUDA graphs"),
    ("torch.distributed.init_process_group('nccl')", "NCCL"),
    ("x.to_sparse()", "sparse tensors"),
    ("torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)", "quantized tensors"),
    ("torch.compile(nn.Linear(3, 3))(x)", "torch.compile"),
    ("torch.utils.dlpack.to_dlpack(x)", "DLPack"),
    ("x.__cuda_array_interface__", "__cuda_array_interface__"),
]


def test_what_the_stand_in_has_not_is_refused_with_its_line_and_ends_a_program_that_does_not_catch_it(run: Any) -> None:
    lines = ["x = torch.eye(3).cuda()"]
    for call, _ in LACKING:
        lines += ["try:", *(f"    {line}" for line in call.splitlines()), "except RuntimeError:", "    pass"]
    lines += ["print('here')", "x.to_sparse()", "print('never')"]
    ran = run("\n".join(lines) + "\n")
    text = (HEAD + "\n".join(lines)).splitlines()
    *told, last = [(refusal["operator"], int(refusal["place"].rpartition(":")[2])) for refusal in ran.report["refusals"]]
    assert [what for (_, what), (operator, _) in zip(LACKING, told, strict=True) if what not in operator] == []
    assert [line for _, line in told] == [text.index(f"    {call.splitlines()[0]}") + 1 for call, _ in LACKING]
    assert (ran.code, ran.report["refused"], ran.out.split(), last[1]) == (1, True, ["here"], len(text) - 1)
    assert "the stand-in for CUDA has none" in ran.err


OTHERS = [
    (torch, "__version__", "2.12.0+cpu", "is made for torch 2.13.0, and this is 2.12.0+cpu"),
    (torch._C, "_has_cuda", True, "takes the build of torch for the CPU"),
    (torch.version, "hip", "6.4", "takes the build of torch for the CPU"),
    (sys, "platform", "darwin", "needs Linux"),
]


@pytest.mark.parametrize(("where", "name", "value", "reason"), OTHERS)
def test_another_torch_or_system_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: object, reason: str
) -> None:
    monkeypatch.setattr(where, name, value)
    assert reason in cuda_seams.why_not()


def test_where_it_cannot_be_had_nothing_runs_and_the_reason_is_left(run: Any) -> None:
    ran = run("print('ran')\n", before="import torch; torch.__version__ = '2.12.0+cpu'")
    assert (ran.code, ran.report["status"], ran.out) == (3, 3, "")
    assert ran.report["unavailable"] in ran.err
    assert "this is 2.12.0+cpu" in ran.report["unavailable"]


def test_no_visible_card_is_none(run: Any) -> None:
    program = "print(torch.cuda.is_available(), torch.cuda.device_count())\ntorch.ones(2).cuda()\n"
    ran = run(program, before="import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''")
    assert ran.out.split() == ["False", "0"]
    assert ran.code == 1
    assert "No CUDA GPUs are available" in ran.err
