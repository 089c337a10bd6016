"""A broken device is told from a broken model by a canary, and kept from the cells of a run; on Slurm and on Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import Ended
from fleet_kit import Run, records

pytestmark = pytest.mark.timeout(900)

MODELS = ("small_models:narrow", "small_models:wide", "small_models:deep", "sample_models:two_outputs")
NODES = {"slurm": "ascend910b", "ray": "NPU"}
"""What each cluster calls the nodes that have the device."""


@pytest.fixture
def broken(launcher: str, tmp_path: Path) -> Path:
    """Devices of this name are broken."""
    folder = tmp_path / "broken"
    folder.mkdir()
    said = f'[nodes.{NODES[launcher]}]\nenv = {{BRAND_BROKEN = "{folder}"}}'
    (tmp_path / "work" / "porting.toml").write_text(said)
    return folder


@pytest.fixture
def check(command: Run, launcher: str, broken: Path) -> Callable[..., Ended]:
    """Check models on that device, one a job."""
    return lambda *models: command(
        "check", *models, "--on", "brand:npu:fp32", "--launcher", launcher, "--job-cells", "1", "--format", "json"
    )


def test_a_device_that_fails_the_canary_gets_no_cells_and_its_neighbour_works_them(
    check: Run, command: Run, broken: Path
) -> None:
    (broken / "ascend01-0").touch()
    ended = check(*MODELS)
    assert ended.code == 0, ended.err
    found = ended.json()
    assert [(r["outcome"], r["placement"]["device"]) for r in found] == [("pass", "npu:1")] * len(MODELS)
    assert len(records(command)) == len(MODELS)
    assert "ascend01 device 0 fails the canary" in ended.err


def test_a_device_that_breaks_under_a_cell_is_quarantined_and_the_cell_is_worked_elsewhere(
    check: Run, command: Run, broken: Path
) -> None:
    ended = check("brand_models:poison", *MODELS)
    found = {r["model"]: r for r in ended.json()}
    guilty = found.pop("brand_models:poison")
    assert sorted(path.name for path in broken.iterdir()) == ["ascend01-0", "ascend01-1"]
    assert (guilty["outcome"], guilty["cause"]) == ("fail", "crash")
    assert guilty["message"].startswith(
        "2 devices passed the canary before this cell and failed it after, the last one ascend01 device"
    )
    assert any("failed the canary after it" in note for note in guilty["notes"])
    # what was not worked before both devices were gone is given up with the reason, and worked anew by the next run
    assert {(r["outcome"], r["cause"]) for r in found.values()} <= {("pass", None), ("fail", "harness")}
    assert len(records(command)) == 1 + len(MODELS)
    for path in broken.iterdir():
        path.unlink()
    again = {r["model"]: r["outcome"] for r in check(*MODELS).json()}
    assert again == dict.fromkeys(MODELS, "pass")


def test_a_model_that_fails_on_a_sound_device_is_the_models_own_failure(check: Run) -> None:
    ended = check("brand_models:fails", *MODELS)
    assert ended.code == 1, ended.err
    found = {r["model"]: r for r in ended.json()}
    guilty = found.pop("brand_models:fails")
    assert (guilty["outcome"], guilty["stage"], guilty["cause"]) == ("fail", "run", "exception")
    assert {r["outcome"] for r in found.values()} == {"pass"}


def test_when_every_device_is_broken_the_cells_are_given_up_with_the_reason(check: Run, broken: Path, launcher: str) -> None:
    for number in range(2):
        (broken / f"ascend01-{number}").touch()
    ended = check(*MODELS[:3])
    assert ended.code == 3, ended.err
    every = f"every device of {NODES[launcher]} that this run was given fails the canary: ascend01 device"
    for record in ended.json():
        assert (record["outcome"], record["cause"]) == ("fail", "harness")
        assert record["message"].startswith(every)
        assert "the device does not answer" in record["message"]
