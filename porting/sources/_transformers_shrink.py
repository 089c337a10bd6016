"""Makes a transformers config tiny without changing what kind of net it is: the same layer kinds, operators and wiring, small
numbers. Rules are data: patterns over field names. Which class is built and what it is fed is not decided here.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Config = Any  # transformers.PreTrainedConfig; transformers is not imported for types

WIDTH = 64
HEADS = 4
HEAD_SIZE = WIDTH // HEADS
STAGE_HEAD_SIZE = 8
LAYERS = 2
VOCABULARY = 512
POSITIONS = 256
EXPERTS = 4
CLASSES = 16
AXIS_SHARES = (16, 24, 24)
"""Of time, row and column in a rotary embedding."""

KEEP = -1
SPECIAL_TOKEN = -2
KV_HEADS = -3
LAYER_COUNT = -4

# Field name (whole, first match wins) -> the most it may be, or one of the rules named above.
INTEGERS: tuple[tuple[str, int], ...] = (
    (r".*(token_id|token_index|pad_id|pad_idx|padding_idx|token_ids)|(mask|pad|bos|eos|unk)_index", SPECIAL_TOKEN),
    # Shorter than the nominal sequence, so that the window counts; longer than its padding: a query that sees nothing but
    # padding has no defined answer.
    (r"(sliding_window|sliding_window_size|attention_chunk_size|local_attention|window_attention_size)", 8),
    (r"mm_tokens_per_image", 4),
    (r"(sliding_window_pattern|full_attention_interval|attn_layer_period|global_attn_every_n_layers|linear_attn_period"
     r"|moe_layer_interval|interleave_moe_layer_step|expert_layer_period|no_rope_layer_interval)", 2),
    (r"(attn_layer_offset|expert_layer_offset|first_k_dense_replace|moe_layer_start_index|moe_num_shared_experts"
     r"|n_dense_layers|num_dense_layers)", 1),
    (r"(num_kv_shared_layers|num_nextn_predict_layers|num_mtp_layers|mtp_num_hidden_layers)", 0),
    (r".*(vocab_size|vocabulary_size|n_vocab|vocab_size_per_layer_input|num_hash_buckets)", VOCABULARY),
    (r".*max_(source|target)_positions", 32),
    (r".*(max_position_embeddings|n_positions|n_ctx|max_seq_len|seq_length|max_sequence_length|max_2d_position_embeddings"
     r"|context_length_max|model_max_length|position_embedding_size)", POSITIONS),
    # An indexer of keys adds up what its heads let through a ReLU: with few of them many keys score exactly zero, and which of
    # these are the top is any backend's own choice.
    (r".*index_n_heads", 16),
    (r".*index_topk", 4),
    (r".*(num_experts_per_tok|num_experts_per_token|moe_topk|moe_k|experts_top_k|top_k_experts|num_selected_experts)", 2),
    (r".*(n_shared_experts|num_shared_experts|n_group|topk_group)", 1),
    (r".*(n_routed_experts|num_experts|num_local_experts|moe_num_experts|n_experts|num_routed_experts)", EXPERTS),
    (r".*(num_key_value_heads|num_kv_heads|n_kv_heads|num_key_value_groups|num_query_groups|multi_query_group_num"
     r"|n_head_kv)", KV_HEADS),
    (r"(mamba_n_heads|mamba_num_heads)", 2 * HEADS),  # inner width over head size
    (r".*(head_dim|d_kv|head_size|kv_channels|d_head|head_k_dim|head_v_dim|rope_dim|rotary_dim|head_hidden_size)", HEAD_SIZE),
    (r".*lora_rank|.*_rank", 32),
    (r".*(attention_heads|n_heads?|num_heads|num_head|nhead|_heads|attn_heads)", HEADS),
    (r"(mamba_n_groups|n_groups|mamba_d_state|state_size|ssm_state_size)", 16),
    (r".*(intermediate_size|ffn_dim|d_ff|feedforward_dim|dim_feedforward|ffn_hidden_size|n_inner|mlp_dim|ffn_size|inner_dim"
     r"|linear_dim|d_inner|expert_size|dim_ff|mamba_d_ssm)", 2 * WIDTH),
    (r".*(pool|mlp|expansion|conv|embed|channel|width|dim|hidden).*_(ratio|multiplier|factor|mult)", KEEP),
    (r".*(kernel|stride|dilation|patch|padding|rate|ratio|factor|scale|merge|shift|chunk|norm_num_groups|pool|_length|version"
     r"|bits|sampling|hop|temporal|image_size|input_size|crop_size|window|num_frames|num_channels|in_channels|in_chans"
     r"|type_vocab_size|num_labels|num_classes|num_mel_bins|feature_size|n_mels|num_codebooks|groups|_index|offset|period).*",
     KEEP),
    (r".*(num_hidden_layers|n_layers?|num_layers|_layers|_depth|depth|num_blocks|_blocks)", LAYER_COUNT),
    (r".*(hidden_size|d_model|n_embd|embed_dims?|embedding_size|embedding_dim|hidden_dim|model_dim|dim|width|emb_dim"
     r"|hidden_channels|d_proj|units|_channels|_size|lru_width|conv_dim|projection_size|n_embed|expand_dim)", WIDTH),
)  # fmt: skip

# Fields that only training or generation reads, or that change which outputs there are.
FIXED: dict[str, Any] = {"use_cache": False, "use_mamba_kernels": False, "gradient_checkpointing": False}

# Fields that are empty by default and must not be.
MISSING: tuple[tuple[str, int], ...] = (
    (r"(num_experts_per_tok|moe_topk|moe_k)", 2),
    (r"(n_group|topk_group)", 1),
    (r"prediction_length", 4),
    (r"vocab_size", VOCABULARY),
)

_SPECIAL_LISTS = r".*(token_id|token_ids|_token_indices)s?"
_COUNTS = r".*(depths|num_blocks|layers|num_layers|layer_repeats|num_encoder_blocks)"
_WIDTHS = r".*(hidden_sizes|embed_dims?|channels|dims|widths|conv_dim|neck_hidden_sizes|hidden_dims|feature_dims?)"
_LAYER_NUMBERS = (
    r".*(deepstack|fullatt|global_attn|layers_idx|_indexes|layer_indices|attn_layer_idxs|mlp_only_layers|layer_ids).*"
)


WIDTHS, DEPTH = "widths", "depth"
EXTENTS = (WIDTHS, DEPTH)
"""What is made small: depths and widths, or depths and tables alone, for nets whose code makes one width follow from others."""

_NOT_WIDTHS = (SPECIAL_TOKEN, VOCABULARY, POSITIONS, LAYER_COUNT)


@dataclass
class Shrinking:
    """What holds for a config and every sub-config in it."""

    widths: bool = True
    """Whether widths are made small, too."""
    new: dict[int, int] = field(default_factory=dict)
    """Special token ids by their old value: the same token keeps one id everywhere."""

    def token(self, old: int, vocabulary: int) -> int:
        """Return an id inside the vocabulary: the old one where it is small, else one from the top end."""
        if 0 <= old < min(vocabulary, 8):
            return old
        return self.new.setdefault(old, vocabulary - 1 - len(self.new)) if old >= 0 else old


def shrink(config_class: type, overrides: Mapping[str, Any], extent: str = WIDTHS) -> Config:
    """Return a tiny config of `config_class`. overrides: fields that are set as given, sub-configs merged in depth. extent:
    one of EXTENTS."""
    arguments = _arguments(config_class(**_structure(overrides)), Shrinking(extent == WIDTHS))
    return config_class(**merge(arguments, overrides))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge in depth; where both have no mapping, `over` wins."""
    both = dict(base)
    for key, value in over.items():
        inside = both.get(key)
        both[key] = merge(inside, value) if isinstance(value, Mapping) and isinstance(inside, Mapping) else value
    return both


