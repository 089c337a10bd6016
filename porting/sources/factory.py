"""Builds a person's own model: `package.module:factory` or `path/to/file.py:factory`.

The factory returns a torch.nn.Module, or the module and its example inputs (tensors by name, or in calling order); or the module
has `example_inputs()`. Its code is the person's own, named by them, so running it needs no further trust.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import porting
from porting.errors import ModelError, PortingError
from porting.sources import BuiltModel, _files, _inputs, _tables
from porting.sources._torchvision import make_importable
from porting.types import ModelSpec

if TYPE_CHECKING:
    import torch

Examples = dict[str, "torch.Tensor"]

_EXAMPLES_HINT = "Return (module, {name: example tensor}), give the module an example_inputs(), or list `inputs` in porting.toml."


def build(spec: ModelSpec) -> BuiltModel:
    """Call the factory, with `spec.config` as keyword arguments. Raises ModelError when it cannot be found, raises, or returns
    no module, or when its example inputs do not fit the module."""
    import torch

    make_importable()  # a factory may well build on a library that imports torchvision
    made = _call(spec)
    module, given = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"factory {spec.name!r} returned {_article(module)}, which is no torch.nn.Module.", "Return the module.")
    module = module.eval()
    if given is None and callable(getattr(module, "example_inputs", None)):
        given = _guarded(spec, "example_inputs() of the module", module.example_inputs)
    if given is None:
        return from_specs(spec, module)
    return from_examples(spec, module, _by_name(spec, module, given))


def from_specs(spec: ModelSpec, module: torch.nn.Module) -> BuiltModel:
    """A model whose inputs the entry lists. Raises ModelError when it lists none, or an axis has no size."""
    if not spec.inputs:
        raise ModelError(f"{spec.id}: nothing says what inputs the model takes.", _EXAMPLES_HINT)
    return BuiltModel(spec.inputs, _inputs.nominal_sizes(spec.inputs, spec.sizes), spec.steps, module=module)


def from_examples(spec: ModelSpec, module: torch.nn.Module, examples: Examples) -> BuiltModel:
    """A model whose inputs follow from tensors that it was called with. Raises ModelError when they do not fit."""
    bounds = _guarded(
        spec, "the module, called on its example inputs,", lambda: _tables.table_sizes(lambda: module(**examples), examples)
    )
    inputs, sizes = _inputs.specs_from_examples(
        examples,
        overrides=spec.inputs,
        axes=spec.axes,
        bounds={name: (0, rows) for name, rows in bounds.items()},
        sizes=spec.sizes,
    )
    return BuiltModel(inputs, _inputs.settle_batch(module, inputs, {**sizes, **spec.sizes}), spec.steps, module=module)


def _by_name(spec: ModelSpec, module: torch.nn.Module, given: object) -> Examples:
    """Example tensors by the names of forward's parameters."""
    import torch

    if isinstance(given, torch.Tensor):
        given = (given,)
    if isinstance(given, Sequence) and not isinstance(given, str):
        names = [n for n, p in inspect.signature(module.forward).parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
        given = dict(zip(names, given, strict=False))
    if not isinstance(given, Mapping) or not given:
        raise ModelError(f"{spec.id}: the example inputs are {_article(given)}, not tensors by name.", _EXAMPLES_HINT)
    odd = {name: value for name, value in given.items() if not isinstance(value, torch.Tensor)}
    if odd:
        name, value = next(iter(odd.items()))
        raise ModelError(f"{spec.id}: example input {name!r} is {_article(value)}, not a tensor.", _EXAMPLES_HINT)
    return {str(name): value.detach() for name, value in given.items()}


def _call(spec: ModelSpec) -> Any:
    import torch

    place, _, attribute = spec.name.rpartition(":")
    if not place or not attribute:
        raise ModelError(f"{spec.name!r} names no factory.", "Write package.module:factory or path/to/file.py:factory.")
    found: Any = _guarded(spec, f"importing {place!r}", lambda: _module(spec, place))
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
            raise ModelError(f"{place!r} has no {attribute!r}.", f"It has: {', '.join(known[:10])}." if known else "")
        found = getattr(found, part)
    if isinstance(found, torch.nn.Module) or not callable(found):
        return found
    return _guarded(spec, f"factory {spec.name!r}", lambda: found(**spec.config))


def _module(spec: ModelSpec, place: str) -> Any:
    root = str(Path(spec.root or ".").absolute())
    if not place.endswith(".py"):
        if root not in sys.path:
            sys.path.insert(0, root)
        return importlib.import_module(place)
    path = Path(root, Path(place).expanduser())
    if not path.is_file():
        raise ModelError(f"{path} does not exist.", "Check the path.")
    sys.path.insert(0, str(path.parent))
    name = f"_porting_factory_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec
    assert module_spec.loader
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    module_spec.loader.exec_module(module)
    return module


def _guarded(spec: ModelSpec, what: str, call: Any) -> Any:
    """Run a person's code; whatever it raises becomes one line that says where."""
    try:
        return call()
    except PortingError:
        raise
    except (Exception, SystemExit) as error:  # theirs may raise anything, or leave
        raise ModelError(
            f"{spec.id}: {what} raised {one_line(error)}{_where(error)}.", "Run it by itself to see more."
        ) from error


def one_line(error: BaseException) -> str:
    """Type and message of an error, in one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _where(error: BaseException) -> str:
    """The last line of the person's own code in the traceback."""
    place, library = "", os.path.dirname(os.__file__)
    trace = error.__traceback__
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and "site-packages" not in file and not file.startswith(("<", library)):
            place = f" at {Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _article(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


# ---- what it depends on -------------------------------------------------------------------------------------------

_DATA = frozenset(
    (".safetensors", ".pt", ".pth", ".bin", ".npz", ".npy", ".ckpt", ".onnx", ".h5", ".json", ".yaml", ".yml", ".txt")
)


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Digest of the factory's file, of the Python files beside it (its package, if it is in one; of a net of the catalog, its
    shared blocks, too) and, by size and time, of the data files there; and the version of torch. Nothing is imported."""
    place = spec.name.rpartition(":")[0]
    file = _source_file(spec, place)
    found = _files.versions("torch")
    if file is None:
        return {**found, "factory": "not found"}
    total = hashlib.sha256()
    for path in sorted(_neighbours(file)):
        total.update(f"{Path(os.path.relpath(path, file.parent)).as_posix()}\0".encode())
        state = path.stat()
        total.update(path.read_bytes() if path.suffix == ".py" else f"{state.st_size} {state.st_mtime_ns}".encode())
    return {**found, "factory": f"sha256:{total.hexdigest()}"}


def _neighbours(file: Path) -> Iterator[Path]:
    package = (file.parent / "__init__.py").is_file()
    for path in file.parent.rglob("*") if package else file.parent.glob("*"):
        if path.suffix in ({".py"} | _DATA) and path.is_file():
            yield path
    if file.parent.parent in [Path(folder) / "models" for folder in porting.__path__]:  # the catalog's own nets share blocks
        yield from file.parent.parent.glob("*.py")


def _found_otherwise(name: str) -> importlib.machinery.ModuleSpec | None:
    """A module at the top that another finder brings, as editable installs do; finding those imports nothing."""
    try:
        return importlib.util.find_spec(name) if "." not in name else None
    except ValueError:  # it is imported, and does not say from where
        return None


def _source_file(spec: ModelSpec, place: str) -> Path | None:
    """The file that a module name or path means, found without importing its parent packages."""
    root = Path(spec.root or ".").absolute()
    if place.endswith(".py"):
        path = Path(root, Path(place).expanduser())
        return path if path.is_file() else None
    search: Sequence[str] | None = [str(root), *sys.path]
    found = None
    for end in range(1, place.count(".") + 2):
        name = ".".join(place.split(".")[:end])
        found = importlib.machinery.PathFinder.find_spec(name, search) or _found_otherwise(name)
        if found is None:
            return None
        search = list(found.submodule_search_locations or [])
    return Path(found.origin) if found and found.origin else None
