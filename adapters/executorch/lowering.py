"""From a saved ExportedProgram to a .pte file: sizes bounded, quantised where asked, lowered, and counted."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple

from porting.adapter import ExportedForm
from porting.types import Placement, Precision, Target, TensorSpec

from .. import _torch_program as programs
from .._constants import attribute
from .._core_program import folded
from . import arithmetic
from .delegates import PORTABLE, delegate
from .quiet import runtime

if TYPE_CHECKING:
    import torch

    Tensors = Tuple[torch.Tensor, ...]

HEADROOM = 2
"""Memory is planned ahead for the largest size of a dynamic axis: this many times the largest that the samples have."""


LEFT = "(left to ExecuTorch)"
"""Behind the names, in a placement, of operators for which a delegate had no use."""


class NothingDelegated(RuntimeError):
    """The partitioner took no operator at all. ExecuTorch writes a file all the same, and says nothing."""


class MissingKernel(RuntimeError):
    """The program calls operators that the runtime has no kernel for. Found out when it is loaded, otherwise."""


class FixedAxis(RuntimeError):
    """An axis that was exported as dynamic was narrowed while the program was lowered, which happens without a word."""


@dataclass(frozen=True)
class Lowered:
    """A lowered program, and what is in it."""

    program: Any
    """executorch.exir.ExecutorchProgramManager."""
    delegates: Counter[str]
    """Delegate calls by the name of the runtime's backend."""
    kernels: Counter[str]
    """Calls of ExecuTorch's own kernels by operator, `aten::add.out`."""
    work: arithmetic.Work

    def placement(self, target: Target) -> Placement:
        """What the file has for the target and what it leaves to others; operators that became a part of others count. What is
        left is named: of operators that multiply only those, of which a share is known, where there are any."""
        own, detail = sum(self.kernels.values()), {**self.delegates, **self.kernels}
        if target.device == PORTABLE:
            return Placement(own, 0, "portable kernels", detail, 1.0)
        left = {f"{name} {LEFT}": count for name, count in (self.work.left or self.kernels).items()}
        return Placement(self.work.operators, own, ", ".join(self.delegates), {**detail, **left}, self.work.share)


def lower(form: ExportedForm, target: Target) -> Lowered:
    """Lower a program for a target. form: with static axes where the delegate takes no others; see `at_one_size`.
    Raises NothingDelegated, MissingKernel, FixedAxis, and whatever ExecuTorch raises."""
    examples = samples_in_order(form)
    module = module_of(form)
    if target.precision is Precision.INT8:
        quantizer = delegate(target.device).quantizer
        assert quantizer is not None  # or int8 would not be declared
        module = quantized(export(module, form, examples).module(check_guards=False), examples, quantizer(target))
    edge = _to_edge(export(module, form, examples), target)
    work = arithmetic.work_of(edge.exported_program())
    program = edge.to_executorch()
    plan = program.executorch_program.execution_plan[0]
    lowered = Lowered(program, Counter(d.id for d in plan.delegates), _kernels(plan), work)
    check_delegates(lowered, target)
    check_kernels(lowered.kernels)
    check_sizes(program.buffer, form, examples)
    return lowered


def module_of(form: ExportedForm) -> torch.nn.Module:
    """The program that a form has, as a module; a plain one with its linear layers whole, which delegates look for."""
    plain = form.kind == "aten"
    module = folded(form) if plain else programs.load_module(form.path)
    if plain:
        join_linear(module)
    batch_products(module)
    return module


def join_linear(module: torch.fx.GraphModule) -> None:
    """Let products with weights be linear layers, in place: each is held transposed anew."""
    import torch

    aten = torch.ops.aten
    for number, node in enumerate(list(module.graph.nodes)):
        if node.target not in (aten.addmm.default, aten.mm.default) or node.kwargs or node.args[-1].op != "get_attr":
            continue
        bias, (left, held) = node.args[:-2], node.args[-2:]
        if any(arithmetic.value_of(part).ndim != 1 for part in bias):
            continue
        module.register_buffer(f"_weight_{number}", attribute(module, held.target).t().contiguous())
        with module.graph.inserting_before(node):
            weight = module.graph.get_attr(f"_weight_{number}")
        node.target, node.args = aten.linear.default, (left, weight, *bias)
    module.graph.eliminate_dead_code()
    module.recompile()


def batch_products(module: torch.fx.GraphModule) -> None:
    """Let products of two computed matrices be batches of one, in place: XNNPACK takes those alone, and of others one matrix has
    to be a weight."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.target not in (aten.matmul.default, aten.mm.default) or any(part.op == "get_attr" for part in node.args):
            continue
        if any(arithmetic.value_of(part).ndim != 2 for part in node.args):
            continue
        with module.graph.inserting_before(node):
            left, right = (module.graph.call_function(aten.unsqueeze.default, (part, 0)) for part in node.args)
            batch = module.graph.call_function(aten.bmm.default, (left, right))
        node.target, node.args = aten.squeeze.dim, (batch, 0)
    module.recompile()


def samples_in_order(form: ExportedForm) -> List[Tensors]:
    """The samples that the form's fixed axes allow, as the program takes them: by position."""
    samples = [form.sample(number) for number in range(len(form.samples))]
    examples = [tuple(programs.to_tensor(values[spec.name]) for spec in form.inputs) for values in samples]
    return [example for example in examples if all(map(_fits, form.inputs, example))]


