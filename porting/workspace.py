"""Where things lie on disk, and the few file operations that have to be safe: atomic writes, digests, locks.

What is in the files is for others to know: porting.bundles.bundle, porting.store, porting.workers.runner.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from porting.errors import DiskError, InfrastructureError

if TYPE_CHECKING:
    from filelock import FileLock

CONFIG = "porting.toml"
STATE = ".porting"
STORE = "results.db"
HOME_VARIABLE = "PORTING_HOME"
CACHE_VARIABLE = "PORTING_CACHE"
_FOLDERS = ("bundles", "workers")


@dataclass(frozen=True)
class Workspace:
    """The folders of one project."""

    root: Path
    """What relative paths in porting.toml are relative to."""
    state: Path
    """What must not be lost: the store."""
    cache: Path
    """What can be made again."""
    scratch: Path | None = None
    """For the files of what is running, where that is not the cache."""

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """Find the workspace of folder `start` (default: the current one); nothing is created.

        The root is the nearest folder upwards that has a porting.toml, else `start`. The state folder is PORTING_HOME
        where that is set, else `.porting` in the root. The cache is PORTING_CACHE, else the user's cache folder.
        """
        start = Path(start or Path.cwd()).absolute()
        root = next((folder for folder in (start, *start.parents) if (folder / CONFIG).is_file()), start)
        home = os.environ.get(HOME_VARIABLE)
        return cls(root, Path(home).absolute() if home else root / STATE, cache_folder())

    @property
    def config(self) -> Path | None:
        """porting.toml, where there is one."""
        path = self.root / CONFIG
        return path if path.is_file() else None

    @property
    def store(self) -> Path:
        """The SQLite file that holds the results, unless a URL says otherwise."""
        return self.state / STORE

    @property
    def bundles(self) -> Path:
        """One folder a bundle."""
        return self.cache / "bundles"

    @property
    def runs(self) -> Path:
        """Files of what is running, one folder a run."""
        return (self.scratch or self.cache) / "runs"

    @property
    def shared(self) -> Path:
        """What adapters keep from job to job."""
        return self.cache / "shared"

    @property
    def workers(self) -> Path:
        """Copies of the worker's code for interpreters beside the base one."""
        return self.cache / "workers"

    @property
    def environments(self) -> Path:
        """Environments of their own for adapters."""
        return self.cache / "environments"

    def places(self) -> dict[str, str]:
        """Words for the folders of this machine that texts may name, by folder: what is published should not."""
        import sysconfig
        import tempfile

        folders = {
            "HOME": Path.home(),
            "TMP": Path(tempfile.gettempdir()),
            "CACHE": self.cache,
            "STATE": self.state,
            "ROOT": self.root,
            "PORTING": Path(__file__).parent.parent,
            "PYTHON": Path(sys.base_prefix),
            "PACKAGES": Path(sysconfig.get_path("purelib")),
        }
        named = [(place, word) for word, folder in folders.items() for place in (folder, folder.resolve())]
        return {str(place): word for place, word in named if place != Path(place.anchor)}

    def prepare(self) -> Workspace:
        """Create the folders, with a .gitignore in the state folder. Raises DiskError."""
        for folder in (self.state, self.runs, *(self.cache / name for name in _FOLDERS)):
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            atomic_write(ignore, b"*\n")
        return self


def cache_folder() -> Path:
    """PORTING_CACHE, else the user's cache folder; not created."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("porting"))


# ---- disk -----------------------------------------------------------------------------------------------------------

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EEXIST: "there is something else of that name",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EFBIG: "a file may not be that large here (see ulimit -f)",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and a path that cannot be written into DiskError; `path` is what was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            hint = f"Free some space, or point {CACHE_VARIABLE} or {HOME_VARIABLE} at another disk."
            raise DiskError(f"no space left for {path} ({free_bytes(path) >> 20} MiB free).", hint) from error
        if error.errno in _REFUSED:
            hint = f"Make it writable, or point {CACHE_VARIABLE} or {HOME_VARIABLE} at another folder."
            raise DiskError(f"cannot write {path}: {_REFUSED[error.errno]}.", hint) from error
        raise


def free_bytes(path: Path) -> int:
    """Return the bytes an ordinary user can still write at `path`, which need not exist yet."""
    path = Path(path).absolute()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it or what was there before, also when this process is killed. Raises DiskError."""
    path = Path(path)
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}-{threading.get_ident()}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            os.replace(part, path)
        except BaseException:  # whatever it was, it goes on after the half-written file is gone
            with contextlib.suppress(OSError):
                part.unlink()
            raise


