"""Runs a program and writes down what it came to: losses, outputs of models, weights after each step, lines that were run, calls
of torch.cuda that are left. In a process of its own:

    python -m porting.codemod.observe SETTINGS PROGRAM [ARGUMENTS...]

SETTINGS is JSON: `root` (the project), `watched` (lines of files that matter, by absolute path), `report` (the file to write).
"""

from __future__ import annotations

import json
import os
import random
import runpy
import sys
import threading
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

EVENTS = 20_000
"""Events that are kept; a long run is compared by its first ones."""
HELPER = "porting_accel.py"


class Observer:
    """What one run does. Made before the program is started."""

    def __init__(self, root: str, watched: dict[str, list[int]]) -> None:
        self.root = os.path.realpath(root) + os.sep
        self.watched = {os.path.realpath(path): set(lines) for path, lines in watched.items()}
        self.events: list[tuple[str, list[float]]] = []
        self.covered: dict[str, set[int]] = {path: set() for path in self.watched}
        self.leftovers: Counter[tuple[str, str]] = Counter()
        self.narrow: set[str] = set()
        """Dtypes of less than 32 bits that models computed in."""
        self.skips: list[int] = []
        """Events before each step that a GradScaler skipped, since gradients overflowed."""
        self._steps = 0
        self._scales: dict[Any, float] = {}
        """What a GradScaler has multiplied losses by, by the nodes of the graph that did it."""
        self._real: dict[str, str] = {}
        self._depth = 0

    # ---- numbers

    def note(self, kind: str, *values: Any) -> None:
        """Keep numbers of tensors: of each its sum and the sum of its magnitudes."""
        if len(self.events) < EVENTS:
            self.events.append((kind, [number for value in values for number in _numbers(value)]))

    def install(self) -> None:
        """Hook into PyTorch: backward passes, the outermost modules' outputs, steps of optimizers, calls of cuda()."""
        import torch
        from torch.nn.modules import module as modules
        from torch.optim import optimizer

        backward, cuda = torch.autograd.backward, torch.Tensor.cuda
        scale, step = torch.amp.GradScaler.scale, torch.amp.GradScaler.step

        def noted_backward(tensors: Any, *args: Any, **more: Any) -> Any:
            for tensor in _tensors(tensors):
                self.note("loss", tensor.detach() / self._scale(tensor))
            return backward(tensors, *args, **more)

        def noted_scale(scaler: Any, outputs: Any) -> Any:
            scaled = scale(scaler, outputs)
            if scaler.is_enabled():  # a loss is told as what it was: the scaler does nothing on the CPU
                self._scales.update({t.grad_fn: scaler.get_scale() for t in _tensors(scaled)})
            return scaled

        def noted_step(scaler: Any, optimizer: Any, *args: Any, **more: Any) -> Any:
            before = self._steps
            result = step(scaler, optimizer, *args, **more)
            if scaler.is_enabled() and self._steps == before:
                self.skips.append(len(self.events))
            return result

        def noted_cuda(tensor: Any, *args: Any, **more: Any) -> Any:
            self._left("Tensor.cuda", sys._getframe(1))
            return cuda(tensor, *args, **more)

        def noted_seed(name: str) -> Any:
            seed_card = getattr(torch.cuda, name)

            def noted(value: int) -> None:
                self._left(f"torch.cuda.{name}", sys._getframe(1))
                seed_card(value)
                torch.default_generator.manual_seed(int(value))  # which stand-ins draw from, so that the CPU draws the same

            return noted

        torch.cuda.manual_seed, torch.cuda.manual_seed_all = noted_seed("manual_seed"), noted_seed("manual_seed_all")
        torch.autograd.backward, torch.Tensor.cuda = noted_backward, noted_cuda
        torch.amp.GradScaler.scale, torch.amp.GradScaler.step = noted_scale, noted_step
        modules.register_module_forward_pre_hook(self._enter)
        modules.register_module_forward_hook(self._leave, always_call=True)
        optimizer.register_optimizer_step_post_hook(self._stepped)

    def _scale(self, loss: Any) -> float:
        """What a loss, or what it is the sum of, was multiplied by. Where scalers differ, nothing is taken back."""
        found, seen = set[float](), set[Any]()
        waiting = [loss.grad_fn] if self._scales else []
        while waiting:
            node = waiting.pop()
            if node in self._scales:
                found.add(self._scales[node])
            elif node is not None and node not in seen:
                seen.add(node)
                waiting += [parent for parent, _ in node.next_functions]
        return found.pop() if len(found) == 1 else 1.0

    def _stepped(self, optimizer: Any, *_: Any) -> None:
        self._scales.clear()
        self._steps += 1
        self.note("step", *_weights(optimizer))

    def _enter(self, _module: Any, _inputs: Any) -> None:
        self._depth += 1

    def _leave(self, module: Any, _inputs: Any, output: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            tensors = _tensors(output)
            self.narrow |= _narrow(tensors)
            if tensors:  # none where it raised
                self.note(f"output of {type(module).__name__}", *tensors)

    # ---- lines

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """For sys.settrace: follow the lines of watched files, and see who calls into torch.cuda."""
        if event != "call":
            return None
        name = frame.f_code.co_filename
        if "cuda" in frame.f_code.co_name or "/torch/cuda/" in name:
            self._called(frame)
        real = self._path(name)
        if real not in self.watched:
            return None
        self.covered[real].add(frame.f_lineno)
        return self._line

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            self.covered[self._path(frame.f_code.co_filename)].add(frame.f_lineno)
        return self._line

    def _called(self, frame: FrameType) -> None:
        name = frame.f_code.co_filename
        if "/torch/cuda/" in name and not frame.f_code.co_name.startswith("_"):
            module = name.rpartition("/torch/cuda/")[2].removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")
            part = f"{module}." if module in ("amp", "nvtx") else ""
            self._left(f"torch.cuda.{part}{frame.f_code.co_name}", frame.f_back)
        elif frame.f_code.co_name == "cuda" and name.endswith("/torch/nn/modules/module.py"):
            self._left("Module.cuda", frame.f_back)

    def _left(self, what: str, caller: FrameType | None) -> None:
        path = self._path(caller.f_code.co_filename) if caller else ""
        if caller and path.startswith(self.root) and not path.endswith(os.sep + HELPER):
            self.leftovers[what, f"{path.removeprefix(self.root)}:{caller.f_lineno}"] += 1

    def _path(self, name: str) -> str:
        if name not in self._real:
            self._real[name] = name if name.startswith("<") else os.path.realpath(name)
        return self._real[name]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "events": self.events,
            "narrow": sorted(self.narrow),
            "skips": self.skips,
            "covered": {path: sorted(lines & self.watched[path]) for path, lines in self.covered.items()},
            "leftovers": [{"what": what, "place": place, "count": n} for (what, place), n in self.leftovers.items()],
        }


