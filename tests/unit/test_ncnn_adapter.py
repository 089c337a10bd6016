"""ncnn's adapter without ncnn: what pnnx writes and prints is read, programs are respelt, pnnx is believed by its results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from porting.adapters.ncnn import _network as networks
from porting.adapters.ncnn import adapter as ncnn
from porting.adapters.ncnn._network import FLOAT, INT, DtypeError, UnsupportedError
from porting.adapters.ncnn._program import respell
from porting.adapters.ncnn._recurrent import as_modules

from porting.types import Cause, Outcome

PARAM = """7767517
7 9
Input                    in0                      0 1 in0
Input                    in1                      0 1 in1
Split                    splitncnn_0              1 2 in0 out1 1
MemoryData               table                    0 1 2 0=4 1=5
Embed                    embed_0                  1 1 1 3 0=4 1=9 2=0 3=36
BinaryOp                 mul_0                    2 1 3 in1 4 0=2
BinaryOp                 add_0                    2 1 4 2 out0 0=0
"""
SCRIPT = """
            ex.input("in0", ncnn.Mat(in0.numpy(), batch_index=0).clone())
            ex.input("in1", ncnn.Mat(in1.numpy(), batch_index=233).clone())
            _, out0 = ex.extract("out0")
            out.append(torch.from_numpy(out0.numpy(batch_index=1)))
"""


def layers(*lines: str) -> list[networks.Layer]:
    return networks.read_layers("\n".join((networks.MAGIC, "0 0", *lines)))


# ---- what pnnx writes


def test_a_network_reads_back_as_it_is_written() -> None:
    read = networks.read_layers(PARAM)
    assert read[4] == networks.Layer("Embed", "embed_0", ("1",), ("3",), "0=4 1=9 2=0 3=36")
    written = networks.write_layers(read)
    assert networks.read_layers(written) == read
    assert written.splitlines()[:2] == ["7767517", "7 8"]


@pytest.mark.parametrize("text", ["", "garbage", "7767518\n0 0\n"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the text of an ncnn network"):
        networks.read_layers(text)


def test_batch_axes_are_read_from_the_script() -> None:
    assert networks.batch_axes(SCRIPT) == {"in0": 0, "in1": networks.NO_BATCH, "out0": 1}


def test_integer_constants_are_told_by_the_graph() -> None:
    graph = (
        "pnnx.Attribute c 0 1 4 @data=(5,4)f32 #4=(5,4)f32\n"
        "pnnx.Attribute pos 0 1 5 @data=(5)i64 #5=(5)i64\n"
        "pnnx.Attribute keep 0 1 6 @data=(2,1,5)bool #6=(2,1,5)bool\n"
    )
    assert networks.integer_constants(graph) == {"pos", "keep"}


# ---- integers


def test_an_input_is_integer_where_a_table_is_looked_up_and_floating_elsewhere() -> None:
    network = networks.assign_dtypes(networks.read_layers(PARAM), {"in0", "in1"}, {})
    assert network.dtypes == {
        "in0": INT, "out1": INT, "1": INT, "in1": FLOAT, "2": FLOAT, "3": FLOAT, "4": FLOAT, "out0": FLOAT,
    }  # fmt: skip


def test_reduced_precision_is_kept_off_what_moves_integers_and_off_nothing_else() -> None:
    network = networks.assign_dtypes(networks.read_layers(PARAM), {"in0"}, {})
    assert [layer.name for layer in network.layers if networks.KEEP_BITS in layer.settings] == ["in0", "splitncnn_0"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["Input in0 0 1 in0", "UnaryOp abs 1 1 in0 1 0=0", "Embed e 1 1 1 out0"],
            "UnaryOp abs gives float32, which Embed e reads",
        ),
        (
            ["Input in0 0 1 in0", "Split s 1 2 in0 1 2", "Embed e 1 1 1 out0", "ReLU r 1 1 2 out1"],
            "Input in0 gives float32, which Split s reads as int32",
        ),
        (["MemoryData in0 0 1 1 0=5", "Reshape r 1 1 1 2", "ReLU r2 1 1 2 out0"], "MemoryData in0 gives int32"),
    ],
    ids=["computed index", "read both ways", "integer constant in arithmetic"],
)
def test_a_tensor_that_would_be_integer_and_floating_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        networks.assign_dtypes(layers(*lines), {"in0"}, {})


# ---- what pnnx prints


def test_complaints_are_told_from_chatter_and_each_once() -> None:
    printed = "inputshape = [2,5]i64\nsoftmax along batch axis 0 is not supported\nFLOPS = 1.36K\n" * 2
    assert networks.complaints(printed) == ["softmax along batch axis 0 is not supported"]
    assert networks.complaints("replace ncnn input torch.long type with torch.int\nget inputshape from traced inputs") == []


def test_ignored_parameters_are_named_by_operator() -> None:
    printed = "ignore torch.argmax torch.argmax_1 param dim=-1\nignore torch.argmax torch.argmax_2 param dim=-1\n"
    assert networks.ignored(printed) == {"torch.argmax": ["dim=-1"]}


def test_what_ncnn_has_no_layer_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ncnn:
        layer_to_index = staticmethod({"Input": 16, "Softmax": 32}.get)

    monkeypatch.setitem(sys.modules, "ncnn", Ncnn)
    monkeypatch.setattr(Ncnn, "layer_to_index", staticmethod(lambda kind: 1 if kind in ("Input", "Softmax") else -1))
    found = layers("Input in0 0 1 in0", "torch.where w 1 1 in0 1", "Softmax s 1 1 1 out0")
    with pytest.raises(UnsupportedError) as caught:
        ncnn.refuse_what_is_left_out(found, "ignore torch.where w param other=0.5\nignore Softmax s param half_to_float=False")
    assert str(caught.value) == "ncnn has no layer for torch.where; pnnx ignored half_to_float=False of Softmax"
    ncnn.refuse_what_is_left_out(layers("Input in0 0 1 in0", "Softmax s 1 1 in0 out0"), "FLOPS = 14")


# ---- how pnnx ends


def pnnx_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "pnnx"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(ncnn, "pnnx_program", lambda: program)


@pytest.mark.parametrize(
    ("script", "message", "cause"),
    [
        ("echo folding; kill -SEGV $$", r"pnnx ended with signal SIGSEGV; last it said: folding", Cause.CRASH),
        ("echo done", r"pnnx ended with 0, without writing traced.ncnn.param, .*; last it said: done", None),
        ("exit 3", r"pnnx ended with 3, without writing", None),
    ],
    ids=["crash", "nothing written", "exit status"],
)
def test_pnnx_is_believed_by_what_it_wrote(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, message: str, cause: Cause | None
) -> None:
    pnnx_that(monkeypatch, tmp_path, script)
    with pytest.raises(ncnn.ConverterError, match=message) as caught:
        ncnn.run_pnnx(tmp_path)
    assert ncnn.NcnnAdapter().classify(caught.value) == (cause and (Outcome.FAIL, cause))


def test_what_pnnx_printed_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pnnx_that(monkeypatch, tmp_path, f"touch {' '.join(ncnn.WRITTEN.values())}; echo said >&2")
    assert ncnn.run_pnnx(tmp_path) == "said\n"


def test_limits_are_told_from_failures() -> None:
    classify = ncnn.NcnnAdapter().classify
    assert classify(UnsupportedError("x")) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)
    assert classify(DtypeError("x")) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE)
    assert classify(RuntimeError("y has the shape [3] in ncnn, and [4] in the model")) == (Outcome.FAIL, Cause.OUTPUT_STRUCTURE)
    assert classify(RuntimeError("something else")) is None


# ---- programs


class Masked(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """Attention under a constant mask of flags."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=self.mask)


