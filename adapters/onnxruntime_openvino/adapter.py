"""ONNX Runtime with OpenVINO's execution provider: its devices, as data. How a session is opened and asked is the family's.

An adapter of its own, since the distribution has onnxruntime's import name. The precision is always given: the plugins' own
default is bf16 on CPUs that have it and fp16 on GPUs, whatever the model says. On the CPU it can be fp32 alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

from porting.types import Artifact, Evidence, Precision, Target

from .._causes import Meaning, first_match
from .._onnx_session import OnnxSession, OnnxSessionAdapter, Provider
from .._openvino import RULES, reason

FP32, FP16 = Precision.FP32, Precision.FP16
HINTS = {FP32: {"precision": "FP32"}, FP16: {"precision": "FP16"}}


def _provider(device: str, *precisions: Precision, alone: bool = False) -> Provider:
    return Provider(
        "OpenVINOExecutionProvider",
        "onnxruntime-openvino",
        {"device_type": device},
        {precision: HINTS[precision] for precision in precisions},
        threads="num_of_threads",
        alone=alone,
    )


PROVIDERS = {
    "cpu": _provider("CPU", FP32),
    "gpu": _provider("GPU", FP32, FP16),
    # By its source, what the NPU's compiler refuses is compiled for the CPU within the provider, and counts as the provider's,
    # unless the session forbids the CPU.
    "npu": _provider("NPU", FP16, alone=True),
}


class OpenVinoError(RuntimeError):
    """What OpenVINO says of a part of the model that its provider took."""


class OnnxRuntimeOpenVinoAdapter(OnnxSessionAdapter):
    """Runs the ONNX form in a session of onnxruntime-openvino, on a device of OpenVINO's."""

    name = "onnxruntime_openvino"
    vendor = "Intel"
    module = "onnxruntime"
    providers = PROVIDERS
    devices = {device: tuple(provider.by_precision) for device, provider in PROVIDERS.items()}  # noqa: RUF012 -- see the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("onnxruntime-openvino", "onnx")
    install_hint = "porting env create onnxruntime_openvino"
    lists_kernels = False

    def load(self, artifact: Artifact, target: Target, folder: Path) -> OnnxSession:
        try:
            return super().load(artifact, target, folder)
        except Exception as error:
            said = reason(str(error))
            if "[OpenVINO-EP]" not in str(error) or not said:
                raise
            print(error, file=sys.stderr)  # whole, for the log
            raise OpenVinoError(said) from None  # or a page of C++ types would be what a person reads

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return super().classify(error) or first_match(str(error), RULES)
