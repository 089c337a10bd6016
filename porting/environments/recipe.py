"""What an adapter's environment is made from: the files beside the adapter's module. Nothing is made here.

requirements.txt   what pip installs, pinned
environment.toml   what pip cannot be told there; optional:
                   python = "3.10"                    the version of Python that the backend needs
                   alone = ["rknn-toolkit2==2.5.0"]   installed last, without what they ask for: their pins are too narrow
prepare.py         run by the new interpreter when all is installed, to mend what a package gets wrong; optional
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porting.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REQUIREMENTS, SETTINGS, PREPARE = "requirements.txt", "environment.toml", "prepare.py"
_VERSION = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Recipe:
    """How to make an environment."""

    requirements: Path
    python: str = ""
    """A version, such as 3.10; empty for the one we run in."""
    alone: tuple[str, ...] = ()
    """Requirements that are installed last and without their own; they may be at odds with what is there."""
    prepare: Path | None = None
    """A script to run in the environment when all is installed."""

    @property
    def digest(self) -> str:
        """Of everything that decides what an environment holds."""
        said = hashlib.sha256(self.requirements.read_bytes())
        if self.python or self.alone:
            said.update(repr((self.python, self.alone)).encode())
        if self.prepare:
            said.update(self.prepare.read_bytes())
        return said.hexdigest()[:16]

    @property
    def pins(self) -> Mapping[str, str]:
        """Exact version by the name of what is asked for, of all that has one."""
        lines = [*self.requirements.read_text(encoding="utf-8").splitlines(), *self.alone]
        pairs = (line.partition(";")[0].split("==") for line in lines)
        return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}

    def may_lack(self, problem: str) -> bool:
        """Whether a line of `pip check` tells of what an `alone` one asks for in vain."""
        return any(_name(problem.partition(" ")[0]) == _name(re.split(r"[=<>!~\[ ;]", wanted)[0]) for wanted in self.alone)


def is_version(python: str) -> bool:
    """Whether `python` asks for a version, such as 3.10, rather than naming an interpreter."""
    return _VERSION.fullmatch(python) is not None


def read(folder: Path) -> Recipe | None:
    """The recipe in an adapter's folder; None where there is none. Raises UsageError for an invalid environment.toml."""
    requirements, settings, prepare = (folder / name for name in (REQUIREMENTS, SETTINGS, PREPARE))
    if not requirements.is_file():
        return None
    table = _settings(settings) if settings.is_file() else {}
    return Recipe(requirements, table.get("python", ""), tuple(table.get("alone", ())), prepare if prepare.is_file() else None)


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}.") from error
    unknown = sorted(table.keys() - {"python", "alone"})
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r}.", "Known are python and alone.")
    if not (isinstance(table.get("python", "3.10"), str) and is_version(table.get("python", "3.10"))):
        raise UsageError(f'{path}: python has to be a version, such as "3.10".')
    if not _are_words(table.get("alone", [])):
        raise UsageError(f'{path}: alone has to be a list of requirements, such as ["package==1.0"].')
    return table


def _are_words(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(word, str) and word for word in value)


def _name(distribution: str) -> str:
    """As the index compares names."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
