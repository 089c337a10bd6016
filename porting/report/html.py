"""The report as a folder that opens from disk: the index of all cells, a file of details per model, and the page's own scripts.

Writes files and nothing else. The page itself lives in html/ and ships as it is.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from porting.errors import DiskError
from porting.report.matrix import Matrix
from porting.report.site_index import index
from porting.report.static_table import render as render_table
from porting.serialization import Json, to_json
from porting.types import Outcome, Result

if TYPE_CHECKING:
    from porting.records.story import Story

PAGE = Path(__file__).with_name("html")


def write_site(matrix: Matrix, folder: str | Path) -> Path:
    """Write the report into `folder` and return the path of its index.html. Raises DiskError when it cannot be written.

    A folder that holds an older report stays readable at any moment: everything is written aside first, then moved over file
    by file, the index last; details have names made of their content, so that no page finds those of another run.
    """
    folder = Path(folder)
    try:
        return _write(matrix, folder)
    except OSError as error:
        problem = error.strerror or str(error)
        raise DiskError(
            f"cannot write the report to {folder}: {problem}.", "Choose another folder, or make room in it."
        ) from error


def _write(matrix: Matrix, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    # Inside the folder and not beside it: the folder may be a mount of its own, and a rename does not cross that.
    aside = Path(tempfile.mkdtemp(prefix=f".writing-{os.getpid()}-", dir=folder))
    try:
        names = _fill(matrix, aside)
        (folder / "d").mkdir(exist_ok=True)
        for name in names:
            os.replace(aside / name, folder / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _drop_stale(folder, set(names))
    return folder / "index.html"


def _fill(matrix: Matrix, aside: Path) -> list[str]:
    """Write every file. Returns their names in the order in which they may be moved: what is pointed to first."""
    (aside / "d").mkdir()
    details = [_write_details(matrix.row(row.id), matrix.story, aside) for row in matrix.models]
    page = sorted(path.name for path in PAGE.iterdir() if path.is_file() and path.name != "index.html")
    for name in [*page, "index.html"]:
        shutil.copyfile(PAGE / name, aside / name)
    (aside / ".nojekyll").write_bytes(b"")  # GitHub Pages serves the folder as it is
    (aside / "table.html").write_text(render_table(matrix), encoding="utf-8", newline="\n")
    (aside / "data.js").write_text(_script("const DATA = ", index(matrix, details), ";"), encoding="utf-8", newline="\n")
    return [*(f"d/{digest}.js" for digest in dict.fromkeys(details)), ".nojekyll", *page, "table.html", "data.js", "index.html"]


def _sweep(folder: Path) -> None:
    """Remove what writers that were killed have left."""
    for path in folder.glob(".writing-*"):
        match = re.match(r"\.writing-(\d+)-", path.name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _drop_stale(folder: Path, names: set[str]) -> None:
    for path in (folder / "d").iterdir():
        if f"d/{path.name}" not in names and re.fullmatch(r"[0-9a-f]{16}\.js", path.name):
            path.unlink()


# ---- details ------------------------------------------------------------------------------------------------------


def _write_details(results: list[Result], story: Story | None, aside: Path) -> str:
    """Write the records of one model; returns the name, which is made of their content."""
    records = [None if r.outcome is Outcome.MISSING else _record(r, story) for r in results]
    data = json.dumps(records, separators=(",", ":")).encode()
    digest = hashlib.sha256(data).hexdigest()[:16]
    # mtime=0: the same records make the same bytes.
    packed = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
    (aside / "d" / f"{digest}.js").write_text(f'Details.add("{digest}", "{packed}");\n', encoding="utf-8", newline="\n")
    return digest


def _record(result: Result, story: Story | None) -> Json:
    cell = (result.model, result.target)
    turn, known = (story.turns.get(cell), story.known_of.get(cell)) if story else (None, None)
    return {**to_json(result), "turn": to_json(turn), "known": to_json(replace(known, folder="") if known else None)}


def _script(before: str, value: Json, after: str) -> str:
    """Spell a JSON value as a script; characters that could end a script element are escaped, should it ever be inlined."""
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return f"{before}{text}{after}\n"
