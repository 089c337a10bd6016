"""What the tests of the gate share: one model, faults that it is run on, expectation files; and the situations that
docs/ci.md tells of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODEL = "mine/narrow"
FAULTS = ("none", "sign", "raises", "run_segfault", "refuses", "partial", "fallback", "flood", "chip-whole")
CAME = {
    "none": "pass",
    "sign": "mismatch",
    "raises": "fail",
    "run_segfault": "fail",
    "refuses": "unsupported",
    "partial": "degraded",
    "fallback": "fail",
    "flood": "fail",
    "chip-whole": "pass",
    "cuda": "unavailable",
}
"""Outcomes by fault."""
ON = ",".join(f"faulty:{fault}:fp32" for fault in FAULTS)
TOML = '[[models]]\nid = "mine/narrow"\nsource = "factory"\nname = "small_models:narrow"\n'
ABSENT = "onnxruntime:cuda:fp32"
"""A target that is not here."""


def entry(outcome: str, *more: str, models: str = MODEL) -> str:
    owned = ["reason = 'known'", "owner = 'upstream'"] if outcome != "pass" else []
    return "\n".join(["[[expect]]", f"models = ['{models}']", f"outcome = '{outcome}'", *owned, *more, ""])


def write(folder: Path, target: str, text: str) -> Path:
    path = folder / "expect" / f"{target.replace(':', '-')}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@dataclass
class Situation:
    """What was accepted of a target, what came, and what a maintainer wants to be told of it."""

    fault: str
    expect: str
    """The expectation file's text; SIGNATURE stands for the one that came."""
    judgement: str
    code: int
    strict: int
    """Exit status of a strict gate."""
    says: str = ""
    came: str = ""
    """What came, where it is not the outcome of the fault."""


SITUATIONS = {
    "a pass, as accepted": Situation("none", entry("pass"), "as expected", 0, 0),
    "an accepted failure, as accepted": Situation(
        "raises", entry("fail", "signature = 'SIGNATURE'", "stage = 'run'"), "as expected", 0, 0
    ),
    "new crash": Situation("run_segfault", entry("pass"), "regression", 1, 1, "pass was accepted; now fail · run · crash"),
    "new wrong answer": Situation("sign", entry("pass"), "regression", 1, 1, "mismatch · compare · tolerance"),
    "new exception": Situation("raises", entry("pass"), "regression", 1, 1, "kernel not found"),
    "newly refused": Situation("refuses", entry("pass"), "regression", 1, 1, "unsupported · convert"),
    "part of it fell back to the CPU": Situation("partial", entry("pass"), "regression", 1, 1, "degraded"),
    "all of it fell back to the CPU": Situation("fallback", entry("pass"), "regression", 1, 1, "nothing executed"),
    "a refusal became a wrong answer": Situation("sign", entry("unsupported"), "regression", 1, 1),
    "a refusal became a crash": Situation("run_segfault", entry("unsupported"), "regression", 1, 1),
    "an accepted pass that ran, now only compiled": Situation(
        "chip-whole", entry("pass", "evidence = 'host'"), "regression", 1, 1, "it now rests on compiled evidence"
    ),
    "the same failure with a new message": Situation(
        "raises", entry("fail", "signature = 'abcdef'"), "failure changed", 0, 1, "abcdef) was accepted; now fail"
    ),
    "it fails at another stage": Situation("raises", entry("fail", "stage = 'convert'"), "failure changed", 0, 1),
    "an exception became a crash": Situation("run_segfault", entry("fail", "cause = 'exception'"), "failure changed", 0, 1),
    "a wrong answer became an error": Situation("raises", entry("mismatch"), "failure changed", 0, 1),
    "fixed": Situation("none", entry("fail"), "new pass", 0, 1, "now pass on host evidence"),
    "fixed in part": Situation("partial", entry("fail"), "new pass", 0, 1),
    "an expired expectation": Situation(
        "raises", entry("fail", "expires = 2026-01-31"), "expired", 0, 1, "accepted until 2026-01-31"
    ),
    "fixed after it expired": Situation("none", entry("fail", "expires = 2026-01-31"), "new pass", 0, 1),
    "a new model that works": Situation("none", "", "new cell", 0, 1),
    "a new model that does not": Situation("sign", "", "new cell", 1, 1, "nothing was accepted of it; now mismatch"),
    "an unavailable target": Situation("cuda", entry("pass"), "no answer", 3, 3, "the target is not here"),
    "an unavailable target that was known to be": Situation("cuda", entry("unavailable"), "as expected", 0, 0),
    "a broken rig": Situation("flood", entry("pass"), "no answer", 3, 3, "the rig failed"),
    "a broken rig where a failure was accepted": Situation("flood", entry("fail"), "no answer", 3, 3, "the rig failed"),
    "a missing cell": Situation(
        "none", entry("pass") + entry("pass", models="mine/other"), "missing", 3, 3, "mine/other", "pass; mine/other: no record"
    ),
    "an expectation that matches nothing": Situation(
        "none", entry("pass") + entry("fail", models="mine/gone*"), "matches nothing", 0, 1, "mine/gone*: no model is called so"
    ),
    "an expectation for an older version": Situation(
        "none", entry("pass") + entry("fail", "when = {faulty = '<0.1'}"), "as expected", 0, 0
    ),
    "an expectation for this version": Situation(
        "none", entry("pass") + entry("fail", "when = {faulty = '>=0.1,<0.2'}"), "new pass", 0, 1
    ),
}
"""Situations of results that were recorded."""

FLAKY = entry("fail", "flaky = {failed = 1, of = 4}")

LIVE = {
    "a failure that passes when run again": Situation(
        "first_fails", entry("pass"), "flaky", 0, 1, "nobody has accepted it as flaky"
    ),
    "an accepted flaky cell fails, and passes when run again": Situation(
        "first_fails", FLAKY, "flaky", 0, 0, "it fails 1 of 4 times"
    ),
    "an accepted flaky cell fails in another way": Situation(
        "first_fails", entry("fail", "flaky = {failed = 1, of = 4}", "signature = 'abcdef'"), "flaky", 0, 1, "by another failure"
    ),
    "an accepted flaky cell passes": Situation("none", FLAKY, "as expected", 0, 0),
    "an accepted flaky cell fails every time": Situation("raises", FLAKY, "regression", 1, 1, "failed 4 times in a row"),
    "a failure that stays when run again": Situation("raises", entry("pass"), "regression", 1, 1, "pass was accepted"),
    "numbers moved within the tolerance": Situation("nudged", entry("pass"), "as expected", 0, 0),
}
"""Situations of a check that judges itself: what failed is run again."""


def accepted_of(situation: Situation) -> str:
    """What was accepted in a situation, in few words."""
    entries = (_words(text.splitlines()) for text in situation.expect.split("[[expect]]"))
    return "; ".join(filter(None, entries)) or "nothing"


def _words(lines: list[str]) -> str:
    kept = [line.replace("outcome = ", "") for line in lines if not line.startswith(("reason = ", "owner = ", "models = "))]
    others = [line.split("'")[1] for line in lines if line.startswith("models = ") and MODEL not in line]
    return "".join(f"{model}: " for model in others) + ", ".join(filter(None, kept)).replace("'", "")


def came_of(situation: Situation) -> str:
    """What came of it, in few words."""
    by_chance = {"first_fails": "fail, then pass", "nudged": "pass"}
    return situation.came or CAME.get(situation.fault) or by_chance[situation.fault]
