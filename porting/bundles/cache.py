"""Keeps the bundles in the cache within a limit: those used longest ago go first, none that a running process uses.

A bundle in use is held by a shared lock on its folder, which the kernel drops when the holder dies, however it dies. What is
removed is made again when it is next asked for; recorded results do not depend on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from porting.errors import InfrastructureError, UsageError
from porting.workspace import free_bytes, locked

LIMIT_VARIABLE = "PORTING_CACHE_LIMIT"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Held:
    """A bundle's folder in the cache."""

    path: Path
    size: int
    """Bytes on disk."""
    used: float
    """When a run last took it, in seconds since the epoch."""


class InUse:
    """The bundles that this process uses."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def take(self, folder: Path) -> None:
        """Hold a bundle until `release`, or until this process ends. Call it while the lock beside the folder is held."""
        if folder not in self._open:
            descriptor = os.open(folder, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks: there `prune` gets none either, and removes nothing
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._open[folder] = descriptor
        with contextlib.suppress(OSError):
            os.utime(folder)

    def release(self, folder: Path) -> None:
        """Let a bundle go; one that is not held is let be."""
        descriptor = self._open.pop(folder, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Let all go."""
        for folder in list(self._open):
            self.release(folder)


def bundles(folder: Path) -> list[Held]:
    """Every bundle in the cache's folder, that used longest ago first."""
    found = (_held(path) for path in (folder.iterdir() if folder.is_dir() else ()) if path.is_dir())
    return sorted((held for held in found if held), key=lambda held: held.used)


def limit_of(folder: Path, held: Sequence[Held]) -> int:
    """Bytes that bundles may take: PORTING_CACHE_LIMIT, else half of what they take and what is free beside them. Raises
    UsageError."""
    said = os.environ.get(LIMIT_VARIABLE)
    if said:
        return parse_size(said, LIMIT_VARIABLE)
    return (sum(one.size for one in held) + free_bytes(folder)) // 2


def parse_size(text: str, name: str) -> int:
    """`20G`, `500 MB`, `1048576` in bytes. name: whose value it is, for the message. Raises UsageError."""
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if not parts:
        raise UsageError(f"{name} is {text!r}, which is no size.", "Write it like 20G or 500M.")
    return int(float(parts[1]) * _UNITS[parts[2].upper()])


def prune(folder: Path, limit: int | None = None) -> list[Held]:
    """Remove bundles until the rest take no more than `limit` bytes (`limit_of` when not given) or all are in use. Returns those
    removed. Raises UsageError."""
    held = bundles(folder)
    limit = limit_of(folder, held) if limit is None else limit
    over = sum(one.size for one in held) - limit
    removed: list[Held] = []
    for one in held:
        if over <= 0:
            break
        if _remove(one.path):
            removed.append(one)
            over -= one.size
    return removed


def size_of(files: Iterable[Path]) -> int:
    """Bytes that files take on disk; one with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for path in files:
        with contextlib.suppress(OSError):
            stat = path.lstat()
            seen[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(seen.values())


def _held(path: Path) -> Held | None:
    try:
        return Held(path, size_of(path.rglob("*")), path.stat().st_mtime)
    except OSError:  # another process is removing it
        return None


def _remove(folder: Path) -> bool:
    """Whether a bundle is gone; one that somebody makes or uses stays."""
    try:
        with locked(folder, timeout=0):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
    except (OSError, InfrastructureError):
        return False
    return True
