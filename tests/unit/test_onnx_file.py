"""A bare ONNX file: inputs made from the graph, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from porting.bundles.cases import cases
from porting.errors import ModelError, UntrustedError
from porting.sources import BuiltModel, _onnx_inputs, source
from porting.types import InputSpec, ModelSpec

Shape = Sequence[int | str | None]


def value(name: str, shape: Shape | None, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def save(folder: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[str], **tables: np.ndarray) -> Path:
    initializers = [numpy_helper.from_array(table, name) for name, table in tables.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "g", list(inputs), results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = folder / "net.onnx"
    onnx.save(model, path)
    return path


def build(path: Path, **more: Any) -> BuiltModel:
    return source("onnx").build(ModelSpec(id="onnx/net", source="onnx", name=path.name, root=str(path.parent), **more))


def run(built: BuiltModel, varying: frozenset[str] = frozenset()) -> list[list[np.ndarray]]:
    assert built.onnx is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(built.onnx), options, providers=["CPUExecutionProvider"])
    return [session.run(None, case.arrays) for case in cases(built.inputs, built.sizes, varying, "t")]


TABLE = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
SMALL = np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32)


def text_net(folder: Path) -> Path:
    """int32 tokens through Cast and Reshape into a table, segments into another, a mask; axes named as exporters name them."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["wide"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "wide"], ["rows"]),
        helper.make_node("Gather", ["segments", "token_type_ids"], ["kinds"]),
        helper.make_node("Add", ["rows", "kinds"], ["sum"]),
        helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
        helper.make_node("Mul", ["sum", "column"], ["out"]),
    ]
    shape = ["batch_size", "sequence_length"]
    inputs = [
        value("input_ids", shape, TensorProto.INT32),
        value("token_type_ids", shape, TensorProto.INT32),
        value("attention_mask", shape, TensorProto.INT64),
    ]
    return save(folder, nodes, inputs, ["out"], table=TABLE, segments=SMALL, last=np.array([-1]))


def test_int32_tokens_are_drawn_inside_the_table_that_they_index(tmp_path: Path) -> None:
    built = build(text_net(tmp_path))
    ids, segments, mask = built.inputs
    assert (ids.kind, ids.dtype, ids.shape, ids.high) == ("ids", "int32", ("batch", "sequence_length"), 30)
    assert (segments.kind, segments.high) == ("ids", 2)
    assert mask.kind == "mask"
    assert built.sizes == {"batch": 2, "sequence_length": 17}
    assert len(run(built, frozenset(built.sizes))) == 7


def test_chosen_sizes_and_ranges_are_stated(tmp_path: Path) -> None:
    notes = " ".join(build(text_net(tmp_path)).notes)
    assert "sizes chosen: batch=2, sequence_length=17" in notes
    assert "input_ids: drawn from 0 to 29" in notes


def test_the_entry_s_own_inputs_sizes_and_axis_names_win(tmp_path: Path) -> None:
    own = InputSpec("input_ids", "int32", ("batch", "sequence_length"), "ids", 5, 9)
    built = build(text_net(tmp_path), inputs=(own,), sizes={"sequence_length": 4})
    assert built.inputs[0] == own
    assert built.sizes["sequence_length"] == 4
    named = build(text_net(tmp_path), axes=dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"), ("batch", "words")))
    assert named.inputs[0].shape == ("batch", "words")
    with pytest.raises(ModelError, match="has no input 'tokens'"):
        build(text_net(tmp_path), inputs=(InputSpec("tokens", "int32", (2,), "ids"),))


def test_a_table_behind_a_dequantiser_bounds_ids_too() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["table", "scale"], ["floats"]),
        helper.make_node("Reshape", ["ids", "flat"], ["line"]),
        helper.make_node("Gather", ["floats", "line"], ["out"]),
        helper.make_node("Gather", ["computed", "other"], ["more"]),
    ]
    graph = helper.make_graph(nodes, "g", [], [])
    assert _onnx_inputs.table_sizes(graph, ["ids", "other"], {"table": (12, 4), "scale": ()}) == {"ids": 12}


def test_unnamed_axes_get_names_and_sizes_at_which_the_model_runs(tmp_path: Path) -> None:
    weights = np.ones((4, 3, 3, 3), np.float32)
    nodes = [helper.make_node("Conv", ["input", "weights"], ["out"])]
    built = build(save(tmp_path, nodes, [value("input", [None, 3, None, None])], ["out"], weights=weights))
    assert (built.inputs[0].kind, built.inputs[0].shape) == ("image", ("batch", 3, "height", "width"))
    assert built.sizes == {"batch": 2, "height": 64, "width": 96}
    assert built.steps == {"height": 32, "width": 32}
    run(built, frozenset(built.sizes))


def test_other_sizes_are_tried_when_the_first_do_not_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["audio", "weights"], ["out"])]
    built = build(save(tmp_path, nodes, [value("audio", ["n", "t"])], ["out"], weights=np.ones((16000, 2), np.float32)))
    assert built.inputs[0].kind == "audio"
    assert built.sizes == {"batch": 2, "t": 16000}


def test_a_model_for_a_batch_of_one_gets_one(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["out"])]
    built = build(save(tmp_path, nodes, [value("x", ["batch", 3])], ["out"], shape=np.array([1, 3])))
    assert built.sizes == {"batch": 1}


