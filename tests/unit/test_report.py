"""The reports: what they count, what they say, and that text from outside stays text."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from typing import Any

import pytest
import sample_results as sample
from rich.console import Console

from porting.report import Matrix, explain, json_, markdown, reasons, tally
from porting.report.numerics import worst
from porting.report.table import print_matrix
from porting.serialization import from_json
from porting.types import CaseNumbers, Evidence, GenerationNumbers, Outcome, Placement, Result


def printed(matrix: Matrix, width: int = 300, **console: Any) -> str:
    file = io.StringIO()
    print_matrix(matrix, Console(file=file, width=width, **console))
    return file.getvalue()


def of_target(matrix: Matrix, evidence: Evidence) -> str:
    return next(t.id for t in matrix.targets if t.evidence is evidence)


# ---- counts -------------------------------------------------------------------------------------------------------


def test_passes_of_different_evidence_are_counted_apart() -> None:
    counts = tally(sample.plausible().results())
    assert counts.claims() == {
        Evidence.HARDWARE: 10,
        Evidence.SIMULATOR: 10,
        Evidence.HOST: 54,
        Evidence.VIRTUAL: 10,
        Evidence.COMPILED: 12,
        Evidence.STATIC: 8,
    }


@pytest.mark.parametrize("claim", [Outcome.PASS, Outcome.DEGRADED])
def test_a_sum_of_claims_over_all_evidence_is_refused(claim: Outcome) -> None:
    with pytest.raises(ValueError, match="by evidence"):
        tally(sample.plausible().results()).of(claim)


def test_every_planned_cell_is_counted_also_those_without_a_record() -> None:
    matrix = sample.plausible()
    counts = tally(matrix.results())
    assert counts.total == len(matrix.models) * len(matrix.targets)
    assert counts.of(Outcome.MISSING) == 2


def test_a_planned_cell_without_a_record_is_missing_and_says_how_to_make_one() -> None:
    result = sample.plausible().result("silero/vad", "rknn:rk3588:fp16")
    assert result.outcome is Outcome.MISSING
    assert result.evidence is None
    assert result.reproduce == "porting check silero/vad --on rknn:rk3588:fp16"


def test_reasons_gather_cells_of_one_signature_and_the_most_frequent_comes_first() -> None:
    found = reasons(r for r in sample.plausible().results() if r.outcome is Outcome.UNSUPPORTED)
    assert [(r.signature, len(r.cells), r.models) for r in found] == [("20bb41", 4, 4), ("9f2c1e", 2, 2)]


def test_one_signature_under_two_outcomes_makes_two_reasons() -> None:
    cells = [
        sample.result("m", "t", outcome, Evidence.HOST, signature="abcdef", message="the same words")
        for outcome in (Outcome.FAIL, Outcome.UNSUPPORTED)
    ]
    assert {r.outcome for r in reasons(cells)} == {Outcome.FAIL, Outcome.UNSUPPORTED}


# ---- worst number -------------------------------------------------------------------------------------------------


def judged(*cases: CaseNumbers) -> Result:
    return sample.result("m", "t", Outcome.PASS, Evidence.HOST, cases=cases)


def test_the_worst_number_is_the_largest_share_of_its_own_allowance() -> None:
    big = sample.output("big", 1e-1, 0.2)
    small = sample.output("small", 1e-6, 0.9)
    found = worst(judged(CaseNumbers("a", (big,)), CaseNumbers("b", (small,))))
    assert found is not None
    assert (found.case, found.output, found.metric, round(found.ratio, 6)) == ("b", "small", "rel_norm", 0.9)


def test_a_number_that_is_not_finite_is_worse_than_any_other() -> None:
    gone = sample.output("gone", 1e-3, 1, rel_norm=None, nonfinite=7)
    found = worst(judged(CaseNumbers("a", (sample.output("off", 1e-3, 50),)), CaseNumbers("b", (gone,))))
    assert found is not None
    assert found.output == "gone"
    assert json_.record(judged(CaseNumbers("b", (gone,))))["numerics"]["worst"]["ratio"] is None


def test_flips_where_none_are_allowed_are_over_the_limit_and_none_are_within() -> None:
    flipped = sample.output("ids", 0, 0, flips=1, allowed_flips=0)
    equal = sample.output("ids", 0, 0, flips=0, allowed_flips=0)
    over, within = worst(judged(CaseNumbers("a", (flipped,)))), worst(judged(CaseNumbers("a", (equal,))))
    assert over is not None
    assert over.ratio > 1
    assert within is not None
    assert within.ratio == 0


# ---- JSON ---------------------------------------------------------------------------------------------------------

KEYS = {
    "model", "target", "stage", "outcome", "cause", "evidence", "signature", "message", "seconds", "peak_rss_bytes", "numerics",
    "placement", "reproduce",
}  # fmt: skip


def test_json_has_an_object_for_every_planned_cell_with_the_promised_keys() -> None:
    matrix = sample.plausible()
    data = json.loads(json_.render(matrix))
    assert len(data) == len(matrix.models) * len(matrix.targets)
    assert all(set(one) >= KEYS for one in data)


def test_json_numerics_tell_the_worst_number_and_every_case() -> None:
    matrix = sample.plausible()
    numerics = json_.record(matrix.result("transformers/gemma3", "openvino:cpu:bf16"))["numerics"]
    assert numerics["worst"]["case"] == "odd_length"
    assert round(numerics["worst"]["ratio"], 6) == 1.58
    assert [case["name"] for case in numerics["cases"]] == ["nominal", "other_batch", "odd_length", "padded"]


def test_json_numerics_are_null_where_nothing_was_compared() -> None:
    assert json_.record(sample.plausible().result("transformers/whisper", "inductor:cpu:fp32"))["numerics"] is None


def test_a_result_comes_back_whole_from_json() -> None:
    result = sample.plausible().result("transformers/qwen3", "onnxruntime:cpu:fp32")
    assert from_json(Result, json.loads(json.dumps(json_.record(result)))) == result


# ---- terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_names_a_pass_by_its_evidence() -> None:
    text = printed(sample.every_kind())
    (line,) = (line for line in text.splitlines() if line.startswith("kinds/pass"))
    assert line.split()[1:] == [
        "✓", "hardware", "✓", "simulator", "✓", "host", "v", "virtual", "c", "compiled", "l", "static",
    ]  # fmt: skip


def test_the_terminal_tells_for_every_fault_stage_cause_message_and_the_command_to_see_more() -> None:
    text = printed(sample.plausible())
    assert (
        "≠ mismatch  transformers/gemma3 on openvino:cpu:bf16  compare · tolerance · host: output logits of case odd_length"
        in text
    )
    assert "porting explain transformers/gemma3 openvino:cpu:bf16" in text


def test_the_terminal_tells_a_target_that_is_not_here_once_and_not_per_model() -> None:
    text = printed(sample.plausible())
    assert text.count("torch_npu is not installed") == 1
    assert "12 cells (12 models, 1 target)" in text


def test_a_terminal_too_narrow_for_words_gets_glyphs_and_a_key_and_a_narrower_one_a_list() -> None:
    matrix = sample.plausible()
    glyphs = printed(matrix, 80).splitlines()
    assert "transformers/qwen3_moe             " + "  ".join(f" {g}" for g in "✗✓✓✓✓✓-✓vc⊘") in glyphs
    assert " 10  iree:rocm-gfx942:fp16 (compiled)" in glyphs
    assert "  ✗ fail  onnxruntime:cpu:fp32" in printed(matrix, 40).splitlines()


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_matrix(sample.every_kind(), Console(file=file, width=200))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "+ host" in text
    assert "# mismatch" in text


def test_many_faults_are_told_by_reason_with_the_number_of_cells() -> None:
    text = printed(sample.large(200, 8))
    assert re.search(r"✗ fail  \d+ cells \(\d+ models, \d+ targets\)  .*: reason number \d+", text)
    assert len(text.splitlines()) < 400


def test_the_terminal_shows_escape_sequences_and_reordering_characters_instead_of_obeying_them() -> None:
    text = printed(sample.hostile(), color_system=None)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u001b[31m\\u202egnp.exe" in text
    assert sample.HOSTILE_MODEL in text


# ---- Markdown -----------------------------------------------------------------------------------------------------


def cells_of(line: str) -> list[str]:
    """Cells of a table row, as GitHub splits it: a pipe after a backslash does not part."""
    return re.split(r"(?<!\\)\|", line)[1:-1]


def test_markdown_from_outside_ends_no_cell_and_opens_no_element() -> None:
    text = markdown.render(sample.hostile())
    in_code = re.sub(r"`[^`\n]*`", "", text)
    assert "<" not in in_code
    assert "\\| \\`x\\`" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        assert len({len(cells_of(line)) for line in table.splitlines()}) == 1


@pytest.mark.parametrize("name", ["a|b", "a`b", "a\\|b", "``", "", "a\nb", "`x` | y"])
def test_any_name_is_one_cell_of_a_markdown_table(name: str) -> None:
    shown = markdown.code(name)
    assert "\n" not in shown
    unescaped = re.sub(r"\\.", "", shown)
    assert "|" not in unescaped
    assert unescaped.count("`") in (0, 2)


def test_markdown_has_the_matrix_the_legend_and_the_reasons() -> None:
    text = markdown.render(sample.plausible())
    assert "| `openvino:cpu:bf16` | host | 10 host | 0 | 2 | 0 |  |" in text
    assert "- c compiled: an artifact was produced; nothing ran" in text
    assert "| 4 | ⊘ unsupported | plan · unsupported op · static |" in text


# ---- one cell in a terminal -----------------------------------------------------------------------------------------


def test_a_cell_tells_what_ran_where_and_which_share_of_the_arithmetic() -> None:
    placement = Placement(9, 3, "npu", {"npu": 9, "cpu": 3}, 0.875)
    text = explain.text_of(dataclasses.replace(next(iter(sample.plausible().results())), placement=placement), 1)
    assert "9 operators on npu, 3 elsewhere; 87.5% of the arithmetic on the target" in text
    assert "9 npu, 3 cpu" in text
    whole = dataclasses.replace(next(iter(sample.plausible().results())), placement=Placement(9, 0, "npu"))
    assert "9 operators on npu; 100.0% of the arithmetic on the target" in explain.text_of(whole, 1)


def test_a_backend_that_cannot_tell_is_quoted_so() -> None:
    text = explain.text_of(dataclasses.replace(next(iter(sample.plausible().results())), placement=Placement(None, None, "?")), 1)
    assert "an unknown number of operators on ?" in text


def test_generation_is_told_a_prompt_each_in_the_terminal_and_in_markdown() -> None:
    equal = GenerationNumbers("greedy", 2, 16, 16, 9, 1e-6)
    tie = GenerationNumbers("chunked", 1, 16, 3, 9, 1e-6, 0, 3, 7, 8, 1e-7, 1e-6, True)
    other = dataclasses.replace(tie, name="other", gap=None, tie=False)
    matrix = sample.plausible()
    first = next(result for result in matrix.results() if result.outcome is Outcome.PASS)
    result = dataclasses.replace(first, generation=(equal, tie, other))
    told = explain.text_of(result, 1)
    assert "greedy: 16 tokens, 2 rows, equal to eager's; scores off by at most 1.0e-06" in told
    assert "chunked: 16 tokens, 1 row, equal up to a tie: token 4 of row 0 is 8, eager's 7, which leads by 1.0e-07" in told
    assert "other: 16 tokens, 1 row, DIFFERENT" in told
    assert "leads by more than can be said" in told
    cells = {**matrix.cells, (result.model, result.target): result}
    text = markdown.render(dataclasses.replace(matrix, cells=cells))
    assert f"| `{result.model}` | `{result.target}` | `chunked` | 3 of 16 | yes | 1.0e-07 |" in text
    assert "## Greedy generation" not in markdown.render(sample.every_kind())
