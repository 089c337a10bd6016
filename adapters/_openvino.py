"""What OpenVINO's messages mean and how they are read, from its own API or through ONNX Runtime's provider."""

from __future__ import annotations

from typing import Tuple

from porting.types import Cause, Outcome

from ._causes import Rule

RULES: Tuple[Rule, ...] = (
    (r"No conversion rule found|[Uu]nsupported operation", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"rank has to be known|with dynamic rank|type dynamic", Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE),
    (r"does not support the following ONNX operations|Unsupported value of attribute", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"OpConversionFailure", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"[Uu]nsupported (element|data|input|output)? ?(type|precision)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"is not registered in the OpenVINO|Cannot load library", Outcome.UNAVAILABLE, Cause.MISSING_DEVICE),
    (r"CL_OUT_OF_RESOURCES|CL_MEM_OBJECT_ALLOCATION_FAILURE|OUT_OF_DEVICE_MEMORY", Outcome.FAIL, Cause.DEVICE_OOM),
    (r"bad_alloc|[Nn]ot enough memory", Outcome.FAIL, Cause.HOST_OOM),
    (r"are incompatible|shape infer|is not equal to the model input", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
)

_WHERE = ("Exception from", "Check ", "[ONNXRuntimeError]")


def reason(message: str) -> str:
    """An OpenVINO message without the lines that only say where in its sources it was raised; empty when there are no others."""
    return " ".join(line for line in message.splitlines() if line and not line.startswith(_WHERE))[:300]
