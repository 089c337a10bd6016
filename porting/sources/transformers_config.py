"""Builds a tiny random instance of any transformers config type that has a class for a task, and says what to feed it.

Nothing is downloaded: the weights are random, the config is the library's default, made small by `_transformers_shrink`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from typing import Any

from porting.errors import EnvironmentMissing, ModelError
from porting.sources import BuiltModel, _files
from porting.types import ModelSpec

from . import _served
from . import _transformers_inputs as calls
from ._torchvision import make_importable
from ._transformers_call import Call, left_out, unfed
from ._transformers_shrink import CLASSES, EXTENTS, WIDTHS, shrink

# Tasks whose heads a model is built with, best first: the ones that bring every modality to an output.
TASKS = (
    "SPEECH_SEQ_2_SEQ", "CTC", "RNNT", "TDT", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "MASKED_LM",
    "CAUSAL_LM", "TEXT_TO_WAVEFORM", "TEXT_TO_SPECTROGRAM", "OBJECT_DETECTION", "ZERO_SHOT_OBJECT_DETECTION",
    "UNIVERSAL_SEGMENTATION", "SEMANTIC_SEGMENTATION", "INSTANCE_SEGMENTATION", "IMAGE_SEGMENTATION", "MASK_GENERATION",
    "DEPTH_ESTIMATION", "POSE_ESTIMATION", "KEYPOINT_DETECTION", "KEYPOINT_MATCHING", "VIDEO_CLASSIFICATION",
    "ZERO_SHOT_IMAGE_CLASSIFICATION", "IMAGE_CLASSIFICATION", "AUDIO_CLASSIFICATION", "TIME_SERIES_PREDICTION",
    "IMAGE_TO_IMAGE", "IMAGE_MATTING", "TABLE_RECOGNITION", "TEXT_RECOGNITION", "NORMAL_ESTIMATION", "POINTMAP_ESTIMATION",
    "RETRIEVAL", "VISUAL_QUESTION_ANSWERING", "SEQUENCE_CLASSIFICATION",
)  # fmt: skip

# Entries of `config` that speak of the way it is built, not of the config itself.
TASK, CLASS, PART, FULL_SIZE, SHRINK = "_task", "_class", "_part", "_full_size", "_shrink"
OUTPUTS, CONSTANTS, WITHOUT, SERVED = "_outputs", "_constants", "_without", "_served"
_INTERNAL = ("_attn_implementation", "_experts_implementation")
OPTIONS = (TASK, CLASS, PART, FULL_SIZE, SHRINK, OUTPUTS, CONSTANTS, WITHOUT, SERVED, *_INTERNAL)

# Switches off the library's checks of tensor values, which it makes at every call: they end in an exported graph as operators
# that ONNX has no word for (aten._is_all_true).
NO_CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"

# The default mixture-of-experts kernel is an operator of transformers' own, which no exporter knows and fp64 lacks.
EXPERTS = "batched_mm"


# Names of buffers that hold the vectors of a vector quantiser.
BOOKS = ("embed", "embed_sum")


def build(spec: ModelSpec) -> BuiltModel:
    """Build `spec.name`, a config type. `spec.config` is merged over the small config; besides config fields it may hold
    `_task` (`CAUSAL_LM`, or `BASE` for the model without a head) or `_class` (a class of transformers), `_part` (the field whose
    config that class is built from: one net of several that are run in turns), `_full_size` (true:
    nothing is made small), `_shrink` (`depth`: widths stay), `_outputs` (names of the outputs that are kept; some models answer
    with a list as long as the batch), `_constants` (what `forward` gets besides, the same at every call; lists become tensors),
    `_without` (names of inputs that are not fed), `_served` (the form in which a language model is served, see `_served.KINDS`),
    `_attn_implementation` and `_experts_implementation`. Raises ModelError."""
    config_class = _config_class(spec.name)
    _check_options(spec)
    fields = {k: v for k, v in spec.config.items() if not k.startswith("_")}
    try:
        config = config_class(**fields) if spec.config.get(FULL_SIZE) else shrink(config_class, fields, _extent(spec))
        config = _part(config, spec)
        _set_up(config, spec.config, fields)
        model = _model_class(spec)(config).eval()
        _fill_books(model)
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # whatever the library finds wrong with these settings
        raise ModelError(f"transformers cannot build {spec.name!r}: {_line(error)}.", "See the entry's `config`.") from error
    if OUTPUTS in spec.config:
        _keep_outputs(model, [str(name) for name in spec.config[OUTPUTS]])
    return _serve(spec, model, config) if SERVED in spec.config else with_inputs(spec, model, config)


def _serve(spec: ModelSpec, model: Any, config: Any) -> BuiltModel:
    os.environ[NO_CHECKS] = "1"
    try:
        return _served.serve(spec, model, config, str(spec.config[SERVED]))
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # whatever a model says to being called with a cache
        raise ModelError(
            f"transformers' {spec.name!r} does not run with a cache: {_line(error)}.", "Leave `_served` out."
        ) from error


def full_params(spec: ModelSpec) -> int:
    """Parameters at the size of the library's default config. Call it with `meta` as the default device; raises whatever the
    library raises where its defaults do not build."""
    config = _config_class(spec.name)()
    config._experts_implementation = EXPERTS
    model: Any = _model_class(spec)(config)
    return sum(p.numel() for p in model.parameters())


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Versions of transformers and torch."""
    del spec
    return _files.versions("transformers", "torch")


