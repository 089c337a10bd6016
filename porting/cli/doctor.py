"""`porting doctor`."""

from __future__ import annotations

from typing import Any

import click

from porting.cli._shared import format_option, print_json, print_table


@click.command("doctor")
@format_option()
def command(form: str) -> int:
    """Tell what this machine has and what is missing: places, packages, every backend and device, asked afresh."""
    from porting.api import Setting
    from porting.environments.doctor import findings

    found = findings(Setting.find())
    if form == "json":
        print_json(vars(f) for f in found)
    else:
        print_table(("what", "state", "detail"), [(f.what, f.state, _detail(vars(f))) for f in found])
    return 3 if any(f.state == "broken" for f in found) else 0


def _detail(finding: dict[str, Any]) -> str:
    return " ".join(part for part in (finding["detail"], finding["hint"]) if part)
