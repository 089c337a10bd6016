"""A local checkpoint folder: config.json and safetensors, of transformers, sentence-transformers or timm. The weights are real.

Nothing is downloaded; pickled weights and code from the folder need trust.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.errors import EnvironmentMissing, ModelError, PortingError, UntrustedError
from porting.sources import BuiltModel, _files
from porting.sources.factory import one_line
from porting.types import ModelSpec

if TYPE_CHECKING:
    import torch

_HINT = "If you trust its author, allow it with --trust."

CLASS = "_class"
"""Entry of `config` that names another class of transformers than the folder's config.json does."""


def build(spec: ModelSpec) -> BuiltModel:
    """Load the folder. Raises ModelError when it is no whole checkpoint of a known kind, UntrustedError when its weights are
    pickled or its class is code of its own."""
    folder = _files.locate(spec)
    if not folder.is_dir():
        raise ModelError(f"{folder} is no folder.", "Give the folder that config.json lies in.")
    try:
        if (folder / "modules.json").is_file():
            return _sentence_encoder(spec, folder)
        return _net(spec, folder)
    except (PortingError, MemoryError):
        raise
    except Exception as error:  # the libraries raise whatever a damaged checkpoint makes them stumble over
        raise ModelError(f"{folder} cannot be loaded: {one_line(error)}.", "Copy it again, all files of it.") from error


def skeleton(spec: ModelSpec) -> BuiltModel:
    """The net that config.json describes, in the dtype that it names, without its weights, which need not be there. To be called
    with `meta` as the default device. Raises ModelError."""
    folder = _files.locate(spec)
    config = _read(folder / "config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{folder / 'config.json'} names no net of transformers.", "Nothing else is built without its weights.")
    from porting.sources import transformers_config

    settings = _settings(spec, folder, config)
    dtype = getattr(settings, "dtype", None)
    try:
        model = _class_of(spec, folder, config)._from_config(settings, **({"dtype": dtype} if dtype is not None else {}))
    except Exception as error:  # whatever the library finds wrong with this config
        raise ModelError(f"{folder} cannot be built: {one_line(error)}.", "See its config.json.") from error
    return transformers_config.with_inputs(spec, model.eval(), settings)


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Digest of the folder; versions of the libraries that may read it."""
    return _files.fingerprint(spec, "torch", "transformers", "timm")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} has no {path.name}.", "Copy all files of the checkpoint.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", "Copy it again.") from error


def _net(spec: ModelSpec, folder: Path) -> BuiltModel:
    config = _read(folder / "config.json")
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} holds no table.", "Copy it again.")
    _check_weights(spec, folder)
    if "architecture" in config and "model_type" not in config:
        return _timm_net(spec, folder, config)
    if "model_type" in config:
        return _transformers_net(spec, folder, config)
    hint = "Known are folders of transformers, sentence-transformers and timm; for others write a factory."
    raise ModelError(f"{folder / 'config.json'} names no net of a known kind.", hint)


def _check_weights(spec: ModelSpec, folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for suffix in ("*.bin", "*.pt", "*.pth") for path in folder.glob(suffix))
    if not pickles:
        raise ModelError(f"{folder} has no weights.", "Copy its *.safetensors too.")
    if not spec.trust:
        raise UntrustedError(f"{folder} has its weights in a pickle ({pickles[0]}).", f"Convert them to safetensors. {_HINT}")


# ---- transformers -------------------------------------------------------------------------------------------------


def _transformers_net(spec: ModelSpec, folder: Path, config: Mapping[str, Any]) -> BuiltModel:
    from porting.sources import transformers_config

    settings, model = _load_transformers(spec, folder, config)
    return transformers_config.with_inputs(spec, model, settings)


def _load_transformers(spec: ModelSpec, folder: Path, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Config and model, every weight of it from the folder."""
    settings = _settings(spec, folder, config)
    options = {"local_files_only": True, "trust_remote_code": spec.trust}
    model, report = _class_of(spec, folder, config).from_pretrained(
        str(folder), config=settings, dtype="auto", use_safetensors=not spec.trust or None, output_loading_info=True, **options
    )
    _check_complete(folder, report)
    return settings, model.eval()


def _settings(spec: ModelSpec, folder: Path, config: Mapping[str, Any]) -> Any:
    """The folder's config as transformers has it."""
    from porting.sources import transformers_config
    from porting.sources._torchvision import make_importable

    make_importable()
    try:
        import transformers
    except ImportError as error:
        raise EnvironmentMissing(f"transformers cannot be imported: {error}.", "pip install 'porting[transformers]'") from error
    if "auto_map" in config and config["model_type"] not in transformers.CONFIG_MAPPING and not spec.trust:
        raise UntrustedError(f"{folder} brings code of its own.", _HINT)
    fields = {name: value for name, value in spec.config.items() if name != CLASS}
    settings = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=spec.trust, **fields)
    settings._experts_implementation = transformers_config.EXPERTS
    return settings


