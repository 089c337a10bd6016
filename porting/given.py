"""What a person hands in themselves: their own inputs, and a torch.nn.Module that lives in their process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.cases import CaseInputs
from porting.errors import ModelError, UsageError
from porting.tensors import read_tensors, write_tensors
from porting.types import InputSpec, ModelSpec
from porting.workspace import Workspace, atomic_write, digest_file, disk_errors

if TYPE_CHECKING:
    import numpy
    from torch import nn

    Arrays = Mapping[str, "numpy.ndarray[Any, Any]"]


def store_inputs(inputs: Any, workspace: Workspace) -> Path:
    """Write cases where jobs find them. inputs: arrays by name or an npz file, one or several. Raises UsageError."""
    cases = [_case(one) for one in (inputs if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs])]
    if not cases:
        raise UsageError("no inputs given.", "Give arrays by input name, or an npz file.")
    names = ["given"] if len(cases) == 1 else [f"given-{n}" for n in range(1, len(cases) + 1)]
    total = hashlib.sha256()
    for case in cases:
        for name, array in sorted(case.items()):
            total.update(f"{name}\0{array.dtype}\0{array.shape}".encode() + array.tobytes())
    folder = workspace.cache / "given" / total.hexdigest()[:32]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, case in zip(names, cases, strict=True):
            write_tensors(folder / f"{name}.npz", case)
    atomic_write(folder / "given.json", json.dumps(names).encode())
    return folder


def read_cases(folder: Path, inputs: Sequence[InputSpec], sizes: Mapping[str, int]) -> list[CaseInputs]:
    """Read what `store_inputs` wrote, in the job that runs it. A single case gets a rolled twin, which tells a right answer
    from a constant one. Raises ModelError when names do not fit the model's inputs."""
    import numpy as np

    made = []
    for name in json.loads((folder / "given.json").read_text()):
        arrays = read_tensors(folder / f"{name}.npz")
        _must_fit(arrays, inputs)
        made.append(CaseInputs(name, dict(sizes), arrays, True))
    if len(made) == 1:
        rolled = {n: np.roll(a, 1, axis=-1) if a.ndim else a for n, a in made[0].arrays.items()}
        made.append(CaseInputs(f"{made[0].name}-rolled", dict(sizes), rolled, True))
    return made


def _must_fit(arrays: Arrays, inputs: Sequence[InputSpec]) -> None:
    wanted = [i.name for i in inputs]
    lost, extra = [n for n in wanted if n not in arrays], [n for n in arrays if n not in wanted]
    if lost or extra:
        detail = f"missing: {', '.join(lost) or 'none'}; unknown: {', '.join(extra) or 'none'}."
        raise ModelError(f"the inputs given do not fit the model, which takes {', '.join(wanted)}.", detail)


def _case(one: Any) -> dict[str, Any]:
    import numpy as np

    if isinstance(one, (str, Path)):
        one = _read(Path(one))
    if not isinstance(one, Mapping) or not one:
        raise UsageError("inputs have to be arrays by input name, or the path of an npz file.")
    arrays = {str(name): np.asarray(value) for name, value in one.items()}
    bad = [name for name, array in arrays.items() if array.dtype.hasobject or array.dtype.kind in "SUV"]
    if bad:
        raise UsageError(f"input {bad[0]} is no array of numbers.")
    return arrays


def _read(path: Path) -> dict[str, Any]:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}.") from None
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        hint = "Write it with numpy.savez(path, input_name=array, ...)."
        raise UsageError(f"{path} is no npz file of arrays by input name: {error}.", hint) from error


def spec_of_module(module: nn.Module, inputs: Any, workspace: Workspace) -> ModelSpec:
    """Capture a module with the inputs given and return a spec of the captured program. Raises UsageError, ModelError."""
    import torch

    if inputs is None:
        raise UsageError("a module needs inputs.", "Give check(..., inputs={name: array}).")
    first = inputs[0] if isinstance(inputs, Sequence) and not isinstance(inputs, str) else inputs
    tensors = {name: torch.from_numpy(array) for name, array in _case(first).items()}
    training = module.training
    folder = workspace.cache / "given"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "module.pt2"
    try:
        with torch.no_grad():
            torch.export.save(torch.export.export(module.eval(), (), kwargs=tensors), part)
    except Exception as error:
        raise ModelError(f"the module cannot be captured: {error}", "Try a factory, package.module:factory, instead.") from error
    finally:
        module.train(training)
    path = part.rename(folder / f"{digest_file(part)[-32:]}.pt2")
    name = type(module).__name__
    return ModelSpec(f"module/{name}", "pt2", str(path), family="module", weights="real", trust=True)
