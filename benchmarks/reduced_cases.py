"""The commonest failures on record, each reduced to its smallest case, and the case run where nothing is but the backend.

    python benchmarks/reduced_cases.py FOLDER [--on ADAPTER,...] [--count 10] [--seconds 900] [--stage export,...] [--by reason]

Failures of models on targets where models run, by the published records, are grouped by adapter and signature, the one of most
models first; or as docs/pass-rates.md has them, by target and reason, those that have no case yet. Of each the smallest models
are tried, two at most, until `porting reduce` writes a case; then `porting env create` makes a new environment for the adapter,
in FOLDER, and the case's reproduce.py is run there by that interpreter, isolated (-I), with nothing on PATH but the system's.
What an exporter refuses is shown in an environment of the packages that its case names. One whose models have nothing that fails
by itself is told, and the next takes its place. What was done before in FOLDER is not done again. Writes to models/reduced.jsonl,
which docs/diagnosis.md and docs/pass-rates.md are made from; what was found before of failures that are still on record stays
there.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from porting import registry  # noqa: E402
from porting.catalog import load, measured  # noqa: E402
from porting.diagnose.blockers import blockers  # noqa: E402
from porting.diagnose.notes import published  # noqa: E402
from porting.report.pass_rates import failures  # noqa: E402
from porting.serialization import from_json  # noqa: E402
from porting.signature import normalise  # noqa: E402
from porting.types import Result  # noqa: E402
from porting.workspace import atomic_write  # noqa: E402

PLACE = re.compile(r"(?<!\w)/[\w.+-]+(/[\w.+-]+)+")
"""A path of this machine."""
TABLE = ROOT / "models" / "reduced.jsonl"
STAGES = ("export", "convert", "load", "run", "compare")
OUTCOMES = ("fail", "unsupported", "mismatch")
LIMITS = ("timeout", "hang", "host_oom", "nothing_executed", "precision")
"""Causes that say nothing of an operator."""
MODELS = 2
HUGE = 500_000
"""Parameters of a model that is not tried, unless it is said otherwise."""
UNKNOWN = 1 << 60
"""Where nobody knows how large a model is."""
DEADLINE = 180
"""Seconds after which a case counts as hanging."""


def records() -> list[dict[str, Any]]:
    """The latest result of every cell of a target on which models run."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted((ROOT / "models" / "records").glob("*.jsonl.xz")):
        with lzma.open(path) as lines:
            for found in map(json.loads, lines):
                key = (found["model"], found["target"])
                if key not in latest or latest[key]["started"] <= found["started"]:
                    latest[key] = found
    return [found for found in latest.values() if runs(found["target"])]


@functools.cache
def runs(target: str) -> bool:
    """Whether models run on a target, rather than are read, or compiled only."""
    adapter, device, _ = target.split(":")
    return registry.adapter(adapter).evidence_of(device).value in ("host", "simulator")


def parameters() -> dict[str, int]:
    """By model, as it was built or else as the catalog says."""
    found = measured.read(ROOT / "models" / measured.FILE)
    built = {model: record.params for model, record in found.items() if record.params}
    return {**{spec.id: spec.params for spec in load() if spec.params}, **built}


def failing(adapters: Sequence[str], stages: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The results that a case can be made of. adapters: all without any."""
    for result in records():
        fails = result["outcome"] in OUTCOMES and result["stage"] in stages and result.get("cause") not in LIMITS
        ours = not adapters or result["target"].partition(":")[0] in adapters
        if fails and ours and not result["target"].endswith(":int8"):
            yield result


Group = tuple[str, int, list[dict[str, Any]]]
"""Adapter, how many models, and their results, the one to be tried first in front; the group of most models comes first."""


def groups(adapters: Sequence[str], stages: Sequence[str] = STAGES) -> list[Group]:
    """By adapter and signature; in front of each group its smallest model. adapters: all without any."""
    sizes = parameters()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in failing(adapters, stages):
        found.setdefault((result["target"].partition(":")[0], result["signature"]), []).append(result)
    for results in found.values():
        results.sort(key=lambda r: (sizes.get(r["model"], UNKNOWN), r["model"], r["target"]))
    ordered = sorted(found.items(), key=lambda item: (-len({r["model"] for r in item[1]}), item[0]))
    return [(adapter, len({r["model"] for r in results}), results) for (adapter, _), results in ordered]


def reasons(adapters: Sequence[str], stages: Sequence[str]) -> list[Group]:
    """The same by target and reason; in front the results that have fewest other reasons. Without those that have a case."""
    sizes = parameters()
    results = {(result["model"], result["target"]): result for result in failing(adapters, stages)}
    parsed = {cell: from_json(Result, result) for cell, result in results.items()}
    found = []
    for failure in failures(parsed.values(), sizes, lambda *_: "", published()):
        cells = sorted(((model, failure.target) for model in failure.models), key=lambda cell: len(blockers(parsed[cell])))
        if failure.case is None:
            found.append((failure.target.partition(":")[0], len(cells), [results[cell] for cell in cells]))
    return sorted(found, key=lambda group: -group[1])


def porting(arguments: Sequence[object], seconds: float, **environment: str) -> tuple[int, str, str]:
    """Run a command of ours. Returns exit status, standard output, and the line that says what is wrong."""
    line = [sys.executable, "-m", "porting", *map(str, arguments)]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    try:
        done = subprocess.run(line, env=given, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 124, "", f"not done in {seconds:.0f} s"
    said = [text for text in done.stderr.splitlines() if text.startswith("Error: ")]
    return done.returncode, done.stdout, PLACE.sub("...", said[-1] if said else done.stderr[-200:])


def reduced(folder: Path, result: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The smallest case of a result, or why there is none; kept in the folder."""
    place = folder / "cases" / "".join(c if c.isalnum() else "-" for c in f"{result['model']}-{result['target']}")
    note = place.with_suffix(".json")
    if not note.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        code, out, error = porting(
            ["reduce", result["model"], result["target"], "--out", place, "--timeout", 60, "--format", "json"], seconds
        )
        found = json.loads(out)[0] if code == 0 else {}
        keep = ("kind", "signature", "operators", "shapes", "bytes")
        note.write_text(json.dumps({"case": {k: found[k] for k in keep} if found else None, "error": error if code else ""}))
    return {"folder": place, **json.loads(note.read_text())}


def interpreter(folder: Path, adapter: str) -> Path:
    """Python of a new environment with what the adapter asks for, and nothing else."""
    cache = folder / "fresh"
    python = cache / "environments" / adapter / "bin" / "python"
    code, _, error = porting(["env", "create", adapter], 3600, PORTING_CACHE=str(cache))
    if code:
        raise SystemExit(f"no environment for {adapter}: {error}")
    return python


def exporting(folder: Path, case: Path) -> Path:
    """Python of a new environment with the packages that an exporter's case names, and nothing else."""
    versions = json.loads((case / "case.json").read_text())["versions"]
    wanted = [f"{name}=={version.partition('+')[0]}" for name, version in versions.items()]
    place = folder / "fresh" / hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:12]
    python = place / "bin" / "python"
    if not (place / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True, timeout=3600)
        (place / "done").touch()
    return python