def _class_of(spec: ModelSpec, folder: Path, config: Mapping[str, Any]) -> Any:
    import transformers

    named = spec.config.get(CLASS) or next(iter(config.get("architectures") or ()), None)
    if named is None:
        return transformers.AutoModel
    found = getattr(transformers, str(named), None)
    if found is not None:
        return found
    if spec.trust and "auto_map" in config:
        return transformers.AutoModel
    reason = f"transformers {transformers.__version__} has no class {named!r}, which {folder / 'config.json'} names"
    raise ModelError(f"{reason}.", f"A newer transformers may have it. {_HINT if 'auto_map' in config else ''}".strip())


def _check_complete(folder: Path, report: Mapping[str, Any]) -> None:
    """Weights that the folder lacks would be random, and the results meaningless."""
    missing = sorted(report.get("missing_keys") or ())
    if missing:
        raise ModelError(
            f"{folder} lacks {len(missing)} weights of the net, {missing[0]!r} for one.", "Name its class in config.json."
        )


# ---- sentence-transformers ----------------------------------------------------------------------------------------


def _sentence_encoder(spec: ModelSpec, folder: Path) -> BuiltModel:
    """A transformer, a pooling of its tokens, and maybe a normalisation, as modules.json lists them."""
    stages = _read(folder / "modules.json")
    kinds = [str(stage.get("type", "")).rpartition(".")[2] for stage in stages]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        hint = "Known is Transformer, Pooling and Normalize; for others write a factory."
        raise ModelError(f"{folder} chains {', '.join(kinds)}.", hint)
    inner = folder / stages[0].get("path", "")
    pooling = _pooling(_read(folder / stages[1].get("path", "") / "config.json"), folder)
    net = _net(replace(spec, config={**spec.config}), inner)
    assert net.module is not None
    return replace(net, module=_pooled(net.module, pooling, normalize="Normalize" in kinds))


def _pooling(config: Mapping[str, Any], folder: Path) -> str:
    chosen = [
        name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on is True
    ]
    named = config.get("pooling_mode")
    chosen += [named] if isinstance(named, str) else []
    if len(chosen) == 1 and chosen[0] in ("cls_token", "cls", "mean_tokens", "mean", "max_tokens", "max"):
        return chosen[0].removesuffix("_tokens").removesuffix("_token")
    raise ModelError(
        f"{folder} pools by {', '.join(chosen) or 'nothing'}.", "Known are cls, mean and max; for others write a factory."
    )


def _pooled(inner: torch.nn.Module, pooling: str, normalize: bool) -> torch.nn.Module:
    import torch

    class SentenceEncoder(torch.nn.Module):  # type: ignore[misc]  # torch's types are not followed
        """One vector a sentence: the tokens of the last layer, pooled where the mask is 1."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = inner

        def forward(self, **inputs: Any) -> dict[str, torch.Tensor]:
            tokens = self.transformer(**inputs)[0]
            mask = inputs["attention_mask"].unsqueeze(-1).to(tokens.dtype)
            if pooling == "cls":
                sentence = tokens[:, 0]
            elif pooling == "mean":
                sentence = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            else:
                sentence = tokens.masked_fill(mask == 0, -1e9).max(1).values
            if normalize:
                sentence = torch.nn.functional.normalize(sentence, dim=1)
            return {"token_embeddings": tokens, "sentence_embedding": sentence}

    return SentenceEncoder().eval()


# ---- timm ---------------------------------------------------------------------------------------------------------


def _timm_net(spec: ModelSpec, folder: Path, config: Mapping[str, Any]) -> BuiltModel:
    from safetensors.torch import load_file

    from porting.sources import timm_name

    timm = timm_name.import_timm()
    name = str(config["architecture"])
    if not timm.is_model(name):
        raise ModelError(f"timm {timm.__version__} has no model {name!r}, which {folder / 'config.json'} names.")
    arguments = {**(config.get("model_args") or {}), **spec.config}
    if "num_classes" in config:
        arguments.setdefault("num_classes", config["num_classes"])
    model = timm.create_model(name, pretrained=False, **arguments)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no safetensors.", "timm checkpoints are read from those only.")
    model.load_state_dict({key: value for file in files for key, value in load_file(file).items()})
    return timm_name.from_model(spec, model.eval())
