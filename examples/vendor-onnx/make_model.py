"""Makes gauge.onnx, in place of what a vendor would send: a file, and no source of the net.

python make_model.py [FILE]    the same bytes each time
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def build() -> onnx.ModelProto:
    """A net that reads a dial: a grey picture of any size in, an angle as sine and cosine and four scores out."""
    draw = np.random.default_rng(7)
    weights = {}

    def weight(name: str, *shape: int) -> str:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights[name] = (draw.standard_normal(shape) * scale).astype(np.float32)
        return name

    nodes, last, channels = [], "picture", 1
    for number, width in enumerate((8, 16, 32)):
        kernel = weight(f"conv{number}.weight", width, channels, 3, 3)
        bias = weight(f"conv{number}.bias", width)
        nodes += [
            helper.make_node("Conv", [last, kernel, bias], [f"conv{number}"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("HardSwish", [f"conv{number}"], [f"act{number}"]),
        ]
        last, channels = f"act{number}", width
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", weight("angle.weight", 2, channels), weight("angle.bias", 2)], ["raw"], transB=1),
        helper.make_node("LpNormalization", ["raw"], ["angle"], axis=1, p=2),
        helper.make_node(
            "Gemm", ["features", weight("state.weight", 4, channels), weight("state.bias", 4)], ["scores"], transB=1
        ),
        helper.make_node("Softmax", ["scores"], ["state"], axis=1),
    ]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["batch", 1, "height", "width"])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", s]) for n, s in (("angle", 2), ("state", 4))]
    graph = helper.make_graph(nodes, "gauge", [picture], outputs, [numpy_helper.from_array(w, n) for n, w in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="gauge")
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(build(), sys.argv[1] if len(sys.argv) > 1 else "gauge.onnx")