def shows(python: Path, case: Path, kind: str) -> str:
    """What becomes of a case where only its backend is: `yes`, or what came instead."""
    line = [str(python), "-I", str(case / "reproduce.py")]
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(case), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(line, cwd=case, env=plain, capture_output=True, text=True, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        return "yes" if kind == "hang" else f"no: not done in {DEADLINE} s"
    if done.returncode < 0:
        return "yes" if kind == "crash" else f"no: ended by signal {-done.returncode}"
    if done.returncode != 1:
        return f"no: exit status {done.returncode}"
    if kind in ("exception", "export"):
        told = json.loads((case / "case.json").read_text())["message"]
        return "yes" if _words(told)[:40] in _words(done.stdout) else f"no: {done.stdout.strip().splitlines()[-1][:120]}"
    return "yes" if "wrong: " in done.stdout else f"no: {done.stdout.strip().splitlines()[-1][:120]}"


def _words(message: str) -> str:
    """A message without names and numbers."""
    return " ".join(normalise(message).split())


def rows(folder: Path, found: Sequence[Group], count: int, largest: int, seconds: float) -> Iterator[dict[str, Any]]:
    """A row a group, until so many cases are had."""
    sizes = parameters()
    for adapter, models, results in found:
        if count == 0:
            return
        why = ""
        for result in [r for r in results if sizes.get(r["model"], UNKNOWN) <= largest][:MODELS]:
            print(f"{adapter} {result['signature']}: {result['model']} on {result['target']}", file=sys.stderr, flush=True)
            small = reduced(folder, result, seconds)
            if small["case"]:
                refused = small["case"]["kind"] == "export"
                python = exporting(folder, small["folder"]) if refused else interpreter(folder, adapter)
                shown = shows(python, small["folder"], small["case"]["kind"])
                yield {**row_of(adapter, models, result), "case": small["case"], "reproduces": shown}
                count -= 1
                break
            why = why or small["error"]
        else:
            yield {**row_of(adapter, models, results[0]), "case": None, "reproduces": "", "why": why or "its models are large"}


def row_of(adapter: str, models: int, result: dict[str, Any]) -> dict[str, Any]:
    """What a row says of the failure itself."""
    said = result["message"].splitlines()[0][:160] if result["message"] else ""
    keys = ("signature", "target", "model", "cause")
    return {"adapter": adapter, "models": models, "message": said, **{key: result[key] for key in keys}}


def keep(row: dict[str, Any], failing_now: set[tuple[str, str, str]]) -> None:
    """Put a row into the table, in the place of an older one of the same cell; what is not on record any more goes. Several runs
    may write at once."""
    folder = os.open(TABLE.parent, os.O_RDONLY)  # the table itself is replaced as a whole, so that a kill loses nothing
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        lines = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []
        kept = {(each["target"], each["model"]): each for each in map(json.loads, lines)}
        kept[row["target"], row["model"]] = row
        there = [each for each in kept.values() if (each["target"], each["model"], each["signature"]) in failing_now]
        ordered = sorted(there, key=lambda each: (-each["models"], each["target"], each["model"]))
        atomic_write(TABLE, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in ordered).encode())
    finally:
        os.close(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where cases and environments go")
    parser.add_argument("--on", default="", help="adapters whose failures are taken, with commas; all by default")
    parser.add_argument("--count", type=int, default=10, help="cases that are wanted; -1 is all that can be had")
    parser.add_argument("--stage", default=",".join(STAGES), help="stages whose failures are taken, with commas")
    parser.add_argument("--by", choices=("signature", "reason"), default="signature", help="how failures are grouped")
    parser.add_argument("--largest", type=int, default=HUGE, help="parameters of the largest model that is tried")
    parser.add_argument("--seconds", type=float, default=900.0, help="for each reduction")
    given = parser.parse_args()
    adapters = [name for name in given.on.split(",") if name]
    for adapter in adapters or {adapter for adapter, *_ in groups(())}:
        registry.adapter(adapter)  # a record of an adapter that is gone says so at once
    failing_now = {(r["target"], r["model"], r["signature"]) for r in failing((), STAGES)}
    found = (reasons if given.by == "reason" else groups)(adapters, given.stage.split(","))
    for row in rows(given.folder.absolute(), found, given.count, given.largest, given.seconds):
        keep(row, failing_now)


if __name__ == "__main__":
    main()
