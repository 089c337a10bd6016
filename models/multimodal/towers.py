"""Nets over images and text that a library has in a form which cannot be held against another run, made so that it can."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ViltConfig, ViltForQuestionAnswering
from transformers.models.vilt.modeling_vilt import ViltEmbeddings


class OrderedEmbeddings(ViltEmbeddings):  # type: ignore[misc]
    """Kim et al. 2021, "ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision", arXiv:2102.03334. The
    library puts an image's patches in a random order at every call; here they stay in theirs, all of them, of whole images."""

    def visual_embed(self, pixel_values: Tensor, pixel_mask: Tensor, max_image_length: int = 0) -> tuple[Tensor, Tensor, None]:
        del pixel_mask, max_image_length
        patches = self.patch_embeddings(pixel_values)
        side = self.config.image_size // self.config.patch_size
        places = self.position_embeddings[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        places = F.interpolate(places, size=patches.shape[2:], mode="bilinear", align_corners=True)
        patches = (patches + places).flatten(2).transpose(1, 2)
        first = (self.cls_token + self.position_embeddings[:, :1]).expand(len(patches), -1, -1)
        embedded = torch.cat([first, patches], dim=1)
        return embedded, torch.ones(embedded.shape[:2], dtype=torch.int64, device=embedded.device), None


def vilt() -> tuple[nn.Module, dict[str, Tensor]]:
    config = ViltConfig(
        vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=64, image_size=64, patch_size=16, num_labels=16,
    )  # fmt: skip
    net = ViltForQuestionAnswering(config)
    net.vilt.embeddings = OrderedEmbeddings(config)
    ids = torch.randint(8, 512, (2, 9))
    return net, {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(2, 3, 64, 96)}
