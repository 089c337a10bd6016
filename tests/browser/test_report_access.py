"""Pages under axe, which knows most of WCAG 2 A and AA that a program can check: every kind of page, in both themes."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser

PAGES = [
    ("plausible",),
    ("plausible", "matrix"),
    ("plausible", "changes"),
    ("plausible", "unlock"),
    ("plausible", "model", "transformers/bert"),
    ("plausible", "target", "openvino:cpu:bf16"),
    ("plausible", "cell", "transformers/gemma3", "openvino:cpu:bf16"),
    ("every_kind", "matrix"),
]
RUN = """async tags => {
    const found = await axe.run({preload: false, runOnly: {type: "tag", values: tags}});
    return found.violations.flatMap(({id, nodes}) => nodes.map(({target}) => `${id}: ${target}`));
}"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.mark.parametrize("page_of", PAGES, ids=lambda p: "/".join(p[:2]))
def test_axe_finds_no_fault_in_either_theme(open_report: Any, axe: str, page_of: tuple[str, ...]) -> None:
    page = open_report(*page_of)
    page.evaluate(axe)
    faults = {}
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        faults[theme] = page.evaluate(RUN, TAGS)
    assert faults == {"light": [], "dark": []}


def test_axe_finds_no_fault_on_a_phone(open_report: Any, axe: str) -> None:
    page = open_report("plausible", "matrix", width=390, height=844, has_touch=True, is_mobile=True, locale="zh-CN")
    page.evaluate(axe)
    assert page.evaluate(RUN, TAGS) == []
