"""Which devices a scheduler gave to a job, said in the variable that the maker's own stack reads.

Schedulers set the variables of a few makers; the others are in the profiles of porting.accelerators.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import filelock

from porting.accelerators.profile import Profile, load

_LISTS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK", "SLURM_JOB_GPUS")
"""Where a scheduler says it, the most exact first: what it renumbers for a job that sees only its own devices goes before."""
_INDEX = re.compile(r"\bGRES=\S*?\(IDX:([\d,-]+)\)")


CLAIM_VARIABLE = "PORTING_CLAIM"
"""`NAME:COUNT`: this job has one of a node's COUNT devices, and the scheduler does not say which."""


def granted(environment: Mapping[str, str]) -> str:
    """The devices of this job as a list of numbers, `0,3`; empty where it was given none, or nobody says."""
    for name in _LISTS:
        if environment.get(name):
            return environment[name]
    job = environment.get("SLURM_JOB_ID")
    return _asked(job) if job else _claimed(environment.get(CLAIM_VARIABLE, ""))


def _claimed(text: str) -> str:
    """A device that no other job on this node holds, held until this process ends."""
    name, _, count = text.rpartition(":")
    for number in range(int(count or 0)):
        lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"porting-{os.getuid()}-{name}-{number}.lock")
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            _held.append(lock)
            return str(number)
    return ""


_held: list[filelock.FileLock] = []


def _asked(job: str) -> str:
    """What Slurm says of a generic resource that is no GPU: it sets no variable for those."""
    try:
        said = subprocess.run(["scontrol", "show", "job", "-d", job], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _INDEX.search(said.stdout)
    return ",".join(map(str, _numbers(found[1]))) if found else ""


def _numbers(text: str) -> Iterable[int]:
    """`0-2,5` as numbers."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def visible(devices: str, wanted: Iterable[str], maker: str = "") -> dict[str, str]:
    """Variables that show a job its devices and no others. wanted: devices of its targets; maker: of the node's cards, where a
    person said so. Where nobody did: the makers whose tool is here, else those that PyTorch calls by a wanted name."""
    if not devices:
        return {}
    names = {device.partition(":")[0] for device in wanted}
    return {p.torch.visible_devices: devices for p in _makers(names, maker) if p.torch and p.torch.visible_devices}


def _makers(names: set[str], maker: str) -> list[Profile]:
    profiles = [p for p in load().values() if p.torch]
    if maker:
        return [p for p in profiles if p.name == maker]
    here = [p for p in profiles if p.tool and shutil.which(p.tool.command.split()[0])]
    return here or [p for p in profiles if p.torch and p.torch.device in names]


def job_variables(given: str, wanted: Iterable[str], maker: str = "") -> dict[str, str]:
    """What to set in this job for the devices that it was given; what the scheduler has set already stays."""
    said = visible(given, wanted, maker)
    return {name: devices for name, devices in said.items() if not os.environ.get(name)}
