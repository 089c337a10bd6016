"""A model that does not pass along the usual route is tried along others, and the result tells of all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from porting import routes
from porting.bundles.bundle import FormKey
from porting.cells.jobs import Options
from porting.cli import run
from porting.diagnose.blockers import Blocker, blockers
from porting.routes.table import CHANGES, KEPT, Change, Level, When
from porting.types import Cause, Outcome, Placement, Precision, Result, Stage, StageTime, Target
from porting.verdict import Finding

HERE = Path(__file__).parent
MODEL = "sample_models:two_outputs"
USUAL = FormKey("onnx", Precision.FP32, "dynamic")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from porting import registry

    folder = tmp_path_factory.mktemp("routes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTING_HOME", str(folder / "state"))
        patch.setenv("PORTING_CACHE", str(folder / "cache"))
        patch.setattr(sys, "path", [str(HERE / "faulty_adapter"), str(HERE), *sys.path])
        patch.chdir(folder)
        registry.refresh()
        yield folder
    registry.refresh()


@pytest.fixture(scope="module")
def results(home: Path) -> dict[str, Result]:
    from porting.api import check

    return {r.target.split(":")[1]: r for r in check(MODEL, targets=["picky:*"])}


def test_the_usual_route_needs_no_words(results: dict[str, Result]) -> None:
    assert (results["right"].outcome, results["right"].form) == (Outcome.PASS, "onnx-fp32-dynamic")
    assert (results["right"].passes_with, results["right"].attempts) == ((), ())


def test_an_operator_that_is_refused_is_written_by_others_and_proven(results: dict[str, Result]) -> None:
    result = results["no_gelu"]
    assert result.outcome is Outcome.PASS
    assert result.passes_with == ("expand=Gelu",)
    assert "passes with expand=Gelu" in result.notes
    assert any(note.startswith("rewritten, and equal on 6 cases, run by onnxruntime") for note in result.notes), result.notes
    assert result.attempts[0].startswith("onnx-fp32-dynamic: unsupported (unsupported_op) at convert")
    assert set(result.axes.values()) == {"dynamic"}


def test_a_wrong_answer_is_told_of_though_another_route_is_right(results: dict[str, Result]) -> None:
    result = results["wrong_from_19"]
    assert result.outcome is Outcome.PASS
    assert result.passes_with == ("capture=torchscript",)
    assert result.attempts[0].startswith("onnx-fp32-dynamic: mismatch (tolerance) at compare")
    assert "as onnx-fp32-dynamic the answer is wrong" in result.message


def test_where_nothing_helps_every_route_is_on_record_and_the_first_failure_counts(results: dict[str, Result]) -> None:
    result = results["nameless"]
    assert (result.outcome, result.form, result.passes_with) == (Outcome.UNSUPPORTED, "onnx-fp32-dynamic", ())
    tried = [line.partition(": ")[0] for line in result.attempts]
    assert tried[0] == "onnx-fp32-dynamic+capture=torchscript"
    made = [line for line in result.attempts if routes.NOTHING not in line]
    assert len(tried) == len(set(tried)) > len(made)
    assert len(made) <= routes.MOST


def test_what_a_stack_does_not_take_is_left_to_the_host_where_no_other_route_works(results: dict[str, Result]) -> None:
    result = results["no_gelu_no_erf"]
    assert (result.outcome, result.cause, result.passes_with) == (Outcome.DEGRADED, Cause.FALLBACK, ("host=Gelu",))
    assert result.form == "onnx-fp32-dynamic"
    assert result.placement
    assert result.placement.detail["Gelu (left to the host)"] == result.placement.other_ops == 1
    assert result.message.startswith(f"1 of {1 + (result.placement.target_ops or 0)} operators ran elsewhere than on the target")
    assert "onnx-fp32-dynamic+expand=Gelu" in {line.partition(": ")[0] for line in result.attempts}
    assert "works with host=Gelu" in result.notes
    assert set(result.axes.values()) == {"dynamic"}
    assert [str(blocker) for blocker in sorted(blockers(result))] == [str(Blocker("operator", "Gelu"))]


def test_right_numbers_of_parts_that_nobody_says_ran_on_the_target_are_no_pass(results: dict[str, Result]) -> None:
    result = results["silent_no_gelu"]
    assert (result.outcome, result.passes_with) == (Outcome.UNSUPPORTED, ())
    assert any("host=Gelu: fail (nothing_executed) at compare" in line for line in result.attempts)


def test_a_route_through_the_host_can_be_pinned_but_not_deployed(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["check", MODEL, "--on", "picky:right:fp32", "--route", "host=LayerNormalization"]
    assert run(line) == 0
    assert "degraded" in capfd.readouterr().out
    assert run([*line[:-1], "host=LSTM"]) == 1
    assert "the model has no operator LSTM" in capfd.readouterr().out
    assert run(["check", MODEL, "--on", "onnxruntime:cpu:fp32", "--route", "host=Gelu"]) == 2
    assert "is what runs the host's parts" in capfd.readouterr().err
    from picky import PickyAdapter

    (home / "deploy.py").write_text("")
    monkeypatch.setattr(PickyAdapter, "deploy_script", classmethod(lambda cls: home / "deploy.py"))
    assert run(["convert", MODEL, "--to", "picky:right:fp32", "-o", "parted", "--route", "host=Gelu"]) == 1
    assert "left to the host" in capfd.readouterr().err
    assert not (home / "parted").exists()


def test_a_pinned_route_is_the_only_one(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["check", MODEL, "--on", "picky:wrong_from_19:fp32", "--route", "usual"]) == 1
    assert run(["check", MODEL, "--on", "picky:wrong_from_19:fp32", "--route", "capture=torchscript+axes=static"]) == 0
    capfd.readouterr()
    assert run(["explain", MODEL, "picky:wrong_from_19:fp32", "--format", "json"]) == 0
    import json

    (record,) = json.loads(capfd.readouterr().out)
    assert (record["form"], record["attempts"]) == ("onnx-fp32-static+capture=torchscript", [])
    assert "--route capture=torchscript+axes=static" in record["reproduce"]
    assert run(["check", MODEL, "--on", "picky:right:fp32", "--route", "nonsense"]) == 2
    assert "no change 'nonsense'" in capfd.readouterr().err


def test_a_program_that_has_no_form_is_captured_along_another_route(home: Path) -> None:
    from porting.api import check

    (result,) = check("sample_models:mapped", targets=["torch:cpu:fp32"])
    assert result.outcome is Outcome.PASS, result.message
    assert result.attempts[0].startswith("pt2-fp32-dynamic: fail (exception) at export: SerializeError")
    assert any(line.startswith("aten-fp32-dynamic: fail (exception) at export: NotPlain") for line in result.attempts)
    assert result.passes_with == ("capture=strict",)


def test_what_is_known_to_be_good_is_tried_first_and_said(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.api import check

    monkeypatch.setenv("PORTING_HOME", str(tmp_path))  # what is recorded here would be the first route of `results`
    first = {routes.place(MODEL, "picky:no_gelu:fp32"): "onnx-fp32-dynamic+expand=Gelu"}
    (result,) = check(MODEL, targets=["picky:no_gelu:fp32"], options=Options(rerun=True, first=first))
    assert (result.outcome, result.attempts) == (Outcome.PASS, ())
    assert any("was taken first" in note for note in result.notes)


def test_convert_takes_the_routes_that_check_does(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known to be good for a family is tried first, and a pinned route is the only one."""
    import json

    from picky import PickyAdapter

    (home / "deploy.py").write_text("")
    monkeypatch.setattr(PickyAdapter, "deploy_script", classmethod(lambda cls: home / "deploy.py"))
    entry = '[[models]]\nid = "mine/{1}"\nsource = "factory"\nname = "{0}:{1}"\nfamily = "mine"\n'
    models = (("sample_models", "two_outputs"), ("planted_models", "encoder"))
    (home / "porting.toml").write_text("".join(entry.format(*each) for each in models))
    line = ["convert", "mine/encoder", "--to", "picky:no_gelu:fp32", "-o", "port", "--force"]
    try:
        assert run(["check", "mine/two_outputs", "--on", "picky:no_gelu:fp32"]) == 0
        assert run(line) == 0
        made = json.loads((home / "port" / "port.json").read_text())["result"]
        assert (made["passes_with"], made["attempts"]) == (["expand=Gelu"], [])
        assert any("was taken first" in note for note in made["notes"])
        assert run([*line, "--route", "usual"]) == 1
        assert run([*line, "--route", "capture=torchscript+axes=static"]) == 0
        made = json.loads((home / "port" / "port.json").read_text())["result"]
        assert made["form"] == "onnx-fp32-static+capture=torchscript"
        assert "--route capture=torchscript+axes=static" in made["reproduce"]
        capfd.readouterr()
        assert run([*line, "--route", "nonsense"]) == 2
        assert "no change 'nonsense'" in capfd.readouterr().err
    finally:
        (home / "porting.toml").unlink()


