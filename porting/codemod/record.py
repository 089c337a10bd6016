"""What rewrites have done to a tree, kept beside it, so that they can be undone without a version control system."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from porting.codemod.rewrite import Change, Rewriting
from porting.codemod.scan import RECORD as FILE
from porting.errors import UsageError

VERSION = 1


def write(rewriting: Rewriting) -> None:
    """Write changed files and copies of the helper, the record first, so that whatever interrupts it can be undone."""
    root = rewriting.root
    passes = _read(root)
    files = {c.path: {"after": _digest(c.after), "before": _digest(c.before), "hunks": _hunks(c)} for c in rewriting.changes}
    created = {path: _digest(text) for path, text in rewriting.helpers.items()}
    _save(root, [*passes, {"files": files, "created": created}])
    apply(rewriting)


def apply(rewriting: Rewriting) -> None:
    """Write changed files and copies of the helper."""
    for path, text in rewriting.helpers.items():
        _replace(rewriting.root / path, text)
    for change in rewriting.changes:
        _replace(rewriting.root / change.path, change.after)


def undo(root: Path) -> list[str]:
    """Take every recorded rewrite back, the last first. Returns the files. Raises UsageError when a file was changed since, and
    then changes nothing."""
    passes = _read(root)
    if not passes:
        raise UsageError(f"{root} has no record of a rewrite ({FILE}).", "One is written by porting rewrite --write.")
    contents: dict[str, bytes | None] = {}
    for one in reversed(passes):
        for path, how in one["files"].items():
            now = contents[path] if path in contents else _content(root / path)
            contents[path] = _back(root / path, now, how)
        for path, digest in one["created"].items():
            now = _content(root / path)
            if now is not None and _digest(now) != digest:
                raise UsageError(f"{path} was changed since the rewrite.", "Move it away, then undo.")
            contents[path] = None
    for path, data in contents.items():
        if data is None:
            (root / path).unlink(missing_ok=True)
        else:
            _replace(root / path, data)
    (root / FILE).unlink()
    return sorted(contents)


def _back(path: Path, now: bytes | None, how: dict[str, Any]) -> bytes:
    if now is not None and _digest(now) == how["before"]:
        return now  # the rewrite was interrupted before this file
    if now is None or _digest(now) != how["after"]:
        raise UsageError(
            f"{path} was changed since the rewrite.", "Put it back as the rewrite left it, or use your version control."
        )
    lines = _lines(now)
    for start, end, before in reversed(how["hunks"]):
        lines[start:end] = before
    return "".join(lines).encode("latin-1")


def _hunks(change: Change) -> list[tuple[int, int, list[str]]]:
    """Lines of the new file by numbers, and what stood there before."""
    before, after = _lines(change.before), _lines(change.after)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [(j1, j2, before[i1:i2]) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]


def _lines(data: bytes) -> list[str]:
    """Lines whose characters are bytes, so that no encoding can lose any."""
    return [line.decode("latin-1") for line in data.splitlines(keepends=True)]


def patch(changes: Iterable[Change], helpers: dict[str, bytes]) -> str:
    """All of it as a patch that `git apply` and `patch -p1` take."""
    parts = [_diff(f"a/{c.path}", f"b/{c.path}", c.before, c.after) for c in changes]
    parts += [
        f"diff --git a/{p} b/{p}\nnew file mode 100644\n" + _diff("/dev/null", f"b/{p}", b"", t) for p, t in helpers.items()
    ]
    return "".join(parts)


def _diff(before_name: str, after_name: str, before: bytes, after: bytes) -> str:
    lines = difflib.unified_diff(_text(before), _text(after), before_name, after_name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _text(data: bytes) -> list[str]:
    return [line.decode("utf-8", "surrogateescape") for line in data.splitlines(keepends=True)]


def _read(root: Path) -> list[dict[str, Any]]:
    path = root / FILE
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        passes: list[dict[str, Any]] = data["passes"]
        return passes
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no record of a rewrite: {error}.", "Move it away; a version control system can undo."
        ) from None


def _save(root: Path, passes: list[dict[str, Any]]) -> None:
    _replace(root / FILE, json.dumps({"version": VERSION, "passes": passes}, ensure_ascii=True).encode())


def _replace(path: Path, data: bytes) -> None:
    mode = path.stat().st_mode if path.exists() else None
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    if mode is not None:
        part.chmod(mode & 0o7777)
    os.replace(part, path)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
