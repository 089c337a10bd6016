"""Each change of a route does what it says: what it answers is gone from the form, and the form answers as the model did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from porting import routes
from porting.bundles.bundle import WEIGHTS, FormKey
from porting.bundles.eager import EagerModel
from porting.bundles.export import Exporter, NothingToChange
from porting.rewrites.fourier import ways as fourier
from porting.rewrites.graph import rewrite
from porting.rewrites.pairs import Pair
from porting.rewrites.program import attention, operators
from porting.routes.table import EXPANDABLE, Level
from porting.types import Outcome, Precision, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves

WIDTH = 8


class Model(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Calls a function of one tensor, (batch, length, WIDTH) in and anything out, with a layer to hold weights."""

    def __init__(self, function: Any, **more: Any) -> None:
        super().__init__()
        self.line, self.function = nn.Linear(WIDTH, WIDTH), function
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x: Any, **more: Any) -> Any:
        return self.function(self, self.line(x), **more)


def attends(model: Any, x: Any) -> Any:
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    return nn.functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], attn_mask=mask)


def turns(model: Any, x: Any) -> Any:
    """Rotary positions as complex numbers, with about every operator that such code uses."""
    angle = torch.outer(torch.arange(x.shape[1], dtype=torch.float32), torch.tensor([1.0, 0.1, 0.01, 0.5]))
    around = torch.polar(torch.ones_like(angle), angle).unsqueeze(0) * model.turn
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    whole = torch.cat([pairs * around, pairs.conj() * 2.0], -1).transpose(0, 1)[:, :, 1:]
    left, right = (whole + 1.0).split([3, 4], -1)
    return torch.view_as_real(left).flatten(-2), right.abs() + right.real - right.imag


def scatters(model: Any, x: Any) -> Any:
    return torch.masked_scatter(x, (x > 0).any(-1, keepdim=True), x.flip(1) * 2)


def doubles(model: Any, x: Any) -> Any:
    steps = torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH
    return x * torch.cat([steps, steps]).to(torch.float32)


def counts(model: Any, x: Any) -> Any:
    """Integers of every kind: positions, a running sum, the largest's place, indices that are gathered by."""
    places = torch.arange(x.shape[1])
    order = torch.argsort(x[..., 0], stable=True)
    seen = torch.cumsum((x > 0).to(torch.int64), 1) // 2 + places[None, :, None]
    return torch.gather(x, 1, order[..., None].expand(-1, -1, WIDTH)) * seen, x.argmax(-1) * 3 + places, x[:, places % 2]


def waves(model: Any, x: Any) -> Any:
    """A spectrum that is filtered and brought back, along one axis and two."""
    low = torch.fft.rfft(x)[..., :3] * model.turn[:3]
    both = torch.fft.fftn(torch.fft.rfft2(x.transpose(0, 1)), dim=(-1,), norm="ortho")
    mixed = torch.einsum("bti,io->bto", low, model.turn.outer(model.turn)[:3])
    filled = nn.functional.pad(mixed, (0, 1))
    return torch.fft.irfft(filled, n=WIDTH), torch.fft.irfft(low, n=7, norm="forward"), torch.fft.ifft(both).abs()


def views(model: Any, x: Any) -> Any:
    return x.view(x.shape[0], -1, 2).transpose(1, 2)


def confirms(model: Any, x: Any) -> Any:
    return x * torch.ops.aten._is_all_true(x < 1e9)


def wraps(model: Any, x: Any) -> Any:
    return nn.functional.pad(x, (1, 2), mode="circular"), nn.functional.pad(x[:, None], (0, 3, 2, 0), mode="circular")


def softens(model: Any, x: Any) -> Any:
    return nn.functional.softplus(x * 10), nn.functional.softplus(x, beta=2.5)


def joins(model: Any, x: Any) -> Any:
    """Puts two parts into one tensor, of which the second has no width here."""
    kept, turned = x.split([WIDTH, 0], -1)
    both = torch.zeros_like(x) + kept
    both[..., WIDTH:] = turned
    return both


