"""The second way into IREE: an exported program through iree-turbine, the project's own bridge from PyTorch. Nothing is compiled
here, and torch is imported here alone."""

from __future__ import annotations

import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from porting.adapter import ExportedForm

from .._causes import one_line
from .._core_program import captured
from .._torch_program import read_program, view_as_reshape


class ImportFailed(RuntimeError):
    """iree-turbine could not import a program. Its message is one line; the log keeps the whole."""


def import_program(form: ExportedForm, source: Path) -> None:
    """A saved program, of either form, to MLIR of the torch dialect, its weights within. Raises ImportFailed, and OSError for a
    file that is none.

    Decomposed first by PyTorch's own table and by turbine's: without them IREE 3.13 is given operators of several results that it
    does not know (aten.gru.input, aten.split).
    """
    import torch
    from iree.turbine import aot
    from iree.turbine.aot.decompositions import current_aot_decompositions

    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch 2.13 warns of its own trees of arguments
            table = torch.export.default_decompositions()
            table.update(current_aot_decompositions())
            table.update(torch._decomp.get_decompositions([torch.ops.aten.gelu]))  # or IREE's own, see graph._gelu
            program = captured(form) if form.kind == "aten" else read_program(form.path)
            view_as_reshape(program)
            decomposed = program.run_decompositions(table)
            without_strides(decomposed)
            in_order(decomposed)
            aot.export(decomposed).save_mlir(str(source))
    except (MemoryError, OSError):
        raise  # of this machine, not of the program
    except Exception as error:  # noqa: BLE001 -- torch's passes and turbine's importer raise anything
        traceback.print_exc(file=sys.stderr)
        raise ImportFailed(one_line(error)) from None


def without_strides(program: Any) -> None:
    """Let strides that only say how a contiguous tensor lies be views again. torch 2.13 decomposes group normalisation to them,
    and the importer refuses those of dynamic sizes."""
    import torch

    for node in program.graph.nodes:
        if node.target is not torch.ops.aten.as_strided.default or len(node.args) > 3:
            continue
        if node.args[0].meta["val"].is_contiguous() and node.meta["val"].is_contiguous():
            node.target, node.args = torch.ops.aten.view.default, node.args[:2]
    program.graph_module.recompile()


def in_order(program: Any) -> None:
    """Let the largest of many come in order where any order would do: IREE 3.13 has no other way."""
    import torch

    for node in program.graph.nodes:
        if node.target is torch.ops.aten.topk.default:
            node.args = node.args[:4]
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != "sorted"}
    program.graph_module.recompile()
