"""A converted model is a folder that deploys without this toolkit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_kit import Run

MODEL = "sample_models:two_outputs"
BACKENDS = ("onnxruntime", "openvino", "torch", "inductor")

# Runs a port as another machine would: site-packages by path, none of its .pth files, and ours refused.
DEPLOY = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("porting", "adapters", "sample_models"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Refuse())
sys.path.append(sys.argv.pop(1))
sys.argv = sys.argv[1:]
sys.path.insert(0, "")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ports")


@pytest.fixture
def port(porting: Run, ports: Path, request: pytest.FixtureRequest) -> Path:
    """The port of the sample model for a backend; made once."""
    folder = ports / request.param
    if not folder.exists():
        ended = porting("convert", MODEL, "--to", f"{request.param}:cpu:fp32", "-o", folder)
        assert ended.code == 0, ended.err
        assert f"python {folder / 'run.py'}" in ended.out
    return folder


def deploy(port: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of a port somewhere else, in a process that cannot import this toolkit and gets nothing from the environment."""
    command = [sys.executable, "-I", "-S", "-c", DEPLOY, sysconfig.get_paths()["purelib"], str(port / "run.py"), *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": str(port.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=280)


@pytest.mark.parametrize("port", BACKENDS, indirect=True)
def test_a_port_runs_alone_and_gives_the_answers_that_were_recorded(port: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(port, tmp_path / "elsewhere" / "port")
    done = deploy(moved, "--check")
    assert done.returncode == 0, done.stderr
    for output in ("scores", "pooled"):
        assert f"{output}: differs by " in done.stdout


@pytest.mark.parametrize("port", ["onnxruntime"], indirect=True)
def test_a_port_notices_that_its_answers_are_others(port: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(port, tmp_path / "port")
    with np.load(moved / "sample.npz") as file:
        arrays = dict(file)
    arrays["output:scores"] = -arrays["output:scores"]
    np.savez(moved / "sample.npz", **arrays)
    assert deploy(moved, "--check").returncode == 1


@pytest.mark.parametrize("port", ["onnxruntime"], indirect=True)
def test_a_port_takes_inputs_of_ones_own(port: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", input_ids=np.arange(20).reshape(4, 5))
    done = deploy(port, "--input", str(tmp_path / "own.npz"))
    assert done.returncode == 0, done.stderr
    assert "[4, 5, 5]" in done.stdout


def described(port: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((port / "port.json").read_text())
    return found


@pytest.mark.parametrize("port", BACKENDS, indirect=True)
def test_port_json_tells_where_it_is_from_and_what_was_proven(port: Path) -> None:
    found = described(port)
    assert found["source"]["kind"] == "factory"
    assert found["source"]["name"] == MODEL
    assert found["source"]["factory"].startswith("sha256:")
    assert found["bundle"].startswith("sha256:")
    assert {"porting", "torch"} <= found["versions"].keys()
    artifact = found["artifact"]
    assert [(s["name"], s["dtype"], s["shape"]) for s in artifact["inputs"]] == [("input_ids", "int64", ["batch", "sequence"])]
    assert [s["name"] for s in artifact["outputs"]] == ["scores", "pooled"]
    assert found["axes"] == {"batch": "dynamic", "sequence": "dynamic"}
    assert found["tolerance"]["nominal"]["scores"]["rel_norm"] > 0
    assert found["result"]["outcome"] == "pass"
    assert found["result"]["target"] == found["target"] == f"{port.name}:cpu:fp32"


@pytest.mark.parametrize("port", BACKENDS, indirect=True)
def test_every_file_of_a_port_is_listed_with_its_digest(port: Path) -> None:
    files = {str(p.relative_to(port)): p for p in port.rglob("*") if p.is_file() and p.name != "port.json"}
    digests = {name: "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert described(port)["files"] == digests
    assert {"run.py", "sample.npz", described(port)["artifact"]["files"][0]} <= files.keys()


def test_another_port_takes_the_place_of_one_and_leaves_what_is_not_its_own(porting: Run, setting: Path) -> None:
    line = ("convert", "small_models:narrow", "-o", "port")
    assert porting(*line, "--to", "onnxruntime:cpu:fp32").code == 0
    (setting / "port" / "notes.txt").write_text("mine")
    assert porting(*line, "--to", "openvino:cpu:fp32").code == 2
    assert porting(*line, "--to", "openvino:cpu:fp32", "--force").code == 0
    names = {p.name for p in (setting / "port").iterdir()}
    assert names == {"notes.txt", "port.json", *described(setting / "port")["files"]}
    assert "model.onnx" not in names


def test_a_fallback_is_written_as_what_it_is(porting: Run, setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right numbers, but a part ran elsewhere: the port is there, and says so."""
    from faulty_adapter import FaultyAdapter

    script = setting / "deploy.py"
    script.write_text("")
    monkeypatch.setattr(FaultyAdapter, "deploy_script", classmethod(lambda cls: script))
    ended = porting("convert", MODEL, "--to", "faulty:partial:fp32", "-o", "port")
    assert ended.code == 0
    assert ended.out.startswith("degraded: 3 of 12 operators ran elsewhere")
    assert described(setting / "port")["result"]["outcome"] == "degraded"