def test_state_sample_rate_and_lengths_are_recognised_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["sr"], ["rate"]),
        helper.make_node("Identity", ["state"], ["stateN"]),
        helper.make_node("Identity", ["feats_length"], ["n"]),
        helper.make_node("Identity", ["feats"], ["out"]),
    ]
    inputs = [
        value("feats", ["batch", "frames", 80]),
        value("feats_length", ["batch"], TensorProto.INT32),
        value("state", [2, None, 128]),
        value("sr", [], TensorProto.INT64),
    ]
    path = save(tmp_path, nodes, inputs, ["out"])
    built = build(path)
    feats, length, state, rate = built.inputs
    assert feats.shape == ("batch", "frames", 80)
    assert state.shape == (2, "batch", 128)
    assert (rate.kind, rate.value) == ("constant", 16000)
    drawn = cases(built.inputs, built.sizes, frozenset({"batch", "frames"}), "t")
    assert all((case.arrays["feats_length"] == case.sizes["frames"]).all() for case in drawn), length


def test_what_is_cached_and_what_is_new_add_up_to_the_mask(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Concat", ["past_key_values.0.key", "rows"], ["all"], axis=1),
        helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
        helper.make_node("Mul", ["all", "column"], ["out"]),
    ]
    inputs = [
        value("input_ids", ["batch_size", "sequence_length"], TensorProto.INT64),
        value("attention_mask", ["batch_size", "total_sequence_length"], TensorProto.INT64),
        value("past_key_values.0.key", ["batch_size", "past_sequence_length", 4]),
    ]
    built = build(save(tmp_path, nodes, inputs, ["out"], table=TABLE, last=np.array([-1])))
    assert built.inputs[1].shape == ("batch", "sequence_length+past_sequence_length")
    assert built.sizes == {"batch": 2, "sequence_length": 17, "past_sequence_length": 5}
    run(built, frozenset(built.sizes))


def test_inputs_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Identity", ["t"], ["out"])], [value("t", [2], TensorProto.STRING)], ["out"])
    with pytest.raises(ModelError, match="'t' takes strings"):
        build(path)


def test_a_model_that_runs_on_nothing_made_for_it_says_what_the_runtime_answered(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "weights"], ["out"])]
    path = save(tmp_path, nodes, [value("x", ["batch", "k"])], ["out"], weights=np.ones((1234, 2), np.float32))
    with pytest.raises(ModelError, match="ran on no inputs made for it") as raised:
        build(path)
    assert "MatMul" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert build(path, sizes={"k": 1234}).sizes["k"] == 1234


def test_an_operator_nobody_knows_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Nonsense", ["x"], ["out"])], [value("x", [2])], ["out"])
    with pytest.raises(ModelError, match=r"onnxruntime cannot load net\.onnx: .*Nonsense"):
        build(path)


# ---- damaged files, and files that reach outside ------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 50, 200])
def test_a_truncated_file_is_one_line(tmp_path: Path, cut: int) -> None:
    path = text_net(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ModelError, match=r"truncated|no graph"):
        build(path)


def test_tensors_whose_bytes_do_not_fit_their_shape_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = text_net(tmp_path)
    model = onnx.load(path)
    model.graph.initializer[0].dims[0] = 1 << 50
    onnx.save(model, path)
    with pytest.raises(ModelError, match="tensor 'table' of shape"):
        build(path)


def external(folder: Path, location: str, length: int | None = None) -> Path:
    """text_net with its first table in a file beside it."""
    path = text_net(folder)
    model = onnx.load(path)
    table = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(table.raw_data)
    entries = {"location": location, "offset": "0", "length": str(length or len(table.raw_data))}
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    for key, text in entries.items():
        table.external_data.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_model_is_read_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    run(build(path))
    spec = ModelSpec(id="x", source="onnx", name=path.name, root=str(tmp_path))
    first = source("onnx").fingerprint(spec)
    (tmp_path / "weights.bin").write_bytes(bytes(480))
    assert source("onnx").fingerprint(spec) != first


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "inner/../../weights.bin"])
def test_external_data_outside_the_folder_needs_trust(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder, location)
    with pytest.raises(UntrustedError, match="outside the folder of the model"):
        build(path)


def test_a_link_out_of_the_folder_is_outside_too(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder, "weights.bin")
    (folder / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(UntrustedError, match="outside the folder"):
        build(path)


def test_external_data_that_is_missing_or_too_short_is_one_line(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(ModelError, match="is damaged: tensor 'table'"):
        build(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="where no file is"):
        build(path)


def test_external_data_in_a_subgraph_is_looked_at_as_well(tmp_path: Path) -> None:
    hidden = helper.make_tensor("hidden", TensorProto.FLOAT, [2], [1, 2])
    hidden.ClearField("float_data")
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="../secret.bin")
    branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=hidden)], "b", [], [value("c", [2])])
    nodes = [helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch)]
    path = save(tmp_path, nodes, [value("flag", [], TensorProto.BOOL)], ["out"])
    with pytest.raises(UntrustedError, match="'hidden'"):
        build(path)


# ---- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("silero_vad.onnx", {"batch": 2, "samples": 512}),
        ("silero_vad_16k_op15.onnx", {"batch": 2, "sequence": 512}),
        ("silero_vad_16k_sequence.onnx", {"sequence_length": 2}),
        ("silero_vad_openvino_16k.onnx", {}),
    ],
)
def test_the_files_of_silero_vad_run_on_inputs_made_from_their_graphs(name: str, sizes: dict[str, int]) -> None:
    pytest.importorskip("silero_vad.data", reason="pip install --no-deps silero-vad", exc_type=ImportError)
    built = source("onnx").build(ModelSpec(id="s", source="onnx", name=f"package:silero_vad/data/{name}"))
    assert built.sizes == sizes
    assert len(run(built)) == 3
