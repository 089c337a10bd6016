"""Who takes a program's operators, by device: ExecuTorch's partitioners and quantizers, with their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Optional

from porting.types import Precision, Target

PORTABLE = "portable"
"""The device without a delegate: every operator is one of ExecuTorch's own kernels."""


@dataclass(frozen=True)
class Delegate:
    """How one kind of device is lowered to."""

    partitioner: Callable[[Target], Any]
    """Makes the executorch Partitioner that says which operators the delegate takes. Raises ImportError without its compiler."""
    quantizer: Optional[Callable[[Target], Any]] = None
    """Makes the torchao Quantizer that int8 is asked of."""
    sizes_vary: bool = True
    """False: every size is fixed when the delegate compiles, to the first sample's."""


def delegate(device: str) -> Delegate:
    """The delegate of a declared device other than `portable`; chips of a kind share one."""
    return DELEGATES[device.partition("-")[0]]


XNNPACK_AXES = 6
"""Of a tensor, at most: XNN_MAX_TENSOR_DIMS in xnnpack.h."""


def most_axes(nodes: Iterable[Any]) -> int:
    """Axes of the tensor that has most of them, of those that nodes of a graph read and give."""
    seen = {part for node in nodes for part in (node, *node.all_input_nodes)}
    values = [node.meta["val"] for node in seen if "val" in node.meta]
    tensors = [each for value in values for each in (value if isinstance(value, (list, tuple)) else [value])]
    return max((len(tensor.shape) for tensor in tensors if hasattr(tensor, "shape")), default=0)


def _xnnpack(_target: Target) -> Any:
    """All that XNNPACK takes but the tanh approximation of gelu: it would compute the exact one instead. And nothing of more
    axes than its library has, which the partitioner does not know of: the file would not load."""
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import GeluConfig
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    class ExactGelu(GeluConfig):  # type: ignore[misc]  # executorch is not followed
        def check_constraints(self, node: Any, ep: Any) -> bool:
            return node.kwargs.get("approximate", "none") == "none" and bool(super().check_constraints(node, ep))

    class Partitioner(XnnpackPartitioner):  # type: ignore[misc]
        def get_matched_nodes_from_configs(self, ep: Any) -> Any:
            return [match for match in super().get_matched_nodes_from_configs(ep) if most_axes(match) <= XNNPACK_AXES]

    return Partitioner([ExactGelu if config is GeluConfig else config for config in ALL_PARTITIONER_CONFIGS])


def _xnnpack_quantizer(_target: Target) -> Any:
    """Its own, but for sums and products of integers: it would make floats of their numbers, and of positions no index."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    class FloatsOnly(XNNPACKQuantizer):  # type: ignore[misc]  # executorch is not followed
        def transform_for_annotation(self, model: Any) -> Any:
            integers = {node: node.args for node in model.graph.nodes if _is_integer(node)}
            model = super().transform_for_annotation(model)
            for node, arguments in integers.items():
                node.args = arguments
            model.graph.eliminate_dead_code()
            model.recompile()
            return model

    return FloatsOnly().set_global(get_symmetric_quantization_config(is_per_channel=True))


def _is_integer(node: Any) -> bool:
    """Whether a node is an operator whose result is a tensor of integers."""
    value = node.meta.get("val")
    return node.op == "call_function" and hasattr(value, "dtype") and not value.dtype.is_floating_point


def _vulkan(_target: Target) -> Any:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return VulkanPartitioner()


def _coreml(_target: Target) -> Any:
    import coremltools
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    # Its default is fp16, whatever the program computes in.
    precision, oldest = coremltools.precision.FLOAT32, coremltools.target.iOS18
    specs = CoreMLBackend.generate_compile_specs(compute_precision=precision, minimum_deployment_target=oldest)
    return CoreMLPartitioner(compile_specs=specs)


def _ethos(target: Target) -> Any:
    from executorch.backends.arm.ethosu import EthosUPartitioner

    return EthosUPartitioner(_ethos_settings(target))


def _ethos_quantizer(target: Target) -> Any:
    from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config

    return EthosUQuantizer(_ethos_settings(target)).set_global(get_symmetric_quantization_config())


def _ethos_settings(target: Target) -> Any:
    import ethosu.vela  # noqa: F401  -- without it lowering goes far before it says so
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    return EthosUCompileSpec(target.device)


def _tosa(target: Target) -> Any:
    from executorch.backends.arm.tosa.partitioner import TOSAPartitioner

    return TOSAPartitioner(_tosa_settings(target))


def _tosa_quantizer(target: Target) -> Any:
    from executorch.backends.arm.quantizer import TOSAQuantizer, get_symmetric_quantization_config

    return TOSAQuantizer(_tosa_settings(target)).set_global(get_symmetric_quantization_config())


def _tosa_settings(target: Target) -> Any:
    """By the profile of TOSA 1.0 that has the precision: floats, or integers alone."""
    from executorch.backends.arm.tosa.compile_spec import TosaCompileSpec

    return TosaCompileSpec("TOSA-1.0+INT" if target.precision is Precision.INT8 else "TOSA-1.0+FP")


DELEGATES: Mapping[str, Delegate] = {
    "xnnpack": Delegate(_xnnpack, _xnnpack_quantizer),
    "vulkan": Delegate(_vulkan, sizes_vary=False),  # with sizes that vary, its partitioner leaves every convolution out
    "coreml": Delegate(_coreml),
    "tosa": Delegate(_tosa, _tosa_quantizer, sizes_vary=False),
    "ethos": Delegate(_ethos, _ethos_quantizer, sizes_vary=False),
}