def resizes(model: Any, x: Any) -> Any:
    image, size = x[:, None], (3, 5)
    ways: list[dict[str, Any]] = [{"size": size}, {"size": (x.shape[1] * 2, 11)}, {"scale_factor": (0.7, 0.5)}]
    return [nn.functional.interpolate(image, mode=mode, antialias=True, **w) for mode in ("bilinear", "bicubic") for w in ways]


def contracts(model: Any, x: Any) -> Any:
    return torch.einsum("bij,bkj->kbi", x, x * 2), torch.einsum("bij,jk->bik", x, model.line.weight)


def cuts(model: Any, x: Any) -> Any:
    return torch.tril(x @ x.transpose(1, 2), 1) + torch.triu(x @ x.transpose(1, 2), -1)


def places(model: Any, x: Any) -> Any:
    """Where values stand among sorted ones: those of each row, and the same for all."""
    rows, _ = x.sort(-1)
    edges = torch.tensor([-0.5, 0.0, 0.25])
    return (
        torch.searchsorted(rows, rows.flip(-1), right=True),
        torch.bucketize(x, edges),
        torch.searchsorted(rows, x, side="left"),
    )


def orders(model: Any, x: Any) -> Any:
    """Sorts with many equals, whose order shows in the positions."""
    few = torch.floor(x)
    return *torch.sort(few, dim=1, stable=True), torch.argsort(few, -1, descending=True), torch.argsort(few, dim=0, stable=True)


def normal(model: Any, x: Any) -> Any:
    return nn.functional.gelu(nn.functional.layer_norm(x, (WIDTH,)))


def chooses(model: Any, x: Any) -> Any:
    return torch.where(x > 0, x > 1, x > -1), x


def asks(model: Any, x: Any) -> Any:
    return torch.where(torch.isnan(x), 0.0, x)


def normed(model: Any, x: Any) -> Any:
    return model.norm(x.transpose(1, 2))


def splits(model: Any, x: Any, grid: Any = None) -> Any:
    """Reads sizes from a tensor that is the same in every call."""
    counts = (grid[:, 0] * grid[:, 1]).repeat_interleave(grid[:, 2])
    return torch.cat([part.mean(-1) for part in torch.split(x, counts.tolist(), -1)], -1)


def norm() -> nn.Module:
    made = nn.BatchNorm1d(WIDTH)
    made.running_mean.uniform_(-1, 1)
    made.running_var.uniform_(0.5, 2)
    return made


# change: the model, what has to be there without the change, and what with it
CASES: dict[str, tuple[Any, str]] = {
    "attention=composed": (lambda: Model(attends), "aten.scaled_dot_product_attention.default"),
    "complex=pairs": (
        lambda: Model(turns, turn=nn.Buffer(torch.randn(4, dtype=torch.complex64))),
        "aten.view_as_complex.default",
    ),
    "masked_scatter=gathered": (lambda: Model(scatters), "aten.masked_scatter.default"),
    "float64=float32": (lambda: Model(doubles), "float64"),
    "int64=int32": (lambda: Model(counts), "aten.cumsum.default int64"),
    "view=reshape": (lambda: Model(views), "aten.view.default"),
    "is_all_true=all": (lambda: Model(confirms), "aten._is_all_true.default"),
    "pad=joined": (lambda: Model(wraps), "aten.pad.default"),
    "antialias=products": (lambda: Model(resizes), "aten._upsample_bilinear2d_aa.vec"),
    "squeeze=checked": (lambda: Model(lambda _, x: x.squeeze(2) * 2), "aten.squeeze.dim"),
    "empty=skipped": (lambda: Model(joins), "aten.copy_.default"),
    "softplus=series": (lambda: Model(softens), "aten.softplus.default"),
    "einsum=products": (lambda: Model(contracts), "aten.einsum.default"),
    "searchsorted=counted": (lambda: Model(places), "aten.searchsorted.Tensor"),
    "sort=plain": (lambda: Model(orders), "aten.sort.stable"),
    "triangle=compared": (lambda: Model(cuts), "aten.tril.default"),
    "decompose=core": (lambda: Model(normal), "aten.layer_norm.default"),
    "where=selected": (lambda: Model(chooses), "Where"),
    "isnan=compared": (lambda: Model(asks), "IsNaN"),
    "batch_norm=folded": (lambda: Model(normed, norm=norm()), "BatchNormalization"),
    "expand=LayerNormalization": (lambda: Model(normal), "LayerNormalization"),
    "expand=Gelu": (lambda: Model(normal), "Gelu"),
}


