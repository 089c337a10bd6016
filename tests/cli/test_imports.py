"""Help and lists come at once: what they import is a promise."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli_kit import Run

from porting.cli import COMMANDS

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "onnxscript", "openvino", "transformers", "timm", "diffusers")
SUBCOMMANDS = ("models list", "models show", "models validate", "targets list", "targets show", "env list", "results export")
_CODE = f"""
import json, sys
from porting.cli import run
codes = [run(line) for line in json.loads(sys.argv[1])]
print(json.dumps([codes, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)
"""


def imported_by(*lines: list[str]) -> tuple[list[int], list[str], str]:
    """Exit statuses, heavy packages that commands imported, and their output."""
    done = subprocess.run([sys.executable, "-c", _CODE, json.dumps(lines)], capture_output=True, text=True, timeout=120)
    codes, heavy = json.loads(done.stderr.splitlines()[-1])
    return codes, heavy, done.stdout


def test_help_imports_no_heavy_package_and_names_every_command() -> None:
    codes, heavy, out = imported_by(["--help"])
    assert (codes, heavy) == ([0], [])
    for name in COMMANDS:
        assert f"\n  {name} " in out


def test_the_help_of_every_command_imports_no_heavy_package() -> None:
    lines = [[name, "--help"] for name in COMMANDS] + [[*name.split(), "-h"] for name in SUBCOMMANDS]
    codes, heavy, out = imported_by(*lines)
    assert codes == [0] * len(lines)
    assert heavy == []
    assert out.count("Usage: porting ") == len(lines)


@pytest.mark.parametrize(
    "arguments",
    [["models", "list"], ["models", "list", "--format", "json"], ["models", "show", "transformers/bert"], ["models", "validate"]],
)
def test_the_catalog_is_shown_and_validated_without_any_heavy_package(arguments: list[str]) -> None:
    codes, heavy, out = imported_by(arguments)
    assert (codes, heavy) == ([0], [])
    assert out


def test_a_reader_that_goes_away_gets_no_complaint_and_no_success() -> None:
    line = f"{sys.executable} -m porting models list | true; exit ${{PIPESTATUS[0]}}"  # gone before the first word
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_terminal_that_lacks_the_signs_gets_others(command: Run) -> None:
    ended = command("check", "small_models:narrow", "--on", "onnxruntime:cpu:fp32", PYTHONIOENCODING="ascii")
    assert ended.code == 0
    assert "host" in ended.out


def test_the_command_is_installed_by_its_name() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="console_scripts", name="porting")
    assert found.value == "porting.cli:main"
