"""PyTorch's own CPU run of a program: what targets that take programs are held against, as an adapter; every value of a program;
and how much a call's own arithmetic is off.

Runs in the base environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import Adapter, ExportedForm, Family, FormNeed
from porting.serialization import Json
from porting.types import Artifact, Evidence, Placement, Precision, Stage, Target

if TYPE_CHECKING:
    import numpy

    from porting.adapter import Arrays

    Array = numpy.ndarray[Any, Any]

TARGET = Target("eager", "cpu", Precision.FP32)


class EagerRuntime(Adapter):
    """Runs a program where it lies, operator by operator."""

    name = "eager"
    vendor = "PyTorch"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2")
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("torch",)
    install_hint = "pip install torch"

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        return Artifact((str(form.path),), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> EagerSession:
        return EagerSession(artifact)


class EagerSession:
    def __init__(self, artifact: Artifact) -> None:
        self._artifact, self._module = artifact, _module(Path(artifact.files[0]))

    def run(self, inputs: Arrays) -> Arrays:
        from porting.bundles import aten

        found = _called(self._module, [inputs[spec.name] for spec in self._artifact.inputs], self._artifact.inputs)
        return {spec.name: aten.array_of(tensor) for spec, tensor in zip(self._artifact.outputs, found, strict=True)}

    def placement(self) -> Placement:
        return Placement(1, 0, "cpu")

    def effective_precision(self) -> Precision:
        return Precision.FP32


def _module(path: Path) -> Any:
    """A program of either form as something that is called with tensors."""
    import torch

    if path.suffix == ".aten":
        from porting.bundles import aten

        return aten.load(path)
    return torch.export.load(str(path)).module(check_guards=False)


def _called(module: Any, arrays: Any, specs: Any) -> list[Any]:
    import torch
    from torch.utils import _pytree

    from porting.bundles import aten

    given = [aten.tensor_of(array) for array in arrays]
    typed = [t.to(getattr(torch, s.dtype)) if t.is_floating_point() else t for t, s in zip(given, specs, strict=True)]
    with torch.no_grad():
        return [leaf for leaf in _pytree.tree_leaves(module(*typed)) if leaf is not None]


# ---- every value --------------------------------------------------------------------------------------------------


def values(job: Json, clock: Any, _adapter: object) -> Json:
    """Job `porting.diagnose.eager:values`: run the program at `path` on the arrays in `inputs`, in the order of `names`, and
    write every tensor into `folder`. Returns the numbers that it computes, by name."""
    import torch

    from porting.bundles import aten
    from porting.bundles.tensors import read_tensors
    from porting.diagnose.program import functional
    from porting.diagnose.reference import Tensors

    clock.enter(Stage.REFERENCE)
    module, tensors, scalars = functional(Path(job["path"])), Tensors(Path(job["folder"])), {}
    arrays = read_tensors(Path(job["inputs"]))

    class Recorder(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            if isinstance(value, torch.Tensor) and node.op in ("call_function", "placeholder"):
                tensors[node.name] = aten.array_of(value)
            elif isinstance(value, (bool, int, float)):
                scalars[node.name] = value
            return value

    given = [aten.tensor_of(arrays[name]) for name in job["names"]]
    kinds = [node.meta["val"].dtype for node in module.graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        Recorder(module).run(*(t.to(k) if t.is_floating_point() else t for t, k in zip(given, kinds, strict=True)))
    return scalars


# ---- a call's own error -------------------------------------------------------------------------------------------


def own_errors(job: Json, clock: Any, _adapter: object) -> Json:
    """Job `porting.diagnose.eager:own_errors`: for every program in `models` (path, inputs, names of outputs), by output, how far
    its run is from one in which every operator computes in float64, scaled from the precision it is in to `precision`. Null
    where there is none."""
    clock.enter(Stage.REFERENCE)
    return [_own(model, Precision(job["precision"])) for model in job["models"]]


def _own(model: Json, precision: Precision) -> Json:
    import numpy as np

    from porting.bundles import aten
    from porting.bundles.tensors import read_tensors
    from porting.bundles.wide import widened
    from porting.diagnose.measure import EPSILON, distance

    try:
        module, arrays = _module(Path(model["path"])), list(read_tensors(Path(model["inputs"])).values())
        plain = [aten.array_of(tensor) for tensor in module(*map(aten.tensor_of, arrays))]
        with widened():
            wide = [aten.array_of(tensor) for tensor in module(*map(aten.tensor_of, arrays))]
        ratio = EPSILON[precision] / EPSILON[_coarsest([*arrays, *plain])]
        own = {name: distance(p, w) * max(ratio, 1.0) for name, p, w in zip(model["outputs"], plain, wide, strict=True)}
        return {name: value if np.isfinite(value) else None for name, value in own.items()}
    except Exception:  # noqa: BLE001 -- no wide run, whatever the reason: the floor alone holds then
        return None


def _coarsest(arrays: list[Array]) -> Precision:
    kinds = {str(array.dtype) for array in arrays}
    return Precision.BF16 if "bfloat16" in kinds else Precision.FP16 if "float16" in kinds else Precision.FP32
