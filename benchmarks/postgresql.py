"""Starts a PostgreSQL server of this machine's packages for a benchmark, with the settings that the packages have, and tells what
CPU time it took."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import psutil

USER = "postgres"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database; the server and its files are gone afterwards."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder, data = Path(name), Path(name) / "data"
        prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []  # it refuses to run as root
        if prefix:
            shutil.chown(folder, USER)

        def call(program: str, *arguments: object) -> None:
            line = [*prefix, str(programs / program), *map(str, arguments)]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd="/")

        call("initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        call("pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        try:
            yield f"postgresql://{USER}@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-D", data, "-m", "fast", "-w", "stop")


def spent(url: str) -> float:
    """CPU seconds until now of a server on this machine which `server` has started, with its processes that have ended."""
    data = Path(unquote(url.partition("?host=")[2])) / "data"
    seconds = 0.0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and Path(process.cwd()) == data:
                seconds += sum(process.cpu_times()[:4])  # of its own and of its children, in user and kernel mode
    return seconds
