"""fp32 ONNX to int8: weights and activations of matrix products and convolutions, scales measured on sample inputs.

Static quantisation as QuantizeLinear and DequantizeLinear around each (QDQ), which every runtime that reads ONNX understands and
fuses as far as it can. Only where the arithmetic is: with all operators quantised, text models with a padded mask lose 15 to
20 dB, for a mask's large negative number takes the whole range of an Add.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple

from porting.adapter import ExportedForm

from ._onnx_model import kept

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

FILE, DATA = "model.onnx", "model.onnx.data"
OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
EXTERNAL_FROM = 1 << 20
"""Bytes of weights from which they lie in a file of their own: one ONNX file holds at most 2 GiB."""


class NothingToQuantize(RuntimeError):
    """The model has no operator that would compute in int8."""


def quantize(form: ExportedForm, folder: Path) -> Tuple[str, ...]:
    """Write `form`, an fp32 model, as QDQ int8 to `folder`/model.onnx. Returns the files. Raises NothingToQuantize, and what
    onnxruntime's quantiser raises.

    Weights: uint8, a scale and a zero point a channel; activations: uint8, a pair a tensor, from their smallest and largest value
    over all samples. Both unsigned: products of uint8 and int8 are summed in 16 bits by CPUs without VNNI, and overflow
    (bert: 16 dB with 8 bits, 29 with 7, 30 with both unsigned).
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = onnx.load(str(form.path))  # not its path: the quantiser writes beside the file it is given
    external = model.ByteSize() >= EXTERNAL_FROM
    quantize_static(
        model,
        str(folder / FILE),
        _reader(form),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
        use_external_data_format=external,
        nodes_to_exclude=kept(model),
    )
    if not quantized(folder / FILE):
        raise NothingToQuantize(f"no {', '.join(OPERATORS[:-1])} or {OPERATORS[-1]} of the model could be quantised")
    return (FILE, DATA) if (folder / DATA).exists() else (FILE,)


def quantized(path: Path) -> int:
    """Matrix products and convolutions of a model that take dequantised int8 values."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    dequantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return sum(node.op_type in OPERATORS and set(node.input[:2]) <= dequantized for node in graph.node)


def _reader(form: ExportedForm) -> Any:
    """All samples of a form, one after the other, as the quantiser wants them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not followed
        def __init__(self) -> None:
            self._left = (dict(form.sample(number)) for number in range(len(form.samples)))

        def get_next(self) -> Optional[Arrays]:
            return next(self._left, None)

    return Reader()
