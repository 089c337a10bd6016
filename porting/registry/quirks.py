"""What was seen of a backend that a person should know: `quirks.toml` in an adapter's folder, for docs and `targets show`.

[[quirk]]
seen = "3.13.0"                     # the version it was seen with
where = "transformers/gpt2"         # the model, operator, precision or call
symptom = "a Transpose loses the dynamic axis"
answer = "mismatch"                 # what the adapter does about it, or what a result says
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from porting import registry
from porting.errors import PortingError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "quirks.toml"


@dataclass(frozen=True)
class Quirk:
    """One behaviour of a backend that surprises."""

    seen: str
    """The version that it was seen with."""
    where: str
    symptom: str
    answer: str


def quirks(adapter: str) -> tuple[Quirk, ...]:
    """The quirks of a built-in adapter; none of another's. Raises UnknownName, PortingError for a file of another form."""
    folder = registry.folder(adapter)
    path = folder / FILE if folder else None
    if path is None or not path.is_file():
        return ()
    try:
        return tuple(Quirk(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["quirk"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise PortingError(
            f"{path} is no list of quirks: {error}.", "It holds [[quirk]] with seen, where, symptom, answer."
        ) from error
