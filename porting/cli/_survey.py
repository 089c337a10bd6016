"""`porting ops MODEL`: what makers' lists say of a model's operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import print_json, print_table

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile
    from porting.static.onnx_survey import OnnxSurvey
    from porting.static.survey import Survey

_FATES = {"native": "native", "composite": "composed", "fallback": "not listed", "unknown": "unknown"}


def sizes_of(texts: Sequence[str]) -> dict[str, int]:
    """AXIS=SIZE pairs. Raises click.UsageError."""
    found = {}
    for text in texts:
        name, _, size = text.partition("=")
        if not name or not size.isdigit() or int(size) < 1:
            raise click.UsageError(f"{text!r} is no AXIS=SIZE, for instance sequence=4096.")
        found[name] = int(size)
    return found


def run(models: Sequence[str], on: Sequence[str], train: bool, sizes: Sequence[str], trust: bool, form: str) -> int:
    """Survey models and print what was found. Returns the exit status: 1 when a card would refuse something."""
    from porting.api import Setting
    from porting.static.survey import listed, survey

    wanted = sizes_of(sizes)
    profiles = listed([name for names in on for name in names.split(",") if name and name != "all"])
    setting = Setting.find()
    specs = setting.resolve(models, trust=trust)
    with setting.pipeline() as pipeline:
        found = [survey(pipeline.jobs, spec, list(profiles), wanted, train) for spec in specs]
    if form == "json":
        print_json(each for one in found for each in _records(one, profiles))
    else:
        for one in found:
            _print(one, profiles)
    return 1 if any(one.refused() for one in found) else 0


def run_onnx(models: Sequence[str], on: Sequence[str], trust: bool, form: str) -> int:
    """Export models without their weights and print their ONNX operators. Returns the exit status."""
    from porting.api import Setting
    from porting.static.onnx_survey import listed, onnx_survey

    profiles = listed([name for names in on for name in names.split(",") if name and name != "all"])
    setting = Setting.find()
    specs = setting.resolve(models, trust=trust)
    with setting.pipeline() as pipeline:
        found = [onnx_survey(pipeline.jobs, spec) for spec in specs]
    if form == "json":
        print_json(_onnx_record(one, profiles) for one in found)
    else:
        for one in found:
            _print_onnx(one, profiles)
    return 0


def _onnx_record(found: OnnxSurvey, profiles: Mapping[str, Profile]) -> dict[str, Any]:
    return {
        "model": found.model,
        "parameters": found.parameters,
        "sizes": dict(found.sizes),
        "weightless": found.weightless,
        "layers": {name: {"exported": kept, "of": of} for name, (kept, of) in found.layers.items()},
        "opset": found.opset,
        "needs_opset": found.needs,
        "evidence": "static",
        "operators": [{"name": o.name, "count": o.count, "since": o.since} for o in found.operators],
        "not_listed": {name: found.missing(profile) for name, profile in profiles.items()},
    }


def _print_onnx(found: OnnxSurvey, profiles: Mapping[str, Profile]) -> None:
    how = "" if found.weightless else "; built with its weights, since it looks at values"
    click.echo(f"{found.model}: {found.parameters:,} parameters, exported as opset {found.opset}{how}")
    for name, (kept, of) in found.layers.items():
        click.echo(f"    {name}: the first {kept} of {of}, which are of every kind")
    missing = {name: found.missing(profile) for name, profile in profiles.items()}
    rows = [
        (o.name, str(o.since or "-"), str(o.count), *("not listed" if o.name in missing[p] else "listed" for p in profiles))
        for o in found.operators
    ]
    click.echo()
    print_table(("operator", "since opset", "nodes", *profiles), rows)
    click.echo(f"\nopset {found.needs} is the newest that changed one of them: what reads it reads the model")
    for name, profile in profiles.items():
        assert profile.onnx
        here = len(found.operators) - len(missing[name])
        click.echo(
            f"{name} ({profile.onnx.plugin_version or profile.onnx.list}): {here} of {len(found.operators)} operators there"
        )
    click.echo("\nFrom the graph and lists alone (static): nothing of weights, dtypes, shapes or whether a kernel is right.")


def _records(found: Survey, profiles: Mapping[str, Profile]) -> list[dict[str, Any]]:
    """One object a model and maker."""
    about = {
        "model": found.model,
        "parameters": found.parameters,
        "sizes": dict(found.sizes),
        "weightless": found.weightless,
        "evidence": "static",
    }
    return [{**about, "accelerator": name, "list": _list(profiles[name]), **found.ledgers[name]} for name in profiles]


def _list(profile: Profile) -> str:
    assert profile.operators
    return profile.operators.plugin_version or profile.operators.list


def _print(found: Survey, profiles: Mapping[str, Profile]) -> None:
    sizes = ", ".join(f"{axis} {size}" for axis, size in found.sizes.items())
    how = "" if found.weightless else "; built with its weights, since it looks at values"
    click.echo(f"{found.model}: {found.parameters:,} parameters, {sizes}{how}\n")
    fates: dict[str, dict[str, Any]] = {}
    for name in profiles:
        for operator in found.ledgers[name]["operators"]:
            fates.setdefault(operator["name"], {})[name] = operator
    rows = [(name, *(_cell(each.get(p)) for p in profiles)) for name, each in sorted(fates.items())]
    print_table(("operator", *profiles), rows)
    click.echo()
    for name, profile in profiles.items():
        for line in _lines(name, profile, found.ledgers[name]):
            click.echo(line)
    click.echo(
        "\nFrom lists alone (static): they name operators, and know nothing of dtypes, shapes or whether a kernel is right."
    )


def _cell(operator: Mapping[str, Any] | None) -> str:
    """An operator that one maker's list makes of others does not occur as itself."""
    return f"{_FATES[operator['support']]} {operator['count']}" if operator else "-"


def _lines(name: str, profile: Profile, ledger: Mapping[str, Any]) -> list[str]:
    operators = ledger["operators"]
    lacking = [operator for operator in operators if operator["support"] in ("fallback", "unknown")]
    assert profile.operators
    fate = "falls back to the CPU" if profile.operators.otherwise == "cpu" else "is refused"
    head = f"{name} ({_list(profile)}): {len(operators) - len(lacking)} of {len(operators)} operators there"
    lines = [head + (f"; what is not {fate}" if lacking else "")]
    lines += [f"    {o['name']}, {o['count']} calls{_at(o['places'])}" for o in lacking]
    seen = {(r["operator"], r["why"]): r["place"] for r in ledger["refusals"]}
    lines += [f"    refused: {operator}: {why}{f', at {place}' if place else ''}" for (operator, why), place in seen.items()]
    lines += [f"    waits for the device: {w['what']}, {w['count']} times, at {w['place']}" for w in ledger["waits"]]
    return lines


def _at(places: Mapping[str, int]) -> str:
    return f", at {next(iter(places))}{f' and {len(places) - 1} more places' if len(places) > 1 else ''}" if places else ""
