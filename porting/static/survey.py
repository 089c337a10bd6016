"""What makers' lists say of a model that is never filled: built without memory, walked on stand-ins, of any size.

Runs as a job of its own. Nothing is computed and nothing is judged: the evidence is `static`.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from porting.accelerators.profile import Profile, find, load
from porting.cells.jobs import Jobs, Trail
from porting.errors import ModelError, UnknownName, UsageError
from porting.serialization import from_json, to_json
from porting.static.experts import as_served
from porting.types import ModelSpec, Stage
from porting.verdict import of_end

if TYPE_CHECKING:
    import torch

    from porting.accelerators.standin import StandIn
    from porting.sources import BuiltModel
    from porting.workers.worker import Clock


def job(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """Walk a model for every profile in `profiles`. `sizes`: of axes, instead of the nominal ones; `train`: backward, too;
    `dtype`: of weights and floating inputs, instead of the model's own; `served`: experts as servers compute them.

    Returns `parameters` and `buffers` (elements, bytes), `cache`, what the config says that a cache of keys and values depends
    on, the `sizes` walked, `weightless`, whether that was done without memory for weights, and `ledgers`, one for every profile.
    """
    import torch

    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # a fused kernel of the CPU's own
    spec = from_json(ModelSpec, job["spec"])
    try:
        return _survey(spec, job, clock, "meta")
    except Exception:  # whatever a model does that looks at values
        if not small(spec):
            raise
        traceback.print_exc()
    return _survey(spec, job, clock, "cpu")


def _survey(spec: ModelSpec, job: Mapping[str, Any], clock: Clock, raw: str) -> dict[str, Any]:
    """Walk a model whose tensors are of `meta`, or of `cpu`."""
    import torch

    from porting import sources
    from porting.accelerators import standin

    clock.enter(Stage.BUILD)
    built = sources.skeleton(spec) if raw == "meta" else sources.source(spec.source).build(spec)
    module = built.module
    if module is None:
        raise ModelError("an ONNX file is no module that could be walked.", "Targets of static_onnx look its operators up.")
    built = replace(built, sizes={**built.sizes, **_asked(built, job["sizes"], job["all_sizes"])})
    if job["dtype"]:
        module.to(getattr(torch, job["dtype"]))
    facts = {"parameters": _total(module.parameters()), "buffers": _total(module.buffers()), "cache": _cache(built)}
    known = load()
    ledgers = {}
    for name in job["profiles"]:
        clock.enter(Stage.RUN, name)
        device = standin.install(known[name], raw)
        device.prepare_for_programs()
        with as_served() if job["served"] else nullcontext():
            ledgers[name] = _walk(device, built, name, known, job["train"])
    return {**facts, "sizes": dict(built.sizes), "weightless": raw == "meta", "ledgers": ledgers}


def small(spec: ModelSpec) -> bool:
    """Whether a model may be built whole: a tiny instance of the catalog, not somebody's checkpoint or a config of full size."""
    return spec.source != "checkpoint" and not spec.config.get("_full_size")


def _walk(device: StandIn, built: BuiltModel, name: str, known: Mapping[str, Any], train: bool) -> dict[str, Any]:
    import torch

    from porting import sources

    assert built.module is not None
    module = built.module.to_empty(device=device.name) if device.raw == "meta" else built.module.to(device.name)
    given = {**nominal(built), **built.constants}
    inputs = {key: device.put(value) if isinstance(value, torch.Tensor) else value for key, value in given.items()}
    device.become(known[name], keep_going=True)
    with sources.without_values(), torch.set_grad_enabled(train):
        answer = module.train(train)(**inputs)
        if train:
            _loss(answer).backward()
    return device.ledger.as_json()


def _asked(built: BuiltModel, sizes: Mapping[str, int], every: bool) -> dict[str, int]:
    """Sizes of axes that the model has. every: one that it has not is an error."""
    foreign = sorted(sizes.keys() - built.sizes.keys())
    if foreign and every:
        raise ModelError(f"the model has no axis {foreign[0]!r}.", f"It has {', '.join(sorted(built.sizes))}.")
    return {axis: size for axis, size in sizes.items() if axis in built.sizes}


def nominal(built: BuiltModel) -> dict[str, torch.Tensor]:
    """Nominal inputs; the floating ones in the dtype of the model."""
    import torch

    from porting.bundles.cases import draw

    assert built.module is not None
    floats = next((p.dtype for p in built.module.parameters() if p.is_floating_point()), torch.float32)
    tensors = {key: torch.from_numpy(array) for key, array in draw(built.inputs, built.sizes, "nominal", "survey").items()}
    return {key: value.to(floats) if value.is_floating_point() else value for key, value in tensors.items()}