# ---- which route is next ------------------------------------------------------------------------------------------


def tried(
    key: FormKey, outcome: Outcome, cause: Cause | None, message: str = "", stage: Stage = Stage.CONVERT, **more: Any
) -> Any:
    finding, axes = Finding(stage, outcome, cause, message), ("batch", "sequence")
    return SimpleNamespace(key=key, finding=finding, placement=None, form=None, **{"dynamic_axes": axes, "versions": {}, **more})


def following(
    *attempts: Any, target: str = "a:cpu:fp32", bare: bool = False, keeps: bool = False, named: bool = False
) -> list[str]:
    """Every route that would follow, were each to fail as the last one did."""
    made, found = list(attempts), []
    while (key := routes.next_key(made, Target.parse(target), bare, keeps, named)) is not None:
        found.append(str(key).partition("onnx-fp32-")[2])
        made.append(SimpleNamespace(**{**vars(made[-1]), "key": key}))
    return found


def test_all_that_answers_what_was_seen_comes_first_and_at_once() -> None:
    lacks = tried(USUAL, Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, "x has no layer for Gelu, IsNaN, LayerNormalization")
    assert following(lacks)[0] == "dynamic+isnan=compared+expand=Gelu+expand=LayerNormalization"
    assert following(lacks, bare=True)[0] == "dynamic+isnan=compared+expand=Gelu+expand=LayerNormalization"
    assert following(lacks, named=True) == following(lacks)[:1]