def _fits(spec: TensorSpec, value: torch.Tensor) -> bool:
    return all(isinstance(axis, str) or axis == size for axis, size in zip(spec.shape, value.shape))  # noqa: B905 -- 3.10


def at_one_size(form: ExportedForm) -> ExportedForm:
    """The same form with every axis at its size in the first sample, and in what the program answers to that."""
    example = samples_in_order(form)[0]
    answers = programs.named_outputs(module_of(form)(*example), form.outputs)
    inputs = tuple(replace(spec, shape=tuple(value.shape)) for spec, value in zip(form.inputs, example))  # noqa: B905 -- 3.10
    return replace(form, inputs=inputs, outputs=tuple(replace(spec, shape=answers[spec.name].shape) for spec in form.outputs))


def export(module: torch.nn.Module, form: ExportedForm, examples: Sequence[Tensors]) -> Any:
    """Capture a module anew, with the sizes that `bounds` allows. Returns a torch.export.ExportedProgram.

    Without a special case for size 1: of every such case ExecuTorch makes a size that is fixed.
    """
    import torch
    from torch.fx.experimental import _config

    with torch.no_grad(), _config.patch(backed_size_oblivious=True):
        return torch.export.export(module, examples[0], dynamic_shapes=bounds(form, examples), strict=False)


def bounds(form: ExportedForm, examples: Sequence[Tensors]) -> Tuple[Dict[int, Any], ...]:
    """Which axes may vary, and up to which size; of one that follows from others (`past+sequence`), what follows from theirs:
    one without a bound gets the size of the first sample for one."""
    from torch.export import Dim

    largest: Dict[str, int] = {}
    for number, spec in enumerate(form.inputs):
        for place, axis in enumerate(spec.shape):
            if isinstance(axis, str):
                seen = max(example[number].shape[place] for example in examples)
                largest[axis] = max(largest.get(axis, 0), HEADROOM * seen)

    def dim(axis: str) -> Any:
        return Dim.DYNAMIC(min=0, max=_at(axis, largest))

    return tuple({place: dim(axis) for place, axis in enumerate(spec.shape) if isinstance(axis, str)} for spec in form.inputs)


def _at(axis: str, sizes: Mapping[str, int]) -> int:
    """The size of an axis where all have these; by those that it follows from, if they are axes of the inputs."""
    try:
        return int(eval(axis, {"__builtins__": {}}, dict(sizes)))  # noqa: S307 -- names and arithmetic of our own
    except NameError:
        return sizes[axis]


def quantized(module: torch.nn.Module, examples: Sequence[Tensors], quantizer: Any) -> torch.nn.Module:
    """Static int8 as the delegate's own quantizer lays it out, its ranges those of the examples."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(module, quantizer)
    for example in examples:
        prepared(*example)
    converted: torch.nn.Module = convert_pt2e(prepared)
    return converted


def _to_edge(program: Any, target: Target) -> Any:
    """Hand operators to the delegate. Without ExecuTorch's check of what comes out: for an operator that returns a list, as a
    split does, it takes the length of the first tensor in it, which fixes that tensor's first axis for the whole program."""
    import executorch.kernels.quantized  # noqa: F401 -- what a delegate leaves of quantising has kernels only with it
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    config = EdgeCompileConfig(_check_ir_validity=False)
    partitioners = [] if target.device == PORTABLE else [delegate(target.device).partitioner(target)]
    return to_edge_transform_and_lower(program, partitioner=partitioners, compile_config=config)


def _kernels(plan: Any) -> Counter[str]:
    calls = [step.instr_args for chain in plan.chains for step in chain.instructions]
    called = [plan.operators[call.op_index] for call in calls if type(call).__name__ == "KernelCall"]
    return Counter(".".join(filter(None, (operator.name, operator.overload))) for operator in called)


# ---- what ExecuTorch does not say ---------------------------------------------------------------------------------


def check_delegates(lowered: Lowered, target: Target) -> None:
    """Raise NothingDelegated when the delegate that was asked for has nothing to do."""
    if target.device != PORTABLE and not lowered.delegates:
        names = ", ".join(sorted(lowered.kernels)) or "none at all"
        raise NothingDelegated(f"{target.device} takes none of this program's operators: {names[:300]}")


def check_sizes(buffer: bytes, form: ExportedForm, examples: Sequence[Tensors]) -> None:
    """Raise FixedAxis when the program, as the runtime reads it, has no room for a sample."""
    method = runtime().load_program(buffer).metadata("forward")
    for number, spec in enumerate(form.inputs):
        room = method.input_tensor_meta(number).sizes()
        for place, axis in enumerate(spec.shape):
            seen = max(example[number].shape[place] for example in examples)
            if isinstance(axis, str) and room[place] < seen:
                raise FixedAxis(
                    f"ExecuTorch narrowed axis {axis} of {spec.name} to {room[place]} while lowering; {seen} is needed"
                )


def check_kernels(kernels: Counter[str]) -> None:
    """Raise MissingKernel when the runtime lacks one; the library of kernels is the same on every device."""
    missing = sorted(kernels.keys() - runtime().operator_registry.operator_names)
    if missing:
        raise MissingKernel(f"ExecuTorch's runtime has no kernel for {', '.join(missing)}")


def write(lowered: Lowered, path: Path) -> None:
    """Write the program. Raises OSError."""
    with open(path, "wb") as file:
        lowered.program.write_to_file(file)
        os.fsync(file.fileno())
