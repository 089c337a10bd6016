"""What CI servers read: JUnit XML by its schema, annotations, a comment that fits, CSV, a badge. Text from outside stays text."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sample_results import GENERATED, TARGETS, every_kind, hostile, large, plausible, result

from porting.expect.entry import Expectation, Gate
from porting.expect.file import Book
from porting.expect.judge import judge
from porting.report import Matrix, ModelRow, TargetColumn
from porting.report.badge import verdict
from porting.report.comment import LIMIT, MARKER
from porting.report.csv_ import COLUMNS
from porting.report.render import text_of
from porting.types import Cause, Evidence, Outcome, Result

ORT = "onnxruntime:cpu:fp32"
SVG = "{http://www.w3.org/2000/svg}"


def gated(matrix: Matrix, *entries: Expectation, strict: bool = False) -> Matrix:
    """The matrix, judged by entries."""
    by_target: dict[str, tuple[Expectation, ...]] = {}
    for entry in entries:
        by_target[entry.target] = (*by_target.get(entry.target, ()), entry)
    gate: Gate = judge(list(matrix.results()), Book(Path(), by_target), (), strict=strict, day=date(2026, 11, 28))
    return dataclasses.replace(matrix, gate=gate)


def small(*results: Result) -> Matrix:
    """Models on one target."""
    rows = tuple(ModelRow(r.model, origin="porting.toml:4") for r in results)
    return Matrix(rows, (TargetColumn(ORT, Evidence.HOST),), {(r.model, r.target): r for r in results}, "t", GENERATED)


def cell(model: str, outcome: Outcome, **fields: object) -> Result:
    return result(model, ORT, outcome, Evidence.HOST, **fields)


def accepted(model: str, outcome: str, **fields: object) -> Expectation:
    owned = {"reason": "no kernel", "owner": "upstream"} if outcome != "pass" else {}
    place = {"file": "expect/onnxruntime-cpu-fp32.toml", "line": 7}
    return Expectation(ORT, (model,), Outcome(outcome), **{**owned, **place, **fields})  # type: ignore[arg-type]


EACH = small(
    cell("works", Outcome.PASS, seconds=1.25),
    cell("broke", Outcome.MISMATCH, message="rel error 2.0, 50% wrong", cause=Cause.TOLERANCE),
    cell("known", Outcome.FAIL),
    cell("mended", Outcome.PASS),
    cell("absent", Outcome.UNAVAILABLE),
)
JUDGED = gated(
    EACH,
    accepted("works", "pass"),
    accepted("broke", "pass"),
    accepted("known", "fail"),
    accepted("mended", "fail"),
    accepted("absent", "pass"),
    accepted("gone", "pass", line=9),
)

MATRICES = {
    "every kind": every_kind(),
    "every kind, judged": gated(every_kind()),
    "hostile": hostile(),
    "hostile, judged": gated(hostile()),
    "plausible": plausible(),
    "judged": JUDGED,
    "nothing": Matrix((), (), {}),
}
each_matrix = pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())


# ---- JUnit --------------------------------------------------------------------------------------------------------


@each_matrix
def test_junit_is_valid_by_its_schema(matrix: Matrix) -> None:
    xmlschema = pytest.importorskip("xmlschema")
    schema = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))
    schema.validate(text_of(matrix, "junit"))
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate(text_of(EACH, "junit").replace('tests="5"', 'tests="many"'))


@each_matrix
def test_junit_counts_what_it_has(matrix: Matrix) -> None:
    root = ElementTree.fromstring(text_of(matrix, "junit"))
    for suite in (root, *root):
        cases = list(suite.iter("testcase"))
        assert int(suite.attrib["tests"]) == len(cases)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[count]) == sum(case.find(tag) is not None for case in cases)


def test_junit_says_what_the_gate_says() -> None:
    root = ElementTree.fromstring(text_of(JUDGED, "junit"))
    found = {case.attrib["name"]: case for case in root.iter("testcase")}
    tags = {name: [c.tag for c in case if c.tag in ("failure", "error", "skipped")] for name, case in found.items()}
    assert tags == {"works": [], "broke": ["failure"], "known": ["skipped"], "mended": [], "absent": ["error"]}
    assert "accepted: upstream: no kernel" in found["known"].find("skipped").attrib["message"]  # type: ignore[union-attr]
    assert "rel error 2.0" in str(found["broke"].findtext("failure"))
    assert "new pass" in str(found["mended"].findtext("system-out"))
    assert found["works"].attrib == {"classname": ORT, "name": "works", "time": "1.250"}
    properties = {p.attrib["name"]: p.attrib["value"] for p in found["broke"].iter("property")}
    assert properties["evidence"] == "host"
    assert properties["judgement"] == "regression"


def test_junit_without_a_gate_goes_by_the_outcome() -> None:
    root = ElementTree.fromstring(text_of(EACH, "junit"))
    assert {n: root.attrib[n] for n in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "2",
        "errors": "1",
        "skipped": "0",
    }


# ---- annotations --------------------------------------------------------------------------------------------------


def test_annotations_stand_beside_the_line_that_is_concerned() -> None:
    lines = text_of(JUDGED, "github").splitlines()
    assert lines[0].startswith("::error file=expect/onnxruntime-cpu-fp32.toml,line=7,title=porting%3A regression::broke on ")
    assert "50%25 wrong" in lines[0]
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::warning", "::notice"]
    assert "no answer" in lines[1]
    assert "line=9,title=porting%3A matches nothing::gone" in lines[3]
    assert "4 of 5 cells answered" in lines[-1]
    unjudged = text_of(EACH, "github").splitlines()
    assert unjudged[0].startswith("::error file=porting.toml,line=4,title=porting%3A mismatch::broke on")
    new = text_of(gated(small(cell("fresh", Outcome.FAIL))), "github")
    assert new.startswith("::error file=porting.toml,line=4,title=porting%3A new cell::fresh")


@each_matrix
def test_an_annotation_is_one_line_and_no_more_of_a_kind_than_are_shown(matrix: Matrix) -> None:
    lines = text_of(matrix, "github").splitlines()
    assert all(re.match(r"::(error|warning|notice) [^\n]*::", line) for line in lines)
    for kind in ("error", "warning", "notice"):
        assert sum(line.startswith(f"::{kind} ") for line in lines) <= 10


def test_what_is_not_shown_is_told() -> None:
    many = small(*(cell(f"m{n}", Outcome.FAIL) for n in range(30)))
    lines = text_of(many, "github").splitlines()
    assert len(lines) == 10
    assert "21 more" in lines[-1]


# ---- the comment --------------------------------------------------------------------------------------------------


def test_the_comment_tells_what_is_worse_first() -> None:
    text = text_of(JUDGED, "comment")
    assert text.startswith(
        f"{MARKER}\n\n## gate fails: 1 regression · 1 no answer · 1 new pass · 2 as expected · 1 matching nothing"
    )
    assert text.index("**regression**") < text.index("no answer |") < text.index("new pass |")
    assert "<details>" in text
    assert "## Why not" in text_of(EACH, "comment")


@pytest.mark.parametrize("judged", [False, True])
def test_the_comment_fits_into_one(judged: bool) -> None:
    matrix = large(300, 20)
    text = text_of(gated(matrix) if judged else matrix, "comment")
    assert len(text) <= LIMIT
    assert text.count("| --- |") >= 1
    assert "more are not shown" in text or "more reasons are not shown" in text


@pytest.mark.parametrize("form", ["comment", "markdown"])
def test_hostile_text_stays_text_in_markdown(form: str) -> None:
    text = text_of(gated(hostile()), form)
    outside = re.sub(r"`[^`\n]*`", "", text)  # inline code is text
    assert not re.search("<(script|img|svg|b|i|u)[ >]", outside)
    assert "\x1b" not in text
    assert all(line.count("|") - line.count("\\|") <= 12 for line in text.splitlines())


# ---- CSV and badge ------------------------------------------------------------------------------------------------


@each_matrix
def test_csv_has_a_row_a_cell(matrix: Matrix) -> None:
    head, *rows = csv.reader(io.StringIO(text_of(matrix, "csv")))
    assert tuple(head) == COLUMNS
    assert [row[0].removeprefix("'") for row in rows] == [r.model for r in matrix.results()]
    assert not [field for row in rows for field in row if field.startswith(("=", "+", "@"))]


def test_csv_has_no_formula() -> None:
    formula = small(cell('=HYPERLINK("x")', Outcome.FAIL, message="@SUM(A1)"))
    _, row = csv.reader(io.StringIO(text_of(formula, "csv")))
    assert row[0] == '\'=HYPERLINK("x")'
    assert row[-1] == "'@SUM(A1)"


def test_csv_has_what_the_gate_says() -> None:
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(text_of(JUDGED, "csv")))}
    assert (rows["known"]["judgement"], rows["known"]["owner"], rows["known"]["reason"]) == (
        "as expected",
        "upstream",
        "no kernel",
    )
    assert float(rows["works"]["worst_share_of_allowed"]) > 0


@each_matrix
def test_a_badge_is_a_small_picture_with_a_name(matrix: Matrix) -> None:
    root = ElementTree.fromstring(text_of(matrix, "badge"))
    assert root.attrib["aria-label"] == root.findtext(f"{SVG}title")
    assert int(root.attrib["width"]) < 700
    assert "script" not in text_of(matrix, "badge")


def test_a_badge_counts_by_evidence_and_never_counts_silence() -> None:
    absent = small(cell("a", Outcome.UNAVAILABLE), cell("b", Outcome.UNAVAILABLE))
    assert verdict(absent)[0] == "no answer"
    assert verdict(EACH)[0] == "2 host of 4"
    target = TARGETS[-2]
    assert target.evidence is Evidence.COMPILED
    made = result("a", target.id, Outcome.PASS, Evidence.COMPILED)
    matrix = Matrix((ModelRow("a"),), (target,), {("a", target.id): made})
    assert verdict(matrix)[0] == "1 compiled only of 1"
    good = verdict(small(cell("a", Outcome.PASS)))[1]
    assert verdict(matrix)[1] != good, "nothing ran"
    assert verdict(gated(small(cell("a", Outcome.PASS)), accepted("a", "pass")))[1] == good
    assert verdict(JUDGED)[1] != good
