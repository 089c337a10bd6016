"""A cluster whose nodes share no folder with the coordinator: each has a cache of its own; on Slurm and on Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet_kit import Run, records

pytestmark = pytest.mark.timeout(900)

MODELS = ("small_models:narrow", "small_models:wide", "small_models:deep")
LINE = ("check", *MODELS, "--on", "brand:npu:fp32,brand:mlu:fp32", "--serve", "127.0.0.1", "--format", "json")
NODES = {"slurm": ("ascend910b", "mlu370", "cpu"), "ray": ("NPU", "MLU", "cpu")}


@pytest.fixture
def tmp_path(unseen: Path, request: pytest.FixtureRequest) -> Path:
    """Where a person works: the nodes of the Ray see nothing of it."""
    folder = unseen / request.node.name.rpartition("[")[2].rstrip("]")
    folder.mkdir()
    return folder


@pytest.fixture
def nodes(launcher: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> list[Path]:
    """A folder for each kind of nodes, where it has its cache. A node of the Ray that sees the person's folder starts nothing."""
    environment["PORTING_CACHE"] = str(tmp_path / "here")
    folder = tmp_path_factory.mktemp(f"nodes-{launcher}")
    setup = f"setup = ['[ ! -e {tmp_path} ] || exit 9']" if launcher == "ray" and not os.getuid() else ""
    lines = [f'[nodes.{name}]\nenv = {{PORTING_CACHE = "{folder / name}"}}\n{setup}' for name in NODES[launcher]]
    (tmp_path / "work" / "porting.toml").write_text("\n".join(lines))
    return [folder / name for name in NODES[launcher]]


def test_a_bundle_is_made_once_for_all_nodes_and_fetched_once_by_each(
    command: Run, launcher: str, tmp_path: Path, nodes: list[Path]
) -> None:
    ended = command(*LINE, "--launcher", launcher)
    assert ended.code == 0, ended.err
    found = ended.json()
    assert {r["outcome"] for r in found} == {"pass"}
    made = [r["model"] for r in found if any(stage["name"] == "build" for stage in r["stages"])]
    assert sorted(set(made)) == sorted(MODELS)
    assert len({(r["model"], r["bundle"]) for r in found}) == len(MODELS), "every node worked with the same bytes"
    here, there = (
        {path.name for path in (place / "bundles").iterdir() if path.is_dir()} for place in (tmp_path / "here", nodes[1])
    )
    assert there <= here
    assert len(there) >= len(MODELS)
    assert len(records(command)) == len(found)