class Token(torch.nn.Module):  # type: ignore[misc]
    """A learnt row before every item."""

    def __init__(self) -> None:
        super().__init__()
        self.token = torch.nn.Parameter(torch.arange(4.0).reshape(1, 1, 4) + 1)

    def forward(self, x: Any) -> Any:
        return torch.cat((self.token.expand(2, -1, -1), x), 1)


class Casts(torch.nn.Module):  # type: ignore[misc]
    """Integers that become floats, said and unsaid, and a cast to what is there already."""

    def forward(self, x: Any) -> Any:
        steps = torch.arange(4)
        return x.to(torch.float32) + steps.to(torch.float32) * 0.5 + steps


def respelt(module: torch.nn.Module, x: torch.Tensor) -> list[str]:
    """Operators of the program after respelling, which has to answer the same."""
    graph = torch.export.export(module.eval(), (x,), strict=False).module(check_guards=False)
    expected = graph(x)
    with torch.no_grad():
        respell(graph)
    torch.testing.assert_close(graph(x), expected)
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_a_mask_that_hides_nothing_goes() -> None:
    operators = respelt(Masked(torch.ones(2, 1, 3, 3, dtype=torch.bool)), torch.randn(2, 2, 3, 4))
    assert operators == ["aten.scaled_dot_product_attention.default"]


def test_a_mask_of_flags_becomes_sums() -> None:
    operators = respelt(Masked(torch.ones(3, 3).tril().bool()), torch.randn(2, 2, 3, 4))
    assert operators[:-1] == ["aten.sub.Scalar", "aten.mul.Scalar", "aten.mul.Scalar"]