def _loss(answer: Any) -> torch.Tensor:
    """A number that depends on every floating output."""
    import torch

    from porting.bundles.eager import flatten

    parts = [tensor.float().sum() for _, tensor in flatten(answer) if tensor.is_floating_point() and tensor.requires_grad]
    return torch.stack(parts).sum()


def _total(tensors: Any) -> dict[str, int]:
    each = list(tensors)
    return {"elements": sum(t.numel() for t in each), "bytes": sum(t.numel() * t.element_size() for t in each)}


def _cache(built: BuiltModel) -> dict[str, int] | None:
    """Layers, heads of keys and values, and their width, as the config of a model that generates has them; None for others.
    `latent`: width of the one vector that stands for all heads of a layer, where keys and values are compressed (DeepSeek's
    MLA); 0 where they are not."""
    if not getattr(built.module, "can_generate", lambda: False)():
        return None
    config = getattr(built.module, "config", None)
    text: Any = config.get_text_config() if config is not None and hasattr(config, "get_text_config") else config
    layers, heads = getattr(text, "num_hidden_layers", None), getattr(text, "num_attention_heads", None)
    width = getattr(text, "hidden_size", None)
    if not (layers and heads and width):
        return None
    return {
        "layers": int(layers),
        "heads": int(getattr(text, "num_key_value_heads", None) or heads),
        "width": int(getattr(text, "head_dim", None) or width // heads),
        "latent": int(getattr(text, "kv_lora_rank", None) or 0) and int(text.kv_lora_rank + getattr(text, "qk_rope_head_dim", 0)),
    }


# ---- asking for it ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Survey:
    """What was found of one model."""

    model: str
    sizes: Mapping[str, int]
    parameters: int
    parameter_bytes: int
    buffer_bytes: int
    cache: Mapping[str, int] | None
    """`layers`, `heads` of keys and values, `width` of each; None for a model that generates nothing."""
    weightless: bool
    """Whether it was walked without memory for weights; a small model that looks at values is built whole."""
    ledgers: Mapping[str, Mapping[str, Any]]
    """porting.accelerators.ledger.Ledger.as_json by profile."""

    def refused(self) -> list[str]:
        """Profiles with something that the card would refuse."""
        return [name for name, ledger in self.ledgers.items() if ledger["refusals"]]


def survey(
    jobs: Jobs,
    spec: ModelSpec,
    profiles: Sequence[str],
    sizes: Mapping[str, int] | None = None,
    train: bool = False,
    dtype: str = "",
    all_sizes: bool = True,
    served: bool = False,
) -> Survey:
    """Walk a model on stand-ins of makers that have published lists.

    sizes: of axes, instead of the nominal ones; all_sizes: an axis that the model has not is an error, and ignored otherwise.
    train: the backward pass, too. dtype: of weights and floating inputs, `bfloat16`, instead of the model's own. served: experts
    in the sizes that they have in a server, instead of as they are exported. Raises ModelError when the model cannot be built or
    walked.
    """
    payload = {
        "kind": "porting.static.survey:job",
        "spec": to_json(spec),
        "profiles": list(profiles),
        "sizes": dict(sizes or {}),
        "all_sizes": all_sizes,
        "train": train,
        "dtype": dtype,
        "served": served,
    }
    end = jobs.run(payload, Trail())
    finding = of_end(end)
    if finding:
        said = finding.message.rstrip(".")
        raise ModelError(f"{spec.id} cannot be walked without its weights: {said}.", finding.hint)
    found = end.value
    return Survey(
        spec.id,
        found["sizes"],
        found["parameters"]["elements"],
        found["parameters"]["bytes"],
        found["buffers"]["bytes"],
        found["cache"],
        found["weightless"],
        found["ledgers"],
    )


def listed(names: Sequence[str], besides: Sequence[str] = ()) -> dict[str, Profile]:
    """The profiles meant by names of makers, devices or plugins that have a list; all that have one without any. besides: what
    the caller takes besides, for who has mistyped it. Raises UnknownName, and UsageError for a maker that has published none."""
    known = load()
    having = {name: profile for name, profile in known.items() if profile.listed}
    found = {}
    for name in names:
        profile = find(name, known)
        if profile is None:
            also = f"Besides {', '.join(besides)}, there" if besides else "There"
            raise UnknownName("accelerator", name, [*besides, *known], f"{also} are lists for {', '.join(having)}.")
        if profile.name not in having:
            why = profile.operators.none if profile.operators and profile.operators.none else "none is known"
            raise UsageError(
                f"there is no list of PyTorch operators for {profile.vendor}: {why}.", f"Lists: {', '.join(having)}."
            )
        found[profile.name] = profile
    return found or having