def warm() -> None:
    """Import what every model class imports, in the server that build jobs are forked from."""
    make_importable()
    for name in ("modeling_utils", "masking_utils", "cache_utils", "models.auto.modeling_auto", "generation"):
        importlib.import_module(f"transformers.{name}")


def _fill_books(model: Any) -> None:
    """Draw the books of codes that come empty: training fills them, and until then every vector has the same code. Small
    numbers, so that a vector's direction decides and not the shortest code."""
    for name, buffer in model.named_buffers():
        if buffer.dim() == 2 and name.rpartition(".")[2] in BOOKS and not buffer.any():
            buffer.normal_(std=0.02)


def _config_class(name: str) -> type:
    make_importable()
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
    except ImportError as error:
        raise EnvironmentMissing(f"transformers cannot be imported: {error}.", "pip install 'porting[transformers]'") from error
    if name not in CONFIG_MAPPING_NAMES:
        near = difflib.get_close_matches(name, CONFIG_MAPPING_NAMES, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(near)}?" if near else "Names are config types such as qwen3, bert, whisper."
        raise ModelError(f"transformers {importlib.metadata.version('transformers')} has no config type {name!r}.", hint)
    found: type = CONFIG_MAPPING[name]
    return found


def _check_options(spec: ModelSpec) -> None:
    for name in spec.config:
        if name.startswith("_") and name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(OPTIONS)}."
            raise ModelError(f"{spec.id}: unknown option {name!r} in `config`.", hint)


def _extent(spec: ModelSpec) -> str:
    extent = str(spec.config.get(SHRINK, WIDTHS))
    if extent not in EXTENTS:
        raise ModelError(f"{spec.id}: {SHRINK} is {extent!r}.", f"It is one of {', '.join(EXTENTS)}.")
    return extent


def _part(config: Any, spec: ModelSpec) -> Any:
    """The config that the class is built from: the whole, or the part that the entry names."""
    name = str(spec.config.get(PART, ""))
    part = getattr(config, name, None) if name else config
    if not hasattr(part, "model_type"):
        raise ModelError(
            f"the transformers config type {spec.name!r} has no part {name!r}.", "It is a field such as text_config."
        )
    return part