def _numbers(value: Any) -> list[float]:
    import torch

    with torch.no_grad():
        wide = value.detach().cpu()
        wide = wide.abs() if wide.is_complex() else wide
        return [float(wide.double().sum()), float(wide.double().abs().sum())]


def _tensors(output: Any) -> list[Any]:
    import torch
    from torch.utils import _pytree

    leaves = _pytree.tree_leaves(output)
    return [
        leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not leaf.is_sparse and not torch.compiler.is_compiling()
    ]


def _narrow(tensors: list[Any]) -> set[str]:
    """The dtypes of less than 32 bits that some outputs are of, or that autocast takes on their devices."""
    import torch

    dtypes = {t.dtype for t in tensors}
    dtypes |= {torch.get_autocast_dtype(k) for k in {t.device.type for t in tensors} if torch.is_autocast_enabled(k)}
    return {str(d).removeprefix("torch.") for d in dtypes & {torch.float16, torch.bfloat16}}


def _weights(optimizer: Any) -> list[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def seed() -> None:
    """The same numbers for every run."""
    import torch

    random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def main(settings: dict[str, Any], program: str) -> int:
    """Run a program, with sys.argv as it stands, and write the report. Returns its exit status, 1 for an error."""
    observer = Observer(settings["root"], settings["watched"])
    observer.install()
    seed()
    ended: dict[str, Any] = {"status": 0, "error": "", "place": ""}
    sys.path.insert(0, str(Path(program).resolve().parent))
    threading.settrace(observer.trace)
    sys.settrace(observer.trace)
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        ended["status"] = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        ended["error"] = end.code if isinstance(end.code, str) else ""
    except BaseException as error:
        sys.settrace(None)
        ended.update(status=1, error=f"{type(error).__name__}: {error}", place=_place(error, observer.root))
        raise
    finally:
        sys.settrace(None)
        threading.settrace(None)
        part = settings["report"] + ".part"
        Path(part).write_text(json.dumps({**ended, **observer.as_json()}))
        os.replace(part, settings["report"])
    return int(ended["status"])


def _place(error: BaseException, root: str) -> str:
    """The innermost line of the project that an error came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.realpath(f.filename).startswith(root)]
    own = [f for f in frames if not f.filename.endswith(HELPER)]
    return f"{os.path.realpath(own[-1].filename).removeprefix(root)}:{own[-1].lineno}" if own else ""


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    sys.argv = sys.argv[2:]
    sys.exit(main(given, sys.argv[0]))
