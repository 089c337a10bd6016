"""Names to adapters: the built-in ones by their folders, third parties' by entry point, each imported on first use.

Listing names imports no adapter. An adapter that cannot be imported takes nobody down: it stays a name with a reason.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from porting.adapter import CONTRACT, Adapter
from porting.environments import recipe as recipes
from porting.errors import EnvironmentMissing, PortingError, UnknownName, UsageError
from porting.types import Precision, Target

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "porting.adapters"
BUILT_IN = "porting.adapters"
KNOWN_FILE = "operators.toml"
"""Beside an adapter's module: what is known about ONNX operators that come back wrong."""


@dataclass(frozen=True)
class _Known:
    """Where an adapter is, before it is imported."""

    name: str
    module: str
    class_name: str = ""
    """Empty for a built-in adapter: the one adapter class of its module."""
    folder: Path | None = None
    """Of a built-in adapter's source."""
    distribution: str = ""
    """Name and version of what brings a third party's."""
    problem: str = ""
    """Why it cannot be used, where that is known without importing it."""


def names() -> list[str]:
    """Every adapter's name, those that cannot be imported among them; sorted."""
    return sorted(_known())


def adapter(name: str) -> type[Adapter]:
    """Import an adapter class. Raises UnknownName, and EnvironmentMissing with the reason when it cannot be used."""
    known = _find(name)
    try:
        return _load(known)
    except PortingError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"adapter {name!r} cannot be imported from {_origin(known)}: {type(error).__name__}: {error}"
        raise EnvironmentMissing(reason, "Reinstall or remove it; every other adapter works.") from error


def broken() -> Mapping[str, str]:
    """Adapters that cannot be used, by name, with the reason. Imports every adapter, no backend."""
    return {name: reason for name in names() if (reason := _reason(name))}


def target(text: str) -> Target:
    """Read `adapter:device:precision`. Raises UsageError for another form, UnknownName for a part that nobody knows.

    A chip that the adapter does not declare, of a kind that it does, is a target all the same: one that will be unsupported.
    """
    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"{text!r} is no target.", "Write adapter:device:precision, for instance onnxruntime:cpu:fp32.")
    found = adapter(parts[0])
    chips = [parts[1]] if parts[1] in found.devices else found.chips(parts[1])  # of a chip that nobody declared: its kind's
    if not chips:
        raise UnknownName("device", parts[1], list(found.devices), f"{parts[0]} knows {', '.join(found.devices)}.")
    precisions = list(dict.fromkeys(p.value for chip in chips for p in found.devices[chip]))
    if parts[2] not in precisions:
        raise UnknownName("precision", parts[2], precisions, f"{parts[0]}:{parts[1]} takes {', '.join(precisions)}.")
    return Target(parts[0], parts[1], Precision(parts[2]))


def all_targets() -> list[Target]:
    """Every target that a usable adapter declares, adapters by name."""
    usable = [name for name in names() if not _reason(name)]
    return [target for name in usable for target in adapter(name).targets()]


def module_of(name: str) -> str:
    """`package.module:Class` of an adapter, which a worker in another interpreter imports. Raises as `adapter` does."""
    found = adapter(name)
    return f"{found.__module__}:{found.__qualname__}"


def is_built_in(name: str) -> bool:
    """Whether an adapter is one of ours. Raises UnknownName."""
    return _find(name).folder is not None


def folder(name: str) -> Path | None:
    """The folder of a built-in adapter, None for another's. Raises UnknownName."""
    return _find(name).folder


def recipe(name: str) -> recipes.Recipe:
    """What an environment for an adapter is made from: the files beside its module. Raises UnknownName, and UsageError for an
    adapter of another distribution that has none."""
    known = _find(name)
    found = recipes.read(known.folder or _place(known.module))
    if found is None:
        message = (
            f"the adapter {name!r} of {known.distribution} has no requirements.txt beside its module: nothing can be made for it."
        )
        raise UsageError(message, f"Name an interpreter that has what it needs in [environments.{name}] of porting.toml.")
    return found


def brought(name: str) -> dict[str, Path]:
    """What an adapter of another distribution is imported from, by path under a folder to import from: source and data files of
    its top-level package. Nothing for a built-in one. Raises UnknownName."""
    known = _find(name)
    if known.folder is not None:
        return {}
    top = known.module.split(".")[0]
    files = dict(_package_files(known.module, (".py", ".json", ".toml", ".txt")))
    return files if files.keys() == {f"{top}.py"} else {f"{top}/{label}": path for label, path in files.items()}


def fingerprint(name: str) -> str:
    """Digest of what an adapter's results depend on in code: its folder, its family, the contract. Imports no backend.
    Raises UnknownName."""
    known = _find(name)
    digest = hashlib.sha256(f"contract {CONTRACT} {known.distribution}\n".encode())
    for label, path in sorted(_sources(known)):
        digest.update(f"{label} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def refresh() -> None:
    """Forget what was found, for a process that installs or removes an adapter while it runs."""
    _known.cache_clear()
    _load.cache_clear()


# ---- finding ------------------------------------------------------------------------------------------------------


@functools.cache
def _known() -> dict[str, _Known]:
    found = {known.name: known for known in _built_in()}
    for point in _entry_points():
        known = _third_party(point)
        if known.name in found:  # neither may hide the other: the later one stays visible under a name that says whose it is
            problem = f"{known.distribution} brings an adapter {known.name!r}, a name that is taken."
            known = replace(known, name=f"{known.name}@{known.distribution.split(' ')[0]}", problem=problem)
        found[known.name] = known
    return found


def _built_in() -> Iterator[_Known]:
    package = importlib.import_module(BUILT_IN)
    for root in map(Path, package.__path__):
        for folder in root.iterdir():
            if (folder / "adapter.py").is_file():
                yield _Known(folder.name, f"{BUILT_IN}.{folder.name}.adapter", folder=folder)


def _entry_points() -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))


