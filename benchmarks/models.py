"""Real-size models with random weights, as factories."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Built = tuple[nn.Module, dict[str, Any]]


def _ids(vocabulary: int, length: int) -> torch.Tensor:
    return torch.randint(5, vocabulary, (2, length), generator=torch.Generator().manual_seed(0))


def bert_base() -> Built:
    """BERT-base, 109 M parameters, on 2 x 15 tokens."""
    from transformers import BertConfig, BertModel

    inputs = {"input_ids": _ids(30000, 15), "attention_mask": torch.ones(2, 15, dtype=torch.int64)}
    return BertModel(BertConfig()).eval(), inputs


def vit_base() -> Built:
    """ViT-base/16, 86 M parameters, on 2 images of 224 x 224."""
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig()).eval(), {"pixel_values": torch.randn(2, 3, 224, 224)}


class _Llama(nn.Module):
    """Without the cache in its answer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, use_cache=False).logits


def llama_1b() -> Built:
    """A Llama of 1.1 B parameters, on 2 x 9 tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=22,
        num_attention_heads=32,
        num_key_value_heads=4,
        vocab_size=32000,
    )
    return _Llama(LlamaForCausalLM(config)).eval(), {"input_ids": _ids(32000, 9)}


MODELS = {"bert_base": bert_base, "vit_base": vit_base, "llama_1b": llama_1b}
