"""Write a converted model so that it deploys without us: the artifact, port.json, run.py, sample inputs and outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.errors import DiskError, UsageError
from porting.types import Outcome, Result, to_json
from porting.workspace import atomic_write, digest_file, disk_errors

if TYPE_CHECKING:
    from porting.cell import CellRun


def must_be_free(folder: Path, overwrite: bool) -> None:
    """Raise UsageError when there is something in the folder that a person may want to keep; DiskError when it cannot be made."""
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


def write_port(run: CellRun, result: Result, folder: Path) -> None:
    """Write the port of a cell that passed; of any other nothing is left that looks like one."""
    if result.outcome not in (Outcome.PASS, Outcome.DEGRADED):
        return
    assert run.artifact is not None
    with disk_errors(folder):
        for name in ("artifact", "run.py", "port.json", "sample.npz"):
            path = folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        for item in (run.folder / "artifact").iterdir():
            target = folder / item.name
            shutil.copytree(item, target, dirs_exist_ok=True) if item.is_dir() else shutil.copyfile(item, target)
        shutil.copyfile(run.cell.adapter.deploy_script(), folder / "run.py")
        _write_sample(run, folder / "sample.npz")
    atomic_write(folder / "port.json", json.dumps(_port(run, result, folder), indent=1).encode())


def _write_sample(run: CellRun, path: Path) -> None:
    """The first case: inputs as they are, and what the target answered, as `output:NAME`."""
    import numpy as np

    from porting.tensors import read_tensors

    assert run.bundle is not None
    case = run.bundle.cases[0]
    inputs = run.bundle.read(case.inputs)
    outputs = read_tensors(run.folder / "outputs" / "0.npz")
    plain = {f"output:{n}": a.astype(np.float32) if str(a.dtype) == "bfloat16" else a for n, a in outputs.items()}
    arrays: dict[str, Any] = {**inputs, **plain}
    np.savez(path, **arrays)


def _port(run: CellRun, result: Result, folder: Path) -> dict[str, Any]:
    assert run.bundle is not None
    assert run.artifact is not None
    return {
        "schema": 1,
        "model": result.model,
        "target": result.target,
        "source": {"kind": run.cell.spec.source, "name": run.cell.spec.name, "weights": run.cell.spec.weights},
        "bundle": result.bundle,
        "artifact": to_json(run.artifact),
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