def test_what_a_placement_leaves_to_others_is_rewritten_and_nothing_else_is_tried() -> None:
    part = tried(USUAL, Outcome.DEGRADED, Cause.FALLBACK)
    part.placement = Placement(9, 2, "x", {"IsNaN (not in the list)": 2})
    assert following(part) == ["dynamic+isnan=compared"]
    part.placement = Placement(9, 2, "x", {"Conv (not in the list)": 2})
    assert following(part) == []


GUARD = "GuardOnDataDependentSymNode: Could not guard on data-dependent expression Eq(u0, 1)"


def test_without_what_opened_a_model_nothing_else_is_tried() -> None:
    refused = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, GUARD, Stage.EXPORT)
    replayed = replace(USUAL, route=("data=replayed",))
    lacks = tried(replayed, Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, "x has no layer for Gelu", Stage.CONVERT)
    found = following(refused, lacks)
    assert any("expand=Gelu" in route for route in found)
    assert all("data=replayed" in route for route in found)
    unopened = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, GUARD, Stage.CONVERT)
    assert not all("data=replayed" in route for route in following(unopened, lacks))


def test_a_rewritten_model_is_tried_with_all_axes_first_though_they_were_given_up_before() -> None:
    whole = tried(USUAL, Outcome.FAIL, Cause.DYNAMIC_SHAPE, "GuardOnDataDependentSymNode", Stage.RUN)
    fixed = tried(replace(USUAL, axes="static"), Outcome.FAIL, Cause.SHAPE_INFERENCE, "no such thing", Stage.LOAD)
    rewritten = "constants=folded+experts=batched_mm+experts=all"
    assert following(whole, fixed)[:2] == [f"dynamic+{rewritten}", f"static+{rewritten}"]


def test_a_rewrite_that_fails_itself_is_left_out_of_what_follows() -> None:
    refused = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, GUARD, Stage.EXPORT)
    words = ("constants=folded", "experts=batched_mm", "experts=all")
    assert following(refused)[0] == "dynamic+" + "+".join(words)
    otherwise = tried(replace(USUAL, route=words), Outcome.FAIL, Cause.EXCEPTION, "experts: no such thing", Stage.EXPORT)
    found = following(refused, otherwise)
    assert found[:3] == [f"dynamic+{word}" for word in words]
    assert "dynamic+capture=torchscript" in found


def test_changes_that_come_no_further_together_are_not_tried_alone() -> None:
    refused = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, GUARD, Stage.EXPORT)
    assert following(refused)[1] == "dynamic+capture=torchscript"


