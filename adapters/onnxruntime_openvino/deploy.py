"""ONNX Runtime with OpenVINO's execution provider alone, on the device the model was ported to.

Needs: pip install onnxruntime-openvino numpy, where no other onnxruntime is installed
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: onnxruntime reports sessions over the network otherwise
import onnxruntime

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Open a session on the device the model was ported to, and run it once."""
    provider, settings = artifact["options"]["provider"], artifact["options"]["provider_options"]
    options = onnxruntime.SessionOptions()
    if settings["device_type"] == "NPU":  # else what it cannot compile would run on the CPU
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    model = str(HERE / artifact["files"][0])
    session = onnxruntime.InferenceSession(model, options, providers=[(provider, settings)], enable_fallback=0)
    if session.get_providers()[0] != provider:
        sys.exit(f"{provider} did not start; the session came up on {session.get_providers()}")
    names = [output.name for output in session.get_outputs()]
    print(f"{artifact['files'][0]} for {target} on OpenVINO's {settings['device_type']}")
    return dict(zip(names, session.run(names, inputs)))  # noqa: B905 -- runs on Python 3.9 as well
