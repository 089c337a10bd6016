"""Nothing to run: operators.json tells what the maker's list says of every operator of the model.

Needs: nothing
"""

from __future__ import annotations

from typing import Any


def run(artifact: dict[str, Any], target: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Say so."""
    raise SystemExit(
        f"{target} is a verdict from lists alone: read {artifact['files'][0]}, with {len(inputs)} inputs nothing was run"
    )
