"""What the transformers over videos and sound of diffusers take."""

from __future__ import annotations

from collections.abc import Mapping

from porting.types import InputSpec

from ._diffusers_calls import (
    GUIDANCE,
    LATENT,
    LEVEL,
    POOLED,
    ROW,
    STEP,
    STEPS,
    TEXT,
    TEXT_BITS,
    TEXT_MASK,
    TIME,
    VIDEO,
    Call,
    clip,
    floats,
    frames,
    ids,
    level,
    mask,
    points,
    text,
)

VIDEOS: Mapping[str, Call] = {
    "CogVideoXTransformer3DModel": Call(
        (frames(), text("=text_embed_dim"), STEP),
        {**VIDEO, "height": 16, "width": 16},
        fixed=frozenset(("frames", "height", "width", "encoder_sequence")),
    ),
    "WanTransformer3DModel": Call((clip(), STEP, text("=text_dim")), VIDEO),
    "SkyReelsV2Transformer3DModel": Call((clip(), STEP, text("=text_dim")), VIDEO),
    "ChronoEditTransformer3DModel": Call(
        (
            clip(),
            STEP,
            floats("encoder_hidden_states", 512, "=text_dim"),
            floats("encoder_hidden_states_image", 5, "=image_dim"),
        ),
        VIDEO,
    ),
    "WanVACETransformer3DModel": Call(
        (
            clip(),
            STEP,
            text("=text_dim"),
            clip("control_hidden_states", "=vace_in_channels"),
        ),
        VIDEO,
    ),
    "WanAnimateTransformer3DModel": Call(
        (
            floats("hidden_states", "=in_channels", "frames+1", "height", "width"),
            STEP,
            floats("encoder_hidden_states", 512, "=text_dim"),
            floats("encoder_hidden_states_image", 5, "=image_dim"),
            clip("pose_hidden_states", "=latent_channels"),
            floats("face_pixel_values", 3, "1+4*(frames-1)", "=motion_encoder_size", "=motion_encoder_size", kind="image"),
        ),
        VIDEO,
    ),
    "AnyFlowTransformer3DModel": Call(
        (
            frames(),
            InputSpec("timestep", "int64", ("batch", "frames"), "timestep", 0, STEPS),
            InputSpec("r_timestep", "int64", ("batch", "frames"), "timestep", 0, STEPS),
            text("=text_dim"),
        ),
        VIDEO,
    ),
    # The first frame is a chunk that is seen coarsely, the last three chunks are of one, two and one frames.
    "AnyFlowFARTransformer3DModel": Call(
        (
            floats("hidden_states", 5, "=in_channels", "height", "width"),
            InputSpec("timestep", "int64", ("batch", 5), "timestep", 0, STEPS),
            InputSpec("r_timestep", "int64", ("batch", 5), "timestep", 0, STEPS),
            text("=text_dim"),
        ),
        {**VIDEO, "height": 8, "width": 12},
        {"chunk_partition": [1, 1, 2, 1]},
    ),
    "LTXVideoTransformer3DModel": Call(
        (floats("hidden_states", 36, "=in_channels"), text("=caption_channels"), STEP, TEXT_MASK),
        {"batch": 2, "encoder_sequence": TEXT},
        {"num_frames": 3, "height": 3, "width": 4},
    ),
    "LTX2VideoTransformer3DModel": Call(
        (
            floats("hidden_states", 36, "=in_channels"),
            floats("audio_hidden_states", 9, "=audio_in_channels"),
            text("=caption_channels"),
            floats("audio_encoder_hidden_states", "encoder_sequence", "=caption_channels"),
            STEP,
            TEXT_MASK,
            mask("audio_encoder_attention_mask", "encoder_sequence"),
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        {"num_frames": 3, "height": 3, "width": 4, "audio_num_frames": 9},
    ),
    "HunyuanVideoTransformer3DModel": Call((clip(), STEP, text("=text_embed_dim"), TEXT_MASK, POOLED, GUIDANCE), VIDEO),
    "HunyuanVideo15Transformer3DModel": Call(
        (
            clip(),
            TIME,
            text("=text_embed_dim"),
            TEXT_MASK,
            floats("encoder_hidden_states_2", "encoder_sequence_2", "=text_embed_2_dim"),
            mask("encoder_attention_mask_2", "encoder_sequence_2"),
            floats("image_embeds", 5, "=image_embed_dim"),
        ),
        {**VIDEO, "encoder_sequence_2": 5},
    ),
    "HunyuanVideoFramepackTransformer3DModel": Call(
        (
            clip(),
            STEP,
            text("=text_embed_dim"),
            TEXT_MASK,
            POOLED,
            floats("image_embeds", 5, "=image_proj_dim"),
            InputSpec("indices_latents", "int64", ("frames",), "ids", 0, 8),
            GUIDANCE,
            clip("latents_clean"),
            InputSpec("indices_latents_clean", "int64", ("frames",), "ids", 0, 8),
            floats("latents_history_2x", "=in_channels", 2, "height", "width"),
            InputSpec("indices_latents_history_2x", "int64", (2,), "ids", 0, 8),
            floats("latents_history_4x", "=in_channels", 4, "height", "width"),
            InputSpec("indices_latents_history_4x", "int64", (4,), "ids", 0, 8),
        ),
        VIDEO,
    ),
    "CosmosTransformer3DModel": Call(
        (clip(), STEP, text("=text_embed_dim"), points("padding_mask", 1, 1, "height", "width", high=1)), VIDEO, {"fps": 24}
    ),
    "AllegroTransformer3DModel": Call((clip(), text("=caption_channels"), STEP, TEXT_MASK), VIDEO),
    "LatteTransformer3DModel": Call(
        (clip(), STEP, text("=caption_channels")),
        {**VIDEO, "height": 16, "width": 16},
        fixed=frozenset(("frames", "height", "width")),
    ),
    "MochiTransformer3DModel": Call((clip(), text("=text_embed_dim"), STEP, TEXT_MASK), VIDEO),
    "EasyAnimateTransformer3DModel": Call((clip(), STEP, text("=text_embed_dim")), VIDEO),
    "SanaVideoTransformer3DModel": Call((clip(), text("=caption_channels"), STEP, TEXT_MASK), VIDEO),
    "MotifVideoTransformer3DModel": Call(
        (clip(), STEP, text("=text_embed_dim"), TEXT_MASK, floats("image_embeds", 5, "=image_embed_dim")), VIDEO
    ),
    "Kandinsky6SRTransformer3DModel": Call(
        (floats("hidden_states", "frames", "height", "width", "=2*in_visual_dim+1"), TIME), {**LATENT, "frames": 3}
    ),
    "ConsisIDTransformer3DModel": Call(
        (
            frames(),
            text("=text_embed_dim"),
            STEP,
            floats("id_cond", "=LFE_id_dim"),
            *(floats(f"id_vit_hidden_{n}", 5, "=LFE_vit_dim") for n in range(2)),
        ),
        {**VIDEO, "height": 16, "width": 16},
        fixed=frozenset(("frames", "height", "width", "encoder_sequence")),
        gather={"id_vit_hidden": ["id_vit_hidden_0", "id_vit_hidden_1"]},
    ),
    "Kandinsky5Transformer3DModel": Call(
        (
            floats("hidden_states", 3, 16, 24, "=in_visual_dim"),
            floats("encoder_hidden_states", TEXT, "=in_text_dim"),
            TIME,
            floats("pooled_projections", "=in_text_dim2"),
        ),
        {"batch": 2},
        {"visual_rope_pos": (range(3), range(8), range(12)), "text_rope_pos": range(TEXT)},
    ),
    "Kandinsky6Transformer3DModel": Call(
        (
            floats("hidden_states", "frames", "height", "width", "=2*in_visual_dim+1"),
            text("=in_text_dim"),
            floats("pooled_projections", "=in_text_dim2"),
            TIME,
            floats("audio_hidden_states", "audio_sequence", "=in_audio_dim"),
            TEXT_BITS,
        ),
        {**VIDEO, "audio_sequence": 9},
    ),
    "HeliosTransformer3DModel": Call(
        (
            clip(),
            STEP,
            text("=text_dim"),
            ids("indices_hidden_states", "frames", high=8),
            *(
                spec
                for name, frames in (("short", 1), ("mid", 2), ("long", 4))
                for spec in (
                    ids(f"indices_latents_history_{name}", frames, high=8),
                    floats(f"latents_history_{name}", "=in_channels", frames, "height", "width"),
                )
            ),
        ),
        VIDEO,
    ),
    "MiniMaxH3Transformer3DModel": Call(
        (
            floats("hidden_states", 12, "=in_channels*4"),
            floats("audio_hidden_states", 9, "=audio_in_channels"),
            floats("encoder_hidden_states", TEXT, "=text_dim"),
            points("timestep", 2, high=1),
            InputSpec("timestep_indices", "int64", (28,), "ids", 0, 2),
            InputSpec("token_tags", "int64", (28,), "ids", 0, 3),
            points("position_ids", 28, 3, high=16),
        ),
        {"batch": 2},
        {"text_indices": range(7), "video_indices": range(7, 19), "audio_indices": range(19, 28)},
    ),
    "Cosmos3OmniTransformer": Call(
        (
            InputSpec("input_ids", "int64", (7,), "ids", 0, 96),
            InputSpec("position_ids", "int64", (3, 28), "ids", 0, 28),
            InputSpec("vision_tokens", "float32", (1, "=latent_channel", 2, 4, 6), "normal"),
            points("vision_timesteps", 12, high=STEPS),
            InputSpec("sound_tokens", "float32", ("=sound_dim", 5), "normal"),
            points("sound_timesteps", 5, high=STEPS),
            InputSpec("action_tokens", "float32", (4, "=action_dim"), "normal"),
            points("action_timesteps", 4, high=STEPS),
            InputSpec("action_domain_ids", "int64", (1,), "ids", 0, 4),
        ),
        {},
        {
            "text_indexes": range(7),
            "und_len": 7,
            "sequence_length": 28,
            "vision_token_shapes": [(2, 2, 3)],
            "vision_sequence_indexes": range(7, 19),
            "vision_mse_loss_indexes": range(7, 19),
            "vision_noisy_frame_indexes": [range(2)],
            "sound_token_shapes": [(5, 1, 1)],
            "sound_sequence_indexes": range(19, 24),
            "sound_mse_loss_indexes": range(19, 24),
            "sound_noisy_frame_indexes": [range(5)],
            "action_token_shapes": [(4, 1, 1)],
            "action_sequence_indexes": range(24, 28),
            "action_mse_loss_indexes": range(24, 28),
            "action_noisy_frame_indexes": [range(4)],
        },
        fixed=frozenset(("batch",)),
        gather={name: [name] for name in ("vision_tokens", "sound_tokens", "action_tokens", "action_domain_ids")},
    ),
    "SanaWMTransformer3DModel": Call(
        (
            clip(),
            InputSpec("timestep", "int64", ("batch", 1, "frames"), "timestep", 0, STEPS),
            floats("encoder_hidden_states", 1, "encoder_sequence", "=caption_channels"),
            TEXT_MASK,
            floats("camera_conditions", "frames", 20),
            clip("chunk_plucker", "=chunk_plucker_channels"),
        ),
        VIDEO,
    ),
    "SanaWMLTX2RefinerTransformer3DModel": Call(
        (
            floats("hidden_states", 36, "=in_channels"),
            text("=caption_channels"),
            STEP,
            floats("rotary_cos", 36, "=cross_attention_dim"),
            floats("rotary_sin", 36, "=cross_attention_dim"),
            TEXT_MASK,
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        gather={"video_rotary_emb": ("rotary_cos", "rotary_sin")},
    ),
    "TransformerTemporalModel": Call(
        (InputSpec("hidden_states", "float32", ("3*batch", "=in_channels", "height", "width"), "normal"),),
        LATENT,
        {"num_frames": 3},
    ),
}

SOUND: Mapping[str, Call] = {
    "StableAudioDiTModel": Call(
        (
            floats("hidden_states", "=in_channels", "sequence"),
            LEVEL,
            text("=cross_attention_input_dim"),
            floats("global_hidden_states", 1, "=global_states_input_dim"),
            TEXT_BITS,
        ),
        ROW,
    ),
    "StableAudio3DiTModel": Call(
        (
            floats("hidden_states", "=io_channels", "sequence"),
            LEVEL,
            text("=cond_token_dim"),
            floats("global_hidden_states", "=global_cond_dim"),
            TEXT_MASK,
            floats("local_add_cond", "=local_add_cond_dim", "sequence"),
        ),
        ROW,
    ),
    "AceStepTransformer1DModel": Call(
        (
            floats("hidden_states", "sequence", "=audio_acoustic_hidden_dim"),
            LEVEL,
            level("timestep_r"),
            text("=hidden_size"),
            floats("context_latents", "sequence", "=in_channels-audio_acoustic_hidden_dim"),
        ),
        {**ROW, "sequence": 16},
        steps={"sequence": 2},
    ),
    "LongCatAudioDiTTransformer": Call(
        (
            floats("hidden_states", "sequence", "=latent_dim"),
            text("=dit_text_dim"),
            TEXT_BITS,
            LEVEL,
            InputSpec("attention_mask", "bool", ("batch", "sequence"), "mask"),
            floats("latent_cond", "sequence", "=latent_dim"),
        ),
        ROW,
    ),
    "MiniMaxMusic3ConditionEncoder": Call(
        (floats("hidden_states", "sequence", "=condition_hidden_dim*num_condition_layers"),), {"batch": 2, "sequence": 15}
    ),
    "MiniMaxMusic3RVQDepthDecoder": Call((floats("inputs_embeds", "sequence", "=hidden_size"),), {"batch": 2, "sequence": 7}),
    "MiniMaxMusic3Transformer1DModel": Call(
        (
            floats("hidden_states", "=in_channels", "sequence"),
            LEVEL,
            floats("encoder_hidden_states", "sequence", "=condition_dim"),
        ),
        ROW,
    ),
}
