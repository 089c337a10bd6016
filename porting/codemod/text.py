"""Files that are no programs of Python: YAML, JSON, TOML, shell, Dockerfile, requirements.

By lines, so that a broken one is read, too; comments are left out."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from porting.codemod.finding import Finding, Safety
from porting.codemod.words import IMAGE, SETTING, TOOL, VARIABLE, alternatives, distribution

_VALUE = re.compile(r"""(?:[:=]|\s-)\s*(?P<quote>["']?)(?P<word>cuda(?::\d+)?|nccl)(?P=quote)\s*(?:[,#}\]]|$)""")
_REQUIREMENT = re.compile(r"\s*[\"'-]*\s*(?P<name>[A-Za-z][\w.-]*)")
_HASH_COMMENTS = ("yaml", "toml", "shell", "dockerfile", "requirements", "config")


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


def find(path: str, kind: str, text: str) -> list[Finding]:
    """What is found in a file. kind: as kind_of has it."""
    found: list[Finding] = []
    if kind == "json":
        try:
            json.loads(text)
        except ValueError as error:
            if not re.search(r"^\s*//|,\s*[}\]]", text, re.MULTILINE):  # JSON with comments is read by what wrote it
                found.append(Finding("PRT900", path, getattr(error, "lineno", 1), 1, path, Safety.REPORT, str(error)))
    for number, line in enumerate(text.splitlines(), 1):
        if (
            "cuda" in line.lower()
            or "nccl" in line.lower()
            or "nvidia" in line.lower()
            or kind in ("requirements", "yaml", "toml")
        ):
            found += _line(path, kind, number, line)
    return found


def _line(path: str, kind: str, number: int, line: str) -> list[Finding]:
    said = _without_comment(line, kind)
    if not said.strip():
        return []
    found: list[tuple[str, int, str]] = []
    found += [("PRT351", m.start(), "") for m in VARIABLE.finditer(said)]
    found += [("PRT353", m.start(), "") for m in TOOL.finditer(said)]
    found += [("PRT352", m.start(), "") for m in IMAGE.finditer(said)][:1]
    device = (SETTING if kind == "shell" and "--" in said else _VALUE).search(said)
    if device and kind != "requirements" and not found:
        found.append(("PRT350", device.start("word"), ""))
    if kind == "requirements" or (kind == "yaml" and re.match(r"\s*-\s*[\w.-]+\s*(?:[=<>~!].*)?$", said)):
        match = _REQUIREMENT.match(said)
        package = distribution(match["name"]) if match else ""
        if package and match:
            found.append(("PRT403", match.start("name"), f"instead: {alternatives(package)['anywhere']}"))
    text = " ".join(line.split())[:160]
    return [Finding(rule, path, number, column + 1, text, Safety.REPORT, why) for rule, column, why in found]


def _without_comment(line: str, kind: str) -> str:
    if kind not in _HASH_COMMENTS:
        return line
    if kind == "shell" and line.startswith("#SBATCH"):
        return line
    return re.sub(r"(?:^|\s)#.*$", "", line)
