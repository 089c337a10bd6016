"""Write the parts of README.md and docs/ that the code makes: the command line, the backends, the catalog's keys and numbers.

python docs/generate.py            rewrite what is between `<!-- generated: NAME -->` and `<!-- end -->`
python docs/generate.py --check    change nothing; exit 1 when a part is not what the code says
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import fnmatch
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def code(words: Iterable[object]) -> str:
    """Words in code type, with commas."""
    return ", ".join(f"`{word}`" for word in words)


# ---- the command line ---------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command with its full name, groups before what is in them."""
    from porting.cli import root

    yield from _commands(root, click.Context(root, info_name="porting"))


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _commands(inner, click.Context(inner, info_name=name, parent=context))


def cli() -> str:
    """Every command with its usage, its text and its options."""
    return "\n\n".join(_command(path, command, context).strip() for path, command, context in commands())


def _command(path: str, command: click.Command, context: click.Context) -> str:
    level = "#" * (1 + len(path.split()))
    usage = " ".join(command.get_usage(context).removeprefix("Usage:").split())
    text = "\n\n".join(map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n")))
    options = [(_flags(p), _meaning(p)) for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return f"{level} {path}\n\n    {usage}\n\n{text}\n\n" + (table(("option", "meaning"), options) if options else "")


def _paragraph(text: str) -> str:
    """A paragraph of help; one that click keeps as it is (marked by a backspace) as a block."""
    if text.startswith("\b\n"):
        return "\n".join(f"    {line}" for line in text.splitlines()[1:])
    return " ".join(text.split())


def _flags(option: click.Option) -> str:
    names = "/".join([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return f"`{names}`"
    kind = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.type.name.split()[0].upper()
    return f"`{names} {option.metavar or kind}`"


def _meaning(option: click.Option) -> str:
    default = option.default
    if option.is_flag or option.multiple or not isinstance(default, (str, int, float)) or not default:
        return str(option.help)
    return f"{option.help} Default: {f'`{default}`' if isinstance(default, str) else f'{default:g}'}."


# ---- backends -----------------------------------------------------------------------------------------------------


def backends() -> str:
    """The built-in adapters, one after the other: what they declare, what they are made of, what was seen of them."""
    return "\n".join(map(_adapter, _built_in()))


def _built_in() -> list[Any]:
    from porting import registry

    return [registry.adapter(name) for name in registry.names() if registry.is_built_in(name)]


def _adapter(adapter: Any) -> str:
    facts = [
        ("vendor", adapter.vendor),
        ("execution", adapter.family.value),
        ("takes", "; where that does not lead to right numbers, ".join(map(_takes, adapter.needs()))),
        ("versions", code(_pinned(adapter))),
        ("install", adapter.install_hint if "," in adapter.install_hint else f"`{adapter.install_hint}`"),
    ]
    head = ("device", "precisions", "evidence", "what it needs, or whose it is")
    devices = list(_devices(adapter))
    columns = len(head) if any(row[-1] for row in devices) else len(head) - 1
    shown = table(head[:columns], (row[:columns] for row in devices))
    return f"## {adapter.name}\n\n{table(('declared', ''), facts)}\n{shown}{_quirks(adapter.name)}"


def _takes(need: Any) -> str:
    precision = "the target's precision" if need.at_target_precision else "fp32"
    return f"`{need.kind}`, exported in {precision}, with {'dynamic' if need.dynamic else 'static'} axes"


def _pinned(adapter: Any) -> Iterator[str]:
    """The backend's own packages as its environment pins them, `iree-base-compiler 3.13.0`."""
    from porting import registry

    pins = registry.recipe(adapter.name).pins
    for distribution in adapter.distributions:
        yield f"{distribution} {pins[distribution]}" if distribution in pins else distribution


def _devices(adapter: Any) -> Iterator[tuple[str, str, str, str]]:
    """A row a device; the chips of a kind that have all else in common share one."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for device, precisions in adapter.devices.items():
        kind, _, chip = device.partition("-")
        same = adapter.evidence_of(device).value == "compiled" and chip
        key = (f"{kind}-" if same else device, code(p.value for p in precisions), adapter.evidence_of(device).value)
        rows.setdefault((*key, _whose(adapter, device)), []).append(chip)
    for (device, *rest, whose), chips in rows.items():
        names = [f"{device}{chip}" for chip in chips] if device.endswith("-") else [device]
        yield code(f"{adapter.name}:{name}" for name in names), rest[0], rest[1], whose


def _quirks(name: str) -> str:
    from porting.registry.quirks import quirks

    rows = [(quirk.seen, quirk.where, quirk.symptom, quirk.answer) for quirk in quirks(name)]
    return f"\n{table(('seen with', 'where', 'symptom', 'what comes of it'), rows)}" if rows else ""


def _whose(adapter: Any, device: str) -> str:
    """What brings a device, where the adapter's family says so for each."""
    providers = getattr(adapter, "providers", {})
    if device in providers:
        return str(providers[device].package)
    if adapter.name != "torch":
        return ""
    from porting.adapters._torch_device import DEVICES

    entry = DEVICES[device]
    return f"{entry.vendor}; `{entry.plugin}`" if entry.plugin else entry.vendor


# ---- the catalog --------------------------------------------------------------------------------------------------


def keys() -> str:
    """The keys of an entry: type, default, meaning."""
    from porting.catalog.file import FIELDS
    from porting.types import ModelSpec

    return _fields(ModelSpec, FIELDS, {"id": "`source/name`", "family": "the file's name", "weights": "by the source"})


def inputs() -> str:
    """The keys of one entry of `inputs`."""
    from porting.types import InputSpec

    return _fields(InputSpec, [f.name for f in dataclasses.fields(InputSpec)], {})


def _fields(kind: type, names: Sequence[str], defaults: dict[str, str]) -> str:
    said = _docstrings(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    rows = [(f"`{n}`", _toml_type(str(fields[n].type)), defaults.get(n) or _default(fields[n]), said[n]) for n in names]
    return table(("key", "type", "default", "meaning"), rows)


def _docstrings(kind: type) -> dict[str, str]:
    """The texts under the fields of a dataclass. Raises KeyError later for a field without one."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    said = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            said[ast.unparse(field.target)] = str(text.value.value)
    return said


# The first pattern that occurs in a field's annotation names its type in TOML.
_TYPES = (
    (r"Mapping\[str, Tuple", "table of arrays"),
    (r"Mapping\[str, int\]", "table of numbers"),
    (r"Mapping", "table"),
    (r"Tuple\[InputSpec", "array of tables"),
    (r"Tuple\[typing\.Union", "array of numbers and names"),
    (r"Tuple\[int", "array of numbers"),
    (r"Tuple\[str", "array of strings"),
    (r"\bint\b|\bfloat\b", "number"),
    (r"str", "string"),
)


def _toml_type(annotation: str) -> str:
    return next(words for pattern, words in _TYPES if re.search(pattern, annotation))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is not dataclasses.MISSING else "required"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`".replace("'", '"') if value not in ("", None, []) else ""


@dataclasses.dataclass(frozen=True)
class Words:
    """What the table of the catalog says around its numbers."""

    domain: str = "domain"
    families: str = "families"
    every: str = "all"
    comma: str = ", "
    built: str = "{number} `{source}`"
    counts: str = "By source: {built}. Of these, {idle} are listed only, with the reason."


CHINESE = Words("领域", "系列", "合计", "、", "`{source}` {number} 个", "按来源：{built}。其中 {idle} 个仅列出，并附原因。")  # noqa: RUF001


def catalog(words: Words = Words()) -> str:
    """How many models there are, by domain and tier, and by source."""
    from porting.catalog import TIERS, load

    specs = list(load())
    rows = []
    domains = Counter(_domain(spec) for spec in specs)
    for domain in sorted(domains):
        own = [spec for spec in specs if _domain(spec) == domain]
        rows.append((domain, len({s.family for s in own}), *(sum(tier in s.tiers for s in own) for tier in TIERS)))
    rows.append((words.every, len({s.family for s in specs}), *(sum(tier in s.tiers for s in specs) for tier in TIERS)))
    sources = Counter(spec.source for spec in specs)
    built = words.comma.join(words.built.format(number=n, source=source) for source, n in sources.most_common())
    idle = sum(bool(spec.cannot) for spec in specs)
    counts = words.counts.format(built=built, idle=idle)
    return f"{table((words.domain, words.families, *TIERS), rows)}\n{counts}\n"


def _domain(spec: Any) -> str:
    return Path(spec.origin.rpartition(":")[0]).parent.name


def measured() -> str:
    """What `make catalog` found: sound references by domain and modality, and every model without one, with the reason."""
    from porting.catalog import load
    from porting.catalog.measured import FILE, read

    specs, records = list(load()), read(ROOT / "models" / FILE)
    found = {spec.id: records[spec.id].status if spec.id in records else "not built" for spec in specs}
    states = sorted(set(found.values()), key=lambda status: (status != "sound", status))
    built = {records[spec.id].architecture for spec in specs if spec.id in records} - {""}

    def counted(title: str, groups: dict[str, list[Any]]) -> str:
        lines = [(name, len(own), *_counts(found[s.id] for s in own)(states)) for name, own in sorted(groups.items())]
        return table((title, "models", *states), lines)

    if not records:
        return "Nothing was built yet.\n"
    days = sorted({record.date for record in records.values()})
    whole = _counts(found.values())
    said = ", ".join(f"{count} {state}" for state, count in zip(states, whole(states), strict=True))
    seconds = sum(record.cpu_seconds or 0.0 for record in records.values())
    cost = f"Built {days[0]} to {days[-1]} in {seconds / 3600:.1f} CPU hours."
    head = f"{len(specs)} models, {len(built)} classes of modules: {said}. {cost}\n"
    unsound = [
        (f"`{s.id}`", found[s.id], records[s.id].message[:200]) for s in specs if found[s.id] not in ("sound", "not built")
    ]
    parts = [
        head,
        counted("domain", _grouped(specs, lambda spec: [_domain(spec)])),
        counted("modality", _grouped(specs, lambda spec: spec.modalities or ["other"])),
        table(("model", "reference", "why"), unsound) if unsound else "",
    ]
    return "\n".join(part for part in parts if part)


def _counts(states: Iterable[str]) -> Callable[[Sequence[str]], list[int]]:
    counter = Counter(states)
    return lambda names: [counter[name] for name in names]


def _grouped(specs: Iterable[Any], groups_of: Callable[[Any], Iterable[str]]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for spec in specs:
        for name in groups_of(spec):
            groups.setdefault(name, []).append(spec)
    return groups


def families() -> str:
    """Passes by family and executed target, of the models that have a record there."""
    from porting.catalog import load
    from porting.types import Outcome

    latest = {(r.model, r.target): r for r in sorted(_records(), key=lambda r: r.started)}
    ran = {key: r for key, r in latest.items() if r.evidence is not None and r.evidence.ran}
    targets = sorted({target for _, target in ran})
    rows = []
    for family, own in sorted(_grouped(load(), lambda spec: [spec.family]).items()):
        row = [[ran[spec.id, target] for spec in own if (spec.id, target) in ran] for target in targets]
        cells = [f"{sum(r.outcome is Outcome.PASS for r in cell)}/{len(cell)}" if cell else "" for cell in row]
        rows.append((family, len(own), *cells))
    return table(("family", "models", *(f"`{target}`" for target in targets)), rows)


# ---- operators ----------------------------------------------------------------------------------------------------


def known() -> str:
    """What the built-in adapters know about ONNX node cases that come back wrong with them."""
    from porting.operators.known import known_of

    rows = [
        (f"`{adapter.name}` {entry.version}", entry.outcome.value, entry.kind, entry.reason, code(entry.cases))
        for adapter in _built_in()
        for entry in known_of(adapter.name)
    ]
    return table(("seen with", "outcome", "kind", "what", "cases"), rows)


# ---- accelerators -------------------------------------------------------------------------------------------------


def accelerators() -> str:
    """Every maker: how it is reached, what can be had of it here and by what evidence, what is published, and from where."""
    from porting.accelerators.profile import load

    known = list(load().values())
    rows = [(p.vendor, _reached(p), code(_targets(p)), _published(p), _lacking(p), _cards(p)) for p in known]
    heads = ("maker", "PyTorch device", "targets here", "list of operators", "lacks", "cards, GiB")
    sources = [(p.vendor, name, t.source, t.date) for p in known for name, t in _tables(p)]
    return f"{table(heads, rows)}\nSources:\n\n{table(('maker', 'of', 'source', 'date'), sources)}"


def _reached(profile: Any) -> str:
    if not profile.torch:
        return "none here"
    return f"`{profile.torch.device}`" + (f", by `{profile.torch.plugin}`" if profile.torch.plugin else "")


def _targets(profile: Any) -> Iterator[str]:
    """Where a model can be held against it, with the evidence, strongest first."""
    if profile.torch:
        yield f"torch:{profile.torch.device} (hardware)"
    for name in profile.stack.adapters if profile.stack else ():
        yield f"{name} (simulator)"
    if profile.listed:
        yield f"virtual:{profile.torch.device}"
        yield f"static:{profile.torch.device}"
    if profile.onnx:
        yield f"static_onnx:{profile.torch.device}"


def _published(profile: Any) -> str:
    operators = profile.operators
    if not operators:
        return "does not apply"
    if not operators.list:
        return f"none: {operators.none}"
    fate = "the rest falls back to the CPU" if operators.otherwise == "cpu" else "the rest is refused"
    forbid = f", unless `{operators.forbid}`" if operators.forbid else ""
    return f"{operators.plugin_version}; {fate}{forbid}"


def _lacking(profile: Any) -> str:
    if not profile.dtypes:
        return "not known"
    return (code(profile.dtypes.lacks) or "nothing") + (", held in half the width" if profile.dtypes.casts else "")


def _cards(profile: Any) -> str:
    return ", ".join(f"{card.name} {card.memory_gib:g}" for card in profile.cards) or "not known"


def _tables(profile: Any) -> Iterator[tuple[str, Any]]:
    for name in ("torch", "recognise", "tool", "dtypes", "operators", "onnx", "stack"):
        if getattr(profile, name):
            yield name, getattr(profile, name)
    yield from ((card.name, card) for card in profile.cards)


# ---- compatibility ------------------------------------------------------------------------------------------------


def compatibility() -> str:
    """What is on record for the catalog, in models/records: every model on every target with a result there."""
    from porting.catalog import load
    from porting.cli._shared import matrix_of
    from porting.report.markdown import render

    results = list(_records())
    newest = max(result.started for result in results)
    targets = sorted({result.target for result in results})
    built, known = [spec for spec in load() if not spec.cannot], {result.model for result in results}
    specs = [spec for spec in built if spec.id in known]
    whole = matrix_of(specs, [_recorded_on(target, results) for target in targets], results)
    share = f"{len(specs)} of the catalog's {len(built)} models have a record on some target; those that have none are not shown."
    return share + "\n\n" + render(dataclasses.replace(whole, generated=newest)).partition("\n\n")[2]


def _records() -> Iterator[Any]:
    import json
    import lzma

    from porting.types import Result, from_json

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


# ---- source code --------------------------------------------------------------------------------------------------


def rules() -> str:
    """Every rule of a scan of source code."""
    from porting.codemod.finding import rules as known

    return table(
        ("rule", "best class", "what", "why"), ((r.id, f"`{r.safety.value}`", r.what, r.reason) for r in known().values())
    )


# ---- routes -------------------------------------------------------------------------------------------------------


def routes() -> str:
    """Every change of a route, in the order in which they are made."""
    from porting.routes.table import CHANGES

    rows = [(f"`{c.word}`", c.level.value, ", ".join(c.kinds), c.what) for c in CHANGES]
    return table(("change", "to the", "forms", "what"), rows)


# ---- the gate -----------------------------------------------------------------------------------------------------


def situations() -> str:
    """The situations that the gate's tests put to it, with what it says and how it ends."""
    sys.path.insert(0, str(ROOT / "tests" / "cli"))
    from gate_kit import LIVE, SITUATIONS, accepted_of, came_of

    rows = [(what, accepted_of(s), came_of(s), s.judgement, s.code, s.strict) for what, s in (SITUATIONS | LIVE).items()]
    return table(("situation", "accepted", "came", "judgement", "exit", "strict"), rows)


# ---- pass rates ---------------------------------------------------------------------------------------------------


def rates() -> str:
    """Pass rates by target, before and after routes."""
    from porting.report.pass_rates import rates as counted

    rows = [
        (
            f"`{r.target}`", r.evidence, r.valid, r.before, r.after, r.degraded, r.again, _percent(r.before, r.valid),
            _percent(r.after, r.valid),
        )
        for r in counted(_records())
    ]  # fmt: skip
    return table(("target", "evidence", "models", "before", "after", "degraded", "again", "before, %", "after, %"), rows)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def failures() -> str:
    """What still fails on targets where models ran, by reason."""
    from porting import registry
    from porting.catalog import load
    from porting.report.pass_rates import failures as grouped

    sizes = {spec.id: spec.params for spec in load() if spec.params}
    found = [
        f
        for f in grouped(_records(), sizes, _owners())
        if registry.adapter(f.target.partition(":")[0]).evidence_of(f.target.split(":")[1]).value not in ("static", "virtual")
    ]
    cases = {(r["target"], r["model"]): smallest(r) for r in _reduced() if r["case"]}
    rows = [
        (
            f"`{f.target}`", f.reason.replace("|", "/"), f.owner, len(f.models), code(f.models),
            "; ".join(f"`{model}`: {cases[f.target, model]}" for model in f.models if (f.target, model) in cases),
        )
        for f in found
    ]  # fmt: skip
    return table(("target", "reason", "owner", "models", "which", "smallest case"), rows)


def _reduced() -> list[dict[str, Any]]:
    """What benchmarks/reduced_cases.py found."""
    import json

    file = ROOT / "models" / "reduced.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def smallest(row: dict[str, Any]) -> str:
    """Operators and sizes of a reduced case."""
    case = row["case"]
    shapes = ", ".join(shape.replace("float32", "") or shape for shape in case["shapes"].values())
    return f"{' + '.join(case['operators'])} of {shapes}"


def reduced() -> str:
    """The commonest failures on record, and the smallest case of each."""
    rows = [
        (
            row["adapter"], f"`{row['signature']}`", row["models"], row.get("message", "")[:90],
            *((f"`{row['model']}`", smallest(row), row["case"]["kind"]) if row["case"] else ("", _no_case(row), "")),
            row["reproduces"],
        )
        for row in _reduced()
    ]  # fmt: skip
    head = ("adapter", "signature", "models", "the record says", "reduced from", "smallest case", "failure", "reproduces")
    return table(head, rows)


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


# ---- the code -----------------------------------------------------------------------------------------------------


def rooms() -> str:
    """Every module and package at the top of porting/ with what it says of itself."""
    places = [path for path in (ROOT / "porting").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    rows = [(f"`{p.name}{'/' * p.is_dir()}`", said) for p in sorted(places) if not p.name.startswith("_") and (said := _about(p))]
    return table(["in `porting/`", "what it is"], rows)


def _about(place: Path) -> str:
    """The first sentence of a module's docstring."""
    file = place / "__init__.py" if place.is_dir() else place
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", text)[0].rstrip(":")


# ---- the parts ----------------------------------------------------------------------------------------------------


PARTS: dict[str, Callable[[], str]] = {
    "cli": cli, "backends": backends, "keys": keys, "inputs": inputs, "catalog": catalog, "measured": measured,
    "families": families, "known": known, "accelerators": accelerators, "compatibility": compatibility, "rules": rules,
    "situations": situations, "catalog-zh": lambda: catalog(CHINESE), "routes": routes, "rates": rates, "failures": failures,
    "rooms": rooms, "reduced": reduced,
}  # fmt: skip


def pages() -> list[Path]:
    """The pages that may have generated parts."""
    return [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]


def generated(text: str) -> str:
    """A page with its parts made anew. Raises KeyError for a part that nobody makes."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found['name']]().strip()}\n{found[4]}", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write every page, or check them. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a part is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = generated(old)
        if new == old:
            continue
        stale.append(page)
        if not check:
            page.write_text(new, encoding="utf-8")
    for page in stale:
        print(f"{page.relative_to(ROOT)} {'is stale: run make docs' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
