"""What the U-Nets, ControlNets and adapters of diffusers take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from porting.types import InputSpec

from ._diffusers_calls import (
    HUNYUAN_DIT,
    LATENT,
    LEVEL,
    POOLED,
    ROW,
    SAME_SIZE,
    STEP,
    TEXT,
    TEXT_MASK,
    TOKENS,
    VIDEO,
    WITH_TEXT,
    Call,
    clip,
    floats,
    frames,
    guide,
    ids,
    latent,
    level,
    mask,
    points,
    positions,
    text,
)

_TEXT_A_FRAME = InputSpec(
    "encoder_hidden_states", "float32", ("batch*frames", "encoder_sequence", "=cross_attention_dim"), "normal"
)

UNETS: Mapping[str, Call] = {
    "UNet2DModel": Call((latent("sample"), STEP)),
    "UNet2DConditionModel": Call((latent("sample"), STEP, text("=cross_attention_dim")), WITH_TEXT),
    "UNet3DConditionModel": Call((clip("sample"), STEP, text("=cross_attention_dim")), VIDEO),
    "UNetMotionModel": Call((clip("sample"), STEP, _TEXT_A_FRAME), VIDEO),
    "UNetSpatioTemporalConditionModel": Call(
        (
            frames("sample"),
            STEP,
            floats("encoder_hidden_states", 1, "=cross_attention_dim"),
            points("added_time_ids", "batch", 3, high=16),
        ),
        {**LATENT, "frames": 3},
    ),
    "I2VGenXLUNet": Call(
        (
            clip("sample"),
            STEP,
            ids("fps", high=30),
            clip("image_latents"),
            floats("image_embeddings", "=cross_attention_dim"),
            text("=cross_attention_dim"),
        ),
        VIDEO,
    ),
    "Kandinsky3UNet": Call((latent("sample"), STEP, text("=encoder_hid_dim"), TEXT_MASK), WITH_TEXT),
    "StableCascadeUNet": Call(
        (
            latent("sample"),
            level("timestep_ratio"),
            floats("clip_text_pooled", 1, "=clip_text_pooled_in_channels"),
            floats("clip_text", "encoder_sequence", "=clip_text_in_channels"),
            floats("clip_img", 1, "=clip_image_in_channels"),
        ),
        WITH_TEXT,
    ),
    "UVit2DModel": Call(
        (
            ids("input_ids", "height", "width", high=64),
            text("=encoder_hidden_size"),
            floats("pooled_text_emb", "=cond_embed_dim"),
            points("micro_conds", "batch", 5, high=64),
        ),
        {"batch": 2, "height": 8, "width": 8, "encoder_sequence": TEXT},
        fixed=SAME_SIZE,
    ),
    "DreamLiteUNetModel": Call((latent("sample"), STEP, text("=cross_attention_dim")), WITH_TEXT),
}

CONTROLNETS: Mapping[str, Call] = {
    "ControlNetModel": Call((latent("sample"), STEP, text("=cross_attention_dim"), guide("controlnet_cond", 8)), WITH_TEXT),
    "UNetControlNetXSModel": Call(
        (
            latent("sample", 4),
            STEP,
            text("=cross_attention_dim"),
            floats("controlnet_cond", 3, "8*height", "8*width", kind="image"),
        ),
        WITH_TEXT,
    ),
    "HunyuanDiT2DControlNetModel": Call((*HUNYUAN_DIT, latent("controlnet_cond")), LATENT),
    "ControlNetUnionModel": Call(
        (
            latent("sample"),
            STEP,
            text("=cross_attention_dim"),
            guide("controlnet_cond_0", 8),
            guide("controlnet_cond_1", 8),
            points("control_type", "batch", "=num_control_type", high=1),
        ),
        WITH_TEXT,
        {"control_type_idx": [0, 1]},
        gather={"controlnet_cond": ["controlnet_cond_0", "controlnet_cond_1"]},
    ),
    "CosmosControlNetModel": Call(
        (
            clip("controls_latents", "=latent_channels-2"),
            clip("latents", "=latent_channels-2"),
            STEP,
            text("=text_embed_dim"),
            clip("condition_mask", 1),
            points("padding_mask", 1, 1, "height", "width", high=1),
        ),
        VIDEO,
    ),
    "FluxControlNetModel": Call(
        (
            TOKENS,
            floats("controlnet_cond", "sequence", "=in_channels"),
            text("=joint_attention_dim"),
            POOLED,
            LEVEL,
            *positions(3),
        ),
        ROW,
    ),
    "SD3ControlNetModel": Call((latent(), latent("controlnet_cond"), text("=joint_attention_dim"), POOLED, STEP), WITH_TEXT),
    "SanaControlNetModel": Call((latent(), text("=caption_channels"), STEP, latent("controlnet_cond"), TEXT_MASK), WITH_TEXT),
    "QwenImageControlNetModel": Call(
        (
            floats("hidden_states", 24, "=in_channels"),
            floats("controlnet_cond", 24, "=in_channels"),
            text("=joint_attention_dim"),
            mask("encoder_hidden_states_mask", "encoder_sequence"),
            LEVEL,
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        {"img_shapes": [[(1, 4, 6)], [(1, 4, 6)]]},
    ),
    "T2IAdapter": Call(
        (floats("x", "=in_channels", "8*height", "8*width", kind="image"),), {"batch": 2, "height": 8, "width": 12}
    ),
}


def _two(call: Call, constants: Mapping[str, Any], *more: str, name: str = "controlnet_cond") -> Call:
    """What two nets take together that take this alone: `name`, and `more`, are lists with an input for each."""
    lists = {each: [f"{each}_0", f"{each}_1"] for each in (name, *more)}
    inputs = [replace(spec, name=own) for spec in call.inputs for own in lists.get(spec.name, [spec.name])]
    return replace(call, inputs=tuple(inputs), constants={**call.constants, **constants}, gather={**call.gather, **lists})


_SCALES = {"conditioning_scale": [1.0, 0.5]}
_FLUX = CONTROLNETS["FluxControlNetModel"]
_UNION = CONTROLNETS["ControlNetUnionModel"]
_PICTURES = ["controlnet_cond_0", "controlnet_cond_1"]

SEVERAL: Mapping[str, Call] = {
    "MultiControlNetModel": _two(CONTROLNETS["ControlNetModel"], _SCALES),
    "MultiControlNetUnionModel": replace(
        _two(_UNION, {**_SCALES, "control_type_idx": [[0, 1], [1, 0]]}, name="control_type"),
        gather={"controlnet_cond": [_PICTURES, _PICTURES], "control_type": ["control_type_0", "control_type_1"]},
    ),
    "SD3MultiControlNetModel": _two(CONTROLNETS["SD3ControlNetModel"], _SCALES),
    "HunyuanDiT2DMultiControlNetModel": _two(CONTROLNETS["HunyuanDiT2DControlNetModel"], _SCALES),
    # The next two take apart what a net answers, which a dictionary does not stand.
    "FluxMultiControlNetModel": _two(
        replace(_FLUX, inputs=(*_FLUX.inputs, ids("controlnet_mode", high=10))),
        {**_SCALES, "return_dict": False},
        "controlnet_mode",
    ),
    "QwenImageMultiControlNetModel": _two(CONTROLNETS["QwenImageControlNetModel"], {**_SCALES, "return_dict": False}),
    "MultiAdapter": replace(
        _two(CONTROLNETS["T2IAdapter"], {"adapter_weights": [0.75, 0.5]}, name="x"), gather={"xs": ["x_0", "x_1"]}
    ),
}
