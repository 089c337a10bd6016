"""What a person hands in themselves: their own inputs, and a torch.nn.Module that lives in their process."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles import shapes
from porting.bundles.cases import CaseInputs
from porting.bundles.tensors import read_tensors, write_tensors
from porting.errors import ModelError, UsageError
from porting.types import InputSpec, ModelSpec
from porting.workspace import Workspace, atomic_write, digest_file, disk_errors

if TYPE_CHECKING:
    import numpy
    import torch
    from torch import nn

    Array = numpy.ndarray[Any, Any]
    Arrays = dict[str, Array]

_LIST = "given.json"
_NPZ_HINT = "Write it with numpy.savez(path, input_name=array, ...)."


# ---- inputs ---------------------------------------------------------------------------------------------------------


def store_inputs(inputs: Any, workspace: Workspace) -> Path:
    """Write cases where jobs find them; the folder is named by their contents. inputs: arrays or tensors by name, or an npz
    file, one or several. Raises UsageError."""
    cases = _cases(inputs)
    names = ["given"] if len(cases) == 1 else [f"given-{n}" for n in range(1, len(cases) + 1)]
    total = hashlib.sha256()
    for case_name, case in zip(names, cases, strict=True):
        total.update(case_name.encode())
        for name, array in sorted(case.items()):
            total.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode() + array.tobytes())
    folder = workspace.cache / "given" / total.hexdigest()[:32]
    if not (folder / _LIST).exists():
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, case in zip(names, cases, strict=True):
                write_tensors(folder / f"{name}.npz", case)
        atomic_write(folder / _LIST, json.dumps(names).encode())
    return folder


def stored_files(folder: Path) -> list[Path]:
    """The files of cases in a folder of `store_inputs`; they can be given again."""
    return [folder / f"{name}.npz" for name in json.loads((folder / _LIST).read_bytes())]


def _cases(inputs: Any) -> list[Arrays]:
    several = isinstance(inputs, Sequence) and not isinstance(inputs, str)
    cases = [_case(one) for one in (inputs if several else [inputs])]
    if not cases:
        raise UsageError("no inputs given.", "Give arrays by input name, or an npz file.")
    return cases


def _case(one: Any) -> Arrays:
    if isinstance(one, (str, Path)):
        one = _read(Path(one))
    if not isinstance(one, Mapping) or not one:
        raise UsageError("inputs have to be arrays by input name, or the path of an npz file.", _NPZ_HINT)
    return {str(name): _array(str(name), value) for name, value in one.items()}


def _array(name: str, value: Any) -> Array:
    import numpy as np

    if hasattr(value, "detach"):  # a tensor; numpy has no bfloat16, and cases hold floating-point inputs in float32 anyway
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.hasobject or array.dtype.kind not in "fiub":
        raise UsageError(f"input {name!r} is no array of real numbers, but of {array.dtype}.", "Give numbers or booleans.")
    return array


def _read(path: Path) -> Arrays:
    import zipfile

    import numpy as np

    try:
        if not zipfile.is_zipfile(path):
            path.stat()
            raise UsageError(f"{path} is no npz file of arrays by input name.", _NPZ_HINT)
        with np.load(path, allow_pickle=False) as file:
            if "index" in file.files and "t0" in file.files:  # one of ours, as a reproduce command names it
                return read_tensors(path)
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no npz file of arrays by input name: {error}.", _NPZ_HINT) from error


def read_cases(folder: Path, inputs: Sequence[InputSpec]) -> list[CaseInputs]:
    """Read what `store_inputs` wrote, in the job that runs it, in the dtypes that the model takes. Where no two cases have the
    same sizes, the first gets a rolled twin, which tells a right answer from a constant one. Raises ModelError when names or
    dtypes do not fit the model's inputs; whether shapes do is seen by running."""
    made: list[CaseInputs] = []
    for path in stored_files(folder):
        arrays = _fitting(read_tensors(path), inputs)
        sizes = _sizes(arrays, inputs)
        made.append(CaseInputs(path.stem, sizes, arrays, not made or sizes == made[0].sizes))
    if all(one.sizes != other.sizes for one, other in itertools.combinations(made, 2)):
        rolled = {name: _rolled(array) for name, array in made[0].arrays.items()}
        made.append(replace(made[0], name=f"{made[0].name}-rolled", arrays=rolled))
    return made