@contextlib.contextmanager
def locked(path: Path, timeout: float = -1, give_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the lock beside `path` (`NAME.lock`) against other processes.

    timeout: seconds to wait for the holder, negative for ever. give_up: asked while it waits. Raises InfrastructureError when
    the time runs out, CancelledError when it gave up, DiskError.
    """
    import filelock

    lock = Path(path).with_name(f"{Path(path).name}.lock")
    with disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        holder = filelock.FileLock(lock)
        until = time.monotonic() + timeout if timeout >= 0 else None
        while not _acquired(holder):
            if give_up():
                raise CancelledError
            if until is not None and time.monotonic() > until:
                hint = "Wait for it to end, or end it."
                raise InfrastructureError(f"another process has been using {path} for {timeout:g} s.", hint)
    try:
        yield
    finally:
        holder.release()


def _acquired(holder: FileLock) -> bool:
    """Wait a moment for a lock; whether it is held now."""
    import filelock

    try:
        holder.acquire(timeout=0.2)
    except filelock.Timeout:
        return False
    return True


class Scratch:
    """A folder for the files of one run: gone when the run ends, and when it was killed, gone when the next one starts."""

    def __init__(self, runs: Path) -> None:
        """Make the folder in `runs`, and remove those that nobody holds any more. Raises DiskError."""
        import filelock

        self.folder = runs / uuid.uuid4().hex[:12]
        self._lock = filelock.FileLock(_lock_of(self.folder), thread_local=False)
        with disk_errors(self.folder):
            self._lock.acquire()  # before the folder is there: a folder without a holder is a left one
            self.folder.mkdir()
        for other in runs.iterdir():
            if other.is_dir() and other != self.folder:
                _remove_if_left(other)

    def close(self) -> None:
        """Remove the folder; a second time does nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        _lock_of(self.folder).unlink(missing_ok=True)
        self._lock.release()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_if_left(folder: Path) -> None:
    import filelock

    # Suppressed: it is held, or another process is removing it.
    with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(_lock_of(folder), timeout=0):
        shutil.rmtree(folder, ignore_errors=True)
        _lock_of(folder).unlink(missing_ok=True)


# ---- digests --------------------------------------------------------------------------------------------------------

_REMEMBER = 1 << 20  # bytes; smaller files are hashed faster than a note about them is found
_SETTLED = 2.0  # seconds; a file changed later than this may change again within one tick of its time stamp
_known: dict[tuple[str, int, int, int], str] = {}


def digest_bytes(content: bytes) -> str:
    """Return `sha256:` and the hex digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """Return `sha256:` and the hex digest of a file's content. Raises OSError.

    A digest is remembered by path, size and time stamps, in the process and, for large files, in the cache folder.
    """
    path = Path(os.path.abspath(path))
    before = path.stat()
    # The change time besides: a copy that keeps the modification time is another file all the same.
    key = (str(path), before.st_size, before.st_mtime_ns, before.st_ctime_ns)
    if key in _known:
        return _known[key]
    large = before.st_size >= _REMEMBER
    found = (_recall(key) if large else None) or _hash(path)
    after = path.stat()
    settled = time.time() - max(after.st_mtime, after.st_ctime) > _SETTLED
    if settled and (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == key[1:]:
        _known[key] = found
        if large:
            _note(key, found)
    return found


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return "sha256:" + digest.hexdigest()


def _note_path(name: str) -> Path:
    return cache_folder() / "digests" / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.json"


def _recall(key: tuple[str, int, int, int]) -> str | None:
    try:
        note = json.loads(_note_path(key[0]).read_bytes())
    except (OSError, ValueError):  # no note, or a damaged one: the file is hashed again
        return None
    return str(note[-1]) if isinstance(note, list) and note[:-1] == list(key) else None


def _note(key: tuple[str, int, int, int], digest: str) -> None:
    # The note only saves time: where it cannot be written, the next process hashes the file again.
    with contextlib.suppress(DiskError, OSError):
        atomic_write(_note_path(key[0]), json.dumps([*key, digest]).encode())