def draw(batch: int = 2, length: int = 5) -> Any:
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(3))


def exporter(folder: Path, flat: nn.Module) -> Exporter:
    with torch.no_grad():
        answers = flat(draw())
    shape = ("batch", "length", WIDTH)
    outputs = [TensorSpec(f"y{i}", str(a.dtype).removeprefix("torch."), tuple(a.shape)) for i, a in enumerate(answers)]
    return Exporter(flat, [TensorSpec("x", "float32", shape)], outputs, [draw()], frozenset({"batch", "length"}), folder)


def flat_of(model: nn.Module, **constants: Any) -> nn.Module:
    return EagerModel(model.eval(), ["x"], constants).flat()


def export(folder: Path, flat: nn.Module, kind: str, *route: str, precision: Precision = Precision.FP32) -> Any:
    return exporter(folder, flat).export(FormKey(kind, precision, "dynamic", None, route))


def words_in(folder: Path, record: Any) -> Counter[str]:
    """What a form has in it: operators and dtypes."""
    if record.path.endswith(".onnx"):
        return Counter(node.op_type for node in onnx.load(folder / record.path).graph.node)
    program = torch.export.load(folder / record.path)
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    dtypes = [str(v.dtype).removeprefix("torch.") for n in nodes if isinstance(v := n.meta.get("val"), torch.Tensor)]
    made = [
        f"{node.target} {str(v.dtype).removeprefix('torch.')}" for node in nodes if hasattr(v := node.meta.get("val"), "dtype")
    ]
    return Counter([*(str(node.target) for node in nodes), *dtypes, *made])


def answers(folder: Path, record: Any, x: Any) -> list[Any]:
    if record.path.endswith(".onnx"):
        session = onnxruntime.InferenceSession(str(folder / record.path), providers=["CPUExecutionProvider"])
        return list(session.run(None, {"x": x.numpy()}))
    with torch.no_grad():
        return [tensor.numpy() for tensor in torch.export.load(folder / record.path).module()(x)]


def same(found: list[Any], wanted: Any) -> bool:
    return all(np.allclose(one, other.numpy(), atol=2e-5, rtol=1e-4) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("word", CASES)
def test_a_change_takes_out_what_it_is_for_and_the_answer_stays(tmp_path: Path, word: str) -> None:
    make, gone = CASES[word]
    flat = flat_of(make())
    kind = "onnx" if routes.level_of(word) is Level.GRAPH else "pt2"
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    if word != "where=selected":  # whose dtype is what matters
        assert words_in(tmp_path / "before", export(tmp_path / "before", flat, kind))[gone]
    record = export(tmp_path / "after", flat, kind, word)
    assert record.route[-1] == word
    found = words_in(tmp_path / "after", record)
    assert not found[gone]
    assert not found["CastLike"]
    assert set(record.dynamic_axes) == {"batch", "length"}
    for x in (draw(), draw(3, 7)):
        with torch.no_grad():
            assert same(answers(tmp_path / "after", record, x), flat(x))


def test_complex_numbers_become_pairs_in_an_onnx_file_as_well(tmp_path: Path) -> None:
    flat = flat_of(CASES["complex=pairs"][0]())
    record = export(tmp_path, flat, "onnx", "complex=pairs")
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw(3, 7)), flat(draw(3, 7)))