def test_a_token_before_a_batch_becomes_a_sum_of_paddings() -> None:
    operators = respelt(Token(), torch.randn(2, 3, 4))
    assert operators.count("aten.constant_pad_nd.default") == 2
    assert "aten.cat.default" not in operators


def test_integer_constants_become_floats_and_casts_go() -> None:
    operators = respelt(Casts(), torch.randn(2, 4))
    assert not [name for name in operators if name.startswith("aten.to.")]
    assert operators[-3:] == ["aten.mul.Tensor", "aten.add.Tensor", "aten.add.Tensor"]


class Positions(torch.nn.Module):  # type: ignore[misc]
    """The same rows added to every item of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(3, 4)

    def forward(self, x: Any) -> Any:
        return x + self.table(torch.arange(3).expand(2, 3))


def test_a_constant_that_is_repeated_along_the_batch_is_taken_once() -> None:
    assert respelt(Positions(), torch.randn(2, 3, 4))[-2:] == ["aten.slice.Tensor", "aten.add.Tensor"]


class Padded(torch.nn.Module):  # type: ignore[misc]
    """Attention that looks back and past what a second input leaves out, as exporters spell it."""

    def forward(self, x: Any, keep: Any) -> Any:
        rows, columns = torch.arange(2).reshape(2, 1, 1, 1), torch.arange(3).reshape(1, 1, 1, 3)
        mask = torch.ones(3, 3, dtype=torch.bool).tril() & keep.to(torch.bool)[rows, columns]
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def test_flags_become_numbers_where_they_follow_from_an_input() -> None:
    x, keep = torch.randn(2, 2, 3, 4), torch.tensor([[1, 1, 1], [1, 5, 0]])
    graph = torch.export.export(Padded(), (x, keep), strict=False).module(check_guards=False)
    expected = graph(x, keep)
    respell(graph)
    torch.testing.assert_close(graph(x, keep), expected)
    (attention,) = (node for node in graph.graph.nodes if node.target is torch.ops.aten.scaled_dot_product_attention.default)
    behind = [attention.kwargs.get("attn_mask") or attention.args[3]]
    for node in behind:  # grows as it goes
        behind += node.all_input_nodes
        assert node.target not in (torch.ops.aten.__and__.Tensor, torch.ops.aten.index.Tensor, torch.ops.aten.to.dtype)


class Fixed(torch.nn.Module):  # type: ignore[misc]
    """Constants alone in a sum, which makes its batch."""

    def forward(self, x: Any) -> Any:
        return x + (torch.ones(2, 3, 4) + torch.ones(2, 3, 4)), torch.ones(2, 3) + x.mean()


def test_what_makes_the_batch_keeps_it() -> None:
    x = torch.randn(1, 3, 4)
    graph = torch.export.export(Fixed(), (x,), strict=False).module(check_guards=False)
    respell(graph)
    assert [value.shape for value in graph(x)] == [(2, 3, 4), (2, 3)]


class Written(torch.nn.Module):  # type: ignore[misc]
    """A mask that is a constant until something is written into a view of it."""

    def forward(self, x: Any, keep: Any) -> Any:
        mask = torch.ones(3, 3, dtype=torch.bool)
        mask[1:].copy_(keep)
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def test_what_is_written_into_is_no_constant() -> None:
    x, keep = torch.randn(2, 3, 4), torch.tensor([[True, False, True], [False, True, True]])
    graph = torch.export.export(Written(), (x, keep), strict=False).module(check_guards=False)
    expected = graph(x, keep)
    respell(graph)
    torch.testing.assert_close(graph(x, keep), expected)


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # torch 2.13 warns of its own recurrent layers
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2, "batch_first": True}, {"bias": False}], ids=str)
def test_recurrent_operators_become_modules(kind: str, options: dict[str, Any]) -> None:
    x = torch.randn(2, 5, 3)
    graph = torch.export.export(getattr(torch.nn, kind)(3, 4, **options).eval(), (x,), strict=False).module(check_guards=False)
    expected = graph(x)
    as_modules(graph)
    torch.testing.assert_close(graph(x), expected)
    assert [node.op for node in graph.graph.nodes].count("call_module") == 1


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # torch 2.13 warns of its own recurrent layers
def test_a_recurrent_operator_with_projections_stays() -> None:
    x = torch.randn(2, 5, 3)
    graph = torch.export.export(torch.nn.LSTM(3, 4, proj_size=2).eval(), (x,), strict=False).module(check_guards=False)
    as_modules(graph)
    assert "call_module" not in [node.op for node in graph.graph.nodes]
