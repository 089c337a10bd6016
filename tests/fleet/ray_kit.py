"""A real Ray on this machine: three nodes of three brands, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from slurm_kit import wait_until

NODES = {"ascend01": {"NPU": 2}, "cambricon01": {"MLU": 2}, "cpu01": {}}


class MiniRay:
    """One cluster; `RAY_ADDRESS` leads clients to it."""

    def __init__(self, folder: Path, unseen: Path) -> None:
        """unseen: a folder that is an empty one on every node."""
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.environment = {**os.environ, "RAY_ADDRESS": self.address, "RAY_USAGE_STATS_ENABLED": "0"}
        self._folder, self._port = folder, port
        empty = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(unseen)]
        self._before = [] if os.getuid() else empty
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        program = [
            *self._before,
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--num-cpus=4",
            "--object-store-memory=80000000",
        ]
        for name, resources in NODES.items():
            # a temporary folder's name is a part of the names of sockets, which may not be long
            first = ["--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir=/tmp/ray-{os.getpid()}"]
            place = [f"--address={self.address}"] if self._nodes else first
            line = [*program, *place, f"--node-name={name}", f"--resources={json.dumps(resources)}"]
            with open(self._folder / f"{name}.out", "wb") as out:
                node = subprocess.Popen(line, env=self.environment, stdout=out, stderr=out, start_new_session=True)
            self._nodes.append(node)
            wait_until(lambda n=name, p=node: self._is_up(n, p), f"{name} did not start", 240)

    def _is_up(self, name: str, node: subprocess.Popen[bytes]) -> bool:
        said = (self._folder / f"{name}.out").read_text()
        assert node.poll() is None, said
        return "Ray runtime started" in said

    def stop(self) -> None:
        import shutil

        for node in reversed(self._nodes):
            node.send_signal(signal.SIGTERM)
        for node in self._nodes:
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()
        shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)
