"""Named arrays in one file: npz without pickle, bfloat16 included.

Crosses every environment border, so: Python 3.9, numpy only (ml_dtypes only where bfloat16 occurs). Names live in a
JSON member, since a tensor may be called anything and a zip member may not.
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence

from porting.types import TensorSpec

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_INDEX = "index"


def write_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write atomically. tensors: numeric or bool arrays of any shape, host memory. Raises TypeError for object arrays."""
    import numpy as np

    members: Dict[str, Any] = {}
    index = []
    for number, (name, value) in enumerate(tensors.items()):
        array = np.asarray(value)
        dtype = str(array.dtype)
        if array.dtype.hasobject or (array.dtype.kind in "USV" and dtype != "bfloat16"):
            raise TypeError(f"tensor {name!r} has dtype {dtype}, which is not numeric")
        if dtype == "bfloat16":
            array = array.view(np.uint16)
        members[f"t{number}"] = array
        index.append([name, dtype])
    members[_INDEX] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(part, "wb") as file:
        np.savez(file, **members)
    os.replace(part, path)


def read_tensors(path: Path) -> Dict[str, Array]:
    """Read what `write_tensors` wrote. Raises ValueError when the file is no such file."""
    import numpy as np

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as members:
            index = json.loads(bytes(members[_INDEX].tobytes()))
            return {name: _typed(members[f"t{n}"], dtype) for n, (name, dtype) in enumerate(index)}
    except (AttributeError, KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a tensor file: {error}") from error


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a plain npz for readers that have numpy alone. `numpy.savez` takes no array called `file` or `allow_pickle`."""
    import numpy as np

    with zipfile.ZipFile(str(path), "w") as members:
        for name, array in arrays.items():
            with members.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def as_declared(tensors: Mapping[str, Array], declared: Sequence[TensorSpec]) -> Dict[str, Array]:
    """Cases hold floating-point inputs in float32; give those of a form that was exported at another precision its dtype."""
    dtypes = {spec.name: spec.dtype for spec in declared}
    return {name: _cast(array, dtypes.get(name, str(array.dtype))) for name, array in tensors.items()}


def _cast(array: Array, dtype: str) -> Array:
    if array.dtype.kind != "f" or dtype == str(array.dtype):
        return array
    if dtype == "bfloat16":
        import ml_dtypes

        return array.astype(ml_dtypes.bfloat16)
    return array.astype(dtype) if dtype.startswith("float") else array


def _typed(array: Array, dtype: str) -> Array:
    if dtype != "bfloat16":
        return array
    import ml_dtypes

    return array.view(ml_dtypes.bfloat16)
