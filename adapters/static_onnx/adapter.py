"""What a list of ONNX operators says of a model: which nodes an execution provider would take. Nothing is built, nothing runs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional, Tuple

from porting.accelerators.operators import onnx_nodes, read_list
from porting.accelerators.profile import Profile, load
from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe, Session
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .._causes import Meaning, Rule, first_match, nothing_here

if TYPE_CHECKING:
    import onnx

FILE = "operators.json"
RULES: Tuple[Rule, ...] = (
    (r"^TooOld: ", Outcome.UNSUPPORTED, Cause.OPSET),
    (r"^NothingListed: ", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
)


class TooOld(ValueError):
    """The model's opset is older than those that the provider takes."""


class NothingListed(ValueError):
    """Not one node is in the list."""


def listed() -> Dict[str, Profile]:
    """Profiles with a list of ONNX operators, by device."""
    return {profile.torch.device: profile for profile in load().values() if profile.torch and profile.onnx}


class StaticOnnxAdapter(Adapter):
    """Looks up every node of the ONNX model in the list of an execution provider."""

    name = "static_onnx"
    vendor = "this toolkit, after the list of ONNX Runtime's CANN execution provider"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = dict.fromkeys(listed(), (Precision.FP32,))
    evidence = dict.fromkeys(devices, Evidence.STATIC)
    distributions = ("onnx",)
    install_hint = "pip install onnx"

    def probe(self) -> Probe:
        try:
            import onnx
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        lists = {f"list for {name}": profile.onnx.plugin_version for name, profile in listed().items() if profile.onnx}
        return Probe(dict.fromkeys(self.devices, DeviceState(True)), {"onnx": onnx.__version__, **lists})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        import onnx

        profile = listed()[target.device]
        model = onnx.load(str(form.path), load_external_data=False)
        calls = counted(model, profile)
        elsewhere = {name: count for (name, here), count in calls.items() if not here}
        (folder / FILE).write_text(json.dumps({"listed": _names(calls, True), "not listed": elsewhere}, indent=1))
        here = sum(_names(calls, True).values())
        if not here:
            raise NothingListed(f"{', '.join(sorted(elsewhere)) or 'the model'}: none of it is in the list")
        detail = {"listed": here, **{f"{name} (not in the list)": count for name, count in elsewhere.items()}}
        placement = Placement(here, sum(elsewhere.values()), target.device, detail)
        return Artifact((FILE,), form.inputs, form.outputs, {}, placement)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> Session:
        raise NotImplementedError("lists run nothing")

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def _names(calls: Counter[Tuple[str, bool]], here: bool) -> Dict[str, int]:
    return {name: count for (name, listed), count in calls.items() if listed is here}


def counted(model: onnx.ModelProto, profile: Profile) -> Counter[Tuple[str, bool]]:
    """Nodes by operator and by whether it is in the list. Constants, and what is worked out from them alone, are not counted: the
    runtime does that beforehand. Raises TooOld."""
    assert profile.onnx
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < profile.onnx.opset_from:
        raise TooOld(f"the model has opset {opset}; the provider takes {profile.onnx.opset_from} and later")
    known = read_list(profile.folder / profile.onnx.list)
    calls: Counter[Tuple[str, bool]] = Counter()
    constant = {tensor.name for tensor in model.graph.initializer}
    for name, _ in onnx_nodes(model.graph, constant):
        calls[name, name in known] += 1
    return calls