def _structure(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that decide which sub-configs there are: they must be known before anything is made small."""
    return {k: copy.deepcopy(dict(v)) for k, v in overrides.items() if isinstance(v, Mapping) and "model_type" in v}


def _arguments(config: Config, how: Shrinking) -> dict[str, Any]:
    names = _fields(type(config))
    kinds = _layer_kinds(config, names)
    arguments = {**kinds, **{k: v for k, v in FIXED.items() if k in names}}
    layers = len(next(iter(kinds.values()))) if kinds else LAYERS
    for name in names:
        if name not in arguments:
            old = _own(config, name)
            new = _value(name, old, config, layers, how)
            if new is not old:
                arguments[name] = new
    if not how.widths:
        return arguments
    return {**arguments, **_image_size(config, names), **_head_size(config, names, arguments)}


def _head_size(config: Config, names: Sequence[str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """State the head size where a config leaves it open; some models never work it out."""
    if "head_dim" not in names or _own(config, "head_dim") is not None:
        return {}
    width, heads = (arguments.get(n, _own(config, n)) for n in ("hidden_size", "num_attention_heads"))
    return {"head_dim": width // heads} if isinstance(width, int) and isinstance(heads, int) else {}


def _fields(config_class: type) -> list[str]:
    """Names of the fields a config adds to the common ones, ids of special tokens included."""
    from transformers import PreTrainedConfig

    common = {f.name for f in dataclasses.fields(PreTrainedConfig)}
    return [f.name for f in dataclasses.fields(config_class) if f.name not in common]


def _own(config: Config, name: str) -> Any:
    """A field as it is stored. Reading it as an attribute may raise where layers differ in it."""
    return vars(config).get(type(config).attribute_map.get(name, name))


def _layer_kinds(config: Config, names: Sequence[str]) -> dict[str, list[str]]:
    """Keep each kind of layer once, in the order of first appearance; lists that go together layer by layer stay together."""
    lists = {n: list(v) for n in names if n.endswith(("layer_types", "layers_block_type")) and _texts(v := _own(config, n))}
    if not lists or len({len(v) for v in lists.values()}) > 1:
        return {n: _each_once(v) for n, v in lists.items()} if len(lists) == 1 else {}
    rows = _each_once(list(zip(*lists.values(), strict=True)))
    return {n: [row[i] for row in rows] for i, n in enumerate(lists)}


def _each_once(kinds: list[Any]) -> list[Any]:
    once = list(dict.fromkeys(kinds))
    return once if len(once) > 1 else once * LAYERS


def _texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(v, str) for v in value)


def _value(name: str, old: Any, config: Config, layers: int, how: Shrinking) -> Any:
    if hasattr(old, "model_type"):
        return {**_unusual(old), **_arguments(old, how), **_outlets(old), "model_type": old.model_type}
    if old is None:
        return next((value for pattern, value in MISSING if re.fullmatch(pattern, name)), None)
    if isinstance(old, int) and not isinstance(old, bool):
        if how.widths and (heads := _heads_by_stage(config)) and re.fullmatch(r"embed_dim|hidden_size", name):
            return min(old, STAGE_HEAD_SIZE * heads[0])  # it doubles from stage to stage, as the heads do
        return _integer(name, old, config, layers, how)
    if isinstance(old, (list, tuple)) and old and all(type(v) is int for v in old):
        return _integers(name, old, config, layers, how)
    if isinstance(old, dict) and "rope" in name and how.widths:
        return _rope(old, "mrope_section" in getattr(type(config), "ignore_keys_at_rope_validation", ()))
    return old


def _outlets(config: Config) -> dict[str, Any]:
    """The layers or stages a backbone hands on: as many as before. Stages stay; of plain layers no more are kept than needed."""
    given = getattr(config, "out_indices", None)
    if not isinstance(given, (list, tuple)) or not given:
        return {}
    if isinstance(_own(config, "num_hidden_layers"), int) and isinstance(_own(config, "hidden_size"), int):
        layers = max(LAYERS, len(given))
        return {"num_hidden_layers": layers, "out_indices": list(range(layers + 1 - len(given), layers + 1))}
    return {"out_indices": list(given)}


def _unusual(config: Config) -> dict[str, Any]:
    """What the config that holds this one sets differently from this one's own defaults."""
    plain = type(config)()
    values = {n: _own(config, n) for n in _fields(type(config))}
    return {n: v for n, v in values.items() if isinstance(v, (int, float, str)) and v != _own(plain, n)}


def _integer(name: str, old: int, config: Config, layers: int, how: Shrinking) -> int:
    limit = next((limit for pattern, limit in INTEGERS if re.fullmatch(pattern, name)), KEEP)
    if limit == KEEP or not (how.widths or limit in _NOT_WIDTHS):
        return old
    if limit == SPECIAL_TOKEN:
        return how.token(old, _vocabulary(config))
    if limit == KV_HEADS:
        return _kv_heads(old, config)
    if limit == LAYER_COUNT:
        return min(old, layers)
    return min(old, limit)


def _vocabulary(config: Config) -> int:
    try:
        size = getattr(config.get_text_config(), "vocab_size", None)
    except ValueError:  # two parts have text, each a vocabulary of its own
        size = None
    return min(size, VOCABULARY) if isinstance(size, int) and size > 0 else VOCABULARY


def _kv_heads(old: int, config: Config) -> int:
    """Keep the scheme: one key head for each query head, one for all, or groups."""
    heads = [getattr(config, n, None) for n in ("num_attention_heads", "num_heads", "n_heads", "n_head")]
    if old == 1:
        return 1
    return HEADS if old in heads else HEADS // 2


def _integers(name: str, old: Sequence[int], config: Config, layers: int, how: Shrinking) -> Any:
    if re.fullmatch(_SPECIAL_LISTS, name):
        return [how.token(v, _vocabulary(config)) for v in old]
    if re.fullmatch(_LAYER_NUMBERS, name):
        return list(dict.fromkeys(min(v, layers - 1) for v in old))
    if re.fullmatch(_COUNTS, name):
        return [min(v, 1) for v in old]
    if not how.widths:
        return old
    heads = _heads_by_stage(config)
    if re.fullmatch(_WIDTHS, name) and len(heads) == len(old):
        return [min(value, STAGE_HEAD_SIZE * count) for value, count in zip(old, heads, strict=True)]
    if re.fullmatch(_WIDTHS, name) and max(old) > WIDTH:
        return [max(8, value * WIDTH // max(old) // 8 * 8) for value in old]
    return old


def _heads_by_stage(config: Config) -> list[int]:
    """Heads of each stage of a net that grows wider stage by stage; empty for others."""
    heads = next((v for n in ("num_heads", "num_attention_heads") if isinstance(v := _own(config, n), (list, tuple))), ())
    return [h for h in heads if isinstance(h, int)]


def _rope(old: Mapping[str, Any], sections: bool = False) -> dict[str, Any]:
    """Rotary settings: their lists must be as long as half the rotated part of a head. sections: whether positions have three
    axes, whose shares the models take for a head of full size where the config does not state them."""
    new: dict[str, Any] = {k: _rope(v, sections) if isinstance(v, dict) else v for k, v in old.items()}
    half = int(HEAD_SIZE * (new.get("partial_rotary_factor") or 1)) // 2
    if sections and "rope_theta" in new:
        new["mrope_section"] = scaled_sections(new.get("mrope_section") or AXIS_SHARES, half)
    for key in ("short_factor", "long_factor"):
        if isinstance(new.get(key), list):
            new[key] = [1.0] * half
    if "original_max_position_embeddings" in new:
        new["original_max_position_embeddings"] = POSITIONS // 4
    return new


def scaled_sections(sections: Sequence[int], total: int) -> list[int]:
    """Scale rotary sections so that they add up to `total` and none is empty."""
    scaled = [max(1, s * total // sum(sections)) for s in sections]
    scaled[0] += total - sum(scaled)
    return scaled


def _image_size(config: Config, names: Sequence[str]) -> dict[str, Any]:
    """Four patches a side (eight where patches are tiny and the net goes on halving)."""
    size, patch = (_own(config, n) for n in ("image_size", "patch_size"))
    if "image_size" not in names or size is None:
        return {}
    patch = max(patch) if isinstance(patch, (list, tuple)) else patch if isinstance(patch, int) else 1
    limit = 4 * patch if patch >= 8 else 64
    return {"image_size": [min(s, limit) for s in size] if isinstance(size, (list, tuple)) else min(size, limit)}
