"""Findings that were there before, as a file: what is new is told from what is old whatever moves in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from porting.codemod.finding import Finding
from porting.errors import UsageError

VERSION = 1
Key = tuple[str, str, str]


def key(finding: Finding) -> Key:
    """What a finding is told again by: rule, file and text. Its line may change."""
    return finding.rule, finding.path, finding.text


def write(path: Path, findings: Iterable[Finding]) -> int:
    """Write a baseline. Returns how many findings it holds."""
    counts = Counter(map(key, findings))
    entries = [{"rule": rule, "path": file, "text": text, "count": n} for (rule, file, text), n in sorted(counts.items())]
    path.write_text(json.dumps({"version": VERSION, "findings": entries}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return sum(counts.values())


def read(path: Path) -> Counter[Key]:
    """Read a baseline. Raises UsageError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise UsageError(
                f"{path} is a baseline of version {data['version']}, not {VERSION}.", "Write it anew with --write-baseline."
            )
        return Counter({(e["rule"], e["path"], e["text"]): int(e["count"]) for e in data["findings"]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no baseline: {error}.", "Write one with --write-baseline.") from None


def is_one(data: bytes) -> bool:
    """Whether a file is a baseline, and no source: it names what was found, and would be found itself."""
    if b'"findings"' not in data:
        return False
    try:
        found = json.loads(data)
    except ValueError:
        return False
    return isinstance(found, dict) and found.keys() == {"version", "findings"}


def new(findings: Iterable[Finding], known: Counter[Key]) -> list[Finding]:
    """Findings that a baseline does not have; of several alike those beyond its count, the last in the file."""
    left = Counter(known)
    found = []
    for finding in findings:
        if left[key(finding)] > 0:
            left[key(finding)] -= 1
        else:
            found.append(finding)
    return found


def gone(findings: Iterable[Finding], known: Counter[Key]) -> int:
    """How many findings of a baseline are there no more."""
    return sum((known - Counter(map(key, findings))).values())
