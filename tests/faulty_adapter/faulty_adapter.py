"""An adapter whose devices are faults: each computes right answers with onnxruntime and spoils one thing.

Found by entry point, like any third party's: put this folder on the import path.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from porting.adapter import Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Artifact, Evidence, Placement, Precision, TensorSpec

FAULTS = (
    "none", "nan", "one_nan", "inf", "sign", "scale", "constant", "zeros", "drop", "extra", "empty", "dtype", "shape", "stale",
    "fallback", "partial", "cannot_tell", "low_precision", "bad_probe_device", "convert_abort", "load_segfault", "run_segfault",
    "hang", "loop", "bomb", "child_hang", "exit0_convert", "exit0_run", "exit3_run", "no_artifact", "no_files", "wrong_return",
    "long_message", "not_utf8", "flood", "raises", "system_exit", "lies_in_classify", "other_sizes", "batch_one", "admits_tf32",
)  # fmt: skip

# Faults that show only where several models are worked in one process, as node cases are.
AMONG_OTHERS = ("crash_on_sum", "hang_on_sum", "crash_second")

# A fault that comes by chance: the first run in a folder fails, the next does not. A stack that says that it cannot. One with
# other numbers, slower, in more memory, once a file called `moved` is there, and fails once there is one called `broken`.
BY_CHANCE = ("first_fails", "refuses", "nudged")
# Faults that show only where a call goes on from the one before, as in generation: no single call is wrong.
WHILE_GENERATING = ("cache_off_by_one", "token_dropped")

# Chips that are compiled for and never run on, by what their compiler says it made.
CHIPS = {
    "chip-whole": Placement(12, 0, "chip-whole"),
    "chip-part": Placement(9, 3, "chip-part", arithmetic=0.5),
    "chip-nothing": Placement(0, 12, "chip-nothing"),
    "chip-silent": None,
}


class FaultyAdapter(Adapter):
    name = "faulty"
    vendor = "nobody"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = dict.fromkeys((*FAULTS, *AMONG_OTHERS, *BY_CHANCE, *WHILE_GENERATING, *CHIPS), (Precision.FP32,))
    evidence = dict.fromkeys((*FAULTS, *AMONG_OTHERS, *BY_CHANCE, *WHILE_GENERATING), Evidence.HOST) | dict.fromkeys(
        CHIPS, Evidence.COMPILED
    )
    distributions = ("onnxruntime",)
    install_hint = "pip install onnxruntime"

    def probe(self) -> Probe:
        there = {fault: DeviceState(True) for fault in self.devices if fault != "bad_probe_device"}
        return Probe(there, {"faulty": os.environ.get("FAULTY_VERSION", "0.1")})

    def convert(self, form: Any, target: Any, folder: Path) -> Artifact:
        fault = target.device
        if fault == "convert_abort":
            os.abort()
        if fault == "exit0_convert":
            print("conversion finished")
            os._exit(0)
        if fault == "wrong_return":
            return None  # type: ignore[return-value]
        if fault == "no_artifact":
            return Artifact(("model.bin",), form.inputs, form.outputs)
        if fault == "no_files":
            return Artifact((), form.inputs, form.outputs)
        if fault == "refuses":
            raise RuntimeError("this operator is not supported here")
        if fault == "system_exit":
            sys.exit(0)
        for path in form.path.parent.glob("*"):
            if path.is_file() and path.suffix in (".onnx", ".data", ".safetensors"):
                shutil.copyfile(path, folder / path.name)
        outputs = tuple(TensorSpec(s.name, s.dtype, s.shape) for s in form.outputs)
        return Artifact((form.path.name,), form.inputs, outputs, placement=CHIPS.get(fault))

    def load(self, artifact: Artifact, target: Any, folder: Path) -> FaultySession:
        if target.device == "load_segfault":
            ctypes.string_at(0)
        return FaultySession(folder / artifact.files[0], target.device)

    def classify(self, error: BaseException) -> Any:
        from porting.types import Cause, Outcome

        if "not supported here" in str(error):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP
        return (Outcome.PASS, None) if "lies_in_classify" in str(error) else None


class FaultySession:
    made = 0
    """Sessions of this process."""

    def __init__(self, path: Path, fault: str) -> None:
        import onnxruntime

        FaultySession.made += 1

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.fault = fault
        self.first: dict[str, Any] = {}
        self.last: dict[str, Any] = {}

    def run(self, inputs: Any) -> dict[str, Any]:
        names = [o.name for o in self.session.get_outputs()]
        misbehave = getattr(self, f"_{self.fault}", None)
        if self.fault == "batch_one" and next(iter(inputs.values())).shape[0] != 2:
            raise RuntimeError("batch is fixed at 2")
        inputs = self._continued(dict(inputs))
        outputs = dict(zip(names, self.session.run(names, inputs), strict=True))
        self.last = outputs
        self.first = self.first or outputs
        return misbehave(outputs) if misbehave else outputs

    def placement(self) -> Placement:
        return {
            "fallback": Placement(0, 12, "cpu"),
            "partial": Placement(9, 3, "npu"),
            "cannot_tell": Placement(None, None, "?"),
        }.get(self.fault, Placement(12, 0, self.fault))

    def effective_precision(self) -> Precision:
        return {"low_precision": Precision.BF16, "admits_tf32": Precision.TF32}.get(self.fault, Precision.FP32)

    # ---- wrong where a call takes up the cache of the one before

    def _continued(self, inputs: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        past = [name for name in inputs if name.startswith("past_key_values.") and inputs[name].size]
        if self.fault not in WHILE_GENERATING or not past:
            return inputs
        if not all(np.array_equal(inputs[n], self.last.get(n.replace("past_key_values", "present"))) for n in past):
            return inputs
        for name in past if self.fault == "cache_off_by_one" else ():
            inputs[name] = np.roll(inputs[name], 1, -2)
        for name in past if self.fault == "token_dropped" else ():
            inputs[name][..., -1, :] = inputs[name][..., -2, :]
        return inputs

    # ---- wrong answers

    def _nan(self, o: Any) -> Any:
        return {k: v * float("nan") for k, v in o.items()}

    def _one_nan(self, o: Any) -> Any:
        for v in o.values():
            v.flat[-1] = float("nan")
        return o

    def _inf(self, o: Any) -> Any:
        for v in o.values():
            v.flat[0] = float("inf")
        return o

    def _sign(self, o: Any) -> Any:
        return {k: -v for k, v in o.items()}

    def _scale(self, o: Any) -> Any:
        return {k: (v * 1.001).astype(v.dtype) for k, v in o.items()}

    def _constant(self, o: Any) -> Any:
        return {k: v if v.shape != self.first[k].shape else self.first[k] for k, v in o.items()}

    def _zeros(self, o: Any) -> Any:
        return {k: v * 0 for k, v in o.items()}

    def _drop(self, o: Any) -> Any:
        return dict(list(o.items())[1:])

    def _extra(self, o: Any) -> Any:
        return {**o, "debug": next(iter(o.values()))}

    def _empty(self, o: Any) -> Any:
        return {k: v[:0] for k, v in o.items()}

    def _dtype(self, o: Any) -> Any:
        return {k: v.astype("float64") for k, v in o.items()}

    def _shape(self, o: Any) -> Any:
        return {k: v[..., None] for k, v in o.items()}

    def _stale(self, o: Any) -> Any:
        return self.first

    def _low_precision(self, o: Any) -> Any:
        import numpy as np

        return {k: (v.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) for k, v in o.items()}

    def _other_sizes(self, o: Any) -> Any:
        return {k: v if v.shape == self.first[k].shape else v * 1.5 for k, v in o.items()}

    # ---- no answer at all

    def _run_segfault(self, o: Any) -> Any:
        ctypes.string_at(0)

    def _crash_on_sum(self, o: Any) -> Any:
        return self._run_segfault(o) if "sum" in o else o

    def _hang_on_sum(self, o: Any) -> Any:
        return self._hang(o) if "sum" in o else o

    def _crash_second(self, o: Any) -> Any:
        return self._run_segfault(o) if FaultySession.made > 1 else o

    def _hang(self, o: Any) -> Any:
        time.sleep(600)

    def _child_hang(self, o: Any) -> Any:
        import subprocess

        subprocess.run(["sleep", "600.125"], check=True)

    def _loop(self, o: Any) -> Any:
        while True:
            pass

    def _bomb(self, o: Any) -> Any:
        hoard = []
        while True:
            hoard.append(bytearray(64 << 20))

    def _exit0_run(self, o: Any) -> Any:
        os._exit(0)

    def _exit3_run(self, o: Any) -> Any:
        os._exit(3)

    def _long_message(self, o: Any) -> Any:
        raise RuntimeError("very long " * 1_000_000)

    def _not_utf8(self, o: Any) -> Any:
        os.write(1, b"\xff\xfe\x00 \x1b[31m not text \xc3\x28\n" * 100)
        raise RuntimeError("bytes \udcff that are no text")

    def _flood(self, o: Any) -> Any:
        while True:
            os.write(1, b"x" * (1 << 20))

    def _first_fails(self, o: Any) -> Any:
        failed = Path("failed_once")
        if not failed.exists():
            failed.touch()
            raise RuntimeError("device lost")
        return o

    def _nudged(self, o: Any) -> Any:
        if Path("broken").exists():
            raise RuntimeError("kernel not found")
        if not Path("moved").exists():
            return o
        self.held = b"x" * (200 << 20)
        time.sleep(0.005)
        return {k: (v * (1 + 7e-7)).astype(v.dtype) for k, v in o.items()}

    def _raises(self, o: Any) -> Any:
        raise RuntimeError("kernel not found")

    def _lies_in_classify(self, o: Any) -> Any:
        raise RuntimeError("lies_in_classify")
