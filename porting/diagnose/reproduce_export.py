"""Shows that PyTorch's exporter refuses a part of a model: python reproduce.py

Exit status: 1 when it is refused, 0 when it is exported, 2 when something is not installed. Needs what case.json names. part.pt
is a pickle: reading it runs code of the library that the part is from.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def main() -> int:
    case = json.loads((HERE / "case.json").read_text())
    print(f"{case['part']} of {case['model']}, to {case['form']}")
    try:
        import torch

        part = torch.load(HERE / "part.pt", weights_only=False)
    except ModuleNotFoundError as error:
        print(f"not here: {error}")
        return 2
    try:
        export(part, case["form"], case["free"])
    except Exception as error:  # noqa: BLE001 -- whatever the exporter raises is what there is to show
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]
        print(f"{type(error).__name__}: {error}")
        return 1
    print("it is exported")
    return 0


def export(part: dict[str, Any], form: str, free: bool) -> None:
    """Export a module as it is called. part: `module`, `args`, `kwargs`. form: `onnx`, or a program (`pt2`, `aten`). free: let
    every size vary that may. Raises what the exporter raises."""
    import torch

    sizes = _free(part) if free else None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(part["module"], part["args"], part["kwargs"], dynamic_shapes=sizes, strict=False)
        if form == "onnx":
            torch.onnx.export(program, (), dynamo=True, verbose=False)
        else:
            torch.export.save(program, io.BytesIO())


def _free(part: dict[str, Any]) -> dict[str, Any]:
    import inspect

    import torch
    from torch.utils import _pytree

    def axes(leaf: Any) -> Any:
        return dict.fromkeys(range(leaf.ndim), torch.export.Dim.AUTO) if isinstance(leaf, torch.Tensor) else None

    given = inspect.signature(part["module"].forward).bind(*part["args"], **part["kwargs"]).arguments
    return {name: _pytree.tree_map(axes, value) for name, value in given.items()}


if __name__ == "__main__":
    sys.exit(main())
