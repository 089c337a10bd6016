"""Other scanners on the same trees: what each costs, and how many of the places it tells that porting scan tells, too."""

from __future__ import annotations

import compileall
import csv
import json
import re
import sys
import tempfile
from pathlib import Path

from measure import cost

import porting

_PLACE = re.compile(r"^(?P<path>[^:\s]+\.py):(?P<line>\d+):\d+: \w+", re.MULTILINE)
Places = set[tuple[str, int]]


def anchors(commands: list[str], folder: Path, lines: int, turns: int) -> str:
    """CPU time and finds of other scanners over all trees, one after the other with ours, in the order given; the fastest of some
    turns each. commands: NAME=COMMAND, with {} for the trees' folder and {out} for a fresh one."""
    compileall.compile_dir(Path(porting.__file__).parent, quiet=2)  # as pip does when it installs
    ours = f"porting scan={sys.executable} -m porting scan --format json {{}}"
    best: dict[str, tuple[float, float, Places]] = {}
    for _turn in range(turns):
        for entry in [ours, *commands]:
            name, _, command = entry.partition("=")
            found = _measured(name, command, folder)
            best[name] = min(best.get(name, found), found, key=lambda f: f[0])
            print(name, f"{found[0]:.1f} s of CPU time, {found[1]:.1f} s by the clock", file=sys.stderr, flush=True)
    first = best["porting scan"]
    rows = ["| scanner | CPU s | lines/s of CPU time | times porting's | places in Python | of porting's places |"]
    rows.append("|---|---|---|---|---|---|")
    for name, (cpu, _wall, told) in best.items():
        shared = len(told & first[2]) / len(first[2])
        numbers = f"{cpu:.2f} | {lines / cpu:,.0f} | {cpu / first[0]:.2f} | {len(told):,} | {shared:.0%}"
        rows.append(f"| {name} | {numbers} |")
    return "\n".join(rows) + f"\n\n{lines:,} lines of Python.\n"


def _measured(name: str, command: str, folder: Path) -> tuple[float, float, Places]:
    with tempfile.TemporaryDirectory() as out:
        used = cost([word.replace("{}", str(folder)).replace("{out}", out) for word in command.split()])
        if used.code not in (0, 1):
            raise SystemExit(f"{name} ended with {used.code}: {used.output[-400:]}")
        return used.cpu, used.wall, places(used.output, folder) | _listed(Path(out))


def places(output: str, folder: Path) -> Places:
    """Lines of Python files that a scanner has told of: porting's JSON, ast-grep's stream of it, or PATH:LINE:COLUMN: CODE."""
    if output.startswith("["):
        return {(f["path"], f["line"]) for f in json.loads(output) if f["path"].endswith(".py")}
    if output.startswith("{"):
        entries = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        told = [(entry["file"], entry["range"]["start"]["line"] + 1) for entry in entries]
    else:
        told = [(match["path"], int(match["line"])) for match in _PLACE.finditer(output)]
    inside = ((Path(path).relative_to(folder) if Path(path).is_absolute() else Path(path), line) for path, line in told)
    return {(path.as_posix(), line) for path, line in inside if path.suffix == ".py"}


def _listed(out: Path) -> Places:
    """Lines that msTransplant has changed, or has something to say about."""
    found: Places = set()
    for path in out.rglob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if str(row.get("File", "")).endswith(".py") and str(row.get("Start Line", "")).isdigit():
                    found.add((str(row["File"]), int(row["Start Line"])))
    return found
