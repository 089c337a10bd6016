"""A real Slurm on this machine: munge, a controller, and three nodes of three brands, as root and without systemd.

Needs the Debian packages slurmctld, slurmd, slurm-client and munge; `make slurm` installs them.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

NODES = {
    "ascend01": "Gres=gpu:ascend910b:2 Feature=ascend910b",
    "cambricon01": "Gres=mlu:2 Feature=mlu370",
    "cpu01": "Feature=cpu",
}
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "sinfo", "scancel", "scontrol")
_CONF = """
ClusterName=porting
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={short}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={short}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task}
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
{watch}
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,default_queue_depth=2000,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=2000
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=300
SlurmdTimeout=20
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=gpu,mlu
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF
"""
_POLLED = "JobAcctGatherParams=OverMemoryKill"
_CGROUPS = "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\n"
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
"""Where the kernel can be told how much memory a job may use (cgroup v1)."""
_GRES = "NodeName=ascend01 Name=gpu Type=ascend910b File=/dev/tty[0-1]\nNodeName=cambricon01 Name=mlu File=/dev/tty[2-3]\n"


def lacking() -> list[str]:
    """Programs that are not here."""
    return [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]


class MiniSlurm:
    """One cluster; `SLURM_CONF` leads clients to it."""

    def __init__(self, folder: Path, kernel: bool = False) -> None:
        """kernel: whether it, and not the nodes' daemons, ends what takes more memory than it was given."""
        self.folder, self._kernel = folder, kernel
        self.config = folder / "slurm.conf"
        self.environment = {**os.environ, "SLURM_CONF": str(self.config), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._short = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))  # a socket's path has 108 characters at most
        for name in ("state", "log"):
            (self.folder / name).mkdir(parents=True)
        port = _free_ports(1 + len(NODES))
        host = platform.node().split(".")[0]
        lines = []
        for number, (name, more) in enumerate(NODES.items(), start=1):
            place = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port + number}"
            lines.append(f"NodeName={name} {place} CPUs=8 RealMemory=16000 {more}")
        watch = {"task": "task/cgroup", "watch": ""} if self._kernel else {"task": "task/none", "watch": _POLLED}
        text = _CONF.format(host=host, folder=self.folder, short=self._short, port=port, **watch)
        # a partition names its nodes, which therefore go before it
        head, _, tail = text.partition("PartitionName=")
        self.config.write_text(head + "\n".join(lines) + "\nPartitionName=" + tail)
        (self.folder / "gres.conf").write_text(_GRES)
        (self.folder / "cgroup.conf").write_text(_CGROUPS)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        socket_file = self._short / "munge.socket"
        munge = [f"--key-file={key}", f"--socket={socket_file}", f"--pid-file={self.folder}/munged.pid"]
        munge += [f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munged.seed"]
        self._daemon("munged", "--force", "--foreground", *munge)
        wait_until(socket_file.exists, "munge did not start")
        self.controller = self.start_controller()
        for name in NODES:
            self.start_node(name)
        self.wait_idle()

    def start_node(self, name: str) -> None:
        self.nodes[name] = self._daemon("slurmd", "-D", "-f", str(self.config), "-N", name)

    def wait_idle(self) -> None:
        """Until every node is up and has nothing to do."""
        query = ("sinfo", "-h", "-N", "-p", "all", "-t", "idle", "-o", "%N")
        wait_until(lambda: len(self.call(*query).split()) == len(NODES), "nodes did not come up", 120)

    def start_controller(self) -> subprocess.Popen[bytes]:
        self.controller = self._daemon("slurmctld", "-D", "-f", str(self.config))
        return self.controller

    def _daemon(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = shutil.which(name, path=self.environment["PATH"])
        assert program
        with open(self.folder / "log" / f"{name}.out", "ab") as out:
            daemon = subprocess.Popen([program, *arguments], env=self.environment, stdout=out, stderr=out, start_new_session=True)
        self._daemons.append(daemon)
        return daemon

    def call(self, *command: str) -> str:
        """What a command of Slurm's prints; nothing when it fails."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False).stdout

    def stop(self) -> None:
        """End the jobs, then the daemons: a node whose controller is gone keeps a step that it cannot report."""
        self.call("scancel", "--user=root")
        wait_until(lambda: not self.call("squeue", "-h").strip(), "jobs did not end")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self._short, ignore_errors=True)
        for name in NODES if self._kernel else ():
            for group in sorted(MEMORY_GROUPS.glob(f"slurm_{name}/**/"), reverse=True):
                with contextlib.suppress(OSError):  # a job's last process may be in it still
                    group.rmdir()


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(true: Callable[[], object], otherwise: str, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.1)


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody uses."""
    for first in range(26000 + os.getpid() % 1000 * 5, 32000):
        holders = [socket.socket() for _ in range(count)]
        try:
            for number, holder in enumerate(holders):
                holder.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for holder in holders:
                holder.close()
    raise AssertionError("no free ports")
