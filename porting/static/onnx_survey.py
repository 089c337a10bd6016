"""The ONNX operators of a model that is never filled, and the opset they want: exported without memory for weights, of any size.

Runs as a job of its own. Of layers that are alike the first are taken, as many as hold each kind: the rest have the same
operators. Nothing is computed and nothing is judged: the evidence is `static`.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting.accelerators.operators import onnx_nodes, read_list
from porting.accelerators.profile import Profile, load
from porting.cells.jobs import Jobs, Trail
from porting.errors import ModelError, UnknownName
from porting.serialization import from_json, to_json
from porting.static.survey import nominal, small
from porting.types import ModelSpec, Stage
from porting.verdict import of_end

if TYPE_CHECKING:
    import onnx_ir
    import torch
    from torch import nn

    from porting.sources import BuiltModel
    from porting.workers.worker import Clock


LONG = 8
"""Layers of a list that may be cut. Shorter ones cost little, and often go in pairs with another list, as those of a U-Net."""


@dataclass(frozen=True)
class Operator:
    """One kind of node."""

    name: str
    """With its domain, where that is not ONNX's own."""
    count: int
    """In the layers that were exported."""
    since: int
    """The opset that brought the operator in the form that is used; 0 for another domain's."""


@dataclass(frozen=True)
class OnnxSurvey:
    """What was found of one model."""

    model: str
    parameters: int
    sizes: Mapping[str, int]
    weightless: bool
    """Whether it was exported without memory for weights; a small model that looks at values is built whole."""
    layers: Mapping[str, tuple[int, int]]
    """Lists of layers by name: how many were exported, of how many. Those that were exported whole are left out."""
    opset: int
    """That the exporter wrote."""
    operators: tuple[Operator, ...]

    @property
    def needs(self) -> int:
        """The newest opset that changed one of the operators: what reads it reads the model. An older one may serve, where the
        change was that more types are taken."""
        return max((operator.since for operator in self.operators), default=0)

    def missing(self, profile: Profile) -> list[str]:
        """Operators that a maker's list of ONNX operators has not."""
        assert profile.onnx
        known = read_list(profile.folder / profile.onnx.list)
        return [operator.name for operator in self.operators if operator.name not in known]


def job(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """Build `spec` without memory and export the first of its layers; all of them, where it counts them; with its weights, where
    it looks at values and is small. Returns the fields of OnnxSurvey but the model's name."""
    import torch

    torch.set_num_threads(1)
    spec = from_json(ModelSpec, job["spec"])
    first: Exception | None = None
    for device, cut in (("meta", True), ("meta", False), *((("cpu", False),) if small(spec) else ())):
        try:
            return _survey(spec, clock, device, cut)
        except Exception as error:  # noqa: BLE001 -- exporters raise whatever a model makes them stumble over
            traceback.print_exc()
            first = first or error
    assert first is not None
    raise first


def _survey(spec: ModelSpec, clock: Clock, device: str, cut: bool) -> dict[str, Any]:
    """Export a model whose tensors are of `meta`, or of `cpu`. cut: without the layers that are like earlier ones."""
    from porting import sources

    clock.enter(Stage.BUILD)
    built = sources.skeleton(spec) if device == "meta" else sources.source(spec.source).build(spec)
    if built.module is None:
        raise ModelError("it is an ONNX file already.", "Targets of static_onnx look its operators up.")
    parameters = sum(p.numel() for p in built.module.parameters())
    layers = {name: [kept, of] for name, kept, of in _shorten(built.module)} if cut else {}
    clock.enter(Stage.EXPORT)
    model = _exported(built, device)
    opset = int(model.opset_imports[""])
    return {
        "parameters": parameters,
        "sizes": dict(built.sizes),
        "weightless": device == "meta",
        "layers": layers,
        "opset": opset,
        "operators": [[name, count, _since(name, opset)] for name, count in sorted(_count(model).items())],
    }


def _shorten(module: nn.Module) -> Iterator[tuple[str, int, int]]:
    """Cut long lists of layers to the first that hold each kind. Gives name, how many are left, of how many, of those cut."""
    from torch import nn

    types = getattr(getattr(module, "config", None), "layer_types", None)
    gone: list[str] = []
    for name, layers in [(n, m) for n, m in module.named_modules() if isinstance(m, nn.ModuleList) and len(m) > LONG]:
        if name.startswith(tuple(gone)):
            continue
        kinds = [_kind(layer) for layer in layers]
        if types and len(types) == len(kinds):  # by which a forward tells its layers apart
            kinds = list(zip(kinds, types, strict=True))
        last = max((kinds.index(kind) for kind in kinds), default=-1)
        if last + 1 < len(layers):
            whole = len(layers)
            gone += [f"{name}.{number}." for number in range(last + 1, whole)]
            del layers[last + 1 :]
            yield name, len(layers), whole


def _kind(layer: nn.Module) -> Any:
    """Equal for layers that are alike: the same modules with the same settings, parameters and buffers."""
    parts = tuple((name, type(part).__name__, part.extra_repr()) for name, part in layer.named_modules())
    tensors = [*layer.named_parameters(), *layer.named_buffers()]
    return parts, tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors)


