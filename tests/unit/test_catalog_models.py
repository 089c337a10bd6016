"""Every transformers and diffusers entry of the catalog is what it says: size, another batch, and inputs that all matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from porting import catalog
from porting.bundles import weights
from porting.bundles.build import build
from porting.bundles.cases import draw
from porting.bundles.eager import flatten
from porting.sources import BuiltModel
from porting.sources._torchvision import make_importable
from porting.sources._transformers_call import FEEDS
from porting.types import ModelSpec

pytest.importorskip("transformers")
pytest.importorskip("diffusers")
torch.set_num_threads(1)

SPECS = {spec.id: spec for spec in catalog.load() if spec.source in ("transformers", "diffusers") and not spec.cannot}
MOVED = 1e-5
"""Relative change of an output from which an input counts as having reached it; fp32 noise is below 5e-6."""

PART_BY_NAME = {
    "maskformer-swin": "maskformer",
    "mlcd": "mlcd_vision_model",  # the same class, by the type its checkpoints state
    "nemotron3_5_transcribe_asr_audio": "nemo_speechlm",
    "nemotron3_5_transcribe_audio": "nemo_speechlm",
}
"""Config types that are parts of an entry, or another name of one, and whose config does not say so."""


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def outputs(built: BuiltModel, arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    assert built.module is not None
    return dict(flatten(built.module(**{n: torch.from_numpy(a) for n, a in arrays.items()}, **built.constants)))


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    if any(before[n].shape != after[n].shape for n in before):  # as many keypoints as were found
        return True
    if any(not torch.equal(before[n], after[n]) for n in before if not before[n].is_floating_point()):
        return True
    pairs = [(before[n].double(), after[n].double()) for n in before if before[n].is_floating_point()]
    return any((a - b).norm() > MOVED * a.norm() for a, b in pairs)


def inputs_that_matter(spec: ModelSpec, built: BuiltModel) -> set[str]:
    """Inputs that move some output when they alone change, once the weights are such that it shows."""
    assert built.module is not None
    weights.randomise(built.module)
    nominal, contrast, padded = (draw(built.inputs, built.sizes, s, spec.id) for s in ("nominal", "contrast", "padded"))
    weights.calibrate(
        built.module, [lambda: outputs(built, nominal), lambda: outputs(built, contrast)], lambda: weights.GOOD_MARGIN
    )
    before = outputs(built, nominal)
    others = {i.name: (padded if i.kind in ("mask", "left_mask") else contrast)[i.name] for i in built.inputs}
    for name in (i.name for i in built.inputs if i.kind == "left_mask"):  # padding may end before every layer's window begins
        others[name] = padded[name].copy()
        others[name][:, : padded[name].shape[1] - nominal["input_ids"].shape[1]] = 0
    return {name for name, other in others.items() if changed(before, outputs(built, {**nominal, name: other}))}


def test_the_catalog_is_broad() -> None:
    kinds = [spec.source for spec in SPECS.values()]
    assert kinds.count("transformers") >= 40
    assert kinds.count("diffusers") >= 120
    assert {m for spec in SPECS.values() if spec.source == "transformers" for m in spec.modalities} == FEEDS.keys()


def parts_of(config: type) -> set[str]:
    """Config types that a config of transformers is made of, by what it declares."""
    declared = [*getattr(config, "sub_configs", {}).values(), *getattr(config, "sub_configs_defaults", {}).values()]
    return {t for part in declared for t in (getattr(part, "model_type", None),) if t}


def test_every_config_type_with_a_class_in_an_auto_mapping_is_an_entry_or_a_part_of_one() -> None:
    make_importable()
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto

    mappings = [n for n in dir(modeling_auto) if n.startswith("MODEL_") and n.endswith("_NAMES")]
    wanted = {kind for name in mappings for kind in getattr(modeling_auto, name)}
    entries = {spec.name for spec in catalog.load() if spec.source == "transformers"}
    known, waiting = set(entries), [kind for kind in entries if kind in CONFIG_MAPPING]
    while waiting:
        new = parts_of(CONFIG_MAPPING[waiting.pop()]) - known
        known |= new
        waiting += [kind for kind in new if kind in CONFIG_MAPPING]
    assert len(wanted) > 600
    assert sorted(kind for kind in wanted - known if PART_BY_NAME.get(kind, kind.rsplit("_", 1)[0]) not in known) == []


@pytest.mark.parametrize("name", [n for n, spec in SPECS.items() if len(spec.modalities) > 1 and "smoke" in spec.tiers])
def test_every_modality_of_a_smoke_entry_reaches_an_output(name: str) -> None:
    spec = SPECS[name]
    built = build(spec)
    matter = inputs_that_matter(spec, built)
    assert matter == {i.name for i in built.inputs}
    if spec.source == "transformers":  # whose input names say what they carry
        assert [m for m in spec.modalities if m in FEEDS and matter.isdisjoint(FEEDS[m])] == []


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.*(weight_norm|FluxPosEmbed|Transformer2DModelOutput|CPU.[aA]utocast)"
)  # deprecated, and used by diffusers 0.42
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")  # AnyFlow-FAR
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors is a no-op")  # MobileBERT, when it is built
@pytest.mark.parametrize("name", list(SPECS))
def test_every_entry_has_the_size_on_record_takes_another_batch_and_minds_all_its_inputs(name: str) -> None:
    spec = SPECS[name]
    built = build(spec)
    assert built.module is not None
    assert spec.params in (None, sum(p.numel() for p in built.module.parameters()))
    if "batch" in built.sizes and "batch" not in built.fixed:
        larger = draw(built.inputs, {**built.sizes, "batch": built.sizes["batch"] + 1}, "nominal", spec.id)
        assert outputs(built, larger)
    assert inputs_that_matter(spec, built) == {i.name for i in built.inputs}
