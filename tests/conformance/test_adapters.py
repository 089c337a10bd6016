"""The shipped conformance suite over the built-in adapters."""

from __future__ import annotations

import pytest

from porting import registry
from porting.conformance import AdapterConformance


class TestOnnxRuntime(AdapterConformance):
    adapter = registry.adapter("onnxruntime")


class TestTorch(AdapterConformance):
    adapter = registry.adapter("torch")


@pytest.mark.slow  # every form is compiled by a C++ compiler
class TestInductor(AdapterConformance):
    adapter = registry.adapter("inductor")


@pytest.mark.slow  # lowering takes its time
class TestExecuTorch(AdapterConformance):
    """Skipped where ExecuTorch is not in this environment; see `make backends-test`."""

    adapter = registry.adapter("executorch")


@pytest.mark.slow  # every form is compiled by a C++ compiler
class TestAotInductor(AdapterConformance):
    adapter = registry.adapter("aotinductor")


class TestIree(AdapterConformance):
    """Skipped where IREE is not in this environment; see `make backends-test`."""

    adapter = registry.adapter("iree")


class TestTvm(AdapterConformance):
    """Skipped where TVM is not in this environment; see `make backends-test`."""

    adapter = registry.adapter("tvm")


class TestMnn(AdapterConformance):
    """Skipped where MNN is not in this environment."""

    adapter = registry.adapter("mnn")


class TestNcnn(AdapterConformance):
    """Skipped where ncnn is not in this environment."""

    adapter = registry.adapter("ncnn")


class TestOnnxRuntimeOpenVino(AdapterConformance):
    """Skipped where onnxruntime is another distribution's; see `make backends-test`."""

    adapter = registry.adapter("onnxruntime_openvino")


class TestLiteRt(AdapterConformance):
    """Skipped where LiteRT is not in this environment; see `make backends-test`."""

    adapter = registry.adapter("litert")


class TestJax(AdapterConformance):
    """Skipped where JAX is not in this environment; see `make backends-test`."""

    adapter = registry.adapter("jax")


class TestTinygrad(AdapterConformance):
    """Skipped where tinygrad or clang is not here; see `make backends-test`."""

    adapter = registry.adapter("tinygrad")


@pytest.mark.slow  # every form is built twice for each chip
class TestRknn(AdapterConformance):
    """Skipped where rknn-toolkit2 is not in this environment; see `make domestic`."""

    adapter = registry.adapter("rknn")


@pytest.mark.slow  # every run starts a simulator
class TestTpuMlir(AdapterConformance):
    """Skipped where tpu-mlir is not in this environment; see `make domestic`."""

    adapter = registry.adapter("tpu_mlir")


class TestVirtual(AdapterConformance):
    adapter = registry.adapter("virtual")


class TestStatic(AdapterConformance):
    adapter = registry.adapter("static")


class TestStaticOnnx(AdapterConformance):
    adapter = registry.adapter("static_onnx")


class TestOpenVino(AdapterConformance):
    adapter = registry.adapter("openvino")


def test_every_built_in_adapter_is_in_this_suite() -> None:
    tested = {cls.adapter.name for cls in AdapterConformance.__subclasses__() if cls.__module__ == __name__}
    assert tested == {name for name in registry.names() if registry.module_of(name).startswith("porting.adapters.")}
