"""Words that betray CUDA in any kind of file: environment variables, tools, packages, images. What makers have instead."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from porting.codemod.finding import Rule, rules, table

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

VARIABLE = re.compile(
    r"\b(?:CUDA_[A-Z][A-Z_0-9]+|NCCL_[A-Z_0-9]+|PYTORCH_CUDA_ALLOC_CONF|TORCH_CUDA_ARCH_LIST|NVIDIA_VISIBLE_DEVICES"
    r"|NVIDIA_DRIVER_CAPABILITIES|TORCH_NCCL_[A-Z_]+|PYTORCH_NVML_[A-Z_]+|CUBLAS_[A-Z_]+)\b"
)
TOOL = re.compile(r"\b(?:nvidia-smi|nvprof|nsys|ncu|nvidia-docker)\b")
TUNING = re.compile(
    r"(?:TORCH_)?NCCL_\w+|CUBLAS_\w+|CUDA_LAUNCH_BLOCKING|CUDA_DEVICE_\w+|PYTORCH_CUDA_ALLOC_CONF|PYTORCH_NVML_\w+"
    r"|TORCH_CUDA_ARCH_LIST|CUDA_MODULE_LOADING|CUDA_CACHE_\w+"
)
"""Variables that only tune CUDA or NCCL: set for nobody, they do nothing."""
IMAGE = re.compile(
    r"nvidia/cuda\S*|nvcr\.io/\S+|pytorch/pytorch:\S*cuda\S*|download\.pytorch\.org/whl/cu\d+|\+cu\d{2,3}\b"
    r"|\b(?:cudatoolkit|pytorch-cuda|cudnn|cupti|nccl)\s*=+\s*[\d.]+|\bnvidia-(?:cuda|cudnn|cublas|nccl)[\w-]*"
    r"|^\s*-\s+nvidia\s*$|(?:-c|--channel)[ =]nvidia\b"
    r"|--gpus[ =]\S+|\bruntime:\s*nvidia\b|\bnvidia\.com/gpu\b"
    r"|\b(?:onnxruntime|faiss|tensorflow|paddlepaddle|dgl|mxnet|jax|lightgbm)[-\[](?:gpu|cuda?\d*\w*)\b"
)


@functools.lru_cache(maxsize=1)
def packages() -> Mapping[str, Mapping[str, object]]:
    """What is known of packages that are bound to CUDA, by the module that is imported."""
    return {str(entry.get("module", name)): entry for name, entry in table("packages").items()}


def package_of(module: str) -> str:
    """The package bound to CUDA that a module belongs to; empty where it belongs to none."""
    known = packages()
    parts = module.split(".")
    return next((name for count in (2, 1) if (name := ".".join(parts[:count])) in known), "")


@functools.cache
def distribution(name: str) -> str:
    """The package bound to CUDA that a requirement names; empty where it is none."""
    wanted = re.sub(r"[-_.]+", "_", name).lower()
    return _distributions().get(wanted) or _distributions().get(wanted.partition("_cuda")[0], "")


@functools.lru_cache(maxsize=1)
def _distributions() -> Mapping[str, str]:
    """Import names by the names that packages are installed by."""
    found = {known.lower(): known for known in packages() if known != "nvidia"}  # a name space, and a channel of conda's
    for known, entry in packages().items():
        others = entry.get("installed_as", ())
        assert isinstance(others, list | tuple)
        found.update(dict.fromkeys(others, known))
    return found


@functools.lru_cache(maxsize=1)
def _makers() -> Mapping[str, Profile]:
    """All profiles. Reading them takes longer than a small tree does."""
    from porting.accelerators.profile import load

    return load()


@functools.cache
def alternatives(package: str) -> Mapping[str, str]:
    """What can stand in for a package: `anywhere`, and by makers' names what they bring."""
    entry = packages()[package]
    by = entry.get("by", {})
    assert isinstance(by, Mapping)
    vendors = {name: profile.vendor for name, profile in _makers().items()}
    brands = {vendors.get(str(name), str(name)): str(what) for name, what in by.items()}
    return {"anywhere": str(entry["instead"]), **brands}


@functools.cache
def remedy(rule: str) -> str:
    """What to do about a rule, with makers' own variables and tools where it asks for them."""
    found: Rule = rules()[rule]
    said = found.remedy
    for what in ("visible_devices", "tools"):
        mark = "{" + what + "}"
        said = said.replace(mark, _of_makers(what)) if mark in said else said
    return said


@functools.cache
def _of_makers(what: str) -> str:
    said = []
    for profile in _makers().values():
        if what == "visible_devices":
            word = profile.torch.visible_devices if profile.torch else ""
        else:
            word = profile.tool.command if profile.tool else ""
        if word and word not in ("CUDA_VISIBLE_DEVICES", "nvidia-smi"):
            said.append(f"{word} ({profile.vendor})")
    return ", ".join(said)
