"""What the pages tell beside the present state: what changed, how it came to be, what to mend first, what may be compared."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import sample_results as sample

from porting.report.html import write_site
from porting.types import Outcome

pytestmark = pytest.mark.browser


def test_the_front_page_tells_what_changed_and_leads_to_it(open_report: Any) -> None:
    page = open_report("plausible")
    tallies = [" ".join(text.split()) for text in page.locator(".tallies li").all_inner_texts()]
    assert tallies == ["1 broke", "1 claim less", "1 drifted", "1 were mended"]
    page.locator(".tallies a").first.click()
    page.locator("#grid th").first.wait_for()
    assert page.locator("#grid tr.model th").all_text_contents() == ["transformers/whisper"]


def test_the_page_of_changes_tells_what_a_cell_was_and_is(open_report: Any) -> None:
    page = open_report("plausible", "changes")
    broken = page.locator(".changes li", has_text="transformers/whisper")
    assert broken.locator(".turn").get_attribute("aria-label") == "pass, host → fail, host"
    assert "segmentation fault" in broken.inner_text()
    drifted = page.locator(".changes li", has_text="transformers/clip").inner_text()
    assert re.search(r"\d+% → \d+%", drifted)
    assert "torch 2.12.1 → 2.13.0" in page.locator(".versions").inner_text()


def test_a_cell_tells_since_when_it_is_so_and_what_moved_then(open_report: Any) -> None:
    page = open_report("plausible", "cell", "transformers/whisper", "inductor:cpu:fp32")
    section = page.locator("section", has_text="How it came to be so").last.inner_text()
    assert "Until 24 November 2026" in section
    assert "pass on host evidence" in section
    assert "torch 2.12.1 → 2.13.0" in section
    assert f"factory sha256:{'a' * 12}… → sha256:{'b' * 12}…" in section
    assert "the bundle" in section
    assert '"turn"' not in page.locator("#record").text_content()
    page = open_report("plausible", "cell", "transformers/bert", "onnxruntime:cpu:fp32")
    assert "20 November 2026" in page.locator(".verdict dl").inner_text()
    assert page.locator("text=How it came to be so").count() == 0


def test_a_cell_tells_what_was_found_out_and_how_to_find_out_more(open_report: Any) -> None:
    matrix = sample.plausible()
    wrong = next(r for r in matrix.results() if r.outcome is Outcome.MISMATCH)
    page = open_report("plausible", "cell", wrong.model, wrong.target)
    section = page.locator("section", has_text="What was found out").last.inner_text()
    for text in (
        "operators are wrong by themselves",
        "MatMul (mismatch) at modeling_gemma3.py:287",
        "(139 bytes)",
        "porting locate",
    ):
        assert text in section
    assert '"known"' not in page.locator("#record").text_content()
    right = next(r for r in matrix.results() if r.outcome is Outcome.PASS)
    page = open_report("plausible", "cell", right.model, right.target)
    assert page.locator("text=What was found out").count() == 0


def test_a_first_report_says_that_there_is_nothing_to_compare_with(browser: Any, tmp_path: Path) -> None:
    matrix = sample.plausible()
    assert matrix.story is not None
    first = dataclasses.replace(matrix.story, known=0, new=130, changes=(), days=())
    text = front_page(browser, write_site(dataclasses.replace(matrix, story=first), tmp_path))
    assert "there is nothing to hold them against" in text


def test_a_report_of_no_store_has_no_page_of_changes(browser: Any, tmp_path: Path) -> None:
    text = front_page(browser, write_site(dataclasses.replace(sample.plausible(), story=None), tmp_path))
    assert "What changed" not in text
    assert "What to mend first" not in text


def front_page(browser: Any, index: Path) -> str:
    page = browser.new_page(locale="en-GB")
    page.goto(index.as_uri())
    page.wait_for_selector("main[data-page]")
    text: str = page.locator("body").inner_text()
    page.close()
    return text


def test_what_to_mend_first_is_told_by_what_it_rests_on_and_leads_to_the_smallest_case(open_report: Any) -> None:
    page = open_report("plausible", "unlock")
    row = page.locator(".unlock tbody tr", has_text="RotaryEmbedding")
    assert "4 alone of 4" in row.inner_text()
    assert "4 static" in row.locator(".rests").inner_text()
    assert "RotaryEmbedding of float32[1, 1, 2, 4] (142 bytes)" in row.inner_text()
    row.locator("a").click()
    page.wait_for_selector("main[data-page=cell]")
    assert page.locator("h1").inner_text() == "transformers/gemma3 on magicmind:mlu370:fp16"


@pytest.mark.parametrize(
    ("target", "dashes"),
    [("onnxruntime:cpu:fp32", "none"), ("acl:ascend910b:fp16", "6px, 4px"), ("iree:rocm-gfx942:fp16", "1.5px, 4px")],
)
def test_passes_over_time_are_drawn_as_their_evidence_is(open_report: Any, target: str, dashes: str) -> None:
    page = open_report("plausible", "target", target)
    lines = page.locator(".chart .line")
    assert [line.evaluate("line => getComputedStyle(line).strokeDasharray") for line in lines.all()] == [dashes]


def test_passes_over_time_can_be_read_as_a_table(open_report: Any) -> None:
    page = open_report("plausible", "target", "onnxruntime:cpu:fp32")
    page.get_by_text("As a table").click()
    rows = [row.split("\t") for row in page.locator(".as-table tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == ["20 November 2026", "22 November 2026", "24 November 2026"]
    assert [row[1:] for row in rows[1:]] == [["10", "12"], ["11", "12"]]


def test_errors_over_the_limit_are_drawn_to_the_right_of_the_line(open_report: Any) -> None:
    page = open_report("plausible", "target", "openvino:cpu:bf16")
    line = page.locator(".chart .border").bounding_box()["x"]
    bars = page.locator(".chart .bar")
    places = [(bar.bounding_box()["x"] >= line, "over" in bar.get_attribute("class")) for bar in bars.all()]
    assert {over for over, _ in places} == {True, False}
    assert all(right is over for right, over in places)


@pytest.mark.parametrize(("target", "full"), [("onnxruntime:cpu:fp32", True), ("acl:ascend910b:fp16", False)])
def test_errors_on_a_stand_in_are_framed_and_not_full(open_report: Any, target: str, full: bool) -> None:
    page = open_report("plausible", "target", target)
    strokes = page.locator(".chart .bar").evaluate_all("bars => bars.map(bar => getComputedStyle(bar).stroke)")
    assert {stroke == "none" for stroke in strokes} == {full}


def test_targets_are_compared_only_where_one_run_measured_them_here(open_report: Any, browser: Any, tmp_path: Path) -> None:
    page = open_report("plausible", "model", "transformers/bert")
    compared = page.locator("section", has_text="Between targets").locator("tbody tr").all_inner_texts()
    assert len(compared) > 4
    assert {row.split()[1].split(":")[0] for row in compared} <= {"onnxruntime", "openvino", "inductor", "torch"}
    matrix = sample.plausible()
    assert matrix.story is not None
    elsewhere = dataclasses.replace(matrix, story=dataclasses.replace(matrix.story, alone=frozenset({"another run"})))
    other = browser.new_page(locale="en-GB")
    other.goto(write_site(elsewhere, tmp_path).as_uri() + "#/model/transformers%2Fbert")
    other.wait_for_selector("main[data-page=model]")
    assert "Between targets" not in other.locator("main").inner_text()
    other.close()


@pytest.mark.parametrize("outcome", ["pass", "fail"])
def test_a_family_in_short_draws_what_did_not_run_as_such(open_report: Any, outcome: str) -> None:
    page = open_report("every_kind", "matrix", query=f"is:{outcome}")
    page.locator("#group").select_option("family")
    page.locator("[data-action=section]").click()
    colours = "cells => cells.map(cell => getComputedStyle(cell).backgroundColor)"
    fills = page.locator("tr.group td .cell").evaluate_all(colours)
    hollow = "rgba(0, 0, 0, 0)"
    assert [fill == hollow for fill in fills] == [False, False, False, True, True, True]  # hardware, simulator, host; virtual ...


@pytest.mark.parametrize(("outcome", "shown"), [("fail", ["0"] * 6), ("missing", []), ("unavailable", [])])
def test_a_family_in_short_tells_nothing_right_from_nothing_tried(open_report: Any, outcome: str, shown: list[str]) -> None:
    page = open_report("every_kind", "matrix", query=f"kinds/{outcome}")
    page.locator("#group").select_option("family")
    page.locator("[data-action=section]").click()
    assert page.locator("#grid tr.group .zero").all_inner_texts() == shown
