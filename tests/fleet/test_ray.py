"""`porting check --launcher ray` on a real Ray with three nodes of three brands."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import slurm_kit
from fleet_kit import Run, Start, a_job_at_work, apart, records
from ray_kit import MiniRay

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

RAY = ("--launcher", "ray")
MODELS = ("small_models:narrow", "small_models:wide")
BRANDS = "brand:npu:fp32,brand:mlu:fp32,brand:cpu:fp32"


@pytest.fixture
def cluster(ray_cluster: dict[str, str], environment: dict[str, str]) -> None:
    environment.update(ray_cluster)


@pytest.mark.usefixtures("cluster")
def test_tasks_go_to_the_nodes_that_have_their_target_and_see_one_device(command: Run) -> None:
    ended = command("check", *MODELS, "--on", BRANDS, *RAY, "--format", "json")
    assert ended.code == 0, ended.err
    found = ended.json()
    assert {r["outcome"] for r in found} == {"pass"}
    drivers = {(r["target"].split(":")[1], r["environment"]["driver"]) for r in found}
    assert drivers == {("npu", "ascend"), ("mlu", "cambricon"), ("cpu", "cpu")}
    devices = {r["placement"]["device"] for r in found}
    assert devices <= {"npu:0", "npu:1", "mlu:0", "mlu:1", "cpu"}
    assert {device[:3] for device in devices} == {"npu", "mlu", "cpu"}


@pytest.mark.usefixtures("cluster")
def test_a_ray_and_one_machine_come_to_the_same_records(command: Run) -> None:
    line = ("check", *MODELS, "--on", "faulty:none:fp32,faulty:sign:fp32", "--format", "json")
    command(*line, "--store", "first.db")  # who makes a bundle, or adds a route to it, has its stages on record
    local = command(*line, "--store", "local.db")
    assert apart(command(*line, *RAY, "--store", "ray.db").json(), local.json()) == []


@pytest.mark.usefixtures("cluster")
def test_a_cell_whose_task_is_killed_is_worked_again(command: Run, start: Start, tmp_path: Path) -> None:
    line = ("check", *MODELS, "--on", "brand:slow:fp32", "--job-cells", "1", *RAY)
    process = start(*line)
    os.kill(a_job_at_work(tmp_path), signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    found = records(command)
    assert sorted((r["model"], r["outcome"]) for r in found) == [(model, "pass") for model in sorted(MODELS)]
    assert [note[:27] for r in found for note in r["notes"] if "again" in note] == ["worked again: signal 9 on c"]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_tasks_and_goes_on(command: Run, start: Start, tmp_path: Path, request_to_end: int) -> None:
    line = ("check", *MODELS, "--on", "brand:slow:fp32", "--job-cells", "1", *RAY)
    process = start(*line)
    job = a_job_at_work(tmp_path)
    process.send_signal(request_to_end)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert "Error: interrupted; what was recorded is kept, and the same command goes on from there." in err
    slurm_kit.wait_until(lambda: not slurm_kit.is_running(job), "a task was left")
    assert command(*line).code == 0
    assert sorted((r["model"], r["outcome"]) for r in records(command)) == [(model, "pass") for model in sorted(MODELS)]


@pytest.mark.usefixtures("cluster")
def test_cells_of_the_only_node_that_has_their_target_say_that_it_is_gone_and_are_worked_when_it_is_back(
    command: Run, start: Start, ray_nodes: MiniRay, tmp_path: Path
) -> None:
    line = ("check", *MODELS, "--on", "brand:mlu:fp32,brand:npu:fp32", "--job-cells", "1", "--requeue", "1", *RAY)
    (tmp_path / "work" / "porting.toml").write_text('[nodes.MLU]\nenv = {BRAND_SECONDS = "2"}')
    process = start(*line, "--format", "json")
    a_job_at_work(tmp_path, on="cambricon01")
    ray_nodes.lose_node("cambricon01")
    try:
        out, err = process.communicate(timeout=600)
    finally:
        ray_nodes.start_node("cambricon01")
    assert process.returncode == 3, err
    outcomes = {(r["target"], r["outcome"], r["cause"]) for r in json.loads(out)}
    assert ("brand:mlu:fp32", "fail", "harness") in outcomes, outcomes
    assert {o for t, o, _ in outcomes if t == "brand:npu:fp32"} == {"pass"}
    ended = command(*line, "--format", "json")
    assert ended.code == 0, ended.err
    assert {r["outcome"] for r in ended.json()} == {"pass"}
