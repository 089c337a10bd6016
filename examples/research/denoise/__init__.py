"""A small network that takes noise out of pictures."""

from denoise.model import Denoiser

__all__ = ["Denoiser"]
