"""Named arrays in files: what comes back is what went in, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from porting.bundles.tensors import read_tensors, write_npz, write_tensors

AWKWARD = ("file", "allow_pickle", "index", "t0", "past.0/key", "\N{GREEK SMALL LETTER ALPHA} beta")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_a_tensor_keeps_its_dtype_shape_and_bits(tmp_path: Path, dtype: str) -> None:
    values = {"scalar": np.array(1), "empty": np.zeros((2, 0, 3)), "table": np.arange(12).reshape(3, 4) % 2}
    wanted = {name: value.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype) for name, value in values.items()}
    write_tensors(tmp_path / "t.npz", wanted)
    found = read_tensors(tmp_path / "t.npz")
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert found[name].tobytes() == value.tobytes()


@pytest.mark.parametrize("value", [np.array([{}], object), np.array(["a"]), np.array([b"a"])], ids=["object", "text", "bytes"])
def test_what_is_no_tensor_is_refused(tmp_path: Path, value: np.ndarray) -> None:
    with pytest.raises(TypeError, match="'odd' has dtype"):
        write_tensors(tmp_path / "t.npz", {"odd": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"text"])
def test_what_is_no_tensor_file_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is not a tensor file"):
        read_tensors(tmp_path / "t.npz")


def test_a_tensor_may_have_any_name_in_both_kinds_of_file(tmp_path: Path) -> None:
    wanted = {name: np.full((2,), number, np.float32) for number, name in enumerate(AWKWARD)}
    write_tensors(tmp_path / "t.npz", wanted)
    assert {name: value[0] for name, value in read_tensors(tmp_path / "t.npz").items()} == dict(
        zip(AWKWARD, range(6), strict=True)
    )
    write_npz(tmp_path / "plain.npz", wanted)
    with np.load(tmp_path / "plain.npz") as plain:
        assert {name: plain[name][0] for name in plain.files} == dict(zip(AWKWARD, range(6), strict=True))