@pytest.mark.parametrize("word", ["searchsorted=counted", "sort=plain"])
def test_an_operator_that_the_exporter_does_not_know_is_written_by_others(tmp_path: Path, word: str) -> None:
    flat = flat_of(CASES[word][0]())
    with pytest.raises(Exception, match="No ONNX function found"):
        export(tmp_path, flat, "onnx")
    record = export(tmp_path, flat, "onnx", word)
    x = draw() if "length" not in record.dynamic_axes else draw(3, 7)
    with torch.no_grad():
        assert same(answers(tmp_path, record, x), flat(x))


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_fourier_transforms_become_products(tmp_path: Path, kind: str) -> None:
    flat = flat_of(Model(waves, turn=nn.Buffer(torch.randn(4, dtype=torch.complex64))))
    record = export(tmp_path, flat, kind, "complex=pairs")
    assert not [word for word in words_in(tmp_path, record) if "fft" in word or word == "DFT"]
    x = draw() if "length" not in record.dynamic_axes else draw(3, 7)
    with torch.no_grad():
        assert same(answers(tmp_path, record, x), flat(x))


FFT = [(name, more) for name in ("fft", "ifft", "rfft", "irfft") for more in ("", "2", "n")]


@pytest.mark.parametrize(("name", "more"), FFT)
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
def test_a_transform_of_pairs_is_that_of_pytorch(name: str, more: str, norm: str | None) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 6, 9, dtype=torch.float64, generator=generator)
    x = x if name == "rfft" else torch.complex(x, x.flip(0) + 1)
    calls: list[tuple[Any, Any]] = [(None, (-2, -1)), ((7, 4), (0, 2))] if more else [(None, -1), (5, 1), (12, 0)]
    for sizes, dims in calls:
        wanted = getattr(torch.fft, name + more)(x, sizes, dims, norm)
        found = fourier()[f"fft_{name}{more}"](Pair(torch.view_as_real(x)) if x.is_complex() else x, sizes, dims, norm)
        assert torch.allclose(torch.view_as_complex(found.real.contiguous()) if isinstance(found, Pair) else found, wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_a_normalisation_goes_into_the_convolution_before_it(tmp_path: Path, bias: bool) -> None:
    random = np.random.default_rng(0)
    names = ["weight", "scale", "offset", "mean", "variance", *(["bias"] if bias else [])]
    shapes = {"weight": (4, 3, 3)}
    held = {name: random.random(shapes.get(name, 4), np.float32) for name in names}
    convolution = onnx.helper.make_node("Conv", ["x", "weight", *(["bias"] if bias else [])], ["c"], pads=[1, 1])
    normal = onnx.helper.make_node("BatchNormalization", ["c", "scale", "offset", "mean", "variance"], ["y"], epsilon=1e-3)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", None, "n"]) for name in "xy"]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in held.items()]
    graph = onnx.helper.make_graph([convolution, normal], "g", values[:1], values[1:], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    x = random.random((2, 3, 6), np.float32)

    def run() -> Any:
        return onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).run(None, {"x": x})[0]

    before = run()
    assert rewrite(tmp_path / "model.onnx", ["batch_norm=folded"], onnx_ir.save) == ("batch_norm=folded",)
    assert [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node] == ["Conv"]
    assert np.allclose(run(), before, atol=1e-5)


def flattened(path: Path, batch: int | str) -> Path:
    """A file as others write it: a flatten by the shape of what comes in, and a weight that is made out of two."""
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    random = np.random.default_rng(0)
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "first"], ["rows"]),
        node("Concat", ["rows", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["flat"]),
        node("Add", ["half", "half"], ["weight"]),
        node("MatMul", ["flat", "weight"], ["product"]),
        node("Identity", ["product"], ["y"]),
    ]
    held = {
        "first": np.array([0]),
        "rest": np.array([-1]),
        "half": random.random((12, 5), np.float32),
    }
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [batch, *d]) for n, d in (("x", [3, 4]), ("y", [5]))]
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], [tensor(array, name) for name, array in held.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("batch", "left"), [(2, ["Reshape", "MatMul"]), ("b", ["Shape", "Gather", "Concat", "Reshape", "MatMul"])]
)
def test_what_follows_from_constants_and_declared_shapes_is_folded(tmp_path: Path, batch: int | str, left: list[str]) -> None:
    path = flattened(tmp_path / "model.onnx", batch)
    x = np.random.default_rng(1).random((2, 3, 4), np.float32)

    def run() -> Any:
        return onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]

    before = run()
    assert rewrite(path, ["simplify=folded"], onnx_ir.save) == ("simplify=folded",)
    assert [node.op_type for node in onnx.load(path).graph.node] == left
    assert np.array_equal(run(), before)
    assert rewrite(path, ["simplify=folded"], onnx_ir.save) == (), "there is nothing left to fold"


