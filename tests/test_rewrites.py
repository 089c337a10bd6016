"""Each change of a route does what it says: what it answers is gone from the form, and the form answers as the model did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch
from rewrite_kit import WIDTH, Model, answers, draw, export, exporter, flat_of, normal, same, words_in
from torch import nn

from porting import routes
from porting.bundles.bundle import FormKey
from porting.bundles.export import NothingToChange
from porting.rewrites.fourier import ways as fourier
from porting.rewrites.graph import rewrite
from porting.rewrites.pairs import Pair
from porting.rewrites.program import attention, operators
from porting.routes.table import EXPANDABLE, Level
from porting.types import Outcome, Precision

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves


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


def gathers(model: Any, x: Any) -> Any:
    """Sums, means, largest and smallest of rows by segment, as graph networks have them; one segment is empty."""
    index = torch.arange(x.shape[1]) % 3
    rows = index[None, :, None].expand_as(x)
    start = x.new_zeros(x.shape[0], 4, WIDTH)
    added = start.index_add(1, index, x, alpha=2) + start.scatter_add(1, rows, x)
    by_batch = ((x[..., :1] > 0) * 2 + (x[..., 1:2] > 0)).expand_as(x)
    added = added + start.scatter_add(1, by_batch, x)
    best = start.scatter_reduce(1, rows, x, "amax", include_self=False), start.scatter_reduce(1, rows, x, "amin")
    return added, *best, start.scatter_reduce(1, rows, x, "mean", include_self=False), start.scatter_reduce(1, rows, x, "sum")


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


def bends(model: Any, x: Any) -> Any:
    return torch.tanh(x), torch.tanh(x / 100), torch.tanh(x * 20), torch.tanh(x * 0)


def joins(model: Any, x: Any) -> Any:
    """Puts two parts into one tensor, of which the second has no width here."""
    kept, turned = x.split([WIDTH, 0], -1)
    both = torch.zeros_like(x) + kept
    both[..., WIDTH:] = turned
    return both


def resizes(model: Any, x: Any) -> Any:
    image, size = x[:, None], (3, 5)
    ways: list[dict[str, Any]] = [{"size": size}, {"size": (x.shape[1] * 2, 11)}, {"size": (6, 9)}, {"scale_factor": (0.7, 0.5)}]
    return [nn.functional.interpolate(image, mode=mode, antialias=True, **w) for mode in ("bilinear", "bicubic") for w in ways]


def enlarges(model: Any, x: Any) -> Any:
    image = x[:, None]
    ways: list[dict[str, Any]] = [{"size": (3, 5)}, {"size": (x.shape[1] * 2, 11)}, {"scale_factor": (0.7, 1.5)}]
    ways.append({"size": (7, 4), "align_corners": True})
    return [nn.functional.interpolate(image, mode="bicubic", **way) for way in ways]


def averages(model: Any, x: Any) -> Any:
    image = x[:, None]
    sizes = [(3, 5), (7, 2), (2, 3)]
    return [nn.functional.adaptive_avg_pool2d(image, size) for size in sizes]


def folds(_: Any, x: Any) -> Any:
    """Patches of several shapes, at steps that meet the edge and that do not, of a batch and of one image."""
    patches = (x[:, :1].transpose(1, 2) * torch.linspace(-1, 2, 12)).repeat(1, 3, 1)
    fold = nn.functional.fold
    return (
        fold(patches[..., :9], (4, 5), (2, 3)),
        fold(patches, (6, 9), (2, 2), padding=(0, 1), stride=(2, 3)),
        fold(patches[0], (5, 8), (2, 2), dilation=(1, 2), padding=0, stride=(1, 2)),
    )


def spreads(_: Any, x: Any) -> Any:
    """Transposed convolutions whose steps, paddings and groups differ along the axes; patches that are put together."""
    generator = torch.Generator().manual_seed(0)
    image = torch.stack([x, x * 2, x.flip(1), x - 1], 1)
    weight, grouped = (torch.randn(4, to, 3, 4, generator=generator) / 5 for to in (3, 1))
    turn = nn.functional.conv_transpose2d
    return (
        nn.functional.fold(image[:, :, :1].expand(-1, -1, 3, -1).flatten(2)[..., :12], (4, 5), (2, 2)),
        turn(image, weight, weight[0, :, 0, 0], stride=2, padding=1, output_padding=1),
        turn(image, grouped, stride=(1, 3), padding=(2, 4), groups=2),
        turn(image, grouped, stride=(2, 1), padding=(0, 1), groups=4, dilation=(1, 2)),
    )


def slides(model: Any, x: Any) -> Any:
    """Over volumes, along an axis whose size varies and along one whose size does not."""
    generator = torch.Generator().manual_seed(0)

    def weight(*shape: int) -> Any:
        return torch.randn(shape, generator=generator) / 5

    functional, found = nn.functional, []
    for volume in (torch.stack([x, x * 2, x.flip(1), x - 1], 1)[:, None], torch.stack([x, x * 2, x - 1, x * x], 2)[:, None]):
        two = torch.cat([volume, volume.flip(2)], 1)
        found += [
            functional.conv3d(two, weight(4, 2, 3, 2, 3), weight(4), stride=(2, 1, 2), padding=(1, 0, 1)),
            functional.conv3d(two, weight(4, 1, 2, 2, 2), dilation=(2, 1, 1), groups=2),
            functional.conv3d(two, weight(3, 2, 2, 3, 2), padding="same"),
            functional.conv_transpose3d(two, weight(2, 3, 2, 2, 2), weight(3), stride=2),
            functional.conv_transpose3d(two, weight(2, 1, 3, 2, 3), None, (2, 1, 2), (1, 0, 1), (1, 0, 1), 2),
            functional.max_pool3d(two, (2, 2, 2)),
            functional.max_pool3d(two, (3, 2, 2), 1, (1, 0, 0)),
            functional.avg_pool3d(two, (2, 1, 2)),
        ]
    return found


def sums_bags(model: Any, x: Any) -> Any:
    """Bags of one size, whose rows are added up, averaged or the largest; some weighed, some empty, some rows left out."""
    index = (x[..., 0] > 0).to(torch.int64) * 2 + (x[..., 1] > 0).to(torch.int64)
    table, bag = model.line.weight, nn.functional.embedding_bag
    flat, some = index.reshape(-1), torch.tensor([0, 2, 2])
    return (
        *(bag(index, table, mode=mode) for mode in ("sum", "mean", "max")),
        bag(index, table, mode="sum", per_sample_weights=x[..., 2]),
        *(bag(index, table, mode=mode, padding_idx=1) for mode in ("sum", "mean", "max")),
        *(bag(flat, table, some, mode=mode) for mode in ("sum", "mean", "max")),
        bag(flat, table, torch.cat([some, torch.full((1,), flat.shape[0])]), include_last_offset=True),
    )


def takes_bits(model: Any, x: Any) -> Any:
    number, flag = (x * 9).round().to(torch.int64), x[..., :1] > 0
    return number & flag, flag & number, number | flag, number ^ flag, number & 7, (number & 6), flag & (x > 1)


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


def belongs(model: Any, x: Any) -> Any:
    """Whether values are among so many others that PyTorch sorts these and searches."""
    few, others = torch.floor(x * 8), torch.arange(-40.0, 40.0, 2).view(2, -1)
    return torch.isin(few, others), torch.isin(few, others, invert=True)


def orders(model: Any, x: Any) -> Any:
    """Sorts with many equals, whose order shows in the positions."""
    few = torch.floor(x)
    return *torch.sort(few, dim=1, stable=True), torch.argsort(few, -1, descending=True), torch.argsort(few, dim=0, stable=True)


def chooses(model: Any, x: Any) -> Any:
    return torch.where(x > 0, x > 1, x > -1), x


def remains(model: Any, x: Any) -> Any:
    places = torch.arange(x.shape[1]) - 3
    return places % 4, places % -4, x[:, : x.shape[1] % 3 + 1], nn.functional.pad(x, (0, 0, 0, -x.shape[1] % 4))


def asks(model: Any, x: Any) -> Any:
    return torch.where(torch.isnan(x), 0.0, x)


def normed(model: Any, x: Any) -> Any:
    return model.norm(x.transpose(1, 2))


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
    "bicubic=products": (lambda: Model(enlarges), "aten.upsample_bicubic2d.vec"),
    "pool=products": (lambda: Model(averages), "aten.adaptive_avg_pool2d.default"),
    "fold=convolution": (lambda: Model(folds), "aten.col2im.default"),
    "conv_transpose=spread": (lambda: Model(spreads), "aten.conv_transpose2d.input"),
    "volumes=frames": (lambda: Model(slides), "aten.conv3d.default"),
    "squeeze=checked": (lambda: Model(lambda _, x: x.squeeze(2) * 2), "aten.squeeze.dim"),
    "empty=skipped": (lambda: Model(joins), "aten.copy_.default"),
    "softplus=series": (lambda: Model(softens), "aten.softplus.default"),
    "tanh=fraction": (lambda: Model(bends), "aten.tanh.default"),
    "scatter=products": (lambda: Model(gathers), "aten.scatter_reduce.two"),
    "bags=products": (lambda: Model(sums_bags), "aten.embedding_bag.padding_idx"),
    "bits=numbers": (lambda: Model(takes_bits), "aten.__or__.Tensor"),
    "einsum=products": (lambda: Model(contracts), "aten.einsum.default"),
    "searchsorted=counted": (lambda: Model(places), "aten.searchsorted.Tensor"),
    "isin=compared": (lambda: Model(belongs), "aten.isin.Tensor_Tensor"),
    "sort=plain": (lambda: Model(orders), "aten.sort.stable"),
    "triangle=compared": (lambda: Model(cuts), "aten.tril.default"),
    "decompose=core": (lambda: Model(normal), "aten.layer_norm.default"),
    "where=selected": (lambda: Model(chooses), "Where"),
    "isnan=compared": (lambda: Model(asks), "IsNaN"),
    "mod=divided": (lambda: Model(remains), "Mod"),
    "batch_norm=folded": (lambda: Model(normed, norm=norm()), "BatchNormalization"),
    "expand=LayerNormalization": (lambda: Model(normal), "LayerNormalization"),
    "expand=Gelu": (lambda: Model(normal), "Gelu"),
}


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


def picks(model: Any, x: Any) -> Any:
    """As many rows as there are in the batch, in every way that a mask picks, and one column."""
    mask = x[..., 0] == x[..., 0].amax(1, keepdim=True)
    doubled = x.clone()
    doubled[mask] = x[mask] * 2
    cleared = x.clone()
    cleared[mask] = 0
    two = x[mask, torch.tensor([3])]
    many = mask.sum().item()
    torch._check(many <= x.shape[0] * x.shape[1])
    return (
        x[:, :many],
        x[mask],
        mask.nonzero(),
        x.masked_select(mask[..., None]),
        doubled,
        cleared,
        x[:, x[0, :, 0] == x[0, :, 0].max()],
        two,
    )


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_mask_picks_as_many_rows_as_on_the_nominal_case(tmp_path: Path, kind: str) -> None:
    flat = flat_of(Model(picks))
    record = exporter(tmp_path, flat).export(FormKey(kind, Precision.FP32, "static", None, ("picks=counted",)))
    assert record.route[-1] == "picks=counted"
    assert not {"aten.nonzero.default", "aten.masked_select.default", "NonZero", "Compress"} & {*words_in(tmp_path, record)}
    for x in (draw(), -draw(), draw() * 3):
        with torch.no_grad():
            assert same(answers(tmp_path, record, x), flat(x))
    even = draw()
    even[:, 1] = even[:, 0]  # two places are the largest, or none of the two is
    even[:, 2:] = even[:, :1]
    with torch.no_grad():
        assert [*answers(tmp_path, record, even)[1].shape] == [2, 8] != [*flat(even)[1].shape]


def test_a_program_whose_masks_pick_nothing_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(NothingToChange, match="picks=counted"):
        export(tmp_path, flat_of(Model(chooses)), "pt2", "picks=counted")


def test_complex_numbers_become_pairs_in_an_onnx_file_as_well(tmp_path: Path) -> None:
    flat = flat_of(CASES["complex=pairs"][0]())
    record = export(tmp_path, flat, "onnx", "complex=pairs")
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw(3, 7)), flat(draw(3, 7)))


@pytest.mark.parametrize("word", ["searchsorted=counted", "isin=compared", "sort=plain"])
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