def _exported(built: BuiltModel, device: str) -> onnx_ir.Model:
    """The model's graph, its weights as inputs, and simplified as far as that goes without them."""
    import torch
    from torch.fx.experimental import _config

    from porting import sources
    from porting.bundles.eager import EagerModel
    from porting.bundles.optimizer import rooted_rules
    from porting.bundles.tables import kept_tables
    from porting.bundles.tracing import shared_walks

    given = {name: tensor.to(device) for name, tensor in nominal(built).items()}
    flat = EagerModel(built.module, list(given), built.constants).flat()
    axes = tuple(_dynamic(built, name, tensor) for name, tensor in given.items())
    with sources.without_values(), shared_walks(), kept_tables(), torch.no_grad(), rooted_rules():
        with _config.patch(backed_size_oblivious=True):
            program = torch.export.export(flat, tuple(given.values()), dynamic_shapes=(axes,), strict=False)
        written = torch.onnx.export(program, (), dynamo=True, verbose=False, optimize=False)
        assert written is not None
        return _simplified(written.model)


def _dynamic(built: BuiltModel, name: str, tensor: torch.Tensor) -> dict[int, Any]:
    """The axes of an input that have names and are not fixed, dynamic."""
    from torch.export import Dim

    from porting.bundles import shapes

    spec = next(each for each in built.inputs if each.name == name)
    named = [shapes.names(dim) for dim in spec.shape]
    return {axis: Dim.DYNAMIC for axis in range(tensor.dim()) if named[axis] and not named[axis] & built.fixed}


def _simplified(model: onnx_ir.Model) -> onnx_ir.Model:
    """Weights as inputs, which no optimisation reads, and the optimisations that are left."""
    from onnxscript import optimizer

    weights = list(model.graph.initializers.values())
    model.graph.initializers.clear()
    for weight in weights:
        weight.const_value = None
        model.graph.inputs.append(weight)
        weight.metadata_props[WEIGHT] = ""
    optimizer.optimize_ir(model)
    return model


WEIGHT = "porting.weight"


def _count(model: onnx_ir.Model) -> Counter[str]:
    """Nodes by operator, those that work on weights alone left out: they are worked out beforehand."""
    import onnx_ir

    weights = {value.name for value in model.graph.inputs if WEIGHT in value.metadata_props}
    graph = onnx_ir.to_proto(model).graph
    return Counter(name for name, _ in onnx_nodes(graph, weights))


def _since(name: str, opset: int) -> int:
    import onnx

    return 0 if "." in name else int(onnx.defs.get_schema(name, opset).since_version)


# ---- asking for it ------------------------------------------------------------------------------------------------


def onnx_survey(jobs: Jobs, spec: ModelSpec) -> OnnxSurvey:
    """Export a model without its weights and count its operators. Raises ModelError when it cannot be built or exported so."""
    end = jobs.run({"kind": "porting.static.onnx_survey:job", "spec": to_json(spec)}, Trail())
    finding = of_end(end)
    if finding:
        said = finding.message.rstrip(".")
        raise ModelError(f"{spec.id} cannot be exported without its weights: {said}.", finding.hint)
    found = end.value
    layers = {name: (int(kept), int(of)) for name, (kept, of) in found["layers"].items()}
    operators = tuple(Operator(*each) for each in found["operators"])
    return OnnxSurvey(spec.id, found["parameters"], found["sizes"], found["weightless"], layers, found["opset"], operators)


def listed(names: Sequence[str]) -> dict[str, Profile]:
    """Profiles with a list of ONNX operators, by names of makers, devices or plugins; all of them without any. Raises
    UnknownName."""
    from porting.accelerators.profile import find

    known = {name: profile for name, profile in load().items() if profile.onnx}
    found = {}
    for name in names:
        profile = find(name, known)
        if profile is None:
            raise UnknownName("accelerator", name, [*known], f"There are lists of ONNX operators for {', '.join(known)}.")
        found[profile.name] = profile
    return found or known
