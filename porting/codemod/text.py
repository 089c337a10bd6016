"""Files that are no programs of Python: YAML, JSON, TOML, shell, Dockerfile, requirements.

By lines, so that a broken one is read, too; comments are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from porting.accelerators.toml import loads
from porting.codemod.finding import Edit, Finding, Safety
from porting.codemod.words import IMAGE, TOOL, VARIABLE, alternatives, distribution

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

_WORD = r"""(?P<quote>\\?["']|)(?P<word>cuda(?::\d+)?|nccl)(?P=quote)"""
_VALUE = re.compile(r"""(?:[:=\[,{]|^|(?<=\s)-(?=\s))\s*""" + _WORD + r"""(?=\s*(?:[,\]})#;&|]|\\?["']|$))""")
"""A value: behind a colon, an equals sign or a list's comma, or alone in its line."""
_OPTION = re.compile(r"""--?[A-Za-z][\w.-]*(?:=|\s+)""" + _WORD + r"""(?![\w./:-])""")
_REQUIREMENT = re.compile(r"\s*(?:-\s*)?[\"']?(?P<name>[A-Za-z][\w.-]*)")
_QUOTED = re.compile(r"""["'](?P<name>[A-Za-z][\w.-]*)(?:\[[^\]"']*\])?\s*(?:[=<>~!;@][^"']*)?["']""")
_KEY = re.compile(r"\s*[\"']?(?P<name>[A-Za-z][\w.-]*)[\"']?\s*=\s*[\"'{]")
"""A package with its version, and no list of what else belongs to a name."""
_INSTALL = re.compile(r"\b(?:pip[\d.]*|uv pip|conda|mamba|poetry|uv)\s+(?:install|add)\b(?P<rest>[^&|;]*)")
_INSTALLED = re.compile(r"""(?<![\w./=-])["']?(?P<name>[A-Za-z][\w.-]*)""")
_HASH_COMMENTS = ("yaml", "toml", "shell", "dockerfile", "requirements", "config")
_EDITABLE = ("yaml", "json", "toml", "config")
_WORDS = ("cuda", "nccl", "nvidia", "gpu", "install", "nsys", "ncu", "nvprof", "nvcr", "cublas", "cudnn", "cupti", "nvml",
          "+cu", "-cu", "/cu", "[cu")  # fmt: skip
"""One of these is in every line that has something, but for a package's name in a list of them."""


def kind_of(path: str) -> str:
    """What sort of file a name says, `` for one that is not looked at."""
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    if name.startswith(("dockerfile", "containerfile")) or suffix == ".dockerfile":
        return "dockerfile"
    if re.fullmatch(r"(?:[\w.-]*requirements[\w.-]*|constraints[\w.-]*)\.(?:txt|in)", name):
        return "requirements"
    by_suffix = {
        ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".sh": "shell", ".bash": "shell", ".slurm": "shell",
        ".sbatch": "shell", ".cfg": "config", ".ini": "config", ".env": "config", ".gin": "config",
    }  # fmt: skip
    return by_suffix.get(suffix, "")


def find(path: str, kind: str, text: str, named: Sequence[Profile] = ()) -> list[Finding]:
    """What is found in a file. kind: as kind_of has it. named: where it is one maker, values are given its names."""
    found = _broken(path, kind, text)
    editable = named if "\ufffd" not in text else ()  # else offsets are not the file's
    start = 0
    lists = kind in ("requirements", "yaml", "toml")
    everywhere = text.lower()
    words = [word for word in _WORDS if word in everywhere]
    if not words and not lists:
        return found
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        lower = line.lower()
        if any(word in lower for word in words) or (lists and any(distribution(name) for _, name in _packages(kind, line))):
            said = _without_comment(line.rstrip("\r\n"), kind)
            found += _line(path, kind, number, said, " ".join(line.split())[:160], (text, start), editable)
        start += len(line)
    return found


def _broken(path: str, kind: str, text: str) -> list[Finding]:
    """A file that does not parse, which is read by lines all the same."""
    try:
        if kind == "json":
            json.loads(text)
        elif kind == "toml":
            loads(text)
    except ValueError as error:
        if kind == "json" and re.search(r"^\s*//|,\s*[}\]]", text, re.MULTILINE):
            return []  # JSON with comments is read by what wrote it
        return [Finding("PRT900", path, getattr(error, "lineno", 1), 1, path, Safety.REPORT, str(error))]
    return []


def _line(
    path: str, kind: str, number: int, said: str, shown: str, at: tuple[str, int], named: Sequence[Profile]
) -> Iterator[Finding]:
    taken: list[tuple[int, int]] = []
    for rule, start, end, word, why in sorted(_matches(kind, said), key=lambda m: (m[1], -m[2])):
        if any(start < other_end and other_start < end for other_start, other_end in taken):
            continue
        taken.append((start, end))
        new = _for_maker(kind, rule, word, named)
        package = distribution(word) if rule == "PRT403" else ""
        details = {"package": package, "alternatives": alternatives(package)} if package else None
        if new:
            text, before = at
            first = len(text[: before + start].encode())
            edit = Edit(first, first + len(word.encode()), new)
            why = f"the file is then for {named[0].vendor} alone"
            yield Finding(rule, path, number, start + 1, shown, Safety.CARE, why, (edit,), imports_itself=True)
        else:
            yield Finding(rule, path, number, start + 1, shown, Safety.REPORT, why, details=details)


def _matches(kind: str, said: str) -> Iterator[tuple[str, int, int, str, str]]:
    """Rule, span, text and reason of all that a line says."""
    for rule, pattern in (("PRT351", VARIABLE), ("PRT353", TOOL), ("PRT352", IMAGE)):
        for match in pattern.finditer(said):
            yield rule, match.start(), match.end(), match[0], ""
    if kind != "requirements":
        for pattern in (_VALUE, _OPTION):
            for match in pattern.finditer(said):
                yield "PRT350", match.start("word"), match.end("word"), match["word"], ""
    for start, name in _packages(kind, said):
        package = distribution(name)
        if package:
            yield "PRT403", start, start + len(name), name, f"instead: {alternatives(package)['anywhere']}"


def _packages(kind: str, said: str) -> Iterator[tuple[int, str]]:
    """Where a line may name a package that is to be installed, and the name."""
    listed = kind == "requirements" or (kind == "yaml" and re.match(r"\s*-\s*[\w.-]+\s*(?:[=<>~!].*)?$", said))
    if listed and (match := _REQUIREMENT.match(said)):
        yield match.start("name"), match["name"]
    if kind == "toml":
        for match in (*_QUOTED.finditer(said), *filter(None, [_KEY.match(said)])):
            yield match.start("name"), match["name"]
    for install in _INSTALL.finditer(said):
        for match in _INSTALLED.finditer(said, install.start("rest"), install.end("rest")):
            yield match.start("name"), match["name"]


def _for_maker(kind: str, rule: str, word: str, named: Sequence[Profile]) -> str:
    """What a value becomes for the one maker that is named; empty where it stays."""
    torch = named[0].torch if len(named) == 1 else None
    if torch is None:
        return ""
    if rule == "PRT351" and word == "CUDA_VISIBLE_DEVICES" and torch.visible_devices != word:
        return torch.visible_devices
    if rule != "PRT350" or kind not in _EDITABLE:
        return ""
    new = torch.distributed if word == "nccl" else torch.device + word.removeprefix("cuda")
    return new if new != word else ""


def _without_comment(line: str, kind: str) -> str:
    if kind not in _HASH_COMMENTS:
        return line
    if kind == "shell" and line.startswith("#SBATCH"):
        return line
    return re.sub(r"(?:^|\s)#.*$", "", line)
