"""What the warm server imports before it forks: everything slow that build, convert and run jobs share.

Imports only; nothing here computes, opens a device or starts a thread.
"""

from __future__ import annotations

import contextlib

import numpy as np  # noqa: F401
import onnx  # noqa: F401
import onnx_ir  # noqa: F401
import onnxscript  # noqa: F401
import safetensors.torch  # noqa: F401
import torch
import torch.export

import porting.build  # noqa: F401

with contextlib.suppress(ImportError):  # private: without it the first export of each job builds the table itself
    from torch.onnx._internal.exporter import _registration

    _registration.ONNXRegistry.from_torchlib()

torch.set_num_threads(1)