@pytest.fixture
def picky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The adapters of faulty_adapter are known."""
    from porting import registry

    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent / "faulty_adapter"))
        patch.setenv("PORTING_HOME", str(tmp_path))
        registry.refresh()
        yield
    registry.refresh()


def test_a_file_is_simplified_for_a_stack_that_does_not_take_it_as_it_is(picky: None, tmp_path: Path) -> None:
    from porting.api import check

    (result,) = check(str(flattened(tmp_path / "model.onnx", 2)), targets=["picky:no_shape:fp32"])
    assert (result.outcome, result.passes_with) == (Outcome.PASS, ("simplify=folded",)), result.message
    assert any(note.startswith("rewritten, and equal") for note in result.notes)


def test_what_follows_from_constants_is_computed_while_the_model_is_captured(tmp_path: Path) -> None:
    flat = flat_of(Model(splits), grid=torch.tensor([[1, 3, 2], [2, 1, 1]]))
    with pytest.raises(Exception, match="data-dependent"):
        export(tmp_path, flat, "pt2")
    record = export(tmp_path, flat, "pt2", "constants=folded")
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw(3, 7)), flat(draw(3, 7)))


class Experts(nn.Module):  # type: ignore[misc]
    """Each token goes to two of four experts, some of which nobody may ask for."""

    def __init__(self, row: Any, spare: int) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(WIDTH, 4), nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.row, self.classes = row, 4 + spare
        self.router.bias.data[0] -= 100

    def forward(self, x: Any) -> Any:
        tokens = x.reshape(-1, WIDTH)
        weights, chosen = self.router(tokens).softmax(-1).topk(2, -1)
        total, mask = torch.zeros_like(tokens), nn.functional.one_hot(chosen, self.classes).permute(2, 1, 0)
        for expert in (mask.sum(dim=(-1, -2)) > 0).nonzero():
            rank, token = torch.where(mask[self.row(expert)].reshape(2, -1))
            if token.numel() == 0:
                continue
            self.router = self.router.to(x.dtype)
            total.index_add_(0, token, self.experts[int(expert[0])](tokens[token]) * weights[token, rank, None])
        return total.reshape(x.shape)


@pytest.mark.parametrize(
    ("kind", "row", "spare"),
    [("onnx", lambda row: row, 0), ("pt2", lambda row: row[0], 1), ("pt2", lambda row: int(row.item()), 0)],
)
def test_experts_that_are_hit_or_not_are_all_run(tmp_path: Path, kind: str, row: Any, spare: int) -> None:
    flat = flat_of(Model(lambda model, x: model.experts(x), experts=Experts(row, spare)))
    with pytest.raises(Exception, match=r"data-dependent|swap"):
        export(tmp_path, flat, "pt2")
    record = export(tmp_path, flat, kind, "experts=all", "module=kept")
    assert record.route[-2:] == ("experts=all", "module=kept")
    assert not {"NonZero", "aten.nonzero.default", "aten.nonzero_numpy.default"} & words_in(tmp_path, record).keys()
    for x in (draw(), draw(3, 7)):
        with torch.no_grad():
            assert same(answers(tmp_path, record, x), flat(x))
    with pytest.raises(NothingToChange):
        export(tmp_path, flat_of(Model(normal)), kind, "experts=all")


class SortedExperts(nn.Module):  # type: ignore[misc]
    """Tokens are sorted by expert, and each expert takes its stretch, as DeepSeek-MoE has it."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(WIDTH, 4), nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Any) -> Any:
        tokens = x.reshape(-1, WIDTH)
        weights, chosen = self.router(tokens).softmax(-1).topk(2, -1)
        return self.moe_infer(tokens, chosen.view(-1), weights.view(-1, 1)).reshape(x.shape)

    def moe_infer(self, x: Any, flat_expert_indices: Any, flat_expert_weights: Any) -> Any:
        total, order = torch.zeros_like(x), flat_expert_indices.argsort()
        ends = flat_expert_indices.bincount(minlength=4).cpu().numpy().cumsum(0)
        for expert, start, end in zip(self.experts, [0, *ends[:-1]], ends, strict=True):
            stretch = order[start:end]
            total.index_add_(0, stretch // 2, expert(x[stretch // 2]) * flat_expert_weights[stretch])
        return total


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_experts_that_tokens_are_sorted_by_are_all_run(tmp_path: Path, kind: str) -> None:
    experts = SortedExperts()
    flat = flat_of(Model(lambda model, x: model.experts(x), experts=experts))
    with pytest.raises(Exception, match=r"numpy\(\) is not supported"):
        export(tmp_path, flat, "pt2")
    record = export(tmp_path, flat, kind, "experts=all")
    assert record.route[-1] == "experts=all"
    assert "moe_infer" not in vars(experts)
    for x in (draw(), draw(3, 7)):
        with torch.no_grad():
            assert same(answers(tmp_path, record, x), flat(x))


def reads(_: Any, x: Any) -> Any:
    """Asks its tensors for a decision, for a number, and for a list that is as long as values want it."""
    rows = (x[0, :, 0].abs() >= 0).nonzero().flatten()[:2].tolist()
    sign = 1 if bool((x < 50).all()) else -1
    return sign * x + sum(x[:, row, None] for row in rows) + int(x[0, 0, 0].isnan())


def test_what_is_read_out_of_tensors_is_answered_as_on_the_example(tmp_path: Path) -> None:
    flat = flat_of(Model(reads))
    with pytest.raises(Exception, match="data-dependent"):
        export(tmp_path, flat, "pt2")
    record = export(tmp_path, flat, "pt2", "data=replayed")
    assert record.route[-1] == "data=replayed"
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw() / 2), flat(draw() / 2))
        other = 1000 * draw()
        assert not same(answers(tmp_path, record, other), flat(other)), "which is why every case has to bear it out"
    with pytest.raises(NothingToChange):
        export(tmp_path, flat_of(Model(normal)), "pt2", "data=replayed")


