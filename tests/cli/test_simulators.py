"""The vendors' own simulators, in environments of their own, made as a person makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cli_kit import Run

pytestmark = [pytest.mark.backends, pytest.mark.timeout(1800)]


def test_a_model_runs_on_rockchips_simulator(porting: Run, setting: Path, own_cache: Path) -> None:
    made = porting("env", "create", "rknn")
    assert "runs on rk3588, rk3576" in made.out, made.err
    targets = "rknn:rk3588:fp16,rknn:rk3566:int8"
    found = porting("check", "timm/resnet18", "--on", targets, "--format", "json").json()
    assert [(r["outcome"], r["evidence"], r["effective_precision"]) for r in found] == [
        ("pass", "simulator", "fp16"),
        ("pass", "simulator", "int8"),
    ], found
    for result in found:
        assert result["placement"]["target_ops"] > 20
        assert result["placement"]["arithmetic"] > 0.99
        assert result["placement"]["cycles"] > 100_000
    assert "cycles a run, by the vendor's own estimate" in porting("explain", "timm/resnet18", "rknn:rk3588:fp16").out
    (refused,) = porting("check", "pretrained/silero-vad", "--on", "rknn:rk3588:fp16", "--format", "json").json()
    assert (refused["outcome"], refused["cause"]) == ("unsupported", "control_flow")
    assert porting("convert", "timm/resnet18", "--to", "rknn:rk3588:fp16", "-o", "port").code == 0
    python = own_cache / "environments" / "rknn" / "bin" / "python"
    done = subprocess.run([python, "run.py", "--check"], cwd=setting / "port", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in the simulator for rknn:rk3588:fp16" in done.stdout


def test_a_model_runs_on_sophgos_simulator(porting: Run, setting: Path, own_cache: Path) -> None:
    made = porting("env", "create", "tpu_mlir")
    if made.code == 3 and "Python 3.10 is not here" in made.err:
        pytest.skip(made.err.strip())
    assert "runs on bm1684x, bm1688" in made.out, made.err
    targets = "tpu_mlir:bm1684x:fp16,tpu_mlir:bm1688:fp32,tpu_mlir:cv184x:int8"
    found = porting("check", "small_models:narrow", "--on", targets, "--format", "json").json()
    told = [(r["outcome"], r["evidence"], r["effective_precision"]) for r in found]
    assert told == [("pass", "simulator", precision) for precision in ("fp16", "fp32", "int8")], found
    assert porting("convert", "small_models:narrow", "--to", "tpu_mlir:bm1684x:fp16", "-o", "port").code == 0
    python = own_cache / "environments" / "tpu_mlir" / "bin" / "python"
    done = subprocess.run([python, "run.py", "--check"], cwd=setting / "port", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
