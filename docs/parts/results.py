"""What is on record of the catalog: compatibility, pass rates, causes and smallest cases."""

from __future__ import annotations

import dataclasses
import fnmatch
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from parts.markdown import ROOT, code, table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def compatibility() -> str:
    """What is on record for the catalog, in models/records: every model on every target with a result there."""
    from porting.catalog import load
    from porting.cli._shared import matrix_of
    from porting.report.markdown import render

    results = list(records())
    newest = max(result.started for result in results)
    targets = sorted({result.target for result in results})
    built, known = [spec for spec in load() if not spec.cannot], {result.model for result in results}
    specs = [spec for spec in built if spec.id in known]
    whole = matrix_of(specs, [_recorded_on(target, results) for target in targets], results)
    share = f"{len(specs)} of the catalog's {len(built)} models have a record on some target; those that have none are not shown."
    return share + "\n\n" + render(dataclasses.replace(whole, generated=newest)).partition("\n\n")[2]


def records() -> Iterator[Any]:
    """The published results (models/records)."""
    import json
    import lzma

    from porting.serialization import from_json
    from porting.types import Result

    for path in sorted((ROOT / "models" / "records").glob("*.jsonl.xz")):
        with lzma.open(path) as lines:
            yield from (from_json(Result, json.loads(line)) for line in lines)


def _recorded_on(target: str, results: Iterable[Any]) -> Any:
    """A target as the records know it, with the days they are from."""
    from porting import registry
    from porting.api import TargetState

    parsed = registry.target(target)
    evidence = registry.adapter(parsed.adapter).evidence_of(parsed.device)
    days = sorted({result.started[:10] for result in results if result.target == target})
    return TargetState(parsed, evidence, True, " to ".join(dict.fromkeys((days[0], days[-1]))))


def rates() -> str:
    """Pass rates by target, before and after routes."""
    from porting.report.pass_rates import rates as counted

    rows = [
        (
            f"`{r.target}`", r.evidence, r.recorded, r.valid, r.before, r.after, r.degraded, r.again, _percent(r.before, r.valid),
            _percent(r.after, r.valid),
        )
        for r in counted(records())
    ]  # fmt: skip
    return table(
        ("target", "evidence", "on record", "valid", "before", "after", "degraded", "again", "before, %", "after, %"), rows
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def failures() -> str:
    """What still fails on targets where models ran, by reason."""
    from porting import registry
    from porting.catalog import load
    from porting.diagnose.notes import published
    from porting.report.pass_rates import failures as grouped

    sizes = {spec.id: spec.params for spec in load() if spec.params}
    found = [
        f
        for f in grouped(records(), sizes, _owners(), published())
        if registry.adapter(f.target.partition(":")[0]).evidence_of(f.target.split(":")[1]).value not in ("static", "virtual")
    ]
    why = {(r["target"], r["model"]): _no_case(r) for r in _reduced() if not r["case"]}
    rows = [
        (f"`{f.target}`", f.reason.replace("|", "/"), f.owner, len(f.models), code(f.models), _smallest_of(f, why)) for f in found
    ]
    return table(("target", "reason", "owner", "models", "which", "smallest case"), rows)


def _smallest_of(failure: Any, why: Mapping[tuple[str, str], str]) -> str:
    """What stands for the smallest case of a failure. why: why there is none of a model, by target and model."""
    if failure.case:
        return f"`{failure.reduced}`: {smallest(dataclasses.asdict(failure.case))}"
    if failure.reason.startswith("limit: "):
        return "none: a limit ended it"
    return next((f"`{model}`: {why[failure.target, model]}" for model in failure.models if (failure.target, model) in why), "")


def _reduced() -> list[dict[str, Any]]:
    """What benchmarks/reduced_cases.py found."""
    import json

    file = ROOT / "models" / "reduced.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def smallest(case: Mapping[str, Any]) -> str:
    """Operators and sizes of a reduced case."""
    shapes = ", ".join(shape.replace("float32", "") or shape for shape in case["shapes"].values())
    return f"{' + '.join(case['operators'])} of {shapes}"


COMMONEST = 10
"""Smallest cases that docs/diagnosis.md shows; docs/pass-rates.md has all."""


def reduced() -> str:
    """The commonest failures on record, and the smallest case of each; between them those that have none."""
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    for row in sorted(_reduced(), key=lambda row: (-row["models"], not row["case"])):
        cells = (f"`{row['model']}`", smallest(row["case"]), row["case"]["kind"]) if row["case"] else ("", _no_case(row), "")
        said = (row["adapter"], f"`{row['signature']}`", row["models"], row["message"][:90], *cells, row["reproduces"])
        rows.setdefault((row["adapter"], row["signature"]), said)
        if sum(bool(said[-1]) for said in rows.values()) == COMMONEST:
            break
    head = ("adapter", "signature", "models", "the record says", "reduced from", "smallest case", "failure", "reproduces")
    return table(head, list(rows.values()))


def _no_case(row: dict[str, Any]) -> str:
    said = row["why"].removeprefix("Error: there is nothing to reduce: ").removeprefix("Error: ")
    return f"none: {said.partition('. ')[0]}"


def _owners() -> Callable[[str, str], str]:
    """Owners by what was accepted."""
    said: dict[str, list[tuple[list[str], str]]] = {}
    for path in sorted((ROOT / "models" / "expect").glob("*.toml")):
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("expect", [])
        said[path.stem] = [(entry["models"], entry.get("owner", "")) for entry in entries]

    def owner(model: str, target: str) -> str:
        known = said.get(target.replace(":", "-"), [])
        return next((whose for globs, whose in known if any(fnmatch.fnmatchcase(model, glob) for glob in globs)), "")

    return owner
