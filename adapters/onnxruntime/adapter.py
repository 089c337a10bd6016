"""ONNX Runtime: its execution providers as devices, as data. How a session is opened and asked is the family's.

bf16 is not offered on the CPU and the GPUs: this adapter takes the fp32 form and lowers it itself, onnxruntime's own tool
lowers to fp16 only, and the CPU provider has no bf16 kernels for MatMul, Gemm or Conv (1.32: NOT_IMPLEMENTED).
OpenVINO's provider is the adapter onnxruntime_openvino's.
"""

from __future__ import annotations

from typing import Dict

from porting.types import Evidence, Precision

from .._onnx_session import CPU, OnnxSessionAdapter, Provider

FP32, TF32, FP16, BF16, INT8 = Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16, Precision.INT8
_PLAIN: Dict[Precision, Dict[str, str]] = {FP32: {}, FP16: {}}
# NVIDIA's libraries round fp32 matrices to TF32 unless told not to; TensorRT's provider has no option for it.
_NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}

PROVIDERS = {
    "cpu": Provider(CPU, "onnxruntime", by_precision={**_PLAIN, INT8: {}}),
    "cuda": Provider(
        "CUDAExecutionProvider", "onnxruntime-gpu", by_precision={FP32: {"use_tf32": "0"}, TF32: {"use_tf32": "1"}, FP16: {}}
    ),
    "tensorrt": Provider(
        "TensorrtExecutionProvider",
        "onnxruntime-gpu with TensorRT",
        by_precision={FP32: {}, FP16: {"trt_fp16_enable": "1"}},
        environment=_NO_TF32,
    ),
    "tensorrt-rtx": Provider(
        "NvTensorRTRTXExecutionProvider", "a build with TensorRT for RTX", by_precision=_PLAIN, environment=_NO_TF32
    ),
    "rocm": Provider("ROCMExecutionProvider", "onnxruntime-rocm, up to 1.22, or the build in Hygon's DTK", by_precision=_PLAIN),
    "migraphx": Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx", by_precision=_PLAIN),
    "dml": Provider("DmlExecutionProvider", "onnxruntime-directml", by_precision=_PLAIN),
    "cann": Provider(
        "CANNExecutionProvider",
        "onnxruntime-cann",
        {"precision_mode": "must_keep_origin_dtype"},  # the default is force_fp16
        _PLAIN,
    ),
    "musa": Provider("MUSAExecutionProvider", "Moore Threads' build of ONNX Runtime", by_precision=_PLAIN),
    "maca": Provider("MACAExecutionProvider", "onnxruntime-maca of MetaX's MXMACA SDK", by_precision=_PLAIN),
    "qnn": Provider(
        "QNNExecutionProvider", "onnxruntime-qnn", {"backend_type": "htp"}, {FP16: {"enable_htp_fp16_precision": "1"}}
    ),
    "qnn-cpu": Provider("QNNExecutionProvider", "onnxruntime-qnn", {"backend_type": "cpu"}, {FP32: {}}),
    "coreml": Provider(
        "CoreMLExecutionProvider",
        "onnxruntime for macOS",
        {"ModelFormat": "MLProgram"},
        {FP32: {"MLComputeUnits": "CPUAndGPU"}, FP16: {"MLComputeUnits": "ALL"}},  # the neural engine knows no fp32
    ),
    "vitisai": Provider("VitisAIExecutionProvider", "onnxruntime-vitisai", by_precision={BF16: {}}),  # takes fp32, runs bf16
    "webgpu": Provider("WebGpuExecutionProvider", "onnxruntime-webgpu", by_precision=_PLAIN),
    "xnnpack": Provider("XnnpackExecutionProvider", "a build with XNNPACK", by_precision={FP32: {}}),
    "dnnl": Provider("DnnlExecutionProvider", "a build with oneDNN", by_precision={FP32: {}}),
}
DEVICES = {device: tuple(provider.by_precision) for device, provider in PROVIDERS.items()}


class OnnxRuntimeAdapter(OnnxSessionAdapter):
    """Runs the ONNX form in an onnxruntime session, on one execution provider."""

    name = "onnxruntime"
    vendor = "Microsoft"
    module = "onnxruntime"
    providers = PROVIDERS
    devices = DEVICES
    evidence = dict.fromkeys(("cpu", "qnn-cpu", "xnnpack", "dnnl"), Evidence.HOST)
    distributions = ("onnxruntime", "onnx")
    install_hint = "pip install onnxruntime"