def test_softplus_keeps_the_digits_of_small_answers() -> None:
    (way,) = operators(["softplus=series"]).values()
    x = torch.linspace(-60, 60, 997)
    wanted = nn.functional.softplus(x.double())
    assert ((way[1](x) - wanted).abs() / wanted).max() < 5e-7


def test_a_running_sum_of_bools_is_one_of_integers(tmp_path: Path) -> None:
    flat = flat_of(Model(lambda _, x: (x > 0).cumsum(1) * x))
    usual = export(tmp_path, flat, "onnx", "capture=torchscript")
    with pytest.raises(Exception, match="CumSum"):
        answers(tmp_path, usual, draw())
    record = export(tmp_path, flat, "onnx", "capture=torchscript", "cumsum=integers")
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw(3, 7)), flat(draw(3, 7)))


def test_what_the_exporter_takes_for_zero_is_there_without_its_optimisations(tmp_path: Path) -> None:
    flat = flat_of(Model(lambda _, x: x / (x.square().sum(-1, keepdim=True) + 1e-8).sqrt()))
    flat.model.line.weight.data *= 1e-5
    flat.model.line.bias.data *= 0
    with torch.no_grad():
        wanted = flat(draw())
    usual = export(tmp_path, flat, "onnx")
    assert not same(answers(tmp_path, usual, draw()), wanted), "the exporter has been mended: `optimize=off` is no longer needed"
    record = export(tmp_path, flat, "onnx", "optimize=off")
    assert same(answers(tmp_path, record, draw()), wanted)
    assert record.route[-1] == "optimize=off"


