"""What becomes of a cell that is ended for its memory: by the node's daemon with all of its job, or by the kernel alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_kit import Run
from slurm_kit import MEMORY_GROUPS, MiniSlurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

LINE = ("check", "small_models:narrow", "--on", "brand:cpu:fp32,brand:hungry:fp32", "--launcher", "slurm", "--job-cells", "2")
MEMORY = ("--memory", "8", "--scheduler=--mem=3G")


@pytest.fixture(autouse=True)
def unwatched(tmp_path: Path, environment: dict[str, str]) -> None:
    """Jobs do not know how much memory they have, so that the scheduler's limit comes before ours."""
    lines = ["[nodes.cpu]", 'setup = ["unset SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU"]']
    (tmp_path / "work" / "porting.toml").write_text("\n".join(lines))


@pytest.fixture
def strict(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[MiniSlurm]:
    """A cluster on which the kernel watches the memory of jobs."""
    cluster = MiniSlurm(tmp_path_factory.mktemp("strict"), kernel=True)
    cluster.start()
    environment.update({name: cluster.environment[name] for name in ("SLURM_CONF", "PATH")})
    yield cluster
    cluster.stop()


@pytest.mark.usefixtures("on_slurm")
def test_a_cell_whose_jobs_the_scheduler_ends_for_their_memory_is_out_of_memory_and_its_neighbour_passes(command: Run) -> None:
    ended = command(*LINE, *MEMORY, "--requeue", "1", "--format", "json")
    assert ended.code == 1, ended.err
    neighbour, hungry = ended.json()
    assert (neighbour["outcome"], neighbour["notes"]) == ("pass", [])
    assert (hungry["outcome"], hungry["cause"]) == ("fail", "host_oom")
    said = "2 jobs ended while they worked this cell, the last one: OUT_OF_MEMORY on cpu01"
    assert hungry["message"].startswith(said)


@pytest.mark.usefixtures("strict")
@pytest.mark.skipif(not os.access(MEMORY_GROUPS / "cgroup.procs", os.W_OK), reason="the kernel's memory limits are not here")
def test_a_cell_that_the_kernel_kills_for_its_memory_is_out_of_memory_and_its_neighbour_passes(command: Run) -> None:
    ended = command(*LINE, *MEMORY, "--requeue", "0", "--format", "json")
    assert ended.code == 1, ended.err
    neighbour, hungry = ended.json()
    assert neighbour["outcome"] == "pass"
    assert (hungry["outcome"], hungry["cause"]) == ("fail", "host_oom")
    assert "the process was killed (SIGKILL)" in hungry["message"]
