"""What the conformance suite does in a process of its own: answer from an artifact's folder alone, probe without the backend."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import Adapter, Probe
from porting.bundles.tensors import read_tensors, write_npz, write_tensors
from porting.deploy import BACKEND, RUNNER
from porting.serialization import from_json, to_json
from porting.types import Artifact, Target

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]


def answer(adapter: type[Adapter], artifact: Artifact, target: Target, folder: Path, inputs: Arrays, scratch: Path) -> Arrays:
    """Load `artifact` from `folder` and run it, in a new process. Raises AssertionError with what it wrote when it fails."""
    write_tensors(scratch / "inputs.npz", inputs)
    (scratch / "artifact.json").write_text(json.dumps(to_json(artifact)))
    _child("answer", adapter, str(target), str(folder), str(scratch))
    return read_tensors(scratch / "outputs.npz")


def answer_or_refusal(
    adapter: type[Adapter], artifact: Artifact, target: Target, folder: Path, inputs: Arrays, scratch: Path
) -> Arrays | str:
    """As `answer`; where running raises, what was raised. Raises AssertionError when the process crashes instead."""
    write_tensors(scratch / "inputs.npz", inputs)
    (scratch / "artifact.json").write_text(json.dumps(to_json(artifact)))
    _child("try", adapter, str(target), str(folder), str(scratch))
    refusal = scratch / "refusal.txt"
    return refusal.read_text() if refusal.exists() else read_tensors(scratch / "outputs.npz")


def probe_without(adapter: type[Adapter], modules: Sequence[str], scratch: Path) -> Probe:
    """Probe in a new process in which `modules` cannot be imported. Raises AssertionError when the probe raises."""
    _child("probe", adapter, ",".join(modules), str(scratch))
    return from_json(Probe, json.loads((scratch / "probe.json").read_text()))


def moved(artifact: Artifact, folder: Path, to: Path) -> Path:
    """Copy the files that an artifact lists, and no other, to a new folder."""
    for name in artifact.files:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, to / name)
    return to


def deployed(adapter: type[Adapter], artifact: Artifact, target: Target, folder: Path, to: Path) -> Path:
    """Lay out a folder as `porting convert` does: the artifact, port.json, run.py, backend.py."""
    moved(artifact, folder, to)
    shutil.copyfile(RUNNER, to / RUNNER.name)
    shutil.copyfile(adapter.deploy_script(), to / BACKEND)
    port = {"model": "conformance", "target": str(target), "artifact": to_json(artifact)}
    (to / "port.json").write_text(json.dumps(port))
    return to


def write_sample(folder: Path, inputs: Arrays, outputs: Arrays) -> None:
    """Write sample.npz as `porting convert` does: inputs by name, outputs as `output:NAME`, bfloat16 as float32."""
    import numpy as np

    named = {**inputs, **{f"output:{name}": value for name, value in outputs.items()}}
    plain = {name: value.astype(np.float32) if value.dtype.name == "bfloat16" else value for name, value in named.items()}
    write_npz(folder / "sample.npz", plain)


def run_script(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a deployed folder's run.py. Returns its exit code and what it wrote."""
    call = [sys.executable, str(folder / "run.py"), *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=240, cwd=folder.parent)
    return done.returncode, done.stdout + done.stderr


def _child(command: str, adapter: type[Adapter], *arguments: str) -> None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    call = [sys.executable, "-m", "porting.conformance.fresh", command, f"{adapter.__module__}:{adapter.__qualname__}"]
    done = subprocess.run(
        [*call, *arguments], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=240
    )
    assert done.returncode == 0, f"{command} in a new process ended with {done.returncode}:\n{done.stderr[-3000:]}"


def _answer(adapter: Adapter, target: str, folder: str, scratch: str) -> None:
    artifact = from_json(Artifact, json.loads((Path(scratch) / "artifact.json").read_text()))
    session = adapter.load(artifact, Target.parse(target), Path(folder))
    write_tensors(Path(scratch) / "outputs.npz", session.run(read_tensors(Path(scratch) / "inputs.npz")))


def _try(adapter: Adapter, target: str, folder: str, scratch: str) -> None:
    try:
        _answer(adapter, target, folder, scratch)
    except Exception as error:  # noqa: BLE001 -- backends raise what they like
        (Path(scratch) / "refusal.txt").write_text(f"{type(error).__name__}: {error}")


def _probe(adapter: Adapter, modules: str, scratch: str) -> None:
    sys.modules.update(dict.fromkeys(modules.split(",")))  # type: ignore[arg-type]  # None makes an import fail
    (Path(scratch) / "probe.json").write_text(json.dumps(to_json(adapter.probe())))


def main(command: str, adapter: str, *arguments: str) -> None:
    module, _, name = adapter.partition(":")
    made: Adapter = getattr(importlib.import_module(module), name)()
    commands: dict[str, Callable[..., None]] = {"answer": _answer, "try": _try, "probe": _probe}
    commands[command](made, *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
