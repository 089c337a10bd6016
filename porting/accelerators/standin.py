"""A PyTorch device with the name of a maker's, in Python: it computes on the CPU and keeps to what the maker published.

Tensors are PrivateUse1 ones to the dispatcher, as the maker's plugin's are, each around a tensor of the CPU, or of `meta` where
nothing is to be computed. Every operator that reaches the device is looked up in the maker's list. One that PyTorch composes is
composed here, too, by PyTorch's own kernel, so that its parts are looked up in turn. What the card would refuse raises `Refused`
with the line of the program that asked for it; what would fall back to the CPU is counted.

torch.utils.backend_registration calls the setup experimental (2.13); torch before 2.9 has none.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from porting.accelerators import autocast, programs, whole
from porting.accelerators.kernels import host_kernel, only_a_backend_has
from porting.accelerators.ledger import Ledger, NoValue, Refusal, Refused
from porting.accelerators.operators import OperatorList, Support, read_list
from porting.accelerators.places import OBSERVER, calling_place
from porting.accelerators.profile import Profile, ProfileError
from porting.accelerators.tensor import tensor_class

# Move data, or give memory a new shape: no arithmetic, whatever the dtype.
_MOVES = frozenset(
    ("copy_", "_to_copy", "_copy_from", "_copy_from_and_resize", "clone", "contiguous", "detach", "lift_fresh", "lift", "alias",
     "empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "set_", "resize_", "record_stream",
     "_local_scalar_dense", "_unsafe_view", "_reshape_alias", "view", "as_strided")
)  # fmt: skip

# The host needs the answer before it can go on: values, or a shape that depends on values.
_WAITS = frozenset(
    ("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "is_nonzero",
     "_assert_async", "allclose")
)  # fmt: skip

_HALF_AS_WIDE = {"float64": "float32", "complex128": "complex64", "int64": "int32"}

# Between devices by design; an index may lie in host memory, and lengths of packed sequences have to.
_CROSS = frozenset(
    ("copy_", "_to_copy", "_copy_from", "_copy_from_and_resize", "index", "index_put", "index_put_", "_index_put_impl_",
     "_pack_padded_sequence", "_pad_packed_sequence")
)  # fmt: skip

_PACKED = frozenset(("lstm.data", "gru.data", "rnn_tanh.data", "rnn_relu.data"))
_LENGTHS = {"_pack_padded_sequence": 1, "_pad_packed_sequence": 1}
"""The result that is the host's: how long packed sequences are."""

# What PyTorch asks of a tensor that has its own idea of its size. None of it is work for a device.
_QUESTIONS: Dict[str, Callable[..., Any]] = {
    "aten::sym_size": lambda t: t.shape,
    "aten::size": lambda t: t.shape,
    "aten::sym_stride": lambda t: t.stride(),
    "aten::stride": lambda t: t.stride(),
    "aten::sym_storage_offset": lambda t: t.storage_offset(),
    "aten::storage_offset": lambda t: t.storage_offset(),
    "aten::sym_numel": lambda t: t.numel(),
    "aten::numel": lambda t: t.numel(),
    "aten::dim": lambda t: t.dim(),
    "aten::is_contiguous": lambda t: t.is_contiguous(),
    "aten::is_contiguous.memory_format": lambda t, form: t.is_contiguous(memory_format=form),
}
_ASKED = frozenset(
    ("sym_size", "sym_stride", "sym_storage_offset", "sym_numel", "size", "stride", "is_strides_like_format",
     "is_non_overlapping_and_dense")
)  # fmt: skip
_CHECK = "aten::_assert_tensor_metadata"
"""What tracing assumed of a dtype, which a plugin that casts it does not keep to; no operator of the program's own."""


_installed: Optional[StandIn] = None


