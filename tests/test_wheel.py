"""Checkout, editable install and wheel all work, and a wheel puts nothing but porting at the top of site-packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.wheel


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run as a person would, without what this test process has on its path."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "checkout-index", "-a", f"--prefix={source}/"], cwd=ROOT, check=True)
    done = run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), "."], source)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; the heavy dependencies are those of this environment, by path."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    (site,) = venv.glob("lib/python*/site-packages")
    before = set(os.listdir(site))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    done = run(install, venv)
    assert done.returncode == 0, done.stderr
    added = sorted(set(os.listdir(site)) - before)
    assert added == ["porting", next(name for name in added if name.endswith(".dist-info"))]
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def test_the_wheel_carries_adapters_catalog_report_and_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "porting/py.typed",
        "porting/adapters/onnxruntime/adapter.py",
        "porting/adapters/onnxruntime/requirements.txt",
        "porting/adapters/onnxruntime/deploy.py",
        "porting/models/text/qwen.toml",
        "porting/models/layers.py",
        "porting/models/world/latent.py",
        "porting/report/html/app.js",
        "porting/conformance/__init__.py",
    ):
        assert wanted in names
    assert {name.split("/")[0] for name in names} == {"porting", next(n.split("/")[0] for n in names if ".dist-info" in n)}


def test_an_installed_wheel_checks_a_model_from_another_folder(python: Path, tmp_path: Path) -> None:
    home = {"PORTING_HOME": str(tmp_path / "state"), "PORTING_CACHE": str(tmp_path / "cache")}
    porting = [str(python), "-m", "porting"]
    where = run([str(python), "-c", "import porting; print(porting.__file__)"], tmp_path).stdout
    assert str(python.parent.parent) in where
    listed = run([*porting, "models", "list", "--format", "json"], tmp_path, **home)
    assert len(json.loads(listed.stdout)) >= 80
    command = [*porting, "check", "transformers/bert", "--on", "onnxruntime:cpu:fp32", "--html", "page", "--format", "json"]
    done = run(command, tmp_path, **home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["outcome"] == "pass"
    assert (tmp_path / "page" / "index.html").is_file()
    own = run([*porting, "check", "world/planet", "--on", "onnxruntime:cpu:fp32", "--format", "json"], tmp_path, **home)
    assert own.returncode == 0, own.stderr


def test_a_checkout_works_without_being_installed(tmp_path: Path) -> None:
    home = {"PORTING_HOME": str(tmp_path), "PORTING_CACHE": str(tmp_path)}
    done = run([sys.executable, "-m", "porting", "targets", "list", "--format", "json"], ROOT, **home)
    assert done.returncode == 0, done.stderr
    found = {t["id"] for t in json.loads(done.stdout) if t["available"]}
    assert {"onnxruntime:cpu:fp32", "torch:cpu:fp32", "openvino:cpu:fp32", "inductor:cpu:fp32"} <= found
