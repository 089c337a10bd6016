"""A saved ExportedProgram called with named host arrays, and what its operators did. Which device is not decided here."""

from __future__ import annotations

import contextlib
import re
import typing
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Set, Tuple

from porting.types import Artifact, Precision, TensorSpec

from ._files import clone_file
from ._outputs import by_position

if TYPE_CHECKING:
    import numpy
    import torch

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

FILE = "model.pt2"


def copy_program(source: Path, folder: Path) -> None:
    """Copy a saved program to `folder`/model.pt2."""
    clone_file(source, folder / FILE)


def load_module(path: Path, device: str = "cpu") -> torch.nn.Module:
    """Load a saved program as a module that is called positionally, with everything it holds on `device`.

    Its guards are left out: they repeat what tracing assumed, often only that a batch is larger than 1, and refuse sizes at
    which the program is right. Which sizes are right is found by running them.
    """
    program = read_program(path)
    if device != "cpu":
        view_as_reshape(program)  # strides are the kernels' own
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return program.module(check_guards=False)


def read_program(path: Path) -> torch.export.ExportedProgram:
    """Read a saved program. Raises what torch raises for a file that is none."""
    import torch

    with asked_once():
        return torch.export.load(str(path))


@contextlib.contextmanager
def asked_once() -> Iterator[None]:
    """While this is open, torch works out once a program what an expression of sizes means, and which types a record has. By
    itself it does so for every axis of every tensor, and in a model of many strides takes longer for it than for all else."""
    from torch._export.serde import serialize

    reader: Any = getattr(serialize, "GraphModuleDeserializer", None)
    parse: Optional[Callable[..., Any]] = getattr(reader, "_parse_sym_expr", None)
    hints = typing.get_type_hints
    if parse is not None:  # another version of torch has it elsewhere
        reader._parse_sym_expr = _parsed_once(parse)
    typing.get_type_hints = _known_hints(hints, vars(getattr(serialize, "schema", serialize)))
    try:
        yield
    finally:
        typing.get_type_hints = hints
        if parse is not None:
            reader._parse_sym_expr = parse


def _parsed_once(parse: Callable[..., Any]) -> Callable[..., Any]:
    known: Dict[Any, Tuple[Any, Any]] = {}

    def parsed(self: Any, expression: Any, hint: Any = None) -> Any:
        sizes = self.shape_env  # one a program; kept, so that no other has its id
        key = id(sizes), type(expression), expression, hint
        if key not in known:
            known[key] = parse(self, expression, hint), sizes
        return known[key][0]

    return parsed


def _known_hints(hints: Callable[..., Dict[str, Any]], names: Dict[str, Any]) -> Callable[..., Dict[str, Any]]:
    known: Dict[Any, Dict[str, Any]] = {}

    def once(of: Any, globalns: Optional[Dict[str, Any]] = None, *others: Any, **how: Any) -> Dict[str, Any]:
        if globalns is not names or others or how:
            return hints(of, globalns, *others, **how)
        if of not in known:
            known[of] = hints(of, globalns)
        return known[of]

    return once


def view_as_reshape(program: Any) -> None:
    """Let views of an ExportedProgram copy where they have to: a device's own kernels, or decomposed ones, give other strides
    than were traced. With torch 2.13 the view after attention in transformers/gpt2 and florence2 is then refused."""
    import torch

    for node in program.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    program.graph_module.recompile()


def rehearse() -> None:
    """Save and load one linear layer: what the first program costs every process. Starts no thread."""
    import io

    import torch

    with contextlib.suppress(ImportError):
        import tqdm

        tqdm.tqdm.monitor_interval = 0  # decomposing shows a bar, whose thread would not survive a fork
    torch.set_num_threads(1)
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(torch.nn.Linear(2, 2).eval(), (torch.ones(3, 2),)), file)
        file.seek(0)
        torch.export.load(file).run_decompositions().module()