def _set_up(config: Any, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    config._experts_implementation = EXPERTS
    for name in _INTERNAL:
        if name in settings:
            setattr(config, name, settings[name])
    if "num_labels" not in fields and not settings.get(FULL_SIZE):
        config.num_labels = CLASSES


def _model_class(spec: ModelSpec) -> type:
    from transformers.models.auto import modeling_auto

    task, wanted = str(spec.config.get(TASK, "")), str(spec.config.get(CLASS, ""))
    if wanted:
        return _named_class(wanted)
    for each in [task] if task else [*TASKS, "BASE"]:
        mapping = "MODEL_MAPPING_NAMES" if each == "BASE" else f"MODEL_FOR_{each}_MAPPING_NAMES"
        classes = getattr(modeling_auto, mapping, {}).get(spec.name)
        if classes:
            return _named_class(classes if isinstance(classes, str) else classes[0])
    lacking = f"class for the task {task!r}" if task else "class for any task known here"
    raise ModelError(f"the transformers config type {spec.name!r} has no {lacking}.", "Name another `_task`, or a `_class`.")


def _named_class(name: str) -> type:
    import transformers

    found = getattr(transformers, name, None)
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        raise ModelError(f"transformers has no model class {name!r}.", "See the entry's `config`.")
    return found


def _keep_outputs(model: Any, names: Sequence[str]) -> None:
    """Let the model answer with these outputs only. A hook, so that the module itself stays what the library made."""

    def pick(_module: Any, _arguments: Any, answer: Any) -> dict[str, Any]:
        lacking = [name for name in names if answer.get(name) is None]
        if lacking:
            raise ModelError(f"the model has no output {lacking[0]!r}.", f"It has: {', '.join(answer)}.")
        return {name: answer[name] for name in names}

    model.register_forward_hook(pick)


def with_inputs(spec: ModelSpec, model: Any, config: Any) -> BuiltModel:
    """Run calls that may fit until one works, and return the model with that call's inputs.

    A modality that the entry declares has to be fed. Raises ModelError when nothing fits.
    """
    reasons = []
    os.environ.pop(NO_CHECKS, None)  # a wrong number of placeholder tokens has to be refused here
    for call in calls.candidates(model, config, spec.modalities, spec.sizes):
        call = _as_given(call, spec)
        if lacking := unfed(call, spec.modalities):
            reasons.append(f"nothing brings in {' or '.join(lacking)}")
            continue
        try:
            fitted = _fit(spec, model, config, call)
        except (ModelError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 -- a call that does not fit may raise anything
            reasons.append(_line(error))
            continue
        os.environ[NO_CHECKS] = "1"
        return _built(spec, model, fitted)
    tried = f"{len(reasons)} ways were tried; the first answered: {reasons[0]}." if reasons else "Nothing it takes is known here."
    raise ModelError(f"no inputs were found that transformers' {spec.name!r} accepts. {tried}", "Give the entry `inputs`.")


def _built(spec: ModelSpec, model: Any, call: Call) -> BuiltModel:
    left = left_out(model, call)
    notes = (f"not fed: {', '.join(left)}; the model was run without",) if left else ()
    return BuiltModel(call.inputs, call.sizes, spec.steps, module=model, constants=call.constants, fixed=call.fixed, notes=notes)


def _fit(spec: ModelSpec, model: Any, config: Any, call: Call) -> Call:
    if call.placeholders and not any(given.prefix for given in spec.inputs if given.name == "input_ids"):
        call = _as_given(calls.with_placeholders(call, model, config, _draw(call)), spec)
    model(**_draw(call), **call.constants)
    return call


def _as_given(call: Call, spec: ModelSpec) -> Call:
    """Put the entry's own inputs and sizes in place of what was worked out."""
    given = {i.name: i for i in spec.inputs}
    known = [given.pop(i.name, i) for i in call.inputs if i.name not in spec.config.get(WITHOUT, ())]
    sizes, added = {**call.sizes, **spec.sizes}, {n: _tensor(v) for n, v in spec.config.get(CONSTANTS, {}).items()}
    fixed = call.fixed | {"batch"} if any(hasattr(value, "shape") for value in added.values()) else call.fixed
    return Call((*known, *given.values()), sizes, {**call.constants, **added}, fixed, call.placeholders)


def _tensor(value: Any) -> Any:
    """A list as a tensor; anything else as it is."""
    import torch

    return torch.tensor(value) if isinstance(value, list) else value


def _draw(call: Call) -> dict[str, Any]:
    import torch

    from porting.bundles.cases import draw

    where = torch.get_default_device()  # `meta` where a skeleton is built
    return {n: torch.from_numpy(array).to(where) for n, array in draw(call.inputs, call.sizes, "nominal", "fit").items()}


def _line(error: BaseException) -> str:
    """An error in one line: the library's validators put the reason on the second and third."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300].rstrip('.')}" if text else type(error).__name__
