"""Language models in their served form on the command line: generation on the target, and faults that only generation shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Run

pytest.importorskip("transformers")

MODEL = "transformers/qwen3-served"
TARGETS = ("onnxruntime:cpu:fp32", "faulty:cache_off_by_one:fp32", "faulty:token_dropped:fp32")


def test_generation_is_held_against_eager_and_a_fault_in_the_cache_is_a_mismatch(porting: Run, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "results.db")
    done = porting("check", MODEL, "--on", ",".join(TARGETS), "--format", "json", *store)
    assert done.code == 1, done.err
    right, shifted, dropped = (next(r for r in done.json() if r["target"] == target) for target in TARGETS)

    assert right["outcome"] == "pass"
    assert "64 greedy tokens equal eager's" in right["message"]
    assert [(g["name"], g["tokens"], g["equal"], g["row"]) for g in right["generation"]] == [
        ("greedy", 16, 16, None),
        ("greedy-chunked", 16, 16, None),
    ]
    assert all(g["distinct"] > 4 for g in right["generation"])
    assert right["axes"] == {"batch": "dynamic", "past_sequence": "dynamic", "sequence": "dynamic"}

    for wrong in (shifted, dropped):
        assert (wrong["outcome"], wrong["cause"], wrong["stage"]) == ("mismatch", "tokens", "compare")
        assert "eager's" in wrong["message"]
        assert all(o["rel_norm"] <= o["allowed_rel_norm"] for case in wrong["cases"] for o in case["outputs"])
        worst = max(wrong["generation"], key=lambda g: g["gap"] or 0)
        assert worst["equal"] < 16
        assert worst["gap"] > worst["allowed_gap"]

    told = porting("explain", MODEL, TARGETS[1], *store).out
    assert "DIFFERENT" in told
    assert "equal to eager's" in porting("explain", MODEL, TARGETS[0], *store).out
    table = porting("report", MODEL, "--format", "markdown", *store).out
    assert "## Greedy generation" in table
    assert "| greedy-chunked | 16 of 16 |" in table.replace("`", "")
