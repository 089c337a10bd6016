"""ONNX Runtime alone, on the provider the model was ported to.

Needs: pip install onnxruntime numpy, or the onnxruntime distribution that has the provider in port.json
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
    """Open a session on the provider the model was ported to, and no other, and run it once."""
    provider = artifact["options"]["provider"]
    wanted = [(provider, artifact["options"]["provider_options"])]
    session = onnxruntime.InferenceSession(str(HERE / artifact["files"][0]), providers=wanted, enable_fallback=0)
    if session.get_providers()[0] != provider:
        sys.exit(f"{provider} did not start; the session came up on {session.get_providers()}")
    names = [output.name for output in session.get_outputs()]
    print(f"{artifact['files'][0]} for {target} on {provider}")
    return dict(zip(names, session.run(names, inputs)))  # noqa: B905 -- runs on Python 3.9 as well
