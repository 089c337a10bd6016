"""The catalog: keys of its files, and its numbers."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from parts.markdown import ROOT, table
from parts.results import records


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


_QUIET = ("sound", "not built", "listed only")


def _state(spec: Any, records: Mapping[str, Any]) -> str:
    if spec.cannot:
        return "listed only"
    return records[spec.id].status if spec.id in records else "not built"


def _net(record: Any) -> tuple[Any, ...]:
    """What entries that are one net under several names have in common."""
    return record.architecture, record.params, record.inputs, record.outputs


def measured() -> str:
    """What `make catalog` found: sound references by domain and modality, and every model without one, with the reason."""
    from porting.catalog import load
    from porting.catalog.measured import FILE, read

    specs, records = list(load()), read(ROOT / "models" / FILE)
    found = {spec.id: _state(spec, records) for spec in specs}
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
    nets = {_net(records[spec.id]) for spec in specs if found[spec.id] == "sound"}
    apart = f"{len(nets)} of the sound ones differ from one another in class, parameters, inputs or outputs."
    head = f"{len(specs)} models, {len(built)} classes of modules: {said}. {apart} {cost}\n"
    unsound = [(f"`{s.id}`", found[s.id], records[s.id].message[:200]) for s in specs if found[s.id] not in _QUIET]
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
    """Passes by family and executed target, of the models with a verdict there; what never came to the target has one, too."""
    from porting.catalog import load
    from porting.report.counts import NO_VERDICT
    from porting.types import Outcome

    latest = {(r.model, r.target): r for r in sorted(records(), key=lambda r: r.started)}
    targets = sorted({target for (_, target), r in latest.items() if r.evidence is not None and r.evidence.ran})
    judged = {key: r for key, r in latest.items() if r.outcome not in NO_VERDICT}
    rows = []
    for family, own in sorted(_grouped(load(), lambda spec: [spec.family]).items()):
        row = [[judged[spec.id, target] for spec in own if (spec.id, target) in judged] for target in targets]
        cells = [f"{sum(r.outcome is Outcome.PASS for r in cell)}/{len(cell)}" if cell else "" for cell in row]
        rows.append((family, len(own), *cells))
    return table(("family", "models", *(f"`{target}`" for target in targets)), rows)
