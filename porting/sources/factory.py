"""Builds a person's own model: `package.module:factory` or `path/to/file.py:factory`.

The factory returns a torch.nn.Module, or the module and its example inputs (tensors by name, or in calling order); or the module
has `example_inputs()`. Its code is the person's own, named by them, so running it needs no further trust.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.errors import ModelError, PortingError
from porting.sources import BuiltModel, _code, _files, _inputs, _tables
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


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Digest of the factory's code (_code.files says what that is): the Python files by their content, the data files by size and
    time; and the versions of torch and of the installed packages that the code imports. Nothing is imported."""
    root = Path(spec.root or ".").absolute()
    file = _code.module_file(root, spec.name.rpartition(":")[0])
    found = _files.versions("torch")
    if file is None:
        return {**found, "factory": "not found"}
    paths, packages = _code.files(file, root)
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{Path(os.path.relpath(path, file.parent)).as_posix()}\0".encode())
        state = path.stat()
        total.update(path.read_bytes() if path.suffix == ".py" else f"{state.st_size} {state.st_mtime_ns}".encode())
    return {**_code.versions(packages), **found, "factory": f"sha256:{total.hexdigest()}"}
