"""Programs that are written for ncnn without pnnx answer what PyTorch answers, as far as numpy does what ncnn does."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import ncnn_cases as cases
import numpy as np
import pytest
import torch
from ncnn_layers import Network
from porting.adapters._core_program import core, name_of
from porting.adapters.ncnn.direct import arithmetic, images, places, rows
from porting.adapters.ncnn.direct.build import WHOLE, Builder

from porting.bundles import aten

NEVER_SEEN = {"alias", "contiguous", "reshape", "stack", "t", "transpose"}
"""What PyTorch writes in the place of others that are seen, depending on its version and on how a program was captured."""


def graph_of(name: str, folder: Path) -> tuple[Any, list[torch.Tensor], tuple[torch.Tensor, ...]]:
    """The core program of a case, what it answers, and its inputs."""
    function, inputs = cases.CASES[name]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of recurrent modules, while they are captured
        program = torch.export.export(cases.Wrapped(function), inputs, strict=False)
        aten.save(program, folder / "program.aten")
        expected = [leaf for leaf in torch.utils._pytree.tree_leaves(function(*inputs)) if leaf is not None]
    return core(folder / "program.aten", inputs, WHOLE), expected, inputs


def fed(builder: Builder, inputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """The inputs as the network's blobs."""
    names = [name for name in builder.dtypes if name.startswith("in")]
    return {
        name: inputs[int(name[2:].rstrip("f"))].numpy().astype(builder.dtypes[name]).reshape(builder.shapes[name])
        for name in names
    }


@pytest.mark.parametrize("name", cases.CASES)
def test_a_network_answers_what_the_program_answers(name: str, tmp_path: Path) -> None:
    graph, expected, inputs = graph_of(name, tmp_path)
    builder = Builder(graph)
    builder.build()
    blobs = Network(*builder.network()).run(fed(builder, inputs))
    for number, value in enumerate(expected):
        answer = blobs[f"out{number}"].reshape(tuple(value.shape))
        assert builder.shapes[f"out{number}"] == blobs[f"out{number}"].shape
        np.testing.assert_allclose(
            answer, value.numpy().astype(np.float32), rtol=1e-4, atol=1e-5, err_msg=f"{name}, output {number}"
        )


def test_every_operator_is_in_some_case(tmp_path: Path) -> None:
    known = {*arithmetic.table(), *places.table(), *rows.table(), *images.table()}
    seen: set[str] = set()
    for name in cases.CASES:
        graph, _, _ = graph_of(name, tmp_path)
        seen |= {name_of(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert sorted(known - seen - NEVER_SEEN) == [], "written, and never tried"
