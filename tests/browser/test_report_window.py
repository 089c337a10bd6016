"""The matrix of 1,100 models on 20 targets: of its rows only those in sight are made, and none is out of reach."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytestmark = pytest.mark.browser

LAST = "#grid tr[aria-rowindex='1101']"


def flat(open_report: Any, **context: Any) -> Any:
    page = open_report("large", "matrix", **context)
    page.locator("#group").select_option("none")
    return page


def test_rows_are_made_as_they_come_into_sight(open_report: Any) -> None:
    page = flat(open_report)
    assert page.locator("#grid table").get_attribute("aria-rowcount") == "1101"
    assert page.locator(LAST).count() == 0
    page.locator("#grid").evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
    page.locator(LAST).wait_for()
    assert page.locator("#grid tr.model").count() < 100


def test_the_keyboard_reaches_the_last_row_and_the_first(open_report: Any) -> None:
    page = flat(open_report)
    page.locator("#grid a.cell[data-model]").first.focus()
    page.keyboard.press("Control+End")
    page.locator(f"{LAST} a.cell:focus").wait_for()
    page.keyboard.press("ArrowUp")
    page.locator("#grid tr[aria-rowindex='1100'] a.cell:focus").wait_for()
    page.keyboard.press("Control+Home")
    page.locator("#grid tr[aria-rowindex='2'] a.cell:focus").wait_for()


def test_the_cell_with_the_focus_stays_when_it_is_scrolled_out_of_sight(open_report: Any) -> None:
    page = flat(open_report)
    page.locator("#grid a.cell[data-model]").first.focus()
    page.locator("#grid").evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
    page.locator(LAST).wait_for()
    page.keyboard.press("ArrowDown")
    page.locator("#grid tr[aria-rowindex='3'] a.cell:focus").wait_for()


def test_who_comes_back_from_a_cell_far_down_finds_it_focused(open_report: Any) -> None:
    page = flat(open_report)
    page.locator("#grid a.cell[data-model]").first.focus()
    page.keyboard.press("Control+End")
    page.locator(f"{LAST} a.cell:focus").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_selector("main[data-page=cell]")
    page.keyboard.press("Escape")
    page.locator(f"{LAST} a.cell:focus").wait_for()
    assert page.locator(LAST).evaluate("row => row.getBoundingClientRect().bottom <= innerHeight")


def test_paper_has_every_row(open_report: Any) -> None:
    page = flat(open_report)
    page.set_default_timeout(120_000)  # all 22,000 cells are made
    page.emulate_media(media="print")
    page.locator(LAST).wait_for(state="attached")
    assert page.locator("#grid tr.model").count() == 1_100
    page.emulate_media(media="screen")
    page.locator(LAST).wait_for(state="detached")


def test_a_phone_scrolls_through_rows_of_several_lines(open_report: Any) -> None:
    page = flat(open_report, width=390, height=844, has_touch=True, is_mobile=True)
    page.locator("#grid").evaluate("grid => { grid.scrollTop = 20_000; }")
    first = "Number(document.querySelector('#grid tr.model')?.dataset.index) > 100"
    while not page.evaluate(first):  # not wait_for_function: the page allows no eval, by which that one asks again
        page.wait_for_timeout(50)
    edges = "rows => rows.map(row => row.getBoundingClientRect()).map(box => [box.top, box.bottom])"
    seen = page.locator("#grid tr.model").evaluate_all(edges)
    assert len(seen) > 5
    assert all(below[0] >= above[1] - 1 for above, below in itertools.pairwise(seen))


def test_the_cell_with_the_focus_is_never_covered_by_heads_names_or_the_line_below(open_report: Any) -> None:
    page = flat(open_report, width=900, height=700)
    page.locator("#grid a.cell[data-model]").first.focus()
    covered = []
    for key in ["ArrowDown"] * 25 + ["ArrowUp"] * 24 + ["End"] + ["ArrowLeft"] * 19:
        page.keyboard.press(key)
        if not page.evaluate(UNCOVERED):
            covered.append(focused(page))
    assert covered == []


UNCOVERED = """() => {
    const box = document.activeElement.getBoundingClientRect();
    return document.activeElement.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
}"""


def focused(page: Any) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label')")
