"""The report as a reader meets it: opened from disk in a browser, with a mouse, a keyboard, a phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sample_results as sample

from porting.report.html import PAGE
from porting.types import Evidence, Outcome

pytestmark = pytest.mark.browser

GLYPHS = {
    "pass": "✓", "degraded": "◐", "mismatch": "≠", "fail": "✗", "unsupported": "⊘", "unavailable": "\u2013", "invalid": "?",
    "skipped": "↷", "missing": "!",
}  # fmt: skip
LETTERS = {"virtual": "v", "compiled": "c", "static": "l"}
VERDICTS = ("pass", "degraded", "mismatch", "fail", "unsupported")

PAGES = [
    ("plausible",),
    ("plausible", "matrix"),
    ("plausible", "model", "silero/vad"),
    ("plausible", "target", "torch:cuda:fp16"),
    ("plausible", "cell", "transformers/gemma3", "openvino:cpu:bf16"),
    ("plausible", "changes"),
    ("plausible", "unlock"),
    ("hostile",),
    ("hostile", "matrix"),
    ("hostile", "model", sample.HOSTILE_MODEL),
    ("hostile", "cell", sample.HOSTILE_MODEL, "onnxruntime:cpu:fp32"),
    ("hostile", "changes"),
    ("hostile", "unlock"),
]


def cell(page: Any, model: str, target: str) -> Any:
    return page.locator(f'#grid a.cell[aria-label^="{model}, {target}: "]')


def rows(page: Any) -> list[str]:
    return page.locator("#grid tr.model th").all_text_contents()


def focused(page: Any) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id")


# ---- what is shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [o.value for o in Outcome])
def test_the_matrix_marks_an_outcome_by_its_glyph_on_every_evidence(open_report: Any, outcome: str) -> None:
    page = open_report("every_kind", "matrix")
    for evidence in (e.value for e in Evidence):
        shown = cell(page, f"kinds/{outcome}", f"demo:{evidence}:fp32")
        expected = LETTERS.get(evidence, "✓") if outcome == "pass" else GLYPHS[outcome]
        assert shown.inner_text()[0] == expected
        spoken = outcome if outcome == "missing" else f"{outcome}, {evidence}"
        assert shown.get_attribute("aria-label").endswith(f": {spoken}")


def appearance(page: Any, model: str, target: str) -> tuple[str, ...]:
    """What a reader without colour has: fill, border, frame, corner, glyph. Colours are reduced to there or not there."""
    script = """link => {
        const own = getComputedStyle(link), after = getComputedStyle(link, "::after");
        const hollow = own.backgroundColor === "rgba(0, 0, 0, 0)";
        return [own.backgroundImage !== "none", hollow, own.borderTopStyle, own.boxShadow !== "none", after.content !== "none",
                link.innerText[0]].map(String);
    }"""
    return tuple(cell(page, model, target).evaluate(script))


@pytest.mark.parametrize("outcome", VERDICTS)
def test_every_evidence_of_a_verdict_looks_different_without_colour(open_report: Any, outcome: str) -> None:
    page = open_report("every_kind", "matrix")
    looks = {appearance(page, f"kinds/{outcome}", f"demo:{e.value}:fp32") for e in Evidence}
    assert len(looks) == len(Evidence)


def test_the_front_page_counts_passes_of_every_evidence_in_a_card_of_its_own(open_report: Any) -> None:
    page = open_report("plausible")
    cards = page.locator(".tier").all_inner_texts()
    counts = {text.splitlines()[1].strip(): int(re.search(r"^\d+$", text, re.MULTILINE)[0]) for text in cards}  # type: ignore[index]
    assert counts == {"hardware": 10, "simulator": 10, "host": 54, "virtual": 10, "compiled": 12, "static": 8}


def test_the_front_page_draws_a_pass_that_did_not_run_as_one_that_did_not_run(open_report: Any) -> None:
    page = open_report("plausible")
    row = page.locator("tr", has_text="iree:rocm-gfx942:fp16")
    (part,) = row.locator(".stack .cell").all()
    assert part.get_attribute("aria-label") == "12 pass, compiled"
    assert part.evaluate("node => getComputedStyle(node).backgroundColor") == "rgba(0, 0, 0, 0)"


def test_the_front_page_says_that_cells_are_missing_and_leads_to_them(open_report: Any) -> None:
    page = open_report("plausible")
    page.get_by_role("link", name="2 planned cells have no record").click()
    page.locator("#grid th").first.wait_for()
    assert rows(page) == ["transformers/llama", "silero/vad"]


def test_a_reason_leads_to_the_models_it_stops(open_report: Any) -> None:
    page = open_report("plausible")
    page.locator(".reasons li", has_text="RotaryEmbedding").get_by_role("link").click()
    page.locator("#grid th").first.wait_for()
    assert rows(page) == ["transformers/qwen3", "transformers/qwen3_moe", "transformers/llama", "transformers/gemma3"]


def test_the_cell_page_tells_verdict_reason_numbers_costs_and_how_to_do_it_again(open_report: Any) -> None:
    page = open_report("plausible", "cell", "transformers/gemma3", "openvino:cpu:bf16")
    text = page.locator("main").inner_text()
    for part in (
        "The worst number is 1.6\u00d7 against what is allowed (relative L2, output logits, case odd_length).",
        "row error 9.1e-02, allowed 7.2e-02",
        "porting check transformers/gemma3 --on openvino:cpu:bf16",
        "partition 0: 369 nodes on the target",
        "421 MB",
        "2.13.0",
    ):
        assert part in text
    numbers = page.locator("table.numbers tr", has_text="odd_length").inner_text().split()
    assert numbers[2:5] == ["0.0379", "/", "0.024"]


def test_the_picture_puts_what_is_over_the_limit_to_the_right_of_the_line(open_report: Any) -> None:
    page = open_report("plausible", "cell", "transformers/gemma3", "openvino:cpu:bf16")
    for row in page.locator(".picture .strip-row:has(.dot)").all():
        line = row.locator(".beyond").bounding_box()["x"]
        over = row.locator(".strip b").inner_text() == "1.6\u00d7"
        worst = max(box["x"] + box["width"] / 2 for box in (dot.bounding_box() for dot in row.locator(".dot").all()))
        assert (worst > line) is over


def test_an_output_that_is_not_finite_is_said_to_be_so(open_report: Any) -> None:
    page = open_report("plausible", "cell", "timm/swin_tiny_patch4_window7_224", "openvino:cpu:bf16")
    assert "Output logits of case nominal is not comparable (not finite)." in page.locator(".verdict").inner_text()


def test_a_cell_page_tells_of_generation_a_prompt_each(open_report: Any) -> None:
    page = open_report("plausible", "cell", "transformers/llama", "openvino:cpu:bf16")
    tie, equal = page.locator("table.generation tbody tr").all_inner_texts()
    assert "equal up to a tie: token 4 of row 1 is 8, eager's 7, which leads by 3.1e-4; a tie up to 5.2e-4" in tie
    assert equal.split("\t")[2].strip() == "equal"


def test_a_compiled_cell_says_that_nothing_ran(open_report: Any) -> None:
    page = open_report("plausible", "cell", "transformers/bert", "iree:rocm-gfx942:fp16")
    assert "Nothing ran: whether the numbers are right is not known." in page.locator(".verdict").inner_text()


def test_a_missing_cell_says_how_to_get_a_record(open_report: Any) -> None:
    page = open_report("plausible", "cell", "silero/vad", "rknn:rk3588:fp16")
    text = page.locator("main").inner_text()
    assert "there is no record of it" in text
    assert "porting check silero/vad --on rknn:rk3588:fp16" in text


def test_the_model_page_lists_every_target_the_best_first(open_report: Any) -> None:
    page = open_report("plausible", "model", "silero/vad")
    outcomes = page.locator("main tbody td:first-child").all_inner_texts()
    assert [text.split()[-1] for text in outcomes] == [
        "hardware", "host", "host", "host", "compiled", "static", "unsupported", "unavailable", "invalid", "skipped", "missing",
    ]  # fmt: skip


def test_the_target_page_says_why_a_target_is_not_here(open_report: Any) -> None:
    page = open_report("plausible", "target", "torch:npu:bf16")
    assert "torch_npu is not installed" in page.locator(".notice").inner_text()


def test_an_address_that_leads_nowhere_says_so(open_report: Any) -> None:
    for route in (("cell", "no/such", "model"), ("nothing",)):
        page = open_report("plausible", *route)
        assert "There is no such page in this report" in page.locator("main").inner_text()


# ---- text from outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [p[1:] for p in PAGES if p[0] == "hostile"], ids=lambda r: "/".join(r[:1]) or "overview")
def test_hostile_text_stays_text(open_report: Any, route: tuple[str, ...]) -> None:
    page = open_report("hostile", *route)
    page.mouse.move(400, 400)
    assert page.locator("main").locator("img, script, svg:not(.spark, .chart svg), b[onmouseover], u, iframe").count() == 0
    own = (PAGE / "index.html").read_text(encoding="utf-8").count("<script ")
    assert page.evaluate("document.querySelectorAll('script').length") <= own + 1  # and one file of details
    if route:
        assert sample.HOSTILE_MODEL in page.locator("main").inner_text()


def test_a_hostile_log_and_message_are_shown_as_they_are(open_report: Any) -> None:
    page = open_report("hostile", "cell", sample.HOSTILE_MODEL, "onnxruntime:cpu:fp32")
    assert page.locator("pre.log").inner_text() == sample.HOSTILE_LOG
    message = page.locator(".why-message").inner_text()
    assert message.startswith("</script><script>alert(2)</script> <b onmouseover=alert(3)>& | `x`")
    assert "\u202e" not in message
    page.get_by_text("The whole record").click()
    assert '"hint": "<i>try</i> this"' in page.locator("#record").inner_text()


def test_a_hostile_name_can_be_clicked_through(open_report: Any) -> None:
    page = open_report("hostile", "matrix")
    page.locator("#grid th a", has_text="onerror").click()
    page.wait_for_selector("main[data-page=model]")
    page.locator("main tbody a").first.click()
    page.wait_for_selector("main[data-page=cell]")
    assert sample.HOSTILE_MODEL in page.locator("h1").inner_text()


# ---- filter -------------------------------------------------------------------------------------------------------

QUERIES = {
    "qwen": ["transformers/qwen3", "transformers/qwen3_moe"],
    "-transformers -timm": ["diffusers/unet2d_condition", "silero/vad"],
    "is:fail": ["transformers/qwen3_moe", "transformers/whisper", "diffusers/unet2d_condition"],
    "is:fail on:cuda": ["diffusers/unet2d_condition"],
    "is:fail,mismatch on:openvino": ["transformers/gemma3", "timm/swin_tiny_patch4_window7_224"],
    "cause:crash": ["transformers/whisper"],
    "why:9f2c1e": ["transformers/whisper", "silero/vad"],
    'why:"out of memory"': ["diffusers/unet2d_condition"],
    "ev:static is:unsupported": ["transformers/qwen3", "transformers/qwen3_moe", "transformers/llama", "transformers/gemma3"],
    "modality:audio": ["transformers/whisper", "silero/vad"],
    'house:"stability ai"': ["diffusers/unet2d_condition"],
    "count(pass)<7": ["silero/vad"],
    "stage:plan is:skipped": ["silero/vad"],
    "error:1": ["transformers/gemma3", "timm/swin_tiny_patch4_window7_224"],
    "changed:mended": ["transformers/bert"],
    "changed:broken,less-of-it": ["transformers/whisper", "timm/resnet18"],
}


@pytest.mark.parametrize("query", QUERIES)
def test_the_filter_finds_what_it_says(open_report: Any, query: str) -> None:
    page = open_report("plausible", "matrix")
    page.locator("#query").fill(query)
    assert rows(page) == QUERIES[query]
    assert page.locator("#shown").inner_text().startswith(f"{len(QUERIES[query])} of 12 models")


def test_the_filter_dims_cells_that_do_not_fit_and_counts_those_that_do(open_report: Any) -> None:
    page = open_report("plausible", "matrix", query="is:fail")
    assert "3 cells" in page.locator("#shown").inner_text()
    assert page.locator("#grid a.cell:not(.dim)").count() == 3


def test_a_term_nobody_knows_is_named(open_report: Any) -> None:
    page = open_report("plausible", "matrix", query="colour:blue")
    assert "not understood: colour:blue" in page.locator("#shown").inner_text()


def test_nothing_found_is_said(open_report: Any) -> None:
    page = open_report("plausible", "matrix", query="no-such-model")
    assert page.locator("#grid .none").inner_text() == "No model fits this filter."


def test_a_chip_adds_its_term_to_the_filter_and_takes_it_out_again(open_report: Any) -> None:
    page = open_report("plausible", "matrix", query="qwen")
    chip = page.locator("button.chip", has_text="fail")
    chip.click()
    assert page.locator("#query").input_value() == "qwen is:fail"
    assert chip.get_attribute("aria-pressed") == "true"
    assert rows(page) == ["transformers/qwen3_moe"]
    page.locator("button.chip", has_text="fail").click()
    assert page.locator("#query").input_value() == "qwen"


def test_the_filter_is_in_the_address_and_survives_a_visit_to_a_cell(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    page.locator("#query").fill("is:fail on:cuda")
    page.locator("#grid a.cell:not(.dim)").click()
    page.wait_for_selector("main[data-page=cell]")
    page.go_back()
    page.wait_for_selector("main[data-page=matrix]")
    assert page.locator("#query").input_value() == "is:fail on:cuda"
    assert rows(page) == ["diffusers/unet2d_condition"]


def test_models_can_be_grouped_and_groups_folded(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    page.locator("#group").select_option("modality")
    groups = page.locator("[data-action=section]")
    names = [text.split()[0] for text in groups.all_text_contents()]  # what is not laid out yet has no inner text
    assert names == ["text", "audio", "text+vision", "vision"]
    before = len(rows(page))
    groups.nth(1).click()
    assert len(rows(page)) == before - 2
    assert "audio" in page.evaluate("document.activeElement.innerText")


def test_a_folded_group_counts_passes_of_different_evidence_apart(open_report: Any) -> None:
    page = open_report("large", "matrix")
    counts = page.locator("#grid tr.group").first.locator("td .cell")
    titles = [counts.nth(n).get_attribute("title") for n in range(counts.count())]
    assert titles
    assert all(re.fullmatch(r"\d+ models?: pass, \w+", title or "") for title in titles)


# ---- keyboard -----------------------------------------------------------------------------------------------------


def test_arrow_keys_move_between_cells_and_enter_opens_one(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    first = cell(page, "transformers/qwen3", "onnxruntime:cpu:fp32")
    first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert focused(page).startswith("transformers/qwen3_moe, openvino:cpu:fp32:")
    page.keyboard.press("End")
    assert focused(page).startswith("transformers/qwen3_moe, magicmind:mlu370:fp16:")
    page.keyboard.press("Enter")
    page.wait_for_selector("main[data-page=cell]")
    assert page.locator("h1").inner_text() == "transformers/qwen3_moe on magicmind:mlu370:fp16"


def test_one_cell_of_the_matrix_is_in_the_tab_order(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    assert page.locator("#grid [tabindex='0']").count() == 1
    cell(page, "transformers/qwen3", "onnxruntime:cpu:fp32").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#grid [tabindex='0']").count() == 1


def test_escape_leads_back_to_the_matrix_where_the_cell_is_focused(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    cell(page, "timm/resnet18", "torch:cuda:fp16").click()
    page.wait_for_selector("main[data-page=cell]")
    page.keyboard.press("Escape")
    page.wait_for_selector("main[data-page=matrix]")
    assert focused(page).startswith("timm/resnet18, torch:cuda:fp16:")


def test_slash_leads_to_the_filter(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    page.keyboard.press("/")
    assert focused(page) == page.locator("#query").get_attribute("aria-label")
    assert page.locator("#query").input_value() == ""


def test_the_cell_under_focus_or_pointer_tells_its_reason_without_a_click(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    cell(page, "transformers/gemma3", "openvino:cpu:bf16").hover()
    assert "row error 9.1e-02" in page.locator("#peek").inner_text()
    cell(page, "transformers/whisper", "inductor:cpu:fp32").focus()
    assert "segmentation fault" in page.locator("#peek").inner_text()


# ---- languages, themes, screens -----------------------------------------------------------------------------------


def test_the_language_can_be_switched_and_is_remembered(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    page.get_by_role("button", name="中文").click()
    assert page.locator("h1").inner_text() == "矩阵"
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.reload()
    page.wait_for_selector("main[data-page]")
    assert page.locator("h1").inner_text() == "矩阵"


@pytest.mark.parametrize("page_of", PAGES[:7], ids=lambda p: "/".join(p[1:2]) or "overview")
def test_no_text_is_left_untranslated(open_report: Any, page_of: tuple[str, ...]) -> None:
    page = open_report(*page_of, locale="zh-CN")
    text = page.locator("body").inner_text()
    differing = "Object.keys(MESSAGES_EN).filter(key => MESSAGES_EN[key] !== MESSAGES_ZH[key]).map(key => MESSAGES_EN[key])"
    english = [words for words in page.evaluate(differing) if len(words) > 12 and "{" not in words]
    assert [words for words in english if words in text] == []
    keys = page.evaluate("Object.keys(MESSAGES_EN).filter(key => key.includes('.'))")
    assert [key for key in keys if key in text.split()] == []


def test_the_reader_s_dark_theme_is_taken_over_and_can_be_changed(open_report: Any) -> None:
    page = open_report("plausible", color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(20, 23, 27)"
    page.get_by_role("button", name="light").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)"


CONTRAST = """() => {
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const page = numbers(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll("#grid a.cell")].map(cell => {
        const style = getComputedStyle(cell);
        const own = numbers(style.backgroundColor);
        const [a, b] = [light(numbers(style.color)), light(own[3] === 0 ? page : own)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_glyph_stands_out_from_its_cell(open_report: Any, scheme: str) -> None:
    page = open_report("every_kind", "matrix", color_scheme=scheme)
    assert min(page.evaluate(CONTRAST)) >= 4.5


@pytest.mark.parametrize("page_of", PAGES, ids=lambda p: "/".join(p[:2]))
def test_no_page_is_wider_than_the_screen(open_report: Any, page_of: tuple[str, ...]) -> None:
    page = open_report(*page_of, width=390, height=844)
    widths = {}
    for width in (320, 390, 700, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        widths[width] = page.evaluate("document.documentElement.scrollWidth")
    assert [width for width, needed in widths.items() if needed > width] == []


def test_a_phone_shows_every_cell_of_a_model_at_once_and_large_enough_to_touch(open_report: Any) -> None:
    page = open_report("plausible", "matrix", width=390, height=844, has_touch=True, is_mobile=True)
    boxes = [link.bounding_box() for link in page.locator("#grid tbody tr").first.locator("a.cell").all()]
    assert len(boxes) == 11
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert min(min(box["width"], box["height"]) for box in boxes) >= 24


def test_a_printed_matrix_has_every_row(open_report: Any) -> None:
    page = open_report("plausible", "matrix")
    page.emulate_media(media="print")
    heights = page.locator("#grid").evaluate("grid => [grid.clientHeight, grid.scrollHeight]")
    assert heights[0] >= heights[1]


def test_paper_is_white_also_for_a_reader_of_the_dark_theme(open_report: Any) -> None:
    page = open_report("plausible", "matrix", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".chips").first.is_visible()  # they are the legend, too


# ---- what is not there -----------------------------------------------------------------------------------------------


def test_a_missing_file_of_details_is_said_and_the_rest_is_shown(open_report: Any, browser: Any, tmp_path: Any) -> None:
    from porting.report.html import write_site

    index = write_site(sample.plausible(), tmp_path)
    for path in (tmp_path / "d").iterdir():
        path.unlink()
    page = browser.new_page()
    page.goto(index.as_uri() + "#/cell/transformers%2Fgemma3/openvino%3Acpu%3Abf16")
    page.wait_for_selector("main[data-page]")
    text = page.locator("main").inner_text()
    assert "its file in the folder d/ is missing" in text
    assert "row error 9.1e-02" in text
    page.close()


def test_without_scripts_there_is_a_plain_table(browser: Any, site: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site("plausible"))
    page.get_by_role("link", name="The plain table").click()
    assert page.locator(".plain-matrix tbody tr").count() == 12
    row = page.locator(".plain-matrix tr", has_text="transformers/gemma3").inner_text()
    assert "≠ mismatch" in row
    assert "c compiled" in row
    context.close()
