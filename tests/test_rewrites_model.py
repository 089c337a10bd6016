"""Changes to a module before it is captured, and other ways to export it: the form answers as the model did."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rewrite_kit import WIDTH, Model, answers, draw, export, flat_of, normal, same, words_in
from safetensors.torch import save_file
from torch import nn

from porting.bundles.bundle import WEIGHTS
from porting.bundles.export import NothingToChange

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves


def splits(model: Any, x: Any, grid: Any = None) -> Any:
    """Reads sizes from a tensor that is the same in every call."""
    counts = (grid[:, 0] * grid[:, 1]).repeat_interleave(grid[:, 2])
    return torch.cat([part.mean(-1) for part in torch.split(x, counts.tolist(), -1)], -1)


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


def hurries(model: Any, x: Any) -> Any:
    """Halves its rows after the mask was made, and has no use for one that is of their size no more."""
    from transformers.masking_utils import create_bidirectional_mask

    mask = create_bidirectional_mask(model.config, x, None)
    if mask is not None:
        raise ValueError(f"Attention mask should be of size {x.shape[1] // 2}, but is {tuple(mask.shape)}")
    return model.line(x.unflatten(1, (-1, 1))[:, ::2, 0])


def test_a_mask_that_hides_nothing_is_none_as_it_is_where_nobody_captures_it(tmp_path: Path) -> None:
    from transformers import BertConfig

    flat = flat_of(Model(hurries))
    flat.model.config = BertConfig(attn_implementation="sdpa")
    with pytest.raises(ValueError, match="Attention mask should be of size"):
        export(tmp_path, flat, "pt2")
    record = export(tmp_path, flat, "pt2", "mask=left_out")
    assert record.route[-1] == "mask=left_out"
    with torch.no_grad():
        assert same(answers(tmp_path, record, draw(3, 7)), flat(draw(3, 7)))
    with pytest.raises(NothingToChange):
        export(tmp_path, flat_of(Model(normal)), "pt2", "mask=left_out")


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
