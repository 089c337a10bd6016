"""A maker of accelerators as data: `profile.toml` in a folder of its own, every table of it with source and date.

Built-in ones lie in porting.adapters/profiles. Those in the folder that PORTING_PROFILES names replace them: what a centre has
made with `porting profile build`.
"""

from __future__ import annotations

import datetime
import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from porting.accelerators.toml import loads

FILE = "profile.toml"
FOLDER_VARIABLE = "PORTING_PROFILES"


class ProfileError(ValueError):
    """A profile that cannot be read; the message names file, table and key."""


@dataclass(frozen=True)
class Known:
    """Where a fact was read, and as of when."""

    source: str
    date: datetime.date


@dataclass(frozen=True)
class TorchDevice(Known):
    """How PyTorch reaches the accelerator."""

    device: str
    dispatch: str = ""
    plugin: str = ""
    """Import name of the package that brings the device; empty where PyTorch itself or the maker's own build of it does."""
    distributed: str = ""
    visible_devices: str = ""
    rounding: Tuple[str, ...] = ()
    """Switches under `torch` that let fp32 be computed in fewer bits."""


@dataclass(frozen=True)
class Recognise(Known):
    """By what a build of torch that answers to another maker's device name is told apart; any one of these is enough."""

    version_tag: str = ""
    """Regular expression, looked for in torch.__version__."""
    attribute: str = ""
    """Dotted path under torch that is there, and not None."""
    module: str = ""
    environment: str = ""


@dataclass(frozen=True)
class Tool(Known):
    """The maker's command that lists devices."""

    command: str


@dataclass(frozen=True)
class Dtypes(Known):
    """What the maker is published to lack, as names of torch dtypes."""

    lacks: Tuple[str, ...]
    casts: bool = False
    """Whether the plugin silently holds such tensors in half the width instead of refusing them."""


@dataclass(frozen=True)
class Operators(Known):
    """The published list of operators."""

    list: str = ""
    """File beside the profile; empty where none is published."""
    plugin_version: str = ""
    otherwise: str = "error"
    """What becomes of an operator that is not in the list: `cpu`, it falls back with a warning, or `error`."""
    forbid: str = ""
    """The setting that makes an error of the fallback, NAME=VALUE."""
    none: str = ""
    """Where no list was found."""
    opset_from: int = 1


@dataclass(frozen=True)
class Stack(Known):
    """Adapters of ours that lead there by other ways than PyTorch."""

    adapters: Tuple[str, ...]


@dataclass(frozen=True)
class Card(Known):
    """A card as sold. memory_gib: of one device."""

    name: str
    memory_gib: float


@dataclass(frozen=True)
class Profile:
    """All that is known of one maker."""

    name: str
    """Of its folder."""
    folder: Path
    vendor: str
    torch: Optional[TorchDevice] = None
    recognise: Optional[Recognise] = None
    tool: Optional[Tool] = None
    dtypes: Optional[Dtypes] = None
    operators: Optional[Operators] = None
    onnx: Optional[Operators] = None
    stack: Optional[Stack] = None
    cards: Tuple[Card, ...] = field(default=())

    @property
    def listed(self) -> bool:
        """Whether there is a list of PyTorch operators to hold a model against."""
        return bool(self.operators and self.operators.list)


_TABLES: Mapping[str, Any] = {
    "torch": TorchDevice,
    "recognise": Recognise,
    "tool": Tool,
    "dtypes": Dtypes,
    "operators": Operators,
    "onnx": Operators,
    "stack": Stack,
}


def load() -> Dict[str, Profile]:
    """Every profile by its folder's name; a centre's own replace built-in ones. Raises ProfileError for one that is broken."""
    found: Dict[str, Profile] = {}
    for root in folders():
        for path in sorted(root.glob("*/" + FILE)):
            found[path.parent.name] = read(path.parent)
    return dict(sorted(found.items()))


def folders() -> List[Path]:
    """The folders that profiles lie in, the one that PORTING_PROFILES names last. Raises ProfileError when that is none."""
    package = importlib.import_module("porting.adapters")
    named = os.environ.get(FOLDER_VARIABLE, "")
    if named and not Path(named).is_dir():
        raise ProfileError(f"{FOLDER_VARIABLE} names {named}, which is no folder")
    return [*(Path(root) / "profiles" for root in package.__path__), *([Path(named)] if named else [])]


def find(name: str, among: Optional[Mapping[str, Profile]] = None) -> Optional[Profile]:
    """The profile meant by its folder's name, its maker's, a plugin's, or a device string that a plugin brings; None where nobody
    knows it.
    """
    known = load() if among is None else among
    if name in known:
        return known[name]
    wanted = name.lower()
    for profile in known.values():
        torch = profile.torch
        if profile.vendor.lower() == wanted or (torch and torch.plugin and wanted in (torch.device, torch.plugin)):
            return profile
    return None


def read(folder: Path) -> Profile:
    """Read one profile. Raises ProfileError."""
    path = folder / FILE
    try:
        data = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path} cannot be read: {error}") from None
    unknown = data.keys() - {"vendor", "cards", *_TABLES}
    if unknown or not isinstance(data.get("vendor"), str):
        raise ProfileError(f"{path}: {', '.join(sorted(unknown)) + ' is not known' if unknown else 'vendor is missing'}")
    tables = {name: _table(path, name, kind, data[name]) for name, kind in _TABLES.items() if name in data}
    cards = tuple(_table(path, f"cards[{n}]", Card, entry) for n, entry in enumerate(data.get("cards", [])))
    profile = Profile(folder.name, folder, data["vendor"], cards=cards, **tables)
    for operators in (profile.operators, profile.onnx):
        if operators and operators.list and not (folder / operators.list).is_file():
            raise ProfileError(f"{path} names {operators.list}, which is not beside it")
    return profile


def _table(path: Path, name: str, kind: Any, entry: Mapping[str, Any]) -> Any:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    lacking = [key for key in ("source", "date") if not values.get(key)]
    if lacking:
        raise ProfileError(f"{path}: [{name}] has no {' and no '.join(lacking)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ProfileError(f"{path}: [{name}]: {str(error).replace('__init__() ', '').split('.')[-1]}") from None
