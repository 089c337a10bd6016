"""Runs the command line on a cluster of this machine, in a process of its own, as a person on a login node would."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import ray_kit
import slurm_kit

HERE = Path(__file__).parent
TESTS = HERE.parent
sys.path.insert(0, str(TESTS / "cli"))
from cli_kit import Ended  # noqa: E402

PATHS = (HERE / "brand_adapter", TESTS / "faulty_adapter", TESTS / "cli", TESTS, TESTS.parent)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several workers (`-n 3 --dist loadgroup`) one has the Ray and all its tests: its devices are claimed on this machine."""
    for item in items:
        if item.path.parent == HERE:
            group = "ray" if item.get_closest_marker("ray") else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_kit.MiniSlurm]:
    """A cluster of three nodes, started once."""
    lacking = slurm_kit.lacking()
    if lacking or os.getuid():
        pytest.fail(f"these tests start a Slurm as root: {'make slurm installs ' + ', '.join(lacking) if lacking else 'be root'}")
    cluster = slurm_kit.MiniSlurm(tmp_path_factory.mktemp("slurm"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all commands, seen by all nodes: bundles are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of which the nodes of the Ray see nothing, where this is root's machine."""
    return tmp_path_factory.mktemp("unseen")


@pytest.fixture(scope="session")
def ray_nodes(tmp_path_factory: pytest.TempPathFactory, unseen: Path) -> Iterator[ray_kit.MiniRay]:
    """A Ray of three nodes, started once."""
    if importlib.util.find_spec("ray") is None:
        pytest.fail("these tests start a Ray: pip install 'porting[ray]'")
    cluster = ray_kit.MiniRay(tmp_path_factory.mktemp("ray"), unseen)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def ray_cluster(ray_nodes: ray_kit.MiniRay) -> dict[str, str]:
    """The variables that lead to it."""
    return {"RAY_ADDRESS": ray_nodes.address}


@pytest.fixture
def environment(cache: Path, tmp_path: Path) -> dict[str, str]:
    """Variables of a person who works in an empty folder; a cluster's are added to them."""
    (tmp_path / "work").mkdir()
    own = {"PORTING_CACHE": str(cache), "PORTING_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}


@pytest.fixture
def on_slurm(slurm: slurm_kit.MiniSlurm, environment: dict[str, str]) -> None:
    environment.update({name: slurm.environment[name] for name in ("SLURM_CONF", "PATH")})


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("slurm", "ray")])
def launcher(request: pytest.FixtureRequest, environment: dict[str, str]) -> str:
    """Each of the clusters."""
    if request.param == "slurm":
        request.getfixturevalue("on_slurm")
    else:
        environment.update(request.getfixturevalue("ray_cluster"))
    return str(request.param)


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own."""

    def call(*arguments: object, before: Sequence[object] = ()) -> subprocess.Popen[str]:
        """before: words before the command, of a program that starts it."""
        line = [*map(str, before), sys.executable, "-m", "porting", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(line, env=environment, cwd=tmp_path / "work", text=True, start_new_session=True, **pipes)

    return call


@pytest.fixture
def command(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ended]:
    """Run a command to its end."""

    def call(*arguments: object) -> Ended:
        process = start(*arguments)
        out, err = process.communicate(timeout=3000)
        return Ended(process.returncode, out, err)

    return call
