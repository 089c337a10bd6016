"""The diffusers source: classes with small constructor arguments, their inputs, and what is refused."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import torch

from porting.bundles.cases import draw
from porting.errors import ModelError
from porting.sources import BuiltModel, source
from porting.sources._gathered import Complex, Rows, gather
from porting.types import InputSpec, ModelSpec

pytest.importorskip("diffusers")
torch.set_num_threads(1)

UNET = {
    "block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 8, "cross_attention_dim": 24,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}  # fmt: skip


def build(name: str, config: dict[str, Any], **more: Any) -> BuiltModel:
    torch.manual_seed(0)
    with torch.no_grad():
        return source("diffusers").build(ModelSpec(name, "diffusers", name, config=config, **more))


def run(built: BuiltModel, **sizes: int) -> Any:
    assert built.module is not None
    arrays = draw(built.inputs, {**built.sizes, **sizes}, "nominal", "test")
    with torch.no_grad():
        return built.module(**{n: torch.from_numpy(a) for n, a in arrays.items()}, **built.constants)


def test_a_class_is_built_from_its_arguments_with_inputs_that_fit_them() -> None:
    built = build("UNet2DConditionModel", UNET)
    assert [(spec.name, spec.shape) for spec in built.inputs] == [
        ("sample", ("batch", 4, "height", "width")),
        ("timestep", ("batch",)),
        ("encoder_hidden_states", ("batch", "encoder_sequence", 24)),
    ]
    assert run(built)[0].shape == (2, 4, 16, 24)
    assert run(built, batch=3, height=24, encoder_sequence=5)[0].shape == (3, 4, 24, 24)


def test_an_output_is_not_called_as_an_input_is() -> None:
    from porting.bundles.eager import EagerModel
    from porting.types import Precision

    built = build("UNet2DConditionModel", UNET)
    assert built.module is not None
    model = EagerModel(built.module, [spec.name for spec in built.inputs], built.constants)
    outputs = model.run(draw(built.inputs, built.sizes, "nominal", "test"), Precision.FP32)
    assert not set(outputs) & {spec.name for spec in built.inputs}


def test_an_entry_gives_the_inputs_of_a_class_that_is_not_in_the_table() -> None:
    config = {"block_out_channels": [32, 32], "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 64,
              "down_block_types": ["DownBlock1DNoSkip", "DownBlock1D"], "up_block_types": ["UpBlock1D", "UpBlock1DNoSkip"],
              "extra_in_channels": 64}  # fmt: skip
    with pytest.raises(ModelError, match=r"UNet1DModel takes is not known here.*`inputs`"):
        build("UNet1DModel", config)
    sample = InputSpec("sample", "float32", ("batch", 2, "samples"), "audio")
    step = InputSpec("timestep", "int64", ("batch",), "timestep", 0, 1000)
    built = build("UNet1DModel", config, inputs=(sample, step), sizes={"batch": 2, "samples": 64})
    assert run(built)[0].shape == (2, 2, 64)


def test_an_argument_that_is_a_list_is_put_together_from_the_inputs_of_its_members() -> None:
    config = {"in_channels": 4, "dim": 32, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2,
              "cap_feat_dim": 24, "axes_dims": [4, 6, 6], "axes_lens": [96, 32, 32]}  # fmt: skip
    built = build("ZImageTransformer2DModel", config)
    assert [spec.name for spec in built.inputs] == ["x", "t", "cap_feats"]
    assert [tuple(sample.shape) for sample in run(built)["sample"]] == [(4, 1, 16, 24)] * 2


def test_inputs_are_gathered_into_lists_tuples_and_rows() -> None:
    class Sum(torch.nn.Module):
        def forward(self, pair: tuple[torch.Tensor, list[torch.Tensor]], rest: torch.Tensor) -> torch.Tensor:
            first, rows = pair
            return first + 10 * rows[0] + 100 * rows[1] + 1000 * rest

    module = gather(Sum(), {"pair": ("a", Rows("b"))})
    assert module(a=torch.tensor(1), b=torch.tensor([2, 3]), rest=torch.tensor(4)) == 4321


def test_inputs_are_gathered_into_mappings_and_complex_numbers() -> None:
    class Turn(torch.nn.Module):
        def forward(self, by_name: dict[str, torch.Tensor], turn: torch.Tensor) -> torch.Tensor:
            return by_name["condition-1"] * turn

    module = gather(Turn(), {"by_name": {"condition-1": "a"}, "turn": Complex("b")})
    assert module(a=torch.tensor([2.0, 3.0]), b=torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [2, 3j]


def test_a_model_of_other_models_is_made_of_its_parts() -> None:
    part = {"class": "T2IAdapter", "channels": [16], "num_res_blocks": 1, "in_channels": 2}
    built = build("MultiAdapter", {"adapters": [part, part]})
    assert built.module is not None
    assert [(spec.name, spec.shape) for spec in built.inputs] == [
        ("x_0", ("batch", 2, "8*height", "8*width")),
        ("x_1", ("batch", 2, "8*height", "8*width")),
    ]
    assert run(built)[0].shape == (2, 16, 8, 12)
    assert {name.split(".")[2] for name in built.module.state_dict()} == {"0", "1"}


def test_a_part_of_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match=r"cannot build MultiAdapter: .*no model class 'T3IAdapter'"):
        build("MultiAdapter", {"adapters": [{"class": "T3IAdapter"}]})


def test_weights_that_a_class_leaves_uninitialised_are_drawn_the_same_each_time() -> None:
    config = {"in_channels": 8, "out_channels": 2, "num_layers": 5, "attention_head_dim": 16, "num_attention_heads": 4,
              "joint_attention_dim": 16, "axes_dims_rope": [4, 6, 6], "num_experts": 2, "moe_intermediate_dim": 16,
              "capacity_factors": 2.0}  # fmt: skip
    states = []
    for dirt in (1e30, -1e30):
        torch.full((4, 2**16), dirt)  # memory that an uninitialised tensor would be laid in
        module = build("NucleusMoEImageTransformer2DModel", config).module
        assert module is not None
        states.append(module.state_dict())
    assert all(tensor.isfinite().all() and tensor.abs().max() < 100 for tensor in states[0].values())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_unknown_class_is_answered_with_near_names() -> None:
    with pytest.raises(ModelError, match=r"no model class 'UNet2DConditionalModel'.*Did you mean .*UNet2DConditionModel"):
        build("UNet2DConditionalModel", {})
    with pytest.raises(ModelError, match="no model class 'DDPMScheduler'"):
        build("DDPMScheduler", {})


def test_arguments_that_make_no_model_are_refused_with_the_librarys_reason() -> None:
    with pytest.raises(ModelError, match=r"cannot build UNet2DModel: .*block_out_channels"):
        build("UNet2DModel", {"block_out_channels": [16]})


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a model was built over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert build("UNet2DConditionModel", UNET).module is not None
