"""Write a converted model so that it deploys without us: the artifact, port.json, run.py with backend.py,
sample inputs and outputs."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import routes
from porting.deploy import BACKEND, RUNNER
from porting.errors import DiskError, PortingError, UsageError
from porting.serialization import to_json
from porting.types import Outcome, Result
from porting.workspace import atomic_write, digest_file, disk_errors

if TYPE_CHECKING:
    from porting.cells.attempt import Attempt
    from porting.cells.cell import CellRun

PORT = "port.json"


@contextlib.contextmanager
def free_folder(folder: Path, overwrite: bool) -> Iterator[None]:
    """Make a folder, and remove it again when nothing was put there.

    Raises UsageError when there is something in it that a person may want to keep; DiskError when it cannot be written.
    """
    new = not folder.exists()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not overwrite):
        raise UsageError(f"{folder} is not empty.", "Give another folder, or --force to replace what is there.")
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".port.part"
            probe.touch()
            probe.unlink()
        except NotADirectoryError as error:
            raise DiskError(f"cannot write {folder}: {error.strerror}.", "Give another folder.") from error
    try:
        yield
    finally:
        if new and not any(folder.iterdir()):
            folder.rmdir()


def write_port(run: CellRun, result: Result, folder: Path) -> None:
    """Write the port of a cell that passed; of any other, and when the disk is full, nothing is left that looks like one."""
    attempt = run.best
    if attempt is None or result.outcome not in (Outcome.PASS, Outcome.DEGRADED):
        return
    hosted = routes.hosted_of(attempt.key.route)
    if hosted:
        message = f"{result.model} works on {result.target} only with {', '.join(hosted)} left to the host, in parts."
        raise PortingError(message, "A port is one model for one device; porting explain shows what came of it.")
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        with disk_errors(folder):
            shutil.copytree(attempt.folder / "artifact", part)
            shutil.copyfile(RUNNER, part / RUNNER.name)
            shutil.copyfile(attempt.cell.adapter.deploy_script(), part / BACKEND)
            _write_sample(attempt, part / "sample.npz")
        atomic_write(part / PORT, json.dumps(_port(attempt, result, part), indent=1).encode())
        with disk_errors(folder):
            _remove_port(folder)
            for item in sorted(part.iterdir(), key=lambda path: path.name == PORT):  # last: with it, the port is whole
                _move(item, folder / item.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _move(item: Path, place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    item.replace(place)


def _remove_port(folder: Path) -> None:
    """Remove what an earlier port left, by its own list, and nothing else."""
    try:
        listed = list(json.loads((folder / PORT).read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is no list of files
        return
    (folder / PORT).unlink()
    for path in (folder / str(name) for name in listed):
        if path.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == folder or any(parent.iterdir()):
                    break
                parent.rmdir()


def _write_sample(attempt: Attempt, path: Path) -> None:
    """The first case: inputs as they are, and what the target answered, as `output:NAME`; where nothing ran, what it should
    answer. Plain npz: run.py has numpy alone."""
    import numpy as np

    from porting.bundles.tensors import as_declared, read_tensors, write_npz

    assert attempt.artifact is not None
    bundle, answers = attempt.bundle, attempt.folder / "outputs" / "0.npz"
    inputs, truth = bundle.read(bundle.cases[0].inputs), bundle.cases[0].truth
    outputs = read_tensors(answers) if answers.exists() else as_declared(bundle.read(truth), attempt.artifact.outputs)
    plain = {f"output:{n}": a.astype(np.float32) if str(a.dtype) == "bfloat16" else a for n, a in outputs.items()}
    write_npz(path, {**inputs, **plain})


def _port(attempt: Attempt, result: Result, folder: Path) -> dict[str, Any]:
    spec = attempt.cell.spec
    digests = {name: value for name, value in attempt.bundle.versions.items() if value.startswith("sha256:")}
    return {
        "schema": 1,
        "model": result.model,
        "target": result.target,
        "source": {"kind": spec.source, "name": spec.name, "weights": spec.weights, **digests},
        "bundle": result.bundle,
        "artifact": to_json(attempt.artifact),
        "files": {str(p.relative_to(folder)): digest_file(p) for p in sorted(folder.rglob("*")) if p.is_file()},
        "versions": dict(result.environment),
        "axes": dict(result.axes),
        "tolerance": {
            case.name: {
                o.name: {"rel_norm": o.allowed_rel_norm, "row": o.allowed_row, "peak": o.allowed_peak} for o in case.outputs
            }
            for case in result.cases
        },
        "result": {key: value for key, value in to_json(result).items() if key != "log_tail"},
    }
