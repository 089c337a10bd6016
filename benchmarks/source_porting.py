"""What scan and rewrite make of public repositories, at the commits of source_repositories.toml; and how fast they read.

    python benchmarks/source_porting.py CLONES [--write] [--on REPOSITORY ...]
    python benchmarks/source_porting.py CLONES [--write] [--on REPOSITORY ...] --verify [--device DEVICE ...]
    python benchmarks/source_porting.py CLONES [--write] [--on REPOSITORY ...] --tests
    python benchmarks/source_porting.py CLONES [--write] [--on REPOSITORY ...] --anchor NAME=COMMAND ...

CLONES is a folder with a git directory of each, OWNER+NAME, OWNER+NAME/repo or OWNER+NAME/.git. Trees are read into a temporary
folder, which is removed. --write puts tables into docs/source-porting.md. --verify runs instead the programs of
source_programs/ in original and port, on stand-ins for CUDA and for all makers with lists, or for those named. --tests runs
instead their own tests in original and port. --anchor runs instead another scanner's command on the trees, {} being their folder
and {out} a fresh one, and measures `porting scan` and it in turn (source_scanners.py); --as names the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import cost
from source_scanners import anchors

from porting.accelerators.toml import loads
from porting.codemod import record
from porting.codemod.finding import Safety, rules
from porting.codemod.rewrite import plan
from porting.codemod.scan import Scanned, scan
from porting.codemod.source import parse

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "source-porting.md"
BINARY = (".png", ".jpg", ".jpeg", ".gif", ".mp4", ".npy", ".pdf", ".wav", ".flac", ".pkl", ".pt")
SAFE = (Safety.SAFE,)
BOTH = (Safety.SAFE, Safety.CARE)


@dataclass
class Measured:
    """What came of one repository."""

    name: str
    commit: str
    date: str
    kind: str
    before: Scanned
    rate: float
    """Lines of Python a second of CPU time."""
    changed: int
    broken: int
    """Changed files that do not parse."""
    second: int
    """Edits of a second pass, with care."""
    refused: int


def clone(clones: Path, name: str) -> Path:
    """The git directory of a repository."""
    folder = clones / name.replace("/", "+")
    return next(path for path in (folder / "repo", folder / ".git", folder) if (path / "HEAD").exists())


def tree(git: Path, commit: str, to: Path) -> None:
    """Write the text files of a commit. Files whose content the clone lacks are left out."""
    listed = _git(git, "ls-tree", "-r", "-z", commit).decode("utf-8", "replace").split("\0")
    files = []
    for entry in filter(None, listed):
        meta, path = entry.split("\t", 1)
        mode, kind, digest = meta.split()
        if kind == "blob" and mode != "120000" and not path.lower().endswith(BINARY):
            files.append((digest, path))
    given = "".join(f"{digest}\n" for digest, _ in files).encode()
    contents = subprocess.run(
        ["git", "--git-dir", str(git), "cat-file", "--batch"], input=given, capture_output=True, check=False
    ).stdout
    at = 0
    for _, path in files:
        end = contents.index(b"\n", at)
        head = contents[at:end].split()
        at = end + 1
        if head[1] == b"missing":
            continue
        size = int(head[2])
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_bytes(contents[at : at + size])
        at += size + 1


def _git(git: Path, *words: str) -> bytes:
    return subprocess.run(["git", "--git-dir", str(git), *words], capture_output=True, check=True).stdout


def measured(name: str, about: dict[str, str], git: Path, folder: Path) -> Measured:
    """Scan and rewrite one tree, in place."""
    scan(folder)  # the files are in the page cache from here on
    start = time.process_time()
    before = scan(folder)
    rate = before.python_lines / (time.process_time() - start)
    refused = changed = 0
    touched: set[str] = set()
    for care in (False, True):
        rewriting = plan(scan(folder), care=care)
        refused += len(rewriting.refused)
        touched |= {change.path for change in rewriting.changes}
        record.apply(rewriting)
    changed = len(touched)
    broken = sum(1 for path in touched if not _parses(folder / path))
    second = sum(len(c.findings) for c in plan(scan(folder), care=True).changes)
    date = _git(git, "log", "-1", "--format=%cs", about["commit"]).decode().strip()
    return Measured(name, about["commit"], date, about["kind"], before, rate, changed, broken, second, refused)


def _parses(path: Path) -> bool:
    try:
        parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False
    return True


def table(found: list[Measured]) -> str:
    """The table of the page."""
    head = (
        "| repository | commit, date | kind | lines | safe | care | report | keep | safe share | with care | changed | lines/s |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for one in found:
        counts = one.before.counts("code")
        numbers = " | ".join(str(counts[s]) for s in Safety)
        shares = " | ".join(_percent(one.before.share(*which)) for which in (SAFE, BOTH))
        lines.append(
            f"| {one.name} | {one.commit}, {one.date} | {one.kind} | {one.before.python_lines:,} | {numbers} | {shares} "
            f"| {one.changed} | {one.rate:,.0f} |"
        )
    counts = Counter[Safety]()
    for one in found:
        counts.update(one.before.counts("code"))
    decided = sum(counts[s] for s in (Safety.SAFE, Safety.CARE, Safety.REPORT))
    lines_read = sum(m.before.python_lines for m in found)
    rate = lines_read / sum(m.before.python_lines / m.rate for m in found)
    lines.append(
        f"| all | | | {lines_read:,} | {' | '.join(str(counts[s]) for s in Safety)} | {counts[Safety.SAFE] / decided:.1%} "
        f"| {(counts[Safety.SAFE] + counts[Safety.CARE]) / decided:.1%} | {sum(m.changed for m in found)} | {rate:,.0f} |"
    )
    broken, second, refused = (sum(getattr(m, what) for m in found) for what in ("broken", "second", "refused"))
    unread = sum(1 for m in found for f in m.before.findings if f.rule == "PRT900")
    kinds = Counter(rules()[f.rule].kind for m in found for f in m.before.findings)
    rest = ", ".join(f"{n} of {kind}" for kind, n in sorted(kinds.items()) if kind != "code")
    said = (
        f"\nChanged files that do not parse: {broken}. Edits of a second pass: {second}. Edits left out: {refused}. "
        f"Files that could not be read as what they are: {unread}. Besides what is in code: {rest}.\n"
    )
    return "\n".join(lines) + "\n" + said


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


# ---- running


def verified(name: str, program: Path, original: Path, ported: Path, devices: list[str]) -> str:
    """A row of the table of runs: a program of ours in original and port."""
    for folder in (original, ported):
        shutil.copy(program, folder / program.name)
        shutil.copy(HERE / "stand_empty.py", folder)
    named = [word for device in devices for word in ("--device", device)]
    words = [
        sys.executable,
        "-m",
        "porting",
        "verify",
        "--format",
        "json",
        *named,
        str(original),
        str(ported),
        "--",
        program.name,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{name}: {done.stderr[-400:]}")
    (found,) = json.loads(done.stdout)
    by = {run["where"]: run for run in found["runs"]}
    first, cpu, cuda = by.pop("original"), by.pop("cpu"), by.pop("cuda", None)
    by.pop("original on cuda", None)
    why = found["without_cuda"].rpartition("on the stand-in for CUDA: ")[2]
    on_cuda = _verdict(cuda) if cuda else f"not compared: {why.partition(': [')[0][:90]}" if why else "not run"
    told = ", ".join(f"{where} {_verdict(run)}" for where, run in by.items())
    reached = found["edits"] - len(found["unverified"])
    start = str(first["noted"]) if not first["status"] else f"does not run on the CPU: {first['error'][:60]}"
    return f"| {name} | {start} | {_verdict(cpu)} | {on_cuda} | {told} | {reached} of {found['edits']} |"


def _verdict(run: dict[str, object]) -> str:
    if run["status"]:
        return f"ended with {run['status']}: {str(run['error'])[:70]}"
    if run["differences"]:
        return str(run["differences"][0])  # type: ignore[index]
    return "the same" + (f", {len(run['refusals'])} refusals" if run["refusals"] else "")  # type: ignore[arg-type]


def runs(clones: Path, known: dict[str, dict[str, str]], originals: Path, ports: Path, devices: list[str]) -> str:
    """The table of runs."""
    rows = [
        "| repository | losses, outputs and steps | port on the CPU | port on CUDA (virtual) | on other stand-ins | edits run |",
        "|---|---|---|---|---|---|",
    ]
    for name, program in programs():
        if name not in known:
            continue
        for root in (originals, ports):
            tree(clone(clones, name), known[name]["commit"], root / program.stem)
        record.apply(plan(scan(ports / program.stem), care=True))
        rows.append(verified(name, program, originals / program.stem, ports / program.stem, devices))
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(rows) + "\n"


# ---- their own tests


def tested(clones: Path, known: dict[str, dict[str, str]], originals: Path, ports: Path) -> str:
    """The table of repositories' own tests, on the CPU: in the original, and in the port with care, test by test."""
    rows = ["| repository | own tests | original | port | tests whose outcome differs |", "|---|---|---|---|---|"]
    for name, about in known.items():
        if "tests" not in about:
            continue
        outcomes = []
        for root in (originals, ports):
            folder = root / name.replace("/", "+")
            tree(clone(clones, name), about["commit"], folder)
            if root is ports:
                record.apply(plan(scan(folder), care=True))
            outcomes.append(_outcomes(folder, about["tests"].split(), about["path"]))
        differ = sorted(
            test for test in outcomes[0].keys() | outcomes[1].keys() if outcomes[0].get(test) != outcomes[1].get(test)
        )
        counts = [", ".join(f"{n} {what}" for what, n in sorted(Counter(found.values()).items())) for found in outcomes]
        files = ", ".join(about["tests"].split())
        rows.append(f"| {name} | {files} | {counts[0]} | {counts[1]} | {', '.join(differ) or 'none'} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(rows) + "\n"


def _outcomes(folder: Path, files: list[str], path: str) -> dict[str, str]:
    """What became of each test."""
    plugins = [word for name in ("no:cacheprovider", "no:randomly", "importable_torchvision") for word in ("-p", name)]
    words = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=line", *plugins, *files]
    environment = {"PYTHONPATH": os.pathsep.join([str(folder / path), str(HERE.parent), str(HERE)]), "CUDA_VISIBLE_DEVICES": ""}
    used = cost(words, environment, str(folder))
    found = re.findall(r"^(PASSED|FAILED|ERROR|XFAIL|XPASS) (\S+)", used.output, re.MULTILINE)
    skipped = re.findall(r"^SKIPPED \[(\d+)\] (\S+?):\d+: (.*)", used.output, re.MULTILINE)
    if not any(outcome == "PASSED" for outcome, _ in found):
        raise SystemExit(f"{folder.name}: {used.output[-600:]}")
    why_not = Counter[str]()
    for count, file, why in skipped:  # by reason: a port moves lines
        why_not[f"{file}: {why}"] += int(count)
    one_by_one = [f"{why} ({number})" for why, count in why_not.items() for number in range(count)]
    return {**{test: outcome.lower() for outcome, test in found}, **dict.fromkeys(one_by_one, "skipped")}


# ---- all of it


def put(mark: str, text: str) -> None:
    """Put a table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- measured: {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert pattern.search(page), mark
    PAGE.write_text(pattern.sub(lambda m: f"{m[1]}{text}{m[2]}", page), encoding="utf-8")


def programs() -> Iterator[tuple[str, Path]]:
    for path in sorted((HERE / "source_programs").glob("*.py")):
        yield path.stem.replace("+", "/", 1), path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--tests", action="store_true")
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("--anchor", action="append", default=[])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--as", dest="table", default="scanners")
    parser.add_argument("--on", action="append", default=[])
    given = parser.parse_args()
    known = loads((HERE / "source_repositories.toml").read_text())["repositories"]
    known = {name: about for name, about in known.items() if not given.on or name in given.on}
    with tempfile.TemporaryDirectory() as folder:
        originals, ports = Path(folder) / "original", Path(folder) / "ported"
        if given.verify:
            _say("runs", runs(given.clones, known, originals, ports, given.device), given.write)
            return
        if given.tests:
            _say("tests", tested(given.clones, known, originals, ports), given.write)
            return
        if given.anchor:
            for name, about in known.items():
                tree(clone(given.clones, name), about["commit"], originals / name)
            _say(given.table, anchors(given.anchor, originals, scan(originals).python_lines, given.turns), given.write)
            return
        found = []
        for name, about in known.items():
            git = clone(given.clones, name)
            for root in (originals, ports):
                tree(git, about["commit"], root / name.replace("/", "+"))
            found.append(measured(name, about, git, ports / name.replace("/", "+")))
            print(name, file=sys.stderr)
        _say("repositories", table(found), given.write)


def _say(mark: str, text: str, write: bool) -> None:
    print(text)
    if write:
        put(mark, text)


if __name__ == "__main__":
    main()
