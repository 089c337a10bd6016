"""What a rewrite makes of files that are not plain Python: notebooks keep their outputs and layout, settings become a maker's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from porting.accelerators.profile import load
from porting.codemod.rewrite import plan
from porting.codemod.scan import scan

CELLS = [
    "%%bash\nnvidia-smi",
    "!pip list\nimport torch as t\nt.ones?",
    '%%time\ns = "é \\" \\\\ 😀"; t.cuda.empty_cache()  # kept\n',
    "%%bash\nls",
    "device = 'cuda' if t.cuda.is_available() else 'cpu'\nx = t.ones(1).cuda()",
]
PORTED = [
    CELLS[0],
    "!pip list\nimport torch as t\nimport porting_accel as accel\nt.ones?",
    '%%time\ns = "é \\" \\\\ 😀"; accel.empty_cache()  # kept\n',
    CELLS[3],
    "device = accel.type if accel.is_available() else 'cpu'\nx = t.ones(1).to(accel.type)",
]
LAYOUTS = [(lines, ascii_only, indent) for lines in (True, False) for ascii_only in (True, False) for indent in (None, 1, 4)]


def notebook(cells: list[str], lines: bool, **layout: Any) -> str:
    output = {"name": "stdout", "output_type": "stream", "text": ["cuda\n"]}
    entries = [
        {"cell_type": "code", "metadata": {}, "outputs": [output], "source": cell.splitlines(keepends=True) if lines else cell}
        for cell in cells
    ]
    return json.dumps({"cells": entries, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4}, **layout)


def rewritten(folder: Path, name: str, text: str, **more: Any) -> str:
    (folder / name).write_bytes(text.encode())
    found = plan(scan(folder / name, more.pop("targets", ())), **more)
    assert found.refused == []
    return found.changes[0].after.decode() if found.changes else text


@pytest.mark.parametrize(("lines", "ascii_only", "indent"), LAYOUTS)
def test_a_notebook_keeps_its_outputs_and_every_byte_of_its_layout(
    lines: bool, ascii_only: bool, indent: int | None, tmp_path: Path
) -> None:
    layout = {"lines": lines, "ensure_ascii": ascii_only, "indent": indent}
    after = rewritten(tmp_path, "a.ipynb", notebook(CELLS, **layout))
    assert after == notebook(PORTED, **layout)
    assert rewritten(tmp_path, "a.ipynb", after) == after


def test_the_import_stays_in_the_cell_of_the_imports(tmp_path: Path) -> None:
    cells = ["import torch", "%%bash\nls", "torch.cuda.synchronize()"]
    after = rewritten(tmp_path, "a.ipynb", notebook(cells, lines=True))
    assert after == notebook(["import torch\nimport porting_accel as accel", cells[1], "accel.synchronize()"], lines=True)


def test_a_notebook_that_does_not_parse_as_a_whole_is_left(tmp_path: Path) -> None:
    text = notebook(["import torch\ntorch.cuda.synchronize()", "def f(:"], lines=True)
    assert rewritten(tmp_path, "a.ipynb", text) == text


SETTINGS = [
    ("a.yaml", "device: 'cuda:0'  # cuda\ndist: {backend: nccl}\n", "device: 'npu:0'  # cuda\ndist: {backend: hccl}\n"),
    ("a.json", '{"é": 1, "device": "cuda",\n "name": "cuda_best"}', '{"é": 1, "device": "npu",\n "name": "cuda_best"}'),
    ("a.toml", 'devices = ["cuda:0", "cpu"]\r\n', 'devices = ["npu:0", "cpu"]\r\n'),
    ("a.sh", "export CUDA_VISIBLE_DEVICES=0,1 CUDA_HOME=/x\n", "export ASCEND_RT_VISIBLE_DEVICES=0,1 CUDA_HOME=/x\n"),
    ("Dockerfile", "ENV CUDA_VISIBLE_DEVICES=0\n", "ENV ASCEND_RT_VISIBLE_DEVICES=0\n"),
]


@pytest.mark.parametrize(("name", "before", "after"), SETTINGS, ids=[name for name, _, _ in SETTINGS])
def test_settings_become_one_makers_when_asked_and_stay_otherwise(name: str, before: str, after: str, tmp_path: Path) -> None:
    ascend = [load()["ascend"]]
    assert rewritten(tmp_path, name, before, care=True) == before
    assert rewritten(tmp_path, name, before, targets=ascend) == before
    assert rewritten(tmp_path, name, before, targets=ascend, care=True) == after
    assert rewritten(tmp_path, name, after, targets=ascend, care=True) == after
    assert rewritten(tmp_path, name, before, targets=[load()["nvidia"]], care=True) == before
