"""The tensor class of a stand-in: a PrivateUse1 tensor to PyTorch, around one of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

if TYPE_CHECKING:
    from porting.accelerators.standin import StandIn


def tensor_class(device: StandIn) -> Any:
    """The class of `device`'s tensors. Made once a process."""
    import torch

    class StandInTensor(torch.Tensor):  # type: ignore[misc]  # torch is not followed
        """A tensor of the device around `raw`, which has its values."""

        raw: torch.Tensor

        @staticmethod
        def __new__(cls: Any, raw: torch.Tensor) -> Any:
            self = torch.Tensor._make_wrapper_subclass(
                cls,
                raw.shape,
                strides=raw.stride(),
                storage_offset=raw.storage_offset(),
                dtype=raw.dtype,
                device=torch.device(device.name, 0),
                dispatch_sizes_strides_policy="sizes",  # an out= that starts empty is resized
            )
            self.raw = raw
            return self

        __torch_function__ = torch._C._disabled_torch_function_impl

        @classmethod
        def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return device.dispatch(func, args, kwargs or {})

        def __repr__(self, *, tensor_contents: Any = None) -> str:
            values = "..." if self.raw.numel() > 1000 or self.raw.is_meta else self.raw.tolist()
            return f"tensor({values}, device='{device.name}:0', size={tuple(self.raw.shape)}, dtype={self.raw.dtype})"

        # PyTorch makes tensors of lists in an index on the device, below the dispatcher (see programs._patch_constructors).
        def __getitem__(self, index: Any) -> Any:
            return super().__getitem__(_without_lists(index))

        def __setitem__(self, index: Any, value: Any) -> None:
            super().__setitem__(_without_lists(index), value)

        __format__ = _formatted

        def tolist(self) -> Any:
            device.ledger.wait("tolist", device.place())
            return self.raw.tolist()

        def numpy(self, *, force: bool = False) -> Any:
            if not force:
                raise TypeError(f"can't convert {device.name}:0 device type tensor to numpy. Use Tensor.cpu() first.")
            return self.detach().cpu().numpy()

        def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
            if id(self) not in memo:
                memo[id(self)] = _copied(self)
            return memo[id(self)]

        def __reduce_ex__(self, _protocol: Any) -> Any:
            return _from_host, (self.raw.detach(), self.requires_grad)

    global _from_host_class
    _from_host_class = StandInTensor
    torch.serialization.add_safe_globals([_from_host])
    return StandInTensor


def _formatted(tensor: Any, form: str) -> str:
    return format(tensor.detach().item(), form) if tensor.dim() == 0 else object.__format__(tensor, form)


def _copied(tensor: Any) -> Any:
    import torch

    copy = type(tensor)(tensor.raw.detach().clone())
    own = isinstance(tensor, torch.nn.Parameter)
    return torch.nn.Parameter(copy, tensor.requires_grad) if own else copy.requires_grad_(tensor.requires_grad)


def _without_lists(index: Any) -> Any:
    """An index whose lists of numbers are tensors of the host, which an index may be."""
    import torch

    if isinstance(index, tuple):
        return tuple(_without_lists(part) for part in index)
    return torch.tensor(index, device="cpu") if isinstance(index, list) else index


_from_host_class: Any = None


def _from_host(raw: Any, requires_grad: bool) -> Any:
    """Read back a saved tensor of the device."""
    return _from_host_class(raw).requires_grad_(requires_grad)