def _third_party(point: EntryPoint) -> _Known:
    brought_by = f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed distribution"
    module, _, class_name = point.value.partition(":")
    return _Known(point.name, module, class_name, None, brought_by)


def _find(name: str) -> _Known:
    known = _known()
    if name not in known:
        raise UnknownName("adapter", name, list(known), "`porting targets list` shows all.")
    return known[name]


def _origin(known: _Known) -> str:
    return f"{known.module} ({known.distribution})" if known.distribution else known.module


# ---- loading ------------------------------------------------------------------------------------------------------


@functools.cache
def _load(known: _Known) -> type[Adapter]:
    if known.problem:
        raise EnvironmentMissing(known.problem, "Remove one of the two.")
    module = importlib.import_module(known.module)
    found = getattr(module, known.class_name) if known.class_name else _only_class(module)
    return _check(known, found)


def _only_class(module: object) -> type[Adapter]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Adapter) and value.__module__ == module.__name__  # type: ignore[attr-defined]
    ]
    if len(own) != 1:
        raise TypeError(f"there should be one adapter class, found {len(own)}")
    return own[0]


def _check(known: _Known, found: object) -> type[Adapter]:
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise TypeError(f"{known.class_name} is no subclass of porting.adapter.Adapter")
    if found.contract != CONTRACT:
        raise EnvironmentMissing(
            f"adapter {known.name!r} was written for contract {found.contract}, this is {CONTRACT}.",
            f"Update {known.distribution or 'it'}.",
        )
    if found.name != known.name:
        raise TypeError(f"it calls itself {found.name!r}, its entry point {known.name!r}")
    return found


def _reason(name: str) -> str:
    try:
        adapter(name)
    except PortingError as error:
        return str(error)
    return ""


# ---- sources ------------------------------------------------------------------------------------------------------

_FAMILY = re.compile(r"^\s*from \.+(?P<module>_\w+)? import (?P<names>[\w, ]+)", re.MULTILINE)


def _sources(known: _Known) -> Iterator[tuple[str, Path]]:
    """Files of an adapter with a label that does not depend on where they lie."""
    if known.folder is None:
        yield from _package_files(known.module)
        return
    own = [path for path in known.folder.rglob("*") if path.is_file() and _decides_results(path)]
    yield from ((path.relative_to(known.folder.parent).as_posix(), path) for path in own)
    family = _family(known.folder.parent, own)
    yield from ((path.name, path) for path in family)
    yield from _accelerators([*own, *family])


_ACCELERATORS = re.compile(r"^\s*from porting\.accelerators(\.(?P<module>\w+))? import (?P<names>[\w, ]+)", re.MULTILINE)


def _accelerators(files: list[Path]) -> Iterator[tuple[str, Path]]:
    """Modules of porting.accelerators that `files` import, those that these import, and the profiles if they read them."""
    from porting.accelerators import profile

    root = Path(profile.__file__).parent
    found: set[Path] = set()
    queue = [path for path in files if path.suffix == ".py"]
    while queue:
        for match in _ACCELERATORS.finditer(queue.pop().read_text(encoding="utf-8")):
            words = [match["module"]] if match["module"] else re.findall(r"\w+", match["names"])
            new = {root / f"{word}.py" for word in words if (root / f"{word}.py").is_file()} - found
            found |= new
            queue += new
    yield from ((f"accelerators/{path.name}", path) for path in found)
    if root / "profile.py" in found:
        for folder in profile.folders():
            yield from ((path.relative_to(folder).as_posix(), path) for path in folder.glob("*/*") if path.is_file())


_TELLS = ("deploy.py", "quirks.toml", KNOWN_FILE)
"""Files of an adapter that no result depends on."""


def _decides_results(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.name not in _TELLS and path.suffix != ".md"


def _family(root: Path, files: list[Path]) -> set[Path]:
    """The `_*.py` files beside the adapter folders that `files` import, and those that these import."""
    found: set[Path] = set()
    queue = [path for path in files if path.suffix == ".py"]
    while queue:
        for match in _FAMILY.finditer(queue.pop().read_text(encoding="utf-8")):
            words = [match["module"]] if match["module"] else re.findall(r"\b_\w+", match["names"])
            new = {root / f"{word}.py" for word in words if (root / f"{word}.py").is_file()} - found
            found |= new
            queue += new
    return found


def _place(module: str) -> Path:
    """The folder of a module's file, the current one where it cannot be found. Imports the packages that it is in."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # the packages that it is in, or what they import, are not there
        spec = None
    return Path(spec.origin).parent if spec and spec.origin else Path()


def _package_files(module: str, suffixes: Sequence[str] = (".py",)) -> Iterator[tuple[str, Path]]:
    """Files of the top-level package that `module` is in, Python's alone without `suffixes`; found without importing it."""
    spec = importlib.util.find_spec(module.split(".")[0])
    for location in (spec.submodule_search_locations or []) if spec else []:
        root = Path(location)
        found = (path for path in root.rglob("*") if path.suffix in suffixes and path.is_file())
        yield from ((path.relative_to(root).as_posix(), path) for path in found)
    if spec and spec.submodule_search_locations is None and spec.origin:
        yield Path(spec.origin).name, Path(spec.origin)