def _fitting(arrays: Arrays, inputs: Sequence[InputSpec]) -> Arrays:
    wanted = [spec.name for spec in inputs]
    lost, extra = [n for n in wanted if n not in arrays], [n for n in arrays if n not in wanted]
    if lost or extra:
        detail = f"missing: {', '.join(lost) or 'none'}; unknown: {', '.join(extra) or 'none'}."
        raise ModelError(f"the inputs given do not fit the model, which takes {', '.join(wanted)}.", detail)
    return {spec.name: _cast(arrays[spec.name], spec) for spec in inputs}


def _cast(array: Array, spec: InputSpec) -> Array:
    """In the dtype of the model's input, if that changes no value but by rounding of floating point."""
    import numpy as np

    if spec.dtype in ("bfloat16", str(array.dtype)):
        return array
    cast = array.astype(spec.dtype)
    if not (array.dtype.kind == cast.dtype.kind == "f" or np.array_equal(cast, array)):
        raise ModelError(f"input {spec.name!r} is given as {array.dtype}, but the model takes {spec.dtype}.", "Convert it.")
    return cast


def _sizes(arrays: Arrays, inputs: Sequence[InputSpec]) -> dict[str, int]:
    """Size of every axis that is named, as the arrays have it."""
    sizes: dict[str, int] = {}
    for spec in inputs:
        for dim, size in zip(spec.shape, arrays[spec.name].shape, strict=False):
            if shapes.is_name(dim):
                sizes.setdefault(str(dim), size)
    return sizes


def _rolled(array: Array) -> Array:
    import numpy as np

    axis = next((axis for axis in reversed(range(array.ndim)) if array.shape[axis] > 1), None)
    return array if axis is None else np.roll(array, 1, axis)


def by_name(inputs: Any, module: nn.Module) -> Any:
    """Name what came by position, an array or a tuple of them a case, as the module's forward does. Raises UsageError."""
    if isinstance(inputs, list):
        return [by_name(case, module) for case in inputs]
    case = (inputs,) if _is_array(inputs) else inputs
    if not isinstance(case, tuple) or not all(map(_is_array, case)):
        return inputs
    parameters = inspect.signature(module.forward).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    if len(case) > len(names):
        takes = ", ".join(names) or "none by name"
        raise UsageError(f"{len(case)} inputs by position, but forward takes {takes}.", "Give check(..., inputs={name: array}).")
    return dict(zip(names, case, strict=False))


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


# ---- a module -------------------------------------------------------------------------------------------------------


def spec_of_module(module: nn.Module, inputs: Any, workspace: Workspace) -> ModelSpec:
    """Capture a module with the inputs given and return a spec of the captured program. The module is left as it was.
    Raises UsageError, ModelError when it cannot be captured."""
    if inputs is None:
        raise UsageError("a module needs inputs.", "Give check(..., inputs={name: array}).")
    first = _cases(inputs)[0]
    folder = workspace.cache / "given"
    part = folder / f"{uuid.uuid4().hex}.part"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        _capture(module, first, part)
        path = folder / f"{digest_file(part)[-32:]}.pt2"
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return ModelSpec(f"module/{type(module).__name__}", "pt2", str(path), family="module", weights="real", trust=True)


def _capture(module: nn.Module, arrays: Arrays, path: Path) -> None:
    import torch

    try:
        with _in_eval_mode(module), torch.no_grad(), open(path, "wb") as file, disk_errors(path):
            tensors = {name: _tensor(array) for name, array in arrays.items()}
            torch.export.save(torch.export.export(module, (), kwargs=tensors), file)
    except OSError:
        raise
    except Exception as error:
        message = f"the module cannot be captured with these inputs: {_first_line(error)}"
        raise ModelError(message, "Check that they fit its forward; else try a factory, package.module:factory.") from error


@contextlib.contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():  # not train(): that would wake what a person has frozen
            part.training = mode


def _tensor(array: Array) -> torch.Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.array(array, np.float32) if array.dtype.kind == "f" else np.array(array))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"
