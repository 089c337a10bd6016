"""What the autoencoders, vocoders and upscalers of diffusers take."""

from __future__ import annotations

from collections.abc import Mapping

from porting.types import InputSpec

from ._diffusers_calls import FILM, IMAGE, LATENT, MOVIE, PICTURE, SAME_SIZE, Call, clip, floats, points


def _sound(channels: int | str, samples: int) -> Call:
    sizes, steps = {"batch": 2, "samples": samples}, {"samples": samples}
    return Call((floats("sample", channels, "samples", kind="audio"),), sizes, steps=steps)


AUTOENCODERS: Mapping[str, Call] = {
    **dict.fromkeys(
        (
            "AutoencoderKL",
            "AutoencoderTiny",
            "VQModel",
            "AutoencoderDC",
            "AutoencoderKLFlux2",
            "AutoencoderKLHunyuanImage",
            "AutoencoderKLKVAE",
        ),
        Call((PICTURE,), IMAGE),
    ),
    **dict.fromkeys(
        (
            "AutoencoderKLWan",
            "AutoencoderKLCogVideoX",
            "AutoencoderKLHunyuanImageRefiner",
            "AutoencoderKLHunyuanVideo",
            "AutoencoderKLKVAEVideo",
            "AutoencoderKLMagvit",
            "Kandinsky6SRVAE",
        ),
        Call((MOVIE,), FILM, steps={"frames": 4}),
    ),
    "AutoencoderKLQwenImage": Call(
        (floats("sample", "=input_channels", "frames", "height", "width", kind="image"),), FILM, steps={"frames": 4}
    ),
    "AutoencoderKLHunyuanVideo15": Call((MOVIE,), {**FILM, "batch": 1}, fixed=frozenset(("batch",)), steps={"frames": 4}),
    **dict.fromkeys(
        ("AutoencoderKLCosmos", "AutoencoderKLLTX2Video", "AutoencoderKLLTXVideo"),
        Call((MOVIE,), {**FILM, "frames": 9}, steps={"frames": 8}),
    ),
    "AutoencoderKLMiniMaxH3": Call((MOVIE,), {**FILM, "frames": 10}, steps={"frames": 5}),
    "AutoencoderKLQwenImage21": Call((floats("sample", "=in_channels", 1, "height", "width", kind="image"),), IMAGE),
    "AutoencoderKLMochi": Call(
        (floats("sample", 3, "frames", "height", "width", kind="image"),), {**FILM, "frames": 7}, steps={"frames": 6}
    ),
    "AutoencoderVidTok": Call((MOVIE,), FILM, {"sample_posterior": False}, steps={"frames": 4}),
    "AsymmetricAutoencoderKL": Call((PICTURE, points("mask", "batch", 1, "height", "width", high=1)), IMAGE),
    "AutoencoderKLTemporalDecoder": Call(
        (InputSpec("sample", "float32", ("2*batch", "=in_channels", "height", "width"), "image"),), IMAGE, {"num_frames": 2}
    ),
    "AutoencoderRAE": Call(
        (floats("sample", "=num_channels", "height", "width", kind="image"),),
        {"batch": 2, "height": 28, "width": 28},
        fixed=SAME_SIZE,
    ),
    "AutoencoderKLKVAEAudio": _sound("=num_channels", 64),
    "AutoencoderKLMiniMaxH3Audio": _sound(1, 64),
    "AutoencoderSAME": _sound("=audio_channels", 64),
    "LongCatAudioDiTVae": _sound("=in_channels", 64),
    "Cosmos3AVAEAudioTokenizer": _sound(2, 96),
    "AutoencoderKLLTX2Audio": Call(
        (floats("sample", "=in_channels", "frames", "=mel_bins"),), {"batch": 2, "frames": 13}, steps={"frames": 4}
    ),
    "MMAudioVAE": Call((floats("sample", "samples", kind="audio"),), {"batch": 2, "samples": 512}, steps={"samples": 64}),
    "MMAudioVocoder": Call((floats("mel", "=num_mels", "frames"),), {"batch": 2, "frames": 9}),
    "MiniMaxMusic3Vocoder": Call((floats("latents", "=latent_channels", "frames"),), {"batch": 2, "frames": 9}),
    "Kandinsky6SRLatentUpscalerBank": Call((clip("latents"),), {**LATENT, "frames": 3}, {"scale": 2}),
}