def test_changes_that_find_nothing_together_are_not_tried_alone() -> None:
    lacks = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, "GuardOnDataDependentSymNode", Stage.EXPORT)
    words = ("constants=folded", "experts=batched_mm", "experts=all")
    nothing = tried(replace(USUAL, route=words), Outcome.FAIL, Cause.EXCEPTION, "NothingToChange: there is nothing", Stage.EXPORT)
    assert following(lacks, nothing)[0] == "dynamic+capture=torchscript"


@pytest.mark.parametrize(("outcome", "cause"), [(Outcome.FAIL, Cause.TIMEOUT), (Outcome.FAIL, Cause.NOTHING_EXECUTED)])
def test_limits_and_empty_runs_are_no_matter_of_the_route(outcome: Outcome, cause: Cause) -> None:
    assert following(tried(USUAL, outcome, cause, stage=Stage.RUN)) == []


def test_an_export_that_runs_out_of_memory_is_tried_once_more_blind_to_the_weights() -> None:
    out = tried(USUAL, Outcome.FAIL, Cause.HOST_OOM, stage=Stage.EXPORT)
    assert following(out) == ["dynamic+weights=unread"]
    assert following(out, bare=True) == []
    assert following(tried(replace(USUAL, kind="pt2"), Outcome.FAIL, Cause.HOST_OOM, stage=Stage.EXPORT)) == []
    assert following(tried(USUAL, Outcome.FAIL, Cause.HOST_OOM, stage=Stage.RUN)) == []


def test_an_answer_that_is_wrong_is_never_made_right_by_fewer_axes() -> None:
    found = following(tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE))
    rewritten = [f"dynamic+{word}" for word in ("scatter=products", "bicubic=products", "softplus=series", "tanh=fraction")]
    assert found == ["dynamic+capture=torchscript", "dynamic+optimize=off", "dynamic+attention=eager", *rewritten]
    assert following(tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE), target="a:cpu:int8") == []


def test_what_finds_nothing_to_change_is_no_refusal() -> None:
    wrong = tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    key = replace(USUAL, route=("tanh=fraction",))
    nothing = tried(key, Outcome.FAIL, Cause.EXCEPTION, "NothingToChange: there is nothing", Stage.EXPORT)
    found = following(wrong, nothing)
    assert found
    assert not [each for each in found if each.startswith(("batch", "static")) or "fix=" in each]


