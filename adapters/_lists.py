"""Devices that makers have published operator lists for: which there are, in which precisions, and programs on a stand-in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Tuple

from porting.accelerators.ledger import Ledger
from porting.accelerators.operators import Support
from porting.accelerators.profile import Profile, load
from porting.types import Cause, Outcome, Placement, Precision

from . import _torch_program as programs
from ._causes import Rule

STRICT = "-nofallback"
"""Ends the name of a device whose plugin is told to refuse what it would hand to the CPU."""

_DTYPES = {Precision.FP32: "float32", Precision.FP16: "float16", Precision.BF16: "bfloat16"}


def listed() -> Dict[str, Profile]:
    """Profiles with a list of PyTorch operators, by device string."""
    return {profile.torch.device: profile for profile in load().values() if profile.torch and profile.listed}


def precisions(profile: Profile) -> Tuple[Precision, ...]:
    """Those whose type the maker is not published to lack."""
    lacks = profile.dtypes.lacks if profile.dtypes else ()
    return tuple(precision for precision, dtype in _DTYPES.items() if dtype not in lacks)


def devices() -> Dict[str, Tuple[Precision, ...]]:
    """Every device by name, and again with its fallback forbidden where the maker's plugin has one."""
    found: Dict[str, Tuple[Precision, ...]] = {}
    for name, profile in listed().items():
        found[name] = precisions(profile)
        if profile.operators and profile.operators.otherwise == "cpu":
            found[name + STRICT] = precisions(profile)
    return found


def profile_of(device: str) -> Tuple[Profile, bool]:
    """The profile of one of `devices`, and whether falling back is allowed. Raises KeyError."""
    strict = device.endswith(STRICT)
    return listed()[device[: -len(STRICT)] if strict else device], not strict


def versions() -> Dict[str, str]:
    """Which lists there are, for the key of every result."""
    return {f"list for {name}": _list_name(profile) for name, profile in listed().items()}


def _list_name(profile: Profile) -> str:
    assert profile.operators
    return profile.operators.plugin_version or profile.operators.list


def placement(ledger: Ledger, device: str) -> Placement:
    """What a ledger says ran where, were it the maker's device."""
    here = ledger.count(Support.NATIVE, Support.COMPOSITE)
    elsewhere = ledger.count(Support.FALLBACK, Support.UNKNOWN)
    detail = {"native": ledger.count(Support.NATIVE), "composed": ledger.count(Support.COMPOSITE)}
    for support, words in ((Support.FALLBACK, "not in the list"), (Support.UNKNOWN, "not PyTorch's own")):
        detail.update({f"{name} ({words})": ledger.operators[name].count for name in ledger.names(support)})
    detail.update(
        {
            words: sum(counts.values())
            for words, counts in (("host waits", ledger.waits), ("tensors cast", ledger.casts))
            if counts
        }
    )
    return Placement(here, elsewhere, device, detail)


def run_by_node(device: Any, module: Any, values: Tuple[Any, ...]) -> Any:
    """Run an exported program, so that the device knows the line of the model that each operator is from."""
    import torch

    class Run(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
        def run_node(self, node: Any) -> Any:
            device.where = lambda: line_of(node.meta.get("stack_trace") or "")
            return super().run_node(node)

    return Run(module).run(*values)


_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


def line_of(trace: str) -> str:
    """`file:line` of the innermost frame of a stack trace that is not PyTorch's, the file by its last three parts."""
    frames = [match for match in _LINE.finditer(trace) if "/torch/" not in match["file"]]
    if not frames:
        return ""
    return f"{'/'.join(Path(frames[-1]['file']).parts[-3:])}:{frames[-1]['line']}"


def load_on(device: Any, path: Path) -> Any:
    """A saved program as a module, with everything it holds on a stand-in."""
    return programs.load_module(path, device.name)


RULES: Tuple[Rule, ...] = (
    (r"^Refused: .* lacks ", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"^Refused: .*not in the list", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"a value is asked for|cannot be called on meta tensors|data-independent", Outcome.FAIL, Cause.CONTROL_FLOW),
)
