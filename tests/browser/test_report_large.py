"""1,100 models on 20 targets: the published records, multiplied (benchmarks/report_site.py, which also measures)."""

from __future__ import annotations

from typing import Any

import pytest
from test_report_access import RUN, TAGS

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_every_group_can_be_opened_and_every_cell_reached_by_keyboard(open_report: Any) -> None:
    page = open_report("published", "matrix")
    heights = []  # in rows
    for button in ("open all", "close all", "open all"):
        page.get_by_role("button", name=button).click()
        heights.append(int(page.locator("#grid table").get_attribute("aria-rowcount")))
    assert heights[0] == heights[2] == heights[1] + 1_100
    page.locator("#grid a.cell[data-model]").first.focus()
    for key in ("End", "ArrowDown", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("main[data-page=cell]")
    page.keyboard.press("Escape")
    page.wait_for_selector("main[data-page=matrix]")
    assert page.evaluate("document.activeElement.dataset.target") == "18"


def test_a_filter_finds_models_and_cells_and_counts_them(open_report: Any) -> None:
    page = open_report("published", "matrix", query="resnet is:mismatch on:int8")
    models, cells = page.locator("#shown").inner_text().split(" · ")
    assert models.endswith("of 1,100 models")
    assert int(cells.split()[0]) == page.locator("#grid a.cell[data-model]:not(.dim)").count() > 0
    names = page.locator("#grid tr.model th").all_text_contents()
    assert all("resnet" in name for name in names)
    page.locator("#query").fill("is:pass")
    assert page.locator("#grid tr.model").count() < 10  # too many to be of use: groups, with what was found counted
    assert page.locator("#grid tr.group .cell").count() > 50


def test_a_link_from_elsewhere_opens_a_model(open_report: Any) -> None:
    page = open_report("published", "model", "timm/resnet18~2")
    assert page.locator("main tbody tr").count() >= 20


@pytest.mark.parametrize("page_of", [(), ("matrix",), ("changes",)], ids=lambda p: "/".join(p) or "overview")
def test_axe_finds_no_fault(open_report: Any, axe: str, page_of: tuple[str, ...]) -> None:
    page = open_report("published", *page_of)
    page.set_default_timeout(120_000)
    page.evaluate(axe)
    assert page.evaluate(RUN, TAGS) == []
