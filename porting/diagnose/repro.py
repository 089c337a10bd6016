"""The folder that a reduction writes: model, data, a script that needs the backend alone, and what it shows, in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import registry
from porting.bundles.tensors import write_npz
from porting.diagnose.case import Case
from porting.environments import environment
from porting.serialization import Json, to_json
from porting.types import Target, TensorSpec
from porting.workspace import Workspace, atomic_write, disk_errors

if TYPE_CHECKING:
    import numpy

    from porting.diagnose.graph import Source

    Array = numpy.ndarray[Any, Any]

INPUTS, EXPECTED, CASE, SCRIPT, README, BACKEND = (
    "inputs.npz", "expected.npz", "case.json", "reproduce.py", "README.md", "backend",
)  # fmt: skip
_STANDS_ON = ("__init__", "_version", "serialization", "types", "adapter", "bundles/__init__", "bundles/tensors")
"""Modules that an adapter needs."""


@dataclass(frozen=True)
class Story:
    """What the folder tells."""

    model: str
    target: Target
    kind: str
    signature: str
    """Six hex digits over the failure, for grouping."""
    message: str
    sources: Sequence[Source]
    """Of its nodes."""
    versions: Mapping[str, str]
    compile_only: bool
    allowed: Mapping[str, float]
    """Relative error by output."""


def write(folder: Path, case: Case, expected: Mapping[str, Array], story: Story, workspace: Workspace) -> None:
    """Write the folder; what an earlier reduction left there is replaced."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        case.save(folder / model_file(case), expected)
        write_npz(folder / INPUTS, {name: _plain(array) for name, array in case.feeds.items()})
        write_npz(folder / EXPECTED, {name: _plain(array) for name, array in expected.items()})
        shutil.copyfile(Path(__file__).with_name(SCRIPT), folder / SCRIPT)
        shutil.rmtree(folder / BACKEND, ignore_errors=True)
        _write_backend(folder / BACKEND, story.target.adapter, workspace)
    atomic_write(folder / CASE, json.dumps(_described(case, expected, story), indent=1).encode())
    atomic_write(folder / README, readme(case, story).encode())


def model_file(case: Case) -> str:
    """`model.onnx`, `model.pt2`."""
    return f"model.{case.kind}"


def _plain(array: Array) -> Array:
    return array.view("uint16") if str(array.dtype) == "bfloat16" else array


def _write_backend(folder: Path, adapter: str, workspace: Workspace) -> None:
    """The adapter and the few modules that it stands on, which need the backend, numpy and nothing of ours besides."""
    staged = environment.stage_worker(workspace.workers, adapter)
    built_in = registry.folder(adapter)
    keep = [staged / "porting" / f"{name}.py" for name in _STANDS_ON]
    keep += (staged / "porting" / "accelerators").glob("*.py")
    keep += (staged / "porting" / "adapters").glob("*.py")
    if built_in:
        keep += (staged / "porting" / "adapters" / built_in.name).rglob("*")
    else:
        keep += [path for path in staged.rglob("*") if path.relative_to(staged).parts[0] != "porting"]
    for path in keep:
        if path.is_file() and path.suffix != ".pyc":
            place = folder / path.relative_to(staged)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _described(case: Case, expected: Mapping[str, Array], story: Story) -> Json:
    arrays = {**case.feeds, **expected}
    inputs = [TensorSpec(name, str(array.dtype), case.dims(name)) for name, array in case.feeds.items()]
    outputs = [TensorSpec(name, str(array.dtype), array.shape) for name, array in expected.items()]
    form = {
        "kind": case.kind,
        "precision": case.precision.value,
        "inputs": to_json(inputs),
        "outputs": to_json(outputs),
        "opset": case.opset,
    }
    return {
        "model": story.model,
        "target": str(story.target),
        "failure": story.kind,
        "signature": story.signature,
        "message": story.message,
        "adapter": registry.module_of(story.target.adapter),
        "compile_only": story.compile_only,
        "form": form,
        "allowed": dict(story.allowed),
        "bfloat16": [name for name, array in arrays.items() if str(array.dtype) == "bfloat16"],
        "operators": [node.op_type for node in case.nodes],
        "sources": to_json(list(story.sources)),
        "versions": dict(story.versions),
    }


def readme(case: Case, story: Story) -> str:
    """What there is to see, for whoever gets the folder."""
    operators = ", ".join(node.op_type for node in case.nodes)
    lines = [f"# {operators} on {story.target}: {story.kind}", ""]
    lines += [story.message.strip(), ""] if story.message.strip() else []
    lines += ["| | |", "|---|---|"]
    lines += [f"| found in | {_cell(story.model)} |"]
    for source in story.sources:
        if source.place:
            lines.append(f"| source line | `{_cell(source.place)}` `{_cell(source.text)}` |")
    lines += [f"| {_cell(name)} | {_cell(version)} |" for name, version in sorted(story.versions.items())]
    lines += [f"| signature | `{story.signature}` |", ""]
    for name, array in (*case.feeds.items(), *case.weights.items()):
        lines.append(f"- `{name}`: {array.dtype} {list(array.shape)}{_kind(case, name)}")
    needed = ", ".join(registry.adapter(story.target.adapter).distributions)
    lines += [
        "",
        f"`python {SCRIPT}` shows it. It needs Python 3.9 or newer, numpy and the backend ({needed}); `{BACKEND}/` has the code",
        f"that converts, loads and runs the model. `{model_file(case)}` has its weights inside, `{INPUTS}` what goes in,",
        f"`{EXPECTED}` what {case.clean_words}.",
        "",
    ]
    return "\n".join(lines)


def _kind(case: Case, name: str) -> str:
    if name not in case.feeds:
        return ", constant"
    return f", declared as {list(case.dims(name))}" if name in case.free else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
