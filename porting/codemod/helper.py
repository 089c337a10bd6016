"""The helper that ported code imports: its text with what profiles know of makers, and where in a project its copies lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from porting.accelerators.profile import load
from porting.codemod.finding import HERE

NAME = "porting_accel"
FILE = f"{NAME}.py"
_BLANK = "MAKERS = {}  # filled in when this file is copied"
_SCRIPT = re.compile(rb"^if\s+__name__\s*==", re.MULTILINE)


def text() -> str:
    """The helper as it is copied into a project."""
    lines = []
    for profile in load().values():
        torch = profile.torch
        if torch and torch.plugin and torch.device not in ("cuda", "xpu"):
            lines.append(f'    "{torch.device}": ("{torch.plugin}", "{torch.distributed}", "{torch.visible_devices}"),\n')
    blank = (HERE / "vendored" / FILE).read_text(encoding="utf-8")
    assert _BLANK in blank
    return blank.replace(_BLANK, "MAKERS = {\n" + "".join(dict.fromkeys(lines)) + "}")


@dataclass(frozen=True)
class Placement:
    """How a file imports the helper, and where copies have to lie for that."""

    module: str
    """Dotted name of the helper."""
    copies: tuple[str, ...]

    def statement(self, alias: str) -> str:
        package, _, name = self.module.rpartition(".")
        bare = f"import {name}" if alias == name else f"import {name} as {alias}"
        return f"from {package} {bare}" if package else bare


def place(root: Path, path: str, data: bytes, module: str = "") -> Placement:
    """Where the helper of a file lies. A package has its own copy, so that it can be installed alone; a program finds one beside
    it, which its folder is on the path for, and modules that are imported from the top of the tree find one there.

    module: a dotted name that the person has chosen, the same for every file.
    """
    if module:
        return Placement(module, (module.replace(".", "/") + ".py",))
    folder = PurePosixPath(path).parent
    top: PurePosixPath | None = None
    here = folder
    while str(here) != "." and (root / here / "__init__.py").is_file():
        top, here = here, here.parent
    if top is not None and not _runs_alone(data, top.name):
        return Placement(f"{top.name}.{NAME}", (f"{top}/{FILE}",))
    return Placement(NAME, tuple(dict.fromkeys(((folder / FILE).as_posix(), FILE))))


def _runs_alone(data: bytes, package: str) -> bool:
    """Whether a file in a package is a program that imports nothing of the package, and so may be run where the package is not
    on the path."""
    name = re.escape(package).encode()
    own = re.compile(rb"^\s*(?:from\s+(?:\.|%b\b)|import\s+%b\b)" % (name, name), re.MULTILINE)
    return bool(_SCRIPT.search(data)) and not own.search(data)
