"""A stand-in for CUDA itself: the device that PyTorch calls `cuda`, one card, computing on the CPU.

PyTorch dispatches to it under CUDA's own key, so that what a program says of `cuda` is read, cast and derived by PyTorch's own
code for it; the operators are the CPU's. It refuses what a card would, in PyTorch's words, and what it cannot have itself: CUDA
graphs, sparse tensors, kernels that a program brings, NCCL. Random numbers are those of the host's generator, so that a run on
it draws what a run on the CPU draws. See cuda_seams for what it takes.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Tuple

from porting.accelerators import cuda_kinds, cuda_module, cuda_seams
from porting.accelerators.cuda_tensor import cuda_tensor_class, let_storages_move
from porting.accelerators.ledger import Ledger, Refusal, Refused
from porting.accelerators.operators import OperatorList, Support
from porting.accelerators.profile import Profile
from porting.accelerators.standin import StandIn

NAME = "cuda"
PROFILE = "nvidia"
"""Whose facts the card's properties are."""

# Besides those that stand between devices: the host reads lengths, and steps of a fused optimizer may lie there.
_HOST_TOO = ("_ctc_loss", "_fused_", "_foreach_", "record_stream")
_FORKED = (
    "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' start method"
)
_INDEXED = frozenset(("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"))
_LACKING = {
    "to_sparse": "sparse",
    "_to_sparse": "sparse",
    "sparse_": "sparse",
    "_sparse_": "sparse",
    "quantize_per_": "quantized",
}


class _Everything(OperatorList):
    """PyTorch's own list: no operator is missing, and none is taken apart."""

    def __init__(self) -> None:
        super().__init__(frozenset())

    def support(self, _name: str) -> Support:
        return Support.NATIVE


class Cuda(StandIn):
    """The device. Made by `standin.install`, once a process."""

    key = "CUDA"
    bad_fork = False
    """Whether this is a process that was forked when the card was in use, in which CUDA does not work."""
    _in_use = False

    def _register(self, torch: Any) -> None:
        cuda_seams.open_seams()
        self._tensor = cuda_tensor_class(self)
        library = torch.library.Library("aten", "IMPL")
        # Lists become tensors below the place where Python is asked, by a copy that PyTorch would compose.
        library.impl("copy_", lambda *args: self._work(torch.ops.aten.copy_.default, args, {}), self.key)
        library.impl("ctc_loss.Tensor", _ctc_loss, "AutogradCUDA")
        self._libraries.append(library)
        cuda_module.answer(torch, self)
        os.register_at_fork(after_in_child=self._forked)
        cuda_kinds.bring_back(torch)
        let_storages_move(torch)

    def _forked(self) -> None:
        self.bad_fork = self._in_use

    def become(self, profile: Profile, fallback: bool = True, keep_going: bool = False) -> Ledger:
        """Start a ledger that is empty. There is no list to keep to."""
        self.profile, self._list = profile, _Everything()
        self.keep_going, self._falls_back = keep_going, fallback
        self._lacks, self._casts = frozenset(), False
        self.ledger = Ledger()
        return self.ledger

    def call(self, what: str, *_given: Any, **_named: Any) -> None:
        """Count a call that does something to a card."""
        self.ledger.call(what)

    def lacks(self, what: str) -> None:
        """Refuse what a card may have and this stand-in has not."""
        refusal = Refusal("stand-in", what, "the stand-in for CUDA has none", self.place())
        self.ledger.refusals.append(refusal)
        raise Refused(f"{what}: {refusal.why}{f', called at {refusal.place}' if refusal.place else ''}")

    def _work(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        if self.bad_fork:
            raise RuntimeError(_FORKED)
        self._in_use = True
        base = func.name().partition("::")[2].partition(".")[0]
        if base in ("_use_cudnn_ctc_loss", "_use_miopen_ctc_loss"):  # neither library is here
            return False
        if base.startswith(tuple(_LACKING)):
            kind = next(kind for start, kind in _LACKING.items() if base.startswith(start))
            self.lacks(f"{kind} tensors ({func.name()})")
        device = kwargs.get("device")
        if device is not None and device.type == NAME and (device.index or 0) > 0:
            raise RuntimeError(f"CUDA error: invalid device ordinal ({device}: the stand-in is one card)")
        if base in _INDEXED:
            self._check_indices(args[0], args[1])
        if base == "_pack_padded_sequence" and isinstance(args[1], self._tensor):
            kind = f"{args[1].dim()}D cuda:0 {args[1].type().rpartition('.')[2].replace('Tensor', '')}"
            raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {kind} tensor")
        return super()._work(func, args, kwargs)

    def _check_indices(self, indexed: Any, indices: List[Any]) -> None:
        if not isinstance(indexed, self._tensor) and any(isinstance(index, self._tensor) for index in indices):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")

    def _mixed(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        """What PyTorch says of tensors on two devices: c10's check of arguments, or that of element-wise operators."""
        import torch

        base = func.name().partition("::")[2].partition(".")[0]
        if base.startswith(_HOST_TOO):
            return
        if torch.Tag.pointwise in func.tags:
            found = "found at least two devices, cuda:0 and cpu!"
        elif base == "convolution":
            kinds = [t.type() for t in args[:2]]
            raise RuntimeError(f"Input type ({kinds[0]}) and weight type ({kinds[1]}) should be the same")
        else:
            named = list(_named_tensors(func, args, kwargs))
            first = named[0][1].device
            other, tensor = next((name, t) for name, t in named if t.device != first)
            found = f"got {other} is on {tensor.device}, different from other tensors on {first}"
            found += f" (when checking argument in method wrapper_CUDA_{base})"
        raise RuntimeError(f"Expected all tensors to be on the same device, but {found}")


def _ctc_loss(scores: Any, targets: Any, lengths: Any, target_lengths: Any, *rest: Any) -> Any:
    """Lengths are the host's wherever they lie; PyTorch reads them so only from tensors that are no class of Python's."""
    import torch

    return torch.ops.aten.ctc_loss.IntList(scores, targets, lengths.tolist(), target_lengths.tolist(), *rest)


def _named_tensors(func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    """Tensors that an operator was given, with the names of its arguments."""
    import torch

    for argument, value in zip((a.name for a in func._schema.arguments), args):  # noqa: B905 -- Python 3.9
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, torch.Tensor):
                yield argument, each
    yield from ((name, value) for name, value in kwargs.items() if isinstance(value, torch.Tensor))
