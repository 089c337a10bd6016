"""What the warm server imports before it forks: everything slow that build, convert and run jobs share.

Many of these imports hide in the first call of a function, so a tiny model goes through all of it once.
"""

from __future__ import annotations

import contextlib
import io


def warm_adapter(place: str) -> None:
    """Let an adapter do what all its jobs would begin with. place: `package.module:Class`."""
    from porting.workers.worker import load_adapter

    load_adapter(place).warm()


def rehearse() -> None:
    """Capture, export, save and load one linear layer, on one thread."""
    import safetensors.torch  # noqa: F401
    import torch
    import tqdm
    from torch.export import Dim

    import porting.bundles.build
    import porting.bundles.onnx_reference  # noqa: F401
    from porting.bundles.tables import kept_tables

    tqdm.tqdm.monitor_interval = 0  # onnxscript's progress bar would start a thread, and threads do not survive a fork
    torch.set_num_threads(1)
    with kept_tables(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        layer = torch.nn.Linear(2, 2).eval()
        program = torch.export.export(layer, (torch.ones(3, 2),), dynamic_shapes=({0: Dim.DYNAMIC},), strict=False)
        torch.onnx.export(program, (), dynamo=True, verbose=False)
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        torch.export.load(file).module()
