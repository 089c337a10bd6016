"""What makers' lists of PyTorch operators say of a program: nothing is built, nothing is computed.

The program is walked on a stand-in without memory; one that asks for a value to go on is walked on the CPU instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from porting.accelerators import standin
from porting.accelerators.ledger import Ledger, Refused
from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe, Session
from porting.types import Artifact, Evidence, Target

from .. import _lists as lists
from .. import _torch_program as programs
from .._causes import Meaning, first_match, nothing_here
from .._torch import RULES as TORCH_RULES
from .._torch import import_torch

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

FILE = "operators.json"


class StaticAdapter(Adapter):
    """Looks up every operator of the exported program in the maker's list."""

    name = "static"
    vendor = "this toolkit, after lists of Huawei, Cambricon and Moore Threads"
    family = Family.TORCH_DEVICE
    need = FormNeed("pt2", at_target_precision=True)
    devices = {name: lists.precisions(profile) for name, profile in lists.listed().items()}  # noqa: RUF012 -- ClassVar in the base class
    evidence = dict.fromkeys(devices, Evidence.STATIC)
    distributions = ("torch",)
    install_hint = "pip install torch"

    def probe(self) -> Probe:
        try:
            torch = import_torch()
            from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

            del _setup_privateuseone_for_python_backend
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe(dict.fromkeys(self.devices, DeviceState(True)), {"torch": torch.__version__, **lists.versions()})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        profile, _ = lists.profile_of(target.device)
        ledger = walk(form, profile)
        (folder / FILE).write_text(
            json.dumps({"list": lists.versions()[f"list for {target.device}"], **ledger.as_json()}, indent=1)
        )
        if ledger.refusals:
            raise Refused(words(ledger))
        return Artifact((FILE,), form.inputs, form.outputs, {}, lists.placement(ledger, target.device))

    def load(self, artifact: Artifact, target: Target, folder: Path) -> Session:
        raise NotImplementedError("lists run nothing")

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", lists.RULES + TORCH_RULES)


def walk(form: ExportedForm, profile: Profile) -> Ledger:
    """Every operator of a program with the first of its samples, and what the list says of it."""
    try:
        return _walk(form, profile, "meta")
    except RuntimeError:  # a value is asked for, or a shape depends on one
        return _walk(form, profile, "cpu")


def _walk(form: ExportedForm, profile: Profile, raw: str) -> Ledger:
    import torch

    device = standin.install(profile, raw)
    module = lists.load_on(device, form.path)
    declared = Artifact((FILE,), form.inputs, form.outputs)
    values: Any = programs.ordered_inputs(form.sample(), declared, device.name)
    ledger = device.become(profile, keep_going=True)
    with torch.no_grad():
        lists.run_by_node(device, module, values)
    return ledger


def words(ledger: Ledger) -> str:
    """Every refusal once, as one line."""
    seen: Dict[Tuple[str, str], str] = {}
    for refusal in ledger.refusals:
        seen.setdefault((refusal.operator, refusal.why), refusal.place)
    return "; ".join(f"{name}: {why}{f', called at {place}' if place else ''}" for (name, why), place in seen.items())