def test_an_export_blind_to_weights_writes_none_of_them_again(tmp_path: Path) -> None:
    flat = flat_of(Model(lambda model, x: x @ model.wide.T, wide=nn.Parameter(torch.randn(4096, WIDTH))))
    save_file(flat.model.state_dict(), tmp_path / WEIGHTS)
    again = tmp_path / "onnx-fp32-dynamic.onnx.data"
    export(tmp_path, flat, "onnx")
    assert again.stat().st_size >= flat.model.wide.nbytes, (
        "the exporter leaves weights alone: `weights=unread` is no longer needed"
    )
    again.unlink()
    record = export(tmp_path, flat, "onnx", "weights=unread")
    assert record.route[-1] == "weights=unread"
    assert not list(tmp_path.glob("*.onnx.data"))
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw(3, 7)), flat(draw(3, 7)))


@pytest.mark.parametrize(
    ("word", "attribute"), [("attention=eager", "_attn_implementation"), ("experts=batched_mm", "_experts_implementation")]
)
def test_an_implementation_is_chosen_for_the_export_alone(tmp_path: Path, word: str, attribute: str) -> None:
    how = word.partition("=")[2]
    config = SimpleNamespace(**{attribute: "fast"})

    def function(model: Any, x: Any) -> Any:
        return x + 1 if getattr(model.config, attribute) == how else x + 2

    flat = flat_of(Model(function, config=config))
    record = export(tmp_path, flat, "pt2", word)
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw()), [y - 1 for y in flat(draw())])
    assert getattr(config, attribute) == "fast"


def test_a_route_that_finds_nothing_to_change_is_no_route(tmp_path: Path) -> None:
    flat = flat_of(Model(normal))
    with pytest.raises(NothingToChange, match="complex=pairs"):
        export(tmp_path, flat, "pt2", "complex=pairs", "attention=eager")
    assert export(tmp_path, flat, "onnx", "complex=pairs", "expand=Gelu").route[-1] == "expand=Gelu"


@pytest.mark.parametrize("mask", ["none", "bool", "float", "causal", "groups"])
def test_composed_attention_is_attention(mask: str) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 4, 6, 8, generator=generator) for _ in range(3))
    some = torch.rand(2, 1, 6, 6, generator=generator) > 0.3
    some[0, 0, 2] = False  # a row that sees nothing answers zero
    more: dict[str, Any] = {
        "none": {}, "bool": {"attn_mask": some}, "causal": {"is_causal": True, "scale": 0.3},
        "float": {"attn_mask": torch.zeros(some.shape).masked_fill(~some, float("-inf"))},
        "groups": {"attn_mask": some, "enable_gqa": True},
    }[mask]  # fmt: skip
    if mask == "groups":
        key, value = key[:, :2], value[:, :2]
    wanted = nn.functional.scaled_dot_product_attention(query, key, value, **more)
    assert torch.allclose(attention(query, key, value, **more), wanted, atol=1e-6)


def test_every_operator_that_may_be_expanded_is_defined_by_others() -> None:
    schemas = {schema.name: schema for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    for schema in onnx.defs.get_all_schemas():
        schemas[schema.name] = schema
    defined = {n for n, s in schemas.items() if s.has_function or s.has_context_dependent_function}
    assert [name for name in EXPANDABLE if name not in defined and name in schemas] == []
