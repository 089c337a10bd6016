"""Makes torchvision importable where its C++ library was built for another PyTorch (the index's wheel beside a CPU-only one).

timm and transformers import torchvision when it is installed, whether or not they use it. Its operators stay unusable then,
and say so when called; nothing here replaces them.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

# torchvision registers shape functions for these at import and fails where they are not defined (seen with 0.28).
_SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def make_importable() -> None:
    """Define what `import torchvision` needs, unless its own library does or it is not installed. Safe to call again."""
    import torch

    if "torchvision" in sys.modules or hasattr(torch.ops.torchvision, "nms"):
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _loads(Path(spec.origin).parent):
        return
    for name, schema in _SCHEMAS.items():
        torch.library.define(name, schema)


def _loads(folder: Path) -> bool:
    import torch

    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        library = folder / f"_C{suffix}"
        if library.is_file():
            try:
                torch.ops.load_library(str(library))
            except OSError:  # its CUDA libraries are not here
                return False
            return True
    return False
