"""Runs a program of a person's on a stand-in, in a process of its own, and leaves a report of what it did.

    python -m porting.accelerators.script SETTINGS PROGRAM [ARGUMENTS...]

SETTINGS is JSON: `profile`, `fallback`, `keep_going`, `report` (the file to write), `module` (whether PROGRAM is a module's
name). The report is written whatever ends the program, as long as the process is not killed.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import runpy
import sys
import traceback
import types
from pathlib import Path
from typing import Any, Dict

from porting.accelerators import standin
from porting.accelerators.ledger import Refused, Unavailable
from porting.accelerators.profile import Profile, load

UNAVAILABLE = 3
"""The exit status where the stand-in cannot be had here."""


def main(settings: Dict[str, Any], program: str) -> int:
    """Run `program`, with sys.argv as it stands. Returns the exit status that it ended with, 1 for an error."""
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"  # the maker's own plugin would take the name
    profile = load()[settings["profile"]]
    try:
        device = standin.install(profile)
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        _leave(settings["report"], {"status": UNAVAILABLE, "error": "", "refused": False, "unavailable": str(reason)})
        return UNAVAILABLE
    device.prepare_for_programs()
    _pretend(profile)
    ledger = device.become(profile, settings["fallback"], settings["keep_going"])
    report: Dict[str, Any] = {"status": 0, "error": "", "refused": False}
    try:
        if settings["module"]:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(program).resolve().parent))
            runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        report["status"] = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001 -- whatever ends the program is reported, KeyboardInterrupt included
        _print(error)
        report.update(status=1, error=f"{type(error).__name__}: {error}", refused=isinstance(error, Refused))
    finally:
        _leave(settings["report"], {**report, **ledger.as_json()})
    return int(report["status"])


def _leave(file: str, report: Dict[str, Any]) -> None:
    part = file + ".part"
    Path(part).write_text(json.dumps(report))
    os.replace(part, file)


def _print(error: BaseException) -> None:
    """The error as Python shows it, without the frames that are ours."""
    shown = traceback.TracebackException.from_exception(error)
    ours = (str(Path(__file__).parent), "runpy.py>", "<frozen runpy>")
    shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if not f.filename.startswith(ours)])
    print("".join(shown.format()), end="", file=sys.stderr)


class _Plugin(types.ModuleType):
    """A plugin's module. Libraries import operators of the maker's own from it, and may never call them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def own(*_args: Any, **_more: Any) -> Any:
            raise NotImplementedError(f"{self.__name__}.{name} is an operator of the maker's own, which nothing here computes")

        return own


def _pretend(profile: Profile) -> None:
    """Let `import torch_npu` find a module: programs import the plugin for what it does to PyTorch."""
    import torch

    assert profile.torch
    assert profile.operators
    if not profile.torch.plugin:
        return
    module = _Plugin(profile.torch.plugin)
    module.__spec__ = importlib.machinery.ModuleSpec(profile.torch.plugin, None)  # libraries ask for it to find out what is here
    module.__version__ = profile.operators.plugin_version.rpartition(" ")[2]  # type: ignore[attr-defined]
    setattr(module, profile.torch.device, getattr(torch, profile.torch.device))
    sys.modules[profile.torch.plugin] = module


if __name__ == "__main__":
    given, words = json.loads(sys.argv[1]), sys.argv[2:]
    sys.argv = words
    sys.exit(main(given, words[0]))