@pytest.mark.parametrize("first", [USUAL, replace(USUAL, route=("attention=eager",)), replace(USUAL, axes="batch")])
def test_a_refusal_after_a_wrong_answer_lets_no_fewer_axes_in(first: FormKey) -> None:
    wrong = tried(first, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    crashed = tried(replace(first, route=("optimize=off",)), Outcome.FAIL, Cause.CRASH, "SIGSEGV", Stage.CONVERT)
    found = following(wrong, crashed)
    assert found
    fewer = [each for each in found if not each.startswith(first.axes) or "fix=" in each]
    rewritten = {"static+attention=eager", "static+scatter=products", "static+bicubic=products"}
    assert {*fewer} <= rewritten, "which gave no answer themselves"
    assert "static" in following(crashed, crashed), "a refusal alone lets them in"


def test_what_is_off_at_other_sizes_alone_is_tried_with_no_fixed_ones() -> None:
    def wrong(case: str, key: FormKey = USUAL) -> Any:
        said = f"case {case}, output logits: rel error 9.6e-01, allowed 1.9e-06 (1 of 7 cases fail)"
        return tried(key, Outcome.MISMATCH, Cause.TOLERANCE, said, Stage.COMPARE)

    eager = replace(USUAL, route=("attention=eager",))
    crashed = tried(eager, Outcome.FAIL, Cause.CRASH, "SIGSEGV", Stage.CONVERT)
    holes = "case far, output logits: 24576 of 33280 elements are not finite where they should be (1 of 7 cases fail)"
    full_of_holes = tried(eager, Outcome.MISMATCH, Cause.NONFINITE, holes, Stage.COMPARE)
    for last in (crashed, full_of_holes):
        assert not [key for key in following(wrong("far"), last) if not key.startswith("dynamic") or "fix=" in key]
    assert "static+attention=eager" in following(wrong("nominal"), crashed)
    assert "static" in following(tried(USUAL, Outcome.MISMATCH, Cause.NONFINITE, holes, Stage.COMPARE)), "as it said itself"
    assert routes.is_wrong_elsewhere([wrong("odd")])
    assert not routes.is_wrong_elsewhere([wrong("nominal"), wrong("odd", eager), crashed])


def test_a_refusal_after_a_wrong_answer_takes_no_answer_to_it_away() -> None:
    wrong = tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    crashed = tried(replace(USUAL, route=("optimize=off",)), Outcome.FAIL, Cause.CRASH, "SIGSEGV", Stage.CONVERT)
    found = following(wrong, crashed)
    assert {f"dynamic+{word}" for word in ("scatter=products", "bicubic=products", "tanh=fraction")} <= {*found}


def test_what_finds_nothing_to_change_does_not_count() -> None:
    wrong = tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    keys = [replace(USUAL, route=(word,)) for word in ("attention=eager", "scatter=products", "bicubic=products")]
    nothing = [tried(key, Outcome.FAIL, Cause.EXCEPTION, "NothingToChange: there is nothing", Stage.EXPORT) for key in keys]
    others = [tried(replace(USUAL, axes=f"{n}"), Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE) for n in range(7)]
    assert following(wrong, *nothing, *others) != []
    assert following(wrong, *nothing, *others, others[-1]) == []


def test_a_rewritten_form_that_gives_no_answer_is_tried_at_one_size() -> None:
    wrong = tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    silent = tried(replace(USUAL, route=("scatter=products",)), Outcome.FAIL, Cause.OUTPUT_STRUCTURE, stage=Stage.RUN)
    assert "static+scatter=products" in following(wrong, silent)
    assert following(wrong, silent, named=True) == []
    wrong_too = tried(silent.key, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    assert "static+scatter=products" not in following(wrong, wrong_too)
    nothing = tried(silent.key, Outcome.FAIL, Cause.EXCEPTION, "NothingToChange: there is nothing", Stage.EXPORT)
    assert "static+scatter=products" not in following(wrong, nothing)


@pytest.mark.parametrize(
    ("said", "fixed"),
    [
        ("case odd: RuntimeError: Expected input at *args[0].shape[2] to be <= 64, but got 96", True),
        ("case far: output output has shape (3, 1000), expected (1, 1000) (2 of 6 cases fail)", True),
        ("case odd, output output_0: 60480 of 60480 elements are not finite where they should be (2 of 5 cases fail)", True),
        ("case nominal: output output has shape (3, 1000), expected (1, 1000)", False),
        ("case odd, output output: rel error 5.2e-01, allowed 1.3e-06 (2 of 6 cases fail)", False),
        ("case contrast, output y: 3 of 9 elements are not finite where they should be", False),
    ],
)
def test_what_is_for_the_nominal_sizes_alone_is_tried_with_axes_fixed(said: str, fixed: bool) -> None:
    found = following(tried(USUAL, Outcome.MISMATCH, Cause.OUTPUT_STRUCTURE, said, Stage.COMPARE))
    assert ("static" in found) == ("dynamic+fix=batch" in found) == fixed


def test_a_value_that_the_exporter_lost_is_looked_for_in_a_file_that_it_did_not_optimise() -> None:
    lost = "Load model from m.onnx failed:Invalid model. Node input 'mul_257_min_1' is not a graph input, initializer, or output"
    seen = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, lost, Stage.LOAD)
    assert "dynamic+optimize=off" in following(seen)
    later = tried(
        replace(USUAL, route=("capture=torchscript",)), Outcome.FAIL, Cause.EXCEPTION, "UnsupportedOperatorError", Stage.EXPORT
    )
    assert following(seen, later)[0] == "dynamic+optimize=off"
    other = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, "Load model from m.onnx failed: no kernel", Stage.LOAD)
    assert "dynamic+optimize=off" not in following(other)


def test_more_and_more_layers_are_kept_where_a_low_precision_is_wrong_and_the_adapter_can() -> None:
    wrong = tried(USUAL, Outcome.MISMATCH, Cause.TOLERANCE, stage=Stage.COMPARE)
    ladder = [f"dynamic+keep=int8_{percent}" for percent in KEPT]
    assert following(wrong, target="a:cpu:int8", keeps=True) == ladder
    assert "dynamic+keep=fp16_5" in following(wrong, target="a:cpu:fp16", keeps=True)
    assert "dynamic+keep=fp16_5" not in following(wrong, target="a:cpu:fp16")


