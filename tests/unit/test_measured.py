"""Records of what building models has shown: nothing written is lost, the last word counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from porting.catalog import measured
from porting.catalog.measured import Measured
from porting.errors import DiskError


def a_record(model: str, status: str = measured.SOUND, **more: object) -> Measured:
    return Measured(model, status, inputs=("x",), axes={"batch": "varies"}, cpu_seconds=1.5, **more)  # type: ignore[arg-type]


def test_what_is_written_is_read_back_and_the_last_record_of_a_model_counts(tmp_path: Path) -> None:
    file = tmp_path / "new" / "measured.jsonl"
    first, second, other = a_record("b", "fail", message="ü\nsecond line"), a_record("b", params=3), a_record("a")
    for record in (first, other, second):
        measured.append(file, record)
    assert measured.read(file) == {"b": second, "a": other}
    measured.tidy(file)
    assert list(measured.read(file)) == ["a", "b"]
    assert len(file.read_text().splitlines()) == 2
    measured.tidy(file, ["b"])
    assert list(measured.read(file)) == ["b"]


def test_half_a_line_of_a_killed_run_costs_that_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "measured.jsonl"
    measured.append(file, a_record("a"))
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: len(whole) // 2])
    assert list(measured.read(file)) == ["a"]
    measured.append(file, a_record("b"))
    assert list(measured.read(file)) == ["a", "b"]


@pytest.mark.parametrize("line", ["[]", "{}", '{"model": 3, "status": "sound"}', "nonsense", ""])
def test_a_line_that_is_no_record_is_passed_over(tmp_path: Path, line: str) -> None:
    file = tmp_path / "measured.jsonl"
    file.write_text(line + "\n")
    measured.append(file, a_record("a"))
    assert list(measured.read(file)) == ["a"]


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError):
        measured.append(tmp_path / "file" / "measured.jsonl", a_record("a"))
