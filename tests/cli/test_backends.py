"""Backends that live in environments of their own, made as a person makes them: downloads, real compilers, real runtimes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import Run

pytestmark = [pytest.mark.backends, pytest.mark.timeout(1800)]


@pytest.mark.slow
def test_iree_compiles_runs_and_deploys_from_an_environment_of_its_own(
    porting: Run, setting: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (absent,) = porting("check", "small_models:narrow", "--on", "iree:cpu:fp32", "--format", "json").json()
    assert (absent["outcome"], absent["cause"]) == ("unavailable", "missing_dependency")
    assert "porting env create iree" in absent["message"]
    made = porting("env", "create", "iree")
    assert "runs on cpu; compiles for rocm-gfx908" in made.out, made.err

    # The suite runs where the backend lives, which has no pytest of its own; another process prints.
    python = own_cache / "environments" / "iree" / "bin" / "python"
    suite = [sys.executable, "-m", "porting", "env", "test", "iree", "-k", "declares or other_sizes or metal"]
    done = subprocess.run(suite, cwd=setting, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert subprocess.run([python, "-c", "import pytest"], capture_output=True).returncode != 0

    models = ("small_models:narrow", "transformers/bert")
    found = porting("check", *models, "--on", "iree:cpu:fp32", "--format", "json").json()
    assert [(r["outcome"], r["evidence"], r["effective_precision"]) for r in found] == [("pass", "host", "fp32")] * 2
    bert = found[1]
    assert bert["axes"] == {"batch": "dynamic", "sequence": "dynamic"}
    assert bert["placement"]["target_ops"] > 20
    assert bert["environment"]["iree"].startswith("3.")

    (parted,) = porting("check", "pretrained/silero-vad", "--on", "iree:cpu:fp32", "--format", "json").json()
    assert (parted["outcome"], parted["cause"], parted["passes_with"]) == ("degraded", "fallback", ["host=If"]), parted["message"]
    assert parted["placement"]["detail"]["If (left to the host)"] == 1
    refused = next(
        line for line in parted["attempts"] if line.startswith("onnx-fp32-dynamic: unsupported (unsupported_op) at convert")
    )
    assert "CompileError: error code: 1: failed to legalize" in refused
    assert "(onnx.If)" in refused

    assert porting("convert", "small_models:narrow", "--to", "iree:cpu:fp32", "-o", "port").code == 0
    chips = "iree:rocm-gfx942:fp32,iree:vulkan-valhall4:fp32,iree:rocm-gfx906:fp32"
    mi300, mali, unknown = porting("check", "small_models:narrow", "--on", chips, "--format", "json").json()
    for compiled in (mi300, mali):
        told = (compiled["stage"], compiled["outcome"], compiled["evidence"], compiled["cases"])
        assert told == ("convert", "pass", "compiled", []), compiled["message"]
    assert mi300["placement"]["target_ops"] >= 1
    assert (unknown["outcome"], unknown["cause"]) == ("unsupported", "unsupported_target")
    assert "it knows rocm-gfx908, " in unknown["message"]
    assert "compiled" in porting("check", "small_models:narrow", "--on", chips).out
    written = porting("convert", "small_models:narrow", "--to", "iree:rocm-gfx942:fp32", "-o", "mi300")
    assert "Where the target is, prove it: python mi300/run.py --check" in written.out
    assert {"model.vmfb", "run.py", "backend.py", "sample.npz", "port.json"} <= {p.name for p in (setting / "mi300").iterdir()}

    done = subprocess.run([python, "run.py", "--check"], cwd=setting / "port", capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differs by" in done.stdout


def test_what_iree_cannot_compile_is_named(porting: Run, setting: Path) -> None:
    from porting.adapters.iree.adapter import IreeAdapter
    from porting.adapters.iree.compiler import CompileError, diagnosis

    from porting.types import Cause, Outcome

    printed = (
        "Error invoking IREE compiler tool iree-compile\nError code: 1\nDiagnostics:\n/tmp/model.mlir:91:13: error: failed to "
        "legalize operation 'torch.operator' that was explicitly marked illegal: %358 = \"torch.operator\"(%357) "
        '<{name = "onnx.If"}>' + " ({...}" * 400
    )
    said = diagnosis(printed)
    assert said.startswith("error code: 1: failed to legalize operation 'torch.operator'")
    assert said.endswith("(onnx.If)")
    assert len(said) < 300
    assert diagnosis("Error code: -6\nLLVM ERROR: Cannot select: x\nStack dump:\n") == "error code: -6: Cannot select: x"
    classify = IreeAdapter().classify
    assert classify(CompileError(said)) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)
    assert classify(CompileError(diagnosis("Error code: -11\nDiagnostics:\n"))) == (Outcome.FAIL, Cause.CRASH)


@pytest.mark.slow
def test_tvm_takes_sizes_that_vary_wherever_an_operator_takes_a_number(porting: Run, setting: Path, own_cache: Path) -> None:
    made = porting("env", "create", "tvm")
    assert "runs on cpu" in made.out, made.err
    how = ("--on", "tvm:cpu:fp32", "--route", "usual", "--format", "json")
    (found,) = porting("check", "small_models:sizes", *how).json()
    assert (found["outcome"], found["evidence"]) == ("pass", "host"), found["message"]
    assert found["form"] == "pt2-fp32-dynamic"
    assert found["axes"] == {"batch": "dynamic", "sequence": "dynamic"}


def test_ncnn_gets_as_layers_what_pnnx_leaves_out(porting: Run, setting: Path, own_cache: Path) -> None:
    made = porting("env", "create", "ncnn")
    assert "runs on cpu" in made.out, made.err
    python = own_cache / "environments" / "ncnn" / "bin" / "python"
    by_itself = [python, Path(__file__).parents[1] / "ncnn_on_ncnn.py"]
    done = subprocess.run(by_itself, cwd=setting, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " cases, 0 wrong" in done.stdout

    (found,) = porting("check", "transformers/roberta", "--on", "ncnn:cpu:fp32", "--format", "json").json()
    assert (found["outcome"], found["evidence"], found["form"]) == ("pass", "host", "aten-fp32-static"), found["message"]
    assert found["attempts"][0].startswith(
        "pt2-fp32-static: unsupported (unsupported_op) at convert: UnsupportedError: ncnn has no"
    )

    assert porting("convert", "transformers/roberta", "--to", "ncnn:cpu:fp32", "-o", "port").code == 0
    done = subprocess.run([python, "run.py", "--check"], cwd=setting / "port", capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differs by" in done.stdout
