"""Tables of the code: operators, rules of source porting, routes, situations of the gate, rooms."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from parts.backends import built_in
from parts.markdown import ROOT, code, table


def known() -> str:
    """What the built-in adapters know about ONNX node cases that come back wrong with them."""
    from porting.operators.known import known_of

    rows = [
        (f"`{adapter.name}` {entry.version}", entry.outcome.value, entry.kind, entry.reason, code(entry.cases))
        for adapter in built_in()
        for entry in known_of(adapter.name)
    ]
    return table(("seen with", "outcome", "kind", "what", "cases"), rows)


def rules() -> str:
    """Every rule of a scan of source code."""
    from porting.codemod.finding import rules as known

    return table(
        ("rule", "best class", "what", "why"), ((r.id, f"`{r.safety.value}`", r.what, r.reason) for r in known().values())
    )


def routes() -> str:
    """Every change of a route, in the order in which they are made."""
    from porting.routes.table import CHANGES

    rows = [(f"`{c.word}`", c.level.value, ", ".join(c.kinds), c.what) for c in CHANGES]
    return table(("change", "to the", "forms", "what"), rows)


def situations() -> str:
    """The situations that the gate's tests put to it, with what it says and how it ends."""
    sys.path.insert(0, str(ROOT / "tests" / "cli"))
    from gate_kit import LIVE, SITUATIONS, accepted_of, came_of

    rows = [(what, accepted_of(s), came_of(s), s.judgement, s.code, s.strict) for what, s in (SITUATIONS | LIVE).items()]
    return table(("situation", "accepted", "came", "judgement", "exit", "strict"), rows)


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