def to_tensor(array: Array) -> torch.Tensor:
    """Copy an array of any layout and dtype, bfloat16 included, to a tensor in host memory."""
    import numpy as np
    import torch

    owned = np.array(array, order="C")
    if owned.dtype.name == "bfloat16":
        return torch.from_numpy(owned.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(owned)


def to_array(tensor: torch.Tensor) -> Array:
    """Copy a tensor to host memory; bfloat16 comes as ml_dtypes.bfloat16."""
    import numpy as np
    import torch

    host = tensor.detach().cpu().resolve_conj().contiguous()
    if host.dtype is not torch.bfloat16:
        return np.array(host.numpy())
    import ml_dtypes

    return np.array(host.view(torch.int16).numpy().view(ml_dtypes.bfloat16))


def named_outputs(result: Any, specs: Sequence[TensorSpec]) -> Dict[str, Array]:
    """A program's outputs in host memory, named in order."""
    from torch.utils import _pytree

    return by_position([to_array(leaf) for leaf in _pytree.tree_leaves(result) if leaf is not None], specs)


def ordered_inputs(inputs: Arrays, artifact: Artifact, device: str = "cpu") -> Tuple[torch.Tensor, ...]:
    """The artifact's inputs as tensors, in the program's order; floating ones in the dtype that the program takes."""
    import torch

    def tensor(spec: TensorSpec) -> torch.Tensor:
        value = to_tensor(inputs[spec.name])
        return value.to(device, getattr(torch, spec.dtype) if value.is_floating_point() else value.dtype)

    return tuple(tensor(spec) for spec in artifact.inputs)


# ---- what ran -----------------------------------------------------------------------------------------------------

_MATRIX = re.compile(
    r"aten\.(addmm|mm|bmm|baddbmm|linear|matmul|mv|dot|_?convolution|conv\w*|.*scaled_dot_product.*|.*attention.*)"
)
_FALLBACK = re.compile(r"operator '(?P<name>[\w:.]+)' is not currently supported on the \w+ backend and will fall back")


@dataclass
class Trace:
    """Operators of one run, as the dispatcher saw them."""

    devices: Counter[str] = field(default_factory=Counter)
    """Operators by device type."""
    matrix: Counter[str] = field(default_factory=Counter)
    """Floating inputs of matrix products and convolutions by dtype."""
    floats: Counter[str] = field(default_factory=Counter)
    """Floating inputs of all operators by dtype."""
    names: Counter[str] = field(default_factory=Counter)
    """Operators by name, `aten::add`."""
    fell_back: Set[str] = field(default_factory=set)
    """Operators that the plugin itself says it ran on the CPU."""

    def on(self, device: str) -> int:
        return self.devices[device] - sum(self.names[name] for name in self.fell_back)

    def precision(self) -> Optional[Precision]:
        """The commonest floating dtype of the matrix operators, of all operators where there are none."""
        counts = self.matrix or self.floats
        return PRECISIONS.get(counts.most_common(1)[0][0]) if counts else None


PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "bfloat16": Precision.BF16}


def traced(run: Callable[[], Any], device: str) -> Tuple[Any, Trace]:
    """Run, recording every operator. An operator counts as on `device` when one of its tensors is there."""
    from torch.utils._python_dispatch import TorchDispatchMode

    trace = Trace()

    class Recorder(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            note(trace, str(func), func.name().split(".")[0], (args, kwargs), result, device)
            return result

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Recorder():
            result = run()
    for warning in caught:
        match = _FALLBACK.search(str(warning.message))
        if match:
            trace.fell_back.add(match["name"].split(".")[0])
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return result, trace


def note(trace: Trace, operator: str, name: str, given: Any, result: Any, device: str) -> None:
    """Add one operator to a trace. given, result: what it took and returned, tensors among it, fake ones too."""
    import torch
    from torch.utils import _pytree

    inputs = [leaf for leaf in _pytree.tree_leaves(given) if isinstance(leaf, torch.Tensor)]
    touched = inputs + [leaf for leaf in _pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    if not touched:
        return
    kinds = [tensor.device.type for tensor in touched]
    trace.devices[device if device in kinds else kinds[0]] += 1
    trace.names[name] += 1
    dtypes = [str(tensor.dtype)[len("torch.") :] for tensor in inputs if tensor.dtype.is_floating_point]
    trace.floats.update(dtypes)
    if _MATRIX.match(operator):
        trace.matrix.update(dtypes)


def note_graph(trace: Trace, nodes: Iterable[Any], key: str) -> int:
    """Add the operators of a captured graph to a trace, as on the CPU. key: where a node's `meta` has its fake value. Returns
    how many there are, those that touch no tensor among them."""
    operators = [node for node in nodes if node.op in ("call_function", "call_method", "call_module")]
    for node in operators:
        given = [source.meta.get(key) for source in node.all_input_nodes]
        note(trace, str(node.target), str(node.target), given, node.meta.get(key), "cpu")
    return len(operators)
