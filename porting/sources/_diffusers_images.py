"""What the transformers over images of diffusers take."""

from __future__ import annotations

from collections.abc import Mapping

from porting.types import InputSpec

from ._diffusers_calls import (
    GUIDANCE,
    HUNYUAN_DIT,
    LATENT,
    LEVEL,
    NO_SIZES,
    POOLED,
    ROW,
    SAME_SIZE,
    SIZES,
    STEP,
    STEPS,
    TEXT,
    TEXT_BITS,
    TEXT_MASK,
    TIME,
    TOKENS,
    VIDEO,
    WITH_TEXT,
    Call,
    Tensor,
    clip,
    floats,
    ids,
    latent,
    level,
    mask,
    points,
    positions,
    text,
)
from ._gathered import Complex, Rows

IMAGES: Mapping[str, Call] = {
    "DiTTransformer2DModel": Call(
        (latent(), STEP, ids("class_labels", high=STEPS)), {"batch": 2, "height": 16, "width": 16}, fixed=SAME_SIZE
    ),
    "PixArtTransformer2DModel": Call((latent(), text("=caption_channels"), STEP, TEXT_MASK), WITH_TEXT, NO_SIZES),
    "SanaTransformer2DModel": Call((latent(), text("=caption_channels"), STEP, TEXT_MASK), WITH_TEXT),
    "SD3Transformer2DModel": Call((latent(), text("=joint_attention_dim"), POOLED, STEP), WITH_TEXT),
    "AuraFlowTransformer2DModel": Call((latent(), text("=joint_attention_dim"), LEVEL), WITH_TEXT),
    "CogView3PlusTransformer2DModel": Call((latent(), text("=text_embed_dim"), STEP, *SIZES), WITH_TEXT),
    "CogView4Transformer2DModel": Call((latent(), text("=text_embed_dim"), STEP, *SIZES), WITH_TEXT),
    "GlmImageTransformer2DModel": Call(
        (
            latent(),
            text("=text_embed_dim"),
            ids("prior_token_id", "(height//2)*(width//2)", high=64),
            InputSpec("prior_token_drop", "bool", ("batch",), "bool"),
            STEP,
            *SIZES[1:],
        ),
        WITH_TEXT,
    ),
    "HunyuanDiT2DModel": Call(HUNYUAN_DIT, LATENT),
    "HunyuanImageTransformer2DModel": Call((latent(), TIME, text("=text_embed_dim"), TEXT_MASK, GUIDANCE), WITH_TEXT),
    "LuminaNextDiT2DModel": Call(
        (
            latent(),
            LEVEL,
            text("=cross_attention_dim"),
            mask("encoder_mask", "encoder_sequence"),
            InputSpec("image_rotary_emb", "float32", (24, 24, "=hidden_size//num_attention_heads//2", 2), "normal"),
        ),
        WITH_TEXT,
        {"cross_attention_kwargs": {}},
        gather={"image_rotary_emb": Complex("image_rotary_emb")},
    ),
    "Lumina2Transformer2DModel": Call((latent(), LEVEL, text("=cap_feat_dim"), TEXT_MASK), WITH_TEXT),
    "PRXTransformer2DModel": Call(
        (latent(), LEVEL, text("=context_in_dim"), mask("attention_mask", "encoder_sequence")), WITH_TEXT
    ),
    "ErnieImageTransformer2DModel": Call(
        (
            latent(),
            STEP,
            floats("text_bth", "encoder_sequence", "=text_in_dim"),
            InputSpec("text_lens", "int64", ("batch",), "ids", 3, TEXT + 1),
        ),
        WITH_TEXT,
    ),
    "FluxTransformer2DModel": Call((TOKENS, text("=joint_attention_dim"), POOLED, LEVEL, *positions(3)), ROW),
    **dict.fromkeys(
        ("ChromaTransformer2DModel", "OvisImageTransformer2DModel", "LongCatImageTransformer2DModel", "BriaTransformer2DModel"),
        Call((TOKENS, text("=joint_attention_dim"), LEVEL, *positions(3)), ROW),
    ),
    "Flux2Transformer2DModel": Call((TOKENS, text("=joint_attention_dim"), LEVEL, *positions(4), level("guidance")), ROW),
    "Flux3Transformer2DModel": Call((TOKENS, text("=joint_attention_dim"), LEVEL, *positions(4)), ROW),
    "Krea2Transformer2DModel": Call(
        (
            TOKENS,
            floats("encoder_hidden_states", "encoder_sequence", "=num_text_layers", "=text_hidden_dim"),
            LEVEL,
            points("position_ids", "encoder_sequence+sequence", 3, high=16),
            TEXT_BITS,
        ),
        ROW,
    ),
    "QwenImageTransformer2DModel": Call(
        (
            floats("hidden_states", 24, "=in_channels"),
            text("=joint_attention_dim"),
            mask("encoder_hidden_states_mask", "encoder_sequence"),
            LEVEL,
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        {"img_shapes": [[(1, 4, 6)], [(1, 4, 6)]]},
    ),
    "QwenImage21Transformer2DModel": Call(
        (
            floats("hidden_states", 32, "=in_channels"),
            floats("encoder_hidden_states", 9, "=context_in_dim"),
            LEVEL,
            mask("encoder_hidden_states_mask", 9),
        ),
        {"batch": 2},
        # Three tokens of text, a picture to edit in two places of four latents each, four of text, and the picture to make.
        {"img_shapes": [[(1, 2, 4), (1, 4, 6)]] * 8, "img_mask": Tensor([[n in (3, 4) or n > 8 for n in range(15)]])},
    ),
    "NucleusMoEImageTransformer2DModel": Call(
        (
            floats("hidden_states", 24, "=in_channels"),
            text("=joint_attention_dim"),
            mask("encoder_hidden_states_mask", "encoder_sequence"),
            LEVEL,
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        {"img_shapes": [(1, 4, 6)]},
    ),
    "Transformer2DModel": Call((latent(), text("=cross_attention_dim")), WITH_TEXT),
    "DreamLiteTransformer2DModel": Call((latent(), text("=cross_attention_dim")), WITH_TEXT),
    "PriorTransformer": Call(
        (
            floats("hidden_states", "=embedding_dim"),
            STEP,
            floats("proj_embedding", "=embedding_dim"),
            floats("encoder_hidden_states", "=num_embeddings", "=embedding_dim"),
            InputSpec("attention_mask", "bool", ("batch", "=num_embeddings"), "mask"),
        ),
        {"batch": 2},
    ),
    "JoyImageEditTransformer3DModel": Call((clip(), STEP, text("=text_dim")), VIDEO),
    "JoyImageEditPlusTransformer3DModel": Call(
        (
            floats("hidden_states", 28, "=in_channels", 1, 2, 2),
            STEP,
            text("=text_dim"),
            mask("encoder_hidden_states_mask", "encoder_sequence"),
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        {"shape_list": [[(1, 4, 6), (1, 2, 2)]] * 8},
    ),
    "ZImageTransformer2DModel": Call(
        (
            floats("x", "=in_channels", 1, "height", "width"),
            level("t"),
            floats("cap_feats", "encoder_sequence", "=cap_feat_dim"),
        ),
        WITH_TEXT,
        fixed=frozenset(("batch",)),
        gather={"x": Rows("x"), "cap_feats": Rows("cap_feats")},
    ),
    "BriaFiboTransformer2DModel": Call(
        (
            TOKENS,
            text("=joint_attention_dim"),
            *(floats(f"text_encoder_layers_{n}", "encoder_sequence", "=text_encoder_dim") for n in range(2)),
            LEVEL,
            *positions(3),
        ),
        ROW,
        gather={"text_encoder_layers": ["text_encoder_layers_0", "text_encoder_layers_1"]},
    ),
    "BriaFibo2Transformer2DModel": Call(
        (
            latent(),
            LEVEL,
            floats("encoder_hidden_states", 2, "encoder_sequence", "=cap_feat_dim"),
            TEXT_BITS,
            latent("context_latents"),
        ),
        WITH_TEXT,
        gather={"context_latents": ["context_latents"]},
    ),
    "HiDreamImageTransformer2DModel": Call(
        (
            latent(),
            InputSpec("timesteps", "int64", ("batch",), "timestep", 0, STEPS),
            floats("encoder_hidden_states_t5", "encoder_sequence", 32),
            InputSpec("encoder_hidden_states_llama3", "float32", (2, "batch", "encoder_sequence", 24), "normal"),
            floats("pooled_embeds", "=text_emb_dim"),
        ),
        WITH_TEXT,
    ),
    "Ideogram4Transformer2DModel": Call(
        (
            TOKENS,
            LEVEL,
            floats("encoder_hidden_states", "sequence", "=llm_features_dim"),
            ids("position_ids", "sequence", 3, high=16),
            ids("segment_ids", "sequence", high=2),
            InputSpec("indicator", "int64", ("batch", "sequence"), "ids", 2, 4),
        ),
        {"batch": 2, "sequence": 15},
    ),
    "OmniGenTransformer2DModel": Call(
        (
            latent(),
            LEVEL,
            ids("input_ids", 9, high=96),
            InputSpec("input_image", "float32", (1, "=in_channels", 4, 4), "normal"),
            InputSpec("attention_mask", "int64", ("batch", 106, 106), "mask"),
            ids("position_ids", 106, high=106),
        ),
        {"batch": 2, "height": 16, "width": 24},
        {"input_image_sizes": {0: [[2, 6]]}},
        fixed=SAME_SIZE,
        gather={"input_img_latents": ["input_image"]},
    ),
    "AnimaTextConditioner": Call(
        (
            floats("source_hidden_states", "encoder_sequence", "=source_dim"),
            ids("target_input_ids", "sequence", high=96),
            mask("target_attention_mask", "sequence"),
            mask("source_attention_mask", "encoder_sequence"),
        ),
        {"batch": 2, "sequence": 9, "encoder_sequence": TEXT},
    ),
    "T5FilmDecoder": Call(
        (
            floats("encodings_0", "encoder_sequence", "=d_model"),
            mask("mask_0", "encoder_sequence"),
            floats("encodings_1", 5, "=d_model"),
            mask("mask_1", 5),
            floats("decoder_input_tokens", "=targets_length", "=input_dims"),
            level("decoder_noise_time"),
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        gather={"encodings_and_masks": [("encodings_0", "mask_0"), ("encodings_1", "mask_1")]},
    ),
}
