"""A real Ray on this machine: three nodes of three brands, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
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
        self.environment["RAY_worker_niceness"] = "0"  # 15 without it: on a busy machine nothing would come of them
        self._folder, self._port = folder, port
        empty = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(unseen)]
        self._before = [] if os.getuid() else empty
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in NODES:
            self.start_node(name)

    def start_node(self, name: str) -> None:
        program = [*self._before, str(Path(sys.executable).with_name("ray")), "start", "--block"]
        program += [
            f"--node-name={name}",
            f"--resources={json.dumps(NODES[name])}",
            "--num-cpus=4",
            "--object-store-memory=80000000",
        ]
        # a temporary folder's name is a part of the names of sockets, which may not be long
        first = ["--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir=/tmp/ray-{os.getpid()}"]
        place = [f"--address={self.address}"] if self._nodes else first
        with open(self._folder / f"{name}.out", "wb") as out:
            node = subprocess.Popen([*program, *place], env=self.environment, stdout=out, stderr=out, start_new_session=True)
        self._nodes[name] = node
        wait_until(lambda: self._is_up(name, node), f"{name} did not start", 240)

    def lose_node(self, name: str) -> None:
        """Everything on it is gone, without a word."""
        node = psutil.Process(self._nodes[name].pid)
        for process in [node, *node.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._nodes[name].wait()

    def _is_up(self, name: str, node: subprocess.Popen[bytes]) -> bool:
        said = (self._folder / f"{name}.out").read_text()
        assert node.poll() is None, said
        return "Ray runtime started" in said

    def stop(self) -> None:
        for node in reversed(self._nodes.values()):
            node.send_signal(signal.SIGTERM)
        for node in self._nodes.values():
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()
        shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)