def install(profile: Profile, raw: str = "cpu") -> StandIn:
    """Bring the device into this process, for good, and return it; the one that is here already where there is one, keeping to
    `profile` from now on. PyTorch takes one such name, so it keeps the first: a job of its own gets the right one.

    raw: what its tensors are made of, `cpu`, or `meta` to compute nothing. Raises RuntimeError where torch is too old, and
    ProfileError where the maker has published no list.
    """
    global _installed
    if _installed is None:
        device = _class_for(profile)(profile, raw)
        device._install()
        _installed = device
    _installed.raw = raw
    _installed.become(profile)
    return _installed


def _class_for(profile: Profile) -> Any:
    """CUDA is no plugin's device, and what else answers to its name has a list of its own."""
    if profile.torch and profile.torch.dispatch == "CUDA" and not profile.listed:
        from porting.accelerators.cuda import Cuda

        return Cuda
    return StandIn


class StandIn:
    """The device. Made by `install`."""

    key = "PrivateUse1"
    """Under which PyTorch dispatches to it."""

    def __init__(self, profile: Profile, raw: str) -> None:
        assert profile.torch
        self.name = profile.torch.device
        self.raw = raw
        self.where: Callable[[], str] = calling_place
        self._libraries: List[Any] = []
        self._whole: Set[str] = set()
        self._composing: List[str] = []
        self._tensor: Any = None
        self._prepared = False
        self._backward_from = ""
        self._put_off: Optional[Refused] = None
        self._list = OperatorList(frozenset())
        self.become(profile)

    def become(self, profile: Profile, fallback: bool = True, keep_going: bool = False) -> Ledger:
        """Keep to a maker's list from now on, with a ledger that is empty.

        fallback: whether what is not in the list may run on the CPU, where the maker's plugin lets it. keep_going: note what
        would be refused, and go on.
        """
        operators = profile.operators
        if not operators or not operators.list:
            raise ProfileError(f"no list of PyTorch operators is known for {profile.vendor}")
        if profile is not getattr(self, "profile", None):
            self._read(profile, operators.list)
        self.keep_going = keep_going
        self.ledger = Ledger()
        self._falls_back = fallback and operators.otherwise == "cpu"
        self._lacks = frozenset(profile.dtypes.lacks if profile.dtypes else ())
        self._casts = bool(profile.dtypes and profile.dtypes.casts)
        return self.ledger

    def _read(self, profile: Profile, operators: str) -> None:
        """Take up a maker's list."""
        names = read_list(profile.folder / operators)
        self.profile, self._list = profile, OperatorList(names)
        if self._libraries:
            self._libraries += whole.register(self, names - self._whole)
        self._whole |= names

    def lists(self, name: str) -> bool:
        """Whether the maker has an operator, `aten::...`, itself."""
        return self._list.support(name) is Support.NATIVE

    def _install(self) -> None:
        import torch

        self._register(torch)
        every = torch.library.Library("_", "IMPL")
        every.fallback(lambda op, *args, **kwargs: self._work(op, args, kwargs), self.key)
        self._libraries.append(every)
        self._patch_backward(torch)

    def _register(self, torch: Any) -> None:
        """Make the device known to PyTorch, and what PyTorch keeps apart from operators: its casts, and operators as a whole."""
        try:
            from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as set_up
        except ImportError:
            message = f"torch {torch.__version__} cannot be given a device in Python; 2.10 and later can"
            raise RuntimeError(message) from None
        from porting.accelerators.module import device_module

        set_up(self.name, device_module(self))
        self._tensor = tensor_class(self)
        self._libraries += [*autocast.register(self.name), *whole.register(self, frozenset(self._whole))]

    def prepare_for_programs(self) -> None:
        """Let programs that know nothing of it find all of PyTorch working with the device."""
        import torch

        if not self._prepared:
            programs.prepare(torch, self.name, self._tensor)
        self._prepared = True

    def put(self, tensor: Any) -> Any:
        """A tensor on the device around one of the host, which it shares memory with where it may."""
        return self._tensor(self._held(tensor.to(self.raw)))

    def _held(self, tensor: Any) -> Any:
        """A tensor as the device holds it: of half the width where the plugin casts what the maker lacks."""
        import torch

        dtype = str(tensor.dtype).partition(".")[2]
        if not self._casts or dtype not in self._lacks or dtype not in _HALF_AS_WIDE:
            return tensor
        self.ledger.cast(dtype, self.place())
        return tensor.to(getattr(torch, _HALF_AS_WIDE[dtype]))

    def put_results(self, operator: Any, results: List[Any]) -> Tuple[Any, ...]:
        """What an operator gave on the host, as the device gives it."""
        import torch

        host = _LENGTHS.get(operator.name().partition("::")[2].partition(".")[0])
        return tuple(
            self.put(leaf.detach()) if isinstance(leaf, torch.Tensor) and number != host else leaf
            for number, leaf in enumerate(results)
        )

    def place(self) -> str:
        """`file:line` of the call that is being worked; in a backward pass the line that started it."""
        return f"{self._backward_from} (backward)" if self._backward_from else self.where()

    def _patch_backward(self, torch: Any) -> None:
        """Raise a refusal of a backward pass when the pass is over: PyTorch (2.13) ends the process when a device in Python
        raises within it, since its stream guard calls Python with the error still set."""
        run = torch.autograd.graph._engine_run_backward

        def run_backward(*args: Any, **kwargs: Any) -> Any:
            outer, self._backward_from = self._backward_from, self._backward_from or calling_place(OBSERVER)
            try:
                result = run(*args, **kwargs)
            finally:
                self._backward_from = outer
            refused = None if outer else self._put_off
            if not outer:
                self._put_off = None
            if refused:
                raise refused
            return result

        torch.autograd.graph._engine_run_backward = torch.autograd._engine_run_backward = run_backward

    # ---- an operator

    def dispatch(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """What an operator comes to, called with at least one tensor of the device."""
        from torch.utils import _pytree

        name = func.name()
        if name == _CHECK:
            return None
        question = _QUESTIONS.get(name)
        if question:
            return question(args[0].raw, *args[1:])
        if name.partition("::")[2].partition(".")[0] in _ASKED:
            given, named = _pytree.tree_map(self.bare, (args, kwargs))
            return func(*given, **named)
        return self._work(func, args, kwargs)

    def _work(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        name = func.name()
        base = name.partition("::")[2].partition(".")[0]
        support = self._list.support(name)
        tensors = _tensors((args, kwargs))
        if base not in _CROSS and self._strangers(tensors):
            self._mixed(func, args, kwargs)
        if support is Support.COMPOSITE and not self._composing_this(func, base):
            composed = self._compose(func, args, kwargs)
            if composed is not NotImplemented:
                return composed
        self._note(name, base, support, tensors)
        return self._compute(func, base, args, kwargs)

    def _composing_this(self, func: Any, base: str) -> bool:
        """Whether there is nothing to compose: views, moves, and a kernel that calls itself again."""
        import torch

        views = func.is_view or torch.Tag.inplace_view in func.tags
        return base in _MOVES or views or func.name() in self._composing

    def _compose(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """Let PyTorch's kernel put an operator together from others, which come back here one by one. NotImplemented where it
        made tensors without asking the device."""
        import torch

        self._composing.append(func.name())
        try:
            result = func.redispatch(torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, self.key)), *args, **kwargs)
        finally:
            self._composing.pop()
        foreign = [t for t in _tensors(result) if t.device.type == self.name and not isinstance(t, self._tensor)]
        return NotImplemented if foreign else result

    def _note(self, name: str, base: str, support: Support, tensors: List[Any]) -> None:
        """Count an operator, and refuse it where the card would."""
        own = [t for t in tensors if isinstance(t, self._tensor)]
        dtypes = tuple(str(t.dtype).partition(".")[2] for t in own)
        self.ledger.use(name, support, dtypes, self.place() if support in (Support.FALLBACK, Support.UNKNOWN) else "")
        masked = base.startswith("index") and {"bool", "uint8"} & set(dtypes[1:])
        if base in _WAITS or masked:
            self.ledger.wait(base, self.place())
        if base in _MOVES:
            return
        lacking = sorted(self._lacks & set(dtypes))
        if lacking:
            self._refuse("dtype", name, f"{self.profile.vendor} lacks {', '.join(lacking)}")
        elif support in (Support.FALLBACK, Support.UNKNOWN):
            if only_a_backend_has(name):
                self._refuse("operator", name, f"not in the list of {self._whose()}, and the CPU has none either")
            elif not self._falls_back:
                self._refuse("operator", name, f"not in the list of {self._whose()}, and PyTorch composes it from nothing")

    def note_whole(self, operator: Any, leaves: Any, way: str = "") -> None:
        """Count an operator that the maker has whole, and PyTorch would have taken apart. way: ` (backward)` of a derivative."""
        tensors = _tensors(list(leaves))
        name = operator.name().partition("::")[2]
        base = name.partition(".")[0]
        if not (way or base in _CROSS or name in _PACKED) and self._strangers(tensors):
            self._mixed(operator, tuple(leaves), {})
        self._note(operator.name() + way, base, Support.NATIVE, tensors)

    def _whose(self) -> str:
        assert self.profile.operators
        return self.profile.operators.plugin_version or self.profile.vendor

    def _refuse(self, kind: str, name: str, why: str) -> None:
        refusal = Refusal(kind, name, why, self.place())
        self.ledger.refusals.append(refusal)
        if self.keep_going:
            return
        refused = Refused(f"{name} on {self.name}: {why}{f', called at {refusal.place}' if refusal.place else ''}")
        if not self._backward_from:
            raise refused
        self._put_off = self._put_off or refused

    def _strangers(self, tensors: List[Any]) -> List[Any]:
        """Tensors of the host, scalars apart, among those of the device. None has memory on `meta`."""
        others = [t for t in tensors if not isinstance(t, self._tensor)]
        return [t for t in others if t.dim() and t.device.type != "meta"] if len(others) < len(tensors) else []

    def _mixed(self, func: Any, _args: Tuple[Any, ...], _kwargs: Dict[str, Any]) -> None:
        """Refuse tensors of two devices."""
        why = f"Expected all tensors to be on the same device, but found at least two devices, {self.name}:0 and cpu"
        self._refuse("device", func.name(), why)

    # ---- computing

    def _compute(self, func: Any, base: str, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """Run an operator on what the tensors hold."""
        import torch
        from torch.utils import _pytree

        own = [t for t in _tensors((args, kwargs)) if isinstance(t, self._tensor)]
        device = kwargs.get("device")
        to_device = torch.device(device).type == self.name if device is not None else bool(own)
        if base == "copy_":
            to_device = isinstance(args[0], self._tensor)
        if own and not to_device:
            self.ledger.wait(base, self.place())
            if self.raw == "meta":
                raise NoValue(f"{func.name()}: a value is asked for, and nothing is computed here")
        given, named = _pytree.tree_map(self.bare, (args, kwargs))
        if named.get("pin_memory"):
            named["pin_memory"] = False
        result = host_kernel(func)(*given, **named)
        if base in _LENGTHS:
            return tuple(leaf if number == _LENGTHS[base] else self._tensor(leaf) for number, leaf in enumerate(result))
        if to_device and base not in _MOVES and not func.is_view:
            self.ledger.made(func.name(), result, self.place)
        known = {id(t.raw): t for t in own}

        def wrapped(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor) or isinstance(leaf, self._tensor) or not to_device:
                return leaf
            return known[id(leaf)] if id(leaf) in known else self._tensor(self._held(leaf))

        return _pytree.tree_map(wrapped, result)

    def bare(self, leaf: Any) -> Any:
        """An argument as the host's kernel gets it."""
        import torch

        if isinstance(leaf, self._tensor):
            return leaf.raw
        if isinstance(leaf, torch.device) and leaf.type == self.name:
            return torch.device(self.raw)
        if self.raw == "meta" and isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu" and leaf.dim():
            return leaf.to("meta")
        return leaf


def _tensors(tree: Any) -> List[Any]:
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
