"""Who takes a program's operators, by device: ExecuTorch's partitioners and quantizers, with their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional

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


def _xnnpack(_target: Target) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _xnnpack_quantizer(_target: Target) -> Any:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    return XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))


def _vulkan(_target: Target) -> Any:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return VulkanPartitioner()


def _coreml(target: Target) -> Any:
    import coremltools
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    # Its default is fp16, whatever the program computes in.
    precision = coremltools.precision.FLOAT16 if target.precision is Precision.FP16 else coremltools.precision.FLOAT32
    specs = CoreMLBackend.generate_compile_specs(compute_precision=precision, minimum_deployment_target=coremltools.target.iOS18)
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


DELEGATES: Mapping[str, Delegate] = {
    "xnnpack": Delegate(_xnnpack, _xnnpack_quantizer),
    "vulkan": Delegate(_vulkan, sizes_vary=False),  # with sizes that vary, its partitioner leaves every convolution out
    "coreml": Delegate(_coreml),
    "ethos": Delegate(_ethos, _ethos_quantizer, sizes_vary=False),
}
