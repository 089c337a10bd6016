"""One job in this process: probe, convert or run in a backend's interpreter; build a bundle in the base environment.

Started by `python -m porting.workers.worker JOB_FOLDER`, or forked from the warm server. Reads job.json, writes the stage it is
in to a side file (a crash keeps it) and, as its last act, end.json. Python 3.9, standard library and numpy; judges nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import platform
import re
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from porting.adapter import Adapter, ExportedForm
from porting.serialization import Json, from_json, to_json
from porting.types import Artifact, Cause, Outcome, Placement, Stage, Target

JOB, STAGES, END, LOG = "job.json", "stages.jsonl", "end.json", "log.txt"
MESSAGE_LIMIT = 4000
"""Characters of an error message that are kept in a record; the log has the rest."""

DISK_STATUS = 74
"""Exit status of a job that could not write its end, EX_IOERR of sysexits.h."""

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000


class Clock:
    """Notes which stage the job is in, and what it has cost so far."""

    def __init__(self, folder: Path) -> None:
        self._file = open(folder / STAGES, "ab", buffering=0)  # noqa: SIM115 -- open as long as the process lives

    def enter(self, stage: Stage, detail: str = "") -> None:
        """Enter a stage. detail: what within it, for instance the form that is being exported."""
        line = {"stage": stage.value, "detail": detail, **usage()}
        self._file.write((json.dumps(line) + "\n").encode())


def usage() -> Dict[str, float]:
    """Wall clock, CPU seconds (waited-for children included) and peak resident bytes of this process up to now."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return {"wall": time.time(), "cpu": cpu, "rss": float(max(own.ru_maxrss, children.ru_maxrss) * 1024)}


def run_job(folder: Path) -> int:
    """Run the job described in `folder` and write end.json. Returns the exit status for the process: 0, 1 for an error that
    end.json describes, DISK_STATUS when not even that could be written."""
    try:
        return _run_job(folder)
    except OSError:
        with contextlib.suppress(OSError):  # the log may lie on the same full disk
            traceback.print_exc()
        return DISK_STATUS


def _run_job(folder: Path) -> int:
    clock = Clock(folder)
    gc.set_threshold(200_000, 20, 20)  # exporters make millions of small objects that live as long as the job: 5 % of their time
    adapter: Optional[Adapter] = None
    try:
        job = json.loads((folder / JOB).read_bytes())
        if "adapter" in job:
            clock.enter(Stage.ENVIRONMENT)
            adapter = load_adapter(job["adapter"])
        value = handler(job["kind"])(job, clock, adapter)
        end: Json = {"ok": True, "value": value}
    except BaseException as error:  # noqa: BLE001 -- whatever ends a job is its result, KeyboardInterrupt and SystemExit included
        traceback.print_exc()
        end = {"ok": False, "error": describe(error, adapter)}
    sys.stdout.flush()
    sys.stderr.flush()
    end["usage"] = usage()
    part = folder / (END + ".part")
    part.write_text(json.dumps(end))
    os.replace(part, folder / END)
    return 0 if end["ok"] else 1


def load_adapter(place: str) -> Adapter:
    """Import `package.module:Class` and make one."""
    module, _, name = place.partition(":")
    adapter: Adapter = getattr(importlib.import_module(module), name)()
    return adapter


def handler(kind: str) -> Callable[[Json, Clock, Any], Json]:
    """What runs jobs of a kind: one of those below, or `package.module:function`."""
    if kind in _HANDLERS:
        return _HANDLERS[kind]
    module, _, name = kind.partition(":")
    found: Callable[[Json, Clock, Any], Json] = getattr(importlib.import_module(module), name)
    return found


# ---- the jobs of a backend's interpreter --------------------------------------------------------------------------


def _probe(_job: Json, _clock: Clock, adapter: Adapter) -> Json:
    import numpy

    packages = {"python": platform.python_version(), "numpy": numpy.__version__}
    return {"probe": to_json(adapter.probe()), "packages": packages}


def _convert(job: Json, clock: Clock, adapter: Adapter) -> Json:
    """Convert into an empty folder; what the adapter says it wrote has to be there."""
    clock.enter(Stage.CONVERT)
    folder = Path(job["artifact_folder"])
    folder.mkdir(parents=True, exist_ok=True)
    form = from_json(ExportedForm, job["form"])
    form = ExportedForm(**{**form.__dict__, "path": Path(form.path), "samples": tuple(Path(p) for p in form.samples)})
    artifact = adapter.convert(form, Target.parse(job["target"]), folder)
    if not isinstance(artifact, Artifact):
        raise NoArtifact(f"the adapter returned {type(artifact).__name__} instead of an Artifact")
    lost = [name for name in artifact.files if not (folder / name).exists()]
    if lost or not artifact.files:
        raise NoArtifact(f"the converter ended without an error but did not write {', '.join(lost) or 'any file'}")
    return to_json(artifact)


