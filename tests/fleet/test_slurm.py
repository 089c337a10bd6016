"""`porting check --launcher slurm` on a real Slurm with three nodes of three brands."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_kit import Run, apart, records

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.usefixtures("on_slurm")]

SLURM = ("--launcher", "slurm")
MODELS = ("small_models:narrow", "small_models:wide", "sample_models:two_outputs")
BRANDS = "brand:npu:fp32,brand:mlu:fp32,brand:cpu:fp32"


def test_cells_go_to_the_nodes_that_have_their_target_and_see_one_device(command: Run) -> None:
    ended = command("check", *MODELS, "--on", BRANDS, *SLURM, "--format", "json")
    assert ended.code == 0, ended.err
    found = ended.json()
    assert {(r["model"], r["target"]) for r in found} == {(m, t) for m in MODELS for t in BRANDS.split(",")}
    assert {r["outcome"] for r in found} == {"pass"}
    assert {(r["target"].split(":")[1], r["environment"]["driver"]) for r in found} == {
        ("npu", "ascend"),
        ("mlu", "cambricon"),
        ("cpu", "cpu"),
    }
    devices = {r["placement"]["device"] for r in found}
    assert devices <= {"npu:0", "npu:1", "mlu:0", "mlu:1", "cpu"}
    assert {device[:3] for device in devices} == {"npu", "mlu", "cpu"}
    assert len({r["bundle"] for r in found}) == len(MODELS), "each model was built once, for all brands"
    assert len(records(command)) == len(found)
    assert "9 cells, 9 with a result for the same contents" in command("check", *MODELS, "--on", BRANDS, *SLURM).err


def test_a_target_that_no_node_has_is_unavailable_and_takes_no_job(command: Run) -> None:
    ended = command("check", MODELS[0], "--on", "brand:nowhere:fp32,brand:cpu:fp32", *SLURM, "--format", "json")
    assert (ended.code, ended.out[:1]) == (3, "["), ended.err
    found = {r["target"].split(":")[1]: r for r in ended.json()}
    assert (found["nowhere"]["outcome"], found["nowhere"]["message"]) == ("unavailable", "no such card")
    assert found["cpu"]["outcome"] == "pass"


def test_a_cluster_and_one_machine_come_to_the_same_records(command: Run) -> None:
    faults = ("none", "sign", "run_segfault", "exit0_convert", "partial", "raises", "bad_probe_device")
    line = ("check", *MODELS, "--on", ",".join(f"faulty:{fault}:fp32" for fault in faults), "--memory", "3", "--rerun")
    command(*line, "--store", "first.db")  # who makes a bundle, or adds a route to it, has its stages on record
    local = command(*line, "--format", "json", "--store", "local.db")
    fleet = command(*line, "--format", "json", "--store", "fleet.db", *SLURM)
    assert local.code == fleet.code == 1, fleet.err
    assert apart(fleet.json(), local.json()) == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--partition", "nosuch", *SLURM), 3, "no node of partition nosuch is up"),
        (("--scheduler=--account=x", "--scheduler=--nosuch", *SLURM), 3, "sbatch says: sbatch: unrecognized option '--nosuch'"),
        (("--partition", "all"), 2, "--partition is for a cluster: name one with --launcher."),
    ],
)
def test_what_the_scheduler_refuses_is_one_clear_line(command: Run, options: tuple[str, ...], code: int, said: str) -> None:
    ended = command("check", MODELS[0], "--on", "brand:cpu:fp32", *options)
    assert (ended.code, said in ended.complaint()) == (code, True), ended.err


def test_nodes_get_what_porting_toml_says_of_their_feature(command: Run, tmp_path: Path) -> None:
    lines = ["[nodes.mlu370]", 'setup = ["BRAND_SDK=4.2", "export BRAND_SDK"]', "[nodes.cpu]", 'env = {BRAND_SDK = "5.0 beta"}']
    (tmp_path / "work" / "porting.toml").write_text("\n".join(lines))
    found = command("check", MODELS[0], "--on", BRANDS, *SLURM, "--shared", "../other", "--format", "json").json()
    assert {(r["target"].split(":")[1], r["environment"]["sdk"]) for r in found} == {
        ("npu", "none"),
        ("mlu", "4.2"),
        ("cpu", "5.0 beta"),
    }
    assert not (tmp_path / "state" / "fleet").exists()
