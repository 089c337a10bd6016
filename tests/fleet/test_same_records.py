"""The smoke tier of the catalog comes to the same records on this machine, on Slurm and on Ray."""

from __future__ import annotations

import pytest
from fleet_kit import Run, apart
from slurm_kit import MiniSlurm

pytestmark = [pytest.mark.slurm, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(7200)]

LINE = ("check", "--tier", "smoke", "--on", "onnxruntime:cpu:fp32,torch:cpu:fp32", "--memory", "3")


def test_the_smoke_tier_has_the_same_records_on_all_three_launchers(
    command: Run, slurm: MiniSlurm, ray_cluster: dict[str, str], environment: dict[str, str]
) -> None:
    environment.update({name: slurm.environment[name] for name in ("SLURM_CONF", "PATH")} | ray_cluster)
    command(*LINE, "--store", "first.db")  # who makes a bundle has the stages of that in its record
    found = {}
    for launcher in ("local", "slurm", "ray"):
        ended = command(*LINE, "--launcher", launcher, "--store", f"{launcher}.db", "--format", "json")
        found[launcher] = ended.json()
    tier = {model["id"] for model in command("models", "list", "--tier", "smoke", "--format", "json").json()}
    assert {record["model"] for record in found["local"]} == tier
    assert {record["model"] for record in found["local"] if record["outcome"] == "pass"} == tier
    assert apart(found["slurm"], found["local"]) == []
    assert apart(found["ray"], found["local"]) == []