def _run(job: Json, clock: Clock, adapter: Adapter) -> Json:
    """Load an artifact and run every case; outputs go back as files."""
    from porting.bundles.tensors import as_declared, read_tensors, write_tensors

    clock.enter(Stage.LOAD)
    target = Target.parse(job["target"])
    artifact = from_json(Artifact, job["artifact"])
    session = adapter.load(artifact, target, Path(job["artifact_folder"]))
    for case in job["cases"]:
        clock.enter(Stage.RUN, case["name"])
        outputs = session.run(as_declared(read_tensors(Path(case["inputs"])), artifact.inputs))
        write_tensors(Path(case["outputs"]), outputs)
    _generate(job.get("prompts", ()), session, artifact, clock)
    placement = session.placement()
    if not isinstance(placement, Placement):
        raise TypeError(f"the adapter's placement() returned {type(placement).__name__} instead of a Placement")
    answer = {"placement": to_json(placement), "effective_precision": session.effective_precision().value}
    if job.get("bench"):
        clock.enter(Stage.BENCH)
        inputs = as_declared(read_tensors(Path(job["cases"][0]["inputs"])), artifact.inputs)
        answer["perf"] = _bench(session, inputs, job["bench"])
    return answer


def _generate(prompts: Any, session: Any, artifact: Artifact, clock: Clock) -> None:
    """Continue prompts greedily, handing each call's cache to the next; tokens and scores go back as files."""
    from porting.bundles.generation import Prompt, greedy
    from porting.bundles.tensors import as_declared, read_tensors, write_tensors

    for prompt in prompts:
        clock.enter(Stage.RUN, prompt["prompt"]["name"])
        start = read_tensors(Path(prompt["start"]))
        made = greedy(lambda call: session.run(as_declared(call, artifact.inputs)), start, from_json(Prompt, prompt["prompt"]))
        write_tensors(Path(prompt["outputs"]), made)


def _bench(session: Any, inputs: Any, seconds: float) -> Json:
    times: List[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < until and len(times) < 1000):
        start = time.perf_counter()
        session.run(inputs)
        times.append(time.perf_counter() - start)
    times.sort()
    return {"runs": len(times), "median_seconds": times[len(times) // 2], "min_seconds": times[0]}


_HANDLERS: Dict[str, Callable[[Json, Clock, Any], Json]] = {"probe": _probe, "convert": _convert, "run": _run}


# ---- what an exception means --------------------------------------------------------------------------------------


class NoArtifact(Exception):
    """A converter ended well and left nothing to deploy."""


def describe(error: BaseException, adapter: Optional[Adapter]) -> Json:
    """An exception as data: type, message, outcome and cause."""
    outcome, cause = classify(error, adapter)
    error = root_cause(error)
    ours = _ours(error)
    text = _COLOUR.sub("", str(getattr(error, "message", error) if ours else error)).strip() or type(error).__name__
    return {
        "type": type(error).__name__,
        "message": text.encode("utf-8", "replace").decode()[:MESSAGE_LIMIT],
        "hint": str(getattr(error, "hint", "")),
        "ours": ours,
        "outcome": outcome.value,
        "cause": cause.value,
    }


def root_cause(error: BaseException) -> BaseException:
    """The error at the bottom of `raise ... from ...`: exporters wrap what happened in advice. One of ours is bottom enough:
    it says in plain words what the error below it means."""
    seen = set()
    while error.__cause__ is not None and id(error) not in seen and not _ours(error):
        seen.add(id(error))
        error = error.__cause__
    return error


def _ours(error: BaseException) -> bool:
    """Whether it is a PortingError, by its shape: porting.errors is not in a backend's interpreter."""
    return hasattr(error, "exit_code") and hasattr(error, "hint")


_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


# An exception never is a success, whatever an adapter makes of it.
_MAY_SAY = (Outcome.FAIL, Outcome.UNSUPPORTED, Outcome.UNAVAILABLE)


def classify(error: BaseException, adapter: Optional[Adapter]) -> Tuple[Outcome, Cause]:
    """The backend's own word first, then what one of our errors carries, then general rules."""
    if adapter is not None:
        try:
            said = adapter.classify(error)
        except Exception:  # noqa: BLE001 -- a broken classifier must not hide the error that it was asked about
            traceback.print_exc()
            said = None
        if said is not None and said[0] in _MAY_SAY:
            return said
    verdict: Optional[Tuple[str, str]] = getattr(root_cause(error), "verdict", None)
    if verdict is not None and verdict[0] in (*_MAY_SAY, Outcome.INVALID):
        return Outcome(verdict[0]), Cause(verdict[1])
    if isinstance(error, NoArtifact):
        return Outcome.FAIL, Cause.NO_ARTIFACT
    if isinstance(error, MemoryError):
        return Outcome.FAIL, Cause.HOST_OOM
    if (isinstance(error, OSError) and error.errno in _DISK_ERRORS) or _DISK_WORDS.search(str(error)):
        return Outcome.FAIL, Cause.DISK
    if isinstance(error, ImportError):
        return Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY
    return Outcome.FAIL, Cause.EXCEPTION


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_DISK_WORDS = re.compile("No space left on device|Disk quota exceeded|File too large")  # of libraries with errors of their own


# ---- the process --------------------------------------------------------------------------------------------------


def isolate(parent: int) -> None:
    """Die with the parent, leave no core file, and lose the network where the kernel allows it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def main() -> int:
    isolate(os.getppid())
    return run_job(Path(sys.argv[1]))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a backend's teardown may crash after all was written; it cannot change the result any more