def test_a_scatter_that_is_refused_by_name_is_a_product_then() -> None:
    refused = "UnsupportedError: ncnn has no layer for aten::index_add, aten::scatter_reduce"
    found = following(tried(USUAL, Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, refused))
    assert "dynamic+scatter=products" in found
    assert "dynamic+softplus=series" not in found


def test_a_compiler_that_fails_is_tried_with_fewer_axes_last() -> None:
    found = following(tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, "whatever"))
    assert found == ["dynamic+capture=torchscript", "dynamic+attention=eager", "batch", "dynamic+fix=batch", "static"]


@pytest.mark.parametrize(
    ("versions", "met"),
    [
        ({"onnxruntime": "1.30"}, True), ({"onnxruntime": "1.32.0"}, True), ({"onnxruntime": "1.33.0"}, False),
        ({"onnxruntime": "1.29.9"}, False), ({"onnxruntime": "1.32.1+cpu"}, True), ({"torch": "1.31"}, False), ({}, False),
    ],
)  # fmt: skip
def test_a_change_may_be_for_some_versions_alone(versions: dict[str, str], met: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    when = When(outcomes=(Outcome.FAIL,), versions="onnxruntime>=1.30,<1.33")
    change = Change("capture=strict", Level.EXPORT, ("onnx",), "as a table might have it", (when,))
    monkeypatch.setattr(routes, "CHANGES", (change,))
    failed = tried(USUAL, Outcome.FAIL, Cause.EXCEPTION, "whatever", versions=versions)
    assert following(failed) == (["dynamic+capture=strict"] if met else [])


@pytest.mark.parametrize(
    ("dynamic", "forms"),
    [
        (("batch",), ["static"]),
        (("batch", "sequence"), ["batch", "dynamic+fix=batch", "static"]),
        (("batch", "rows", "columns"), ["dynamic+fix=rows", "batch", "dynamic+fix=batch", "static"]),
        (("rows", "columns"), ["dynamic+fix=rows", "static"]),
    ],
)
def test_axes_are_fixed_one_after_the_other(dynamic: tuple[str, ...], forms: list[str]) -> None:
    assert [str(key).removeprefix("onnx-fp32-") for key in routes.fewer(USUAL, dynamic)] == forms


# ---- what is remembered -------------------------------------------------------------------------------------------


def passing(model: str, form: str, seconds: float, *words: str, target: str = "a:cpu:fp32") -> Result:
    stages = (StageTime(Stage.CONVERT, seconds, seconds, 0),)
    return Result(model, target, Stage.COMPARE, Outcome.PASS, family="f", form=form, passes_with=words, stages=stages)


def test_the_cheapest_route_that_a_family_passes_with_is_remembered_unless_the_usual_one_does() -> None:
    dear, cheap = (
        passing("m", "onnx-fp32-dynamic+x", 9.0, "x"),
        passing("n", "onnx-fp32-dynamic+view=reshape", 2.0, "view=reshape"),
    )
    assert routes.known_good([dear, cheap]) == {"f a:cpu:fp32": "onnx-fp32-dynamic+view=reshape"}
    assert routes.known_good([dear, cheap, passing("o", "onnx-fp32-dynamic", 99.0)]) == {}
    assert routes.known_good([replace(cheap, outcome=Outcome.MISMATCH)]) == {}
    first = routes.known_good([cheap])
    assert routes.remembered(first, "f", Target.parse("a:cpu:fp32")) == replace(USUAL, route=("view=reshape",))
    assert routes.remembered(first, "f", Target.parse("b:cpu:fp32")) is None
    assert routes.remembered({"f a:cpu:fp32": "onnx-fp32-dynamic+gone=now"}, "f", Target.parse("a:cpu:fp32")) is None


def test_every_word_of_the_table_has_something_that_does_it() -> None:
    from porting.rewrites.graph import GRAPH
    from porting.rewrites.model import MODEL
    from porting.rewrites.program import PROGRAM

    words = {level: {c.word for c in CHANGES if c.level is level} for level in Level}
    assert words[Level.MODEL] == set(MODEL)
    assert words[Level.PROGRAM] == set(PROGRAM)
    assert words[Level.GRAPH] == {*GRAPH, "expand=*"}
    assert words[Level.PRECISION] == {"keep=*"}
    assert "fix=*" in words[Level.EXPORT]


def test_routes_are_listed(capfd: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(["routes"]) == 0
    assert "expand=*" in capfd.readouterr().out
    assert run(["routes", "nobody:*"]) == 0
    assert "no family" in capfd.readouterr().out
