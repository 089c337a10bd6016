"""A model that an exporter refuses: the smallest part that is refused in the same words, as a folder that needs neither the model
nor the target (porting.diagnose.refusal looks for it)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import verdict
from porting.api import Setting
from porting.cells import keys
from porting.cells.jobs import Trail
from porting.diagnose.graph import Source
from porting.diagnose.locate import REFUSED, VERDICTS, Blamed, Located, Settings
from porting.diagnose.reduce import Reduced
from porting.diagnose.refusal import PART
from porting.diagnose.repro import CASE, README, SCRIPT
from porting.errors import PortingError
from porting.serialization import from_json, to_json
from porting.signature import signature
from porting.types import Stage
from porting.workers.runner import Limits
from porting.workspace import Workspace, atomic_write, disk_errors

if TYPE_CHECKING:
    from porting.diagnose.subject import NoForm

KIND = "export"
TRIALS = 15
"""Exports that a search may take, each as long as a stage may; fewer are enough nearly always."""


def reduce_refused(refused: NoForm, folder: Path, settings: Settings | None, tell: Callable[[str], None]) -> Reduced:
    """Write the smallest part of a model that an exporter refuses into a folder. Raises PortingError where no part is refused by
    itself, or the search ends badly."""
    settings, start = settings or Settings(), time.monotonic()
    tell("the parts of the model, exported one by one")
    with disk_errors(folder):
        found = _searched(refused, folder, settings)
        shutil.copyfile(Path(__file__).with_name("reproduce_export.py"), folder / SCRIPT)
    case = _case(refused, found)
    atomic_write(folder / CASE, json.dumps(case, indent=1).encode())
    atomic_write(folder / README, _readme(case).encode())
    source = from_json(Source, found["source"])
    blamed = Blamed(0, found["part"], found["path"], KIND, None, None, found["message"], tuple(found["shapes"].values()), source)
    said, words = VERDICTS[REFUSED], refused.failure.message
    located = Located(case["model"], case["target"], REFUSED, said, words, "nominal", (blamed,), sign=case["signature"])
    size = (folder / PART).stat().st_size
    whole = sum((refused.bundle.folder / name).stat().st_size for name in refused.bundle.files if name.endswith(".safetensors"))
    seconds = round(time.monotonic() - start, 2)
    return Reduced(
        located, str(folder), KIND, case["signature"], (found["part"],), found["shapes"], size, whole, found["tried"], seconds
    )


def _searched(refused: NoForm, folder: Path, settings: Settings) -> dict[str, Any]:
    """What the job found. What it tried is kept beside the bundles, so that a search that was ended goes on."""
    cell, setting = refused.cell, Setting.find()
    journal = _journal(setting.workspace, refused)
    if settings.rerun:
        journal.unlink(missing_ok=True)
    journal.parent.mkdir(parents=True, exist_ok=True)
    payload = {
        "kind": "porting.diagnose.refusal:smallest",
        "spec": to_json(cell.spec),
        "bundle": str(refused.bundle.folder),
        "precision": refused.form.precision.value,
        "form": refused.form.kind,
        "message": refused.failure.message,
        "journal": str(journal),
        "folder": str(folder.absolute()),
    }
    seconds = settings.seconds * TRIALS
    with setting.pipeline() as pipeline:
        end = pipeline.jobs.run(payload, Trail(), limits=Limits(seconds=seconds, silent_seconds=seconds))
    finding = verdict.of_end(end)
    if finding:
        raise PortingError(finding.message, finding.hint or "Started again, it goes on where it was.")
    return dict(end.value)


def _journal(workspace: Workspace, refused: NoForm) -> Path:
    key = keys.digest([refused.cell.key, str(refused.form), refused.failure.message, keys.code(("diagnose",))])
    return workspace.cache / "diagnose" / key[:32] / "parts.jsonl"


def _case(refused: NoForm, found: dict[str, Any]) -> dict[str, Any]:
    target, failure = refused.cell.target, refused.failure
    return {
        "model": refused.cell.spec.id,
        "target": str(target),
        "part": f"{found['part']} ({found['path']})",
        "form": refused.form.kind,
        "free": found["free"],
        "failure": KIND,
        "message": found["message"],
        "signature": signature(target.adapter, Stage.EXPORT, failure.cause, found["message"]),
        "source": found["source"],
        "shapes": found["shapes"],
        "versions": found["versions"],
    }


def _readme(case: dict[str, Any]) -> str:
    source = case["source"]
    lines = [f"# {case['part']}: refused by PyTorch's exporter", "", case["message"], "", "| | |", "|---|---|"]
    lines.append(f"| found in | {case['model']} for {case['target']} |")
    if source["place"]:
        lines.append(f"| source line | `{source['place']}` `{source['text'].replace('|', chr(92) + '|')}` |")
    lines += [f"| {name} | {version} |" for name, version in case["versions"].items()]
    lines += [f"| signature | `{case['signature']}` |", ""]
    lines += [f"- `{name}`: {shape}" for name, shape in case["shapes"].items()]
    sizes = "sizes that may vary" if case["free"] else "the sizes of the example"
    lines += [
        "",
        f"`python {SCRIPT}` exports the part, with {sizes}. It needs the packages above. `{PART}` has the module, its weights",
        "and what the model calls it with; it is a pickle, and reading it runs code of the library that the module is from.",
        "",
    ]
    return "\n".join(lines)
