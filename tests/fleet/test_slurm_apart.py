"""A cluster whose nodes share no folder with the coordinator: each has a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_kit import Run, records

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.usefixtures("on_slurm")]

MODELS = ("small_models:narrow", "small_models:wide", "small_models:deep")
LINE = ("check", *MODELS, "--on", "brand:npu:fp32,brand:mlu:fp32", "--launcher", "slurm", "--serve", "127.0.0.1")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, environment: dict[str, str]) -> None:
    environment["PORTING_CACHE"] = str(tmp_path / "here")
    lines = [f'[nodes.{name}]\nenv = {{PORTING_CACHE = "{tmp_path / name}"}}' for name in ("ascend910b", "mlu370", "cpu")]
    (tmp_path / "work" / "porting.toml").write_text("\n".join(lines))


def test_a_bundle_is_made_once_for_all_nodes_and_fetched_once_by_each(command: Run, tmp_path: Path) -> None:
    ended = command(*LINE, "--format", "json")
    assert ended.code == 0, ended.err
    found = ended.json()
    assert {r["outcome"] for r in found} == {"pass"}
    made = [r["model"] for r in found if any(stage["name"] == "build" for stage in r["stages"])]
    assert sorted(set(made)) == sorted(MODELS)
    assert len({(r["model"], r["bundle"]) for r in found}) == len(MODELS), "every node worked with the same bytes"
    names = [{path.name for path in (tmp_path / place / "bundles").iterdir() if path.is_dir()} for place in ("here", "mlu370")]
    assert names[1] <= names[0]
    assert len(records(command)) == len(found)
