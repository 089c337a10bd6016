"""Each trap is a folder: before.py is what people write, after.py what becomes of it, after_with_care.py the same with care."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from porting.codemod.rewrite import plan
from porting.codemod.scan import scan

TRAPS = sorted(path for path in (Path(__file__).parent / "traps").iterdir() if path.is_dir())
every_trap = pytest.mark.parametrize("trap", TRAPS, ids=[trap.name for trap in TRAPS])


def rewritten(folder: Path, data: bytes, care: bool) -> bytes:
    file = folder / "before.py"
    file.write_bytes(data)
    found = plan(scan(file), care=care)
    assert found.refused == []
    return found.changes[0].after if found.changes else data


def expected(trap: Path, care: bool) -> bytes:
    careful = trap / "after_with_care.py"
    return (careful if care and careful.exists() else trap / "after.py").read_bytes()


@every_trap
@pytest.mark.parametrize("care", [False, True], ids=["safe", "care"])
def test_a_trap_comes_out_as_expected(trap: Path, care: bool, tmp_path: Path) -> None:
    after = rewritten(tmp_path, (trap / "before.py").read_bytes(), care)
    assert after.decode() == expected(trap, care).decode()
    ast.parse(after)


@every_trap
@pytest.mark.parametrize("care", [False, True], ids=["safe", "care"])
def test_a_second_pass_changes_nothing(trap: Path, care: bool, tmp_path: Path) -> None:
    after = expected(trap, care)
    assert rewritten(tmp_path, after, care).decode() == after.decode()


@every_trap
def test_safe_edits_and_then_those_with_care_come_to_the_same(trap: Path, tmp_path: Path) -> None:
    safe = rewritten(tmp_path, (trap / "before.py").read_bytes(), care=False)
    assert rewritten(tmp_path, safe, care=True).decode() == expected(trap, care=True).decode()


@every_trap
def test_line_ends_and_a_byte_order_mark_stay(trap: Path, tmp_path: Path) -> None:
    windows = b"\xef\xbb\xbf" + (trap / "before.py").read_bytes().replace(b"\n", b"\r\n")
    after = rewritten(tmp_path, windows, care=True)
    assert after.startswith(b"\xef\xbb\xbf")
    assert after.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").decode() == expected(trap, care=True).decode()
    assert after.count(b"\n") == after.count(b"\r\n")


def test_a_file_in_another_encoding_is_told_and_left(tmp_path: Path) -> None:
    file = tmp_path / "latin.py"
    file.write_bytes("# -*- coding: latin-1 -*-\nimport torch\nname = 'é'; torch.cuda.empty_cache()\n".encode("latin-1"))
    found = scan(file)
    assert [(f.rule, f.safety.value, f.why) for f in found.findings] == [("PRT110", "report", "the file is not in UTF-8")]
    assert plan(found, care=True).changes == []
