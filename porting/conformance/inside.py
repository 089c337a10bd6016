"""Runs the suite in an adapter's own interpreter: models exported here, pytest lent for the time, nothing installed there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from porting import registry
from porting.conformance import kit
from porting.environments.environment import Interpreter, stage_suite
from porting.errors import EnvironmentMissing
from porting.workspace import Workspace, locked

SUITE = """\
from porting.conformance import AdapterConformance
from {module} import {name}


class Test{name}(AdapterConformance):
    adapter = {name}
"""

LAUNCH = """\
import os, sys
sys.path.append(sys.argv[1])  # last: what the interpreter has of its own goes first
import pytest
status = pytest.main(sys.argv[2:])
sys.stdout.flush()
os._exit(status)  # a backend's teardown may crash after all was told
"""


def run(name: str, interpreter: Interpreter | None, workspace: Workspace, arguments: Sequence[str] = ()) -> int:
    """Run the suite over adapter `name` and let it print. arguments: to pytest. Returns pytest's exit code, 0 when all passed.

    interpreter: None is the one we run in. Raises UnknownName, and EnvironmentMissing when pytest cannot be had for it.
    """
    adapter = registry.adapter(name)
    command = interpreter.command if interpreter else (sys.executable,)
    lent = _pytest(command, workspace)
    with tempfile.TemporaryDirectory(prefix=f"conformance-{name}-") as scratch:
        folder = Path(scratch)
        kit.write(adapter, folder / "kit")
        (folder / "test_suite.py").write_text(SUITE.format(module=adapter.__module__, name=adapter.__qualname__))
        environment = {
            **os.environ,
            **(interpreter.environment if interpreter else {}),
            "PYTHONPATH": str(stage_suite(workspace.workers, name)),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            kit.KIT: str(folder / "kit"),
        }
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", scratch, *arguments, str(folder / "test_suite.py")]
        return subprocess.run([*command, "-c", LAUNCH, str(lent), *options], env=environment, cwd=scratch).returncode


def _pytest(command: Sequence[str], workspace: Workspace) -> Path:
    """A folder with pytest for an interpreter, of our own version. Raises EnvironmentMissing when it cannot be installed."""
    said = subprocess.run(
        [*command, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, timeout=60
    )
    folder = workspace.cache / "pytest" / f"{version('pytest')}-{said.stdout.strip()}"
    with locked(folder):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as part:
                pip = [
                    sys.executable,
                    "-m",
                    "pip",
                    "--disable-pip-version-check",
                    "--quiet",
                    "install",
                    "--target",
                    f"{part}/new",
                ]
                wanted = ["--python-version", said.stdout.strip(), "--only-binary", ":all:", f"pytest=={version('pytest')}"]
                done = subprocess.run([*pip, *wanted], capture_output=True, text=True)
                if done.returncode:
                    reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
                    raise EnvironmentMissing(f"pytest cannot be had for {command[0]}: {reason}", "Install it there.")
                os.rename(f"{part}/new", folder)
    return folder
