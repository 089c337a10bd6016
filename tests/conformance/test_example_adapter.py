"""A third-party adapter passes the suite, and is found by its entry point once installed as a package of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "example_adapter"
sys.path.insert(0, str(EXAMPLE / "src"))

from onnx_reference_adapter.adapter import OnnxReferenceAdapter  # noqa: E402

from porting.conformance import AdapterConformance  # noqa: E402


class TestOnnxReference(AdapterConformance):
    adapter = OnnxReferenceAdapter


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example was installed to by pip."""
    source, site = tmp_path_factory.mktemp("source") / "example", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source)  # setuptools builds inside its source
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(site), str(source)], check=True)
    return site


def _python(code: str, site: Path) -> str:
    path = os.pathsep.join([str(site), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_installed_adapter_is_found_by_its_entry_point(installed: Path) -> None:
    code = "from porting import registry; print(registry.module_of('onnx_reference'), registry.target('onnx_reference:cpu:fp32'))"
    assert _python(code, installed) == "onnx_reference_adapter.adapter:OnnxReferenceAdapter onnx_reference:cpu:fp32"


def test_an_installed_adapter_has_a_fingerprint_that_follows_its_source(installed: Path) -> None:
    code = "from porting import registry; print(registry.fingerprint('onnx_reference'))"
    before = _python(code, installed)
    changed = installed / "onnx_reference_adapter" / "adapter.py"
    text = changed.read_text()
    try:
        changed.write_text(text + "# changed\n")
        assert _python(code, installed) != before
    finally:
        changed.write_text(text)


def test_it_runs_in_an_environment_made_from_its_requirements(installed: Path, tmp_path: Path) -> None:
    """Nothing of it is installed there: its package travels as ours does."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(installed), str(Path(__file__).parents[2])]),
        "PORTING_CACHE": str(tmp_path / "cache"),
        "PORTING_HOME": str(tmp_path / "state"),
    }

    def porting(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "porting", *arguments], env=environment, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    assert "onnx_reference: made in" in porting("env", "create", "onnx_reference")
    python = tmp_path / "cache" / "environments" / "onnx_reference" / "bin" / "python"
    outside = subprocess.run([python, "-Ic", "import onnx_reference_adapter"], capture_output=True, text=True)
    assert "No module named 'onnx_reference_adapter'" in outside.stderr
    assert str(python) in porting("env", "list")
    assert "2 passed" in porting("env", "test", "onnx_reference", "-k", "eager or new_process")
