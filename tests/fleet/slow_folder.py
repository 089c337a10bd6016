"""Shows a folder again at another place, as a slow network file system would: `python slow_folder.py FOLDER PLACE CALL LATE`.

CALL: seconds that each call takes, one after the other. LATE: by how many seconds a listing may be behind. It runs until PLACE is
unmounted. Needs libfuse2 and fusepy.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import Any

import fuse


class SlowFolder(fuse.Operations):
    """Hands calls through to a folder, slowly; names of files are a while old."""

    def __init__(self, folder: str, call: float, late: float) -> None:
        self._folder, self._call, self._late = folder, call, late
        self._listings: dict[str, tuple[float, list[str]]] = {}

    def __call__(self, name: str, path: str, *arguments: Any) -> Any:
        time.sleep(self._call)
        return super().__call__(name, self._folder + path, *arguments)

    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        found = os.lstat(path)
        names = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
        return {name: getattr(found, name) for name in names}

    def readdir(self, path: str, handle: int) -> list[str]:
        at, names = self._listings.get(path, (0.0, []))
        if not at or time.monotonic() - at > self._late:
            at, names = time.monotonic(), [".", "..", *os.listdir(path)]
            self._listings[path] = at, names
        return names

    def access(self, path: str, mode: int) -> None:
        if not os.access(path, mode):
            raise fuse.FuseOSError(errno.EACCES)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(path)
        return {name: getattr(found, name) for name in ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize", "f_namemax")}

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, self._folder + new)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        os.utime(path, times)

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags)

    def create(self, path: str, mode: int, info: object = None) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        return os.pread(handle, size, offset)

    def write(self, path: str, content: bytes, offset: int, handle: int) -> int:
        return os.pwrite(handle, content, offset)

    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        os.truncate(path, length)

    def fsync(self, path: str, data_only: int, handle: int) -> None:
        os.fsync(handle)

    def release(self, path: str, handle: int) -> None:
        os.close(handle)


if __name__ == "__main__":
    folder, place, call, late = sys.argv[1:]
    fuse.FUSE(SlowFolder(folder, float(call), float(late)), place, foreground=True, nothreads=True, allow_other=True)
