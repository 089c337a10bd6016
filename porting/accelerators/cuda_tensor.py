"""Tensors and storages of the stand-in for CUDA, as torch.save and torch.load know them.

A storage of the stand-in is one of the host that says that it lies on the card, so that files have the places in them that they
have from a card, and `map_location` works as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from porting.accelerators.tensor import tensor_class

if TYPE_CHECKING:
    from porting.accelerators.cuda import Cuda

_WHERE = "cuda:0"


def cuda_tensor_class(device: Cuda) -> Any:
    """The class of `device`'s tensors. Made once a process."""
    import torch

    class CudaTensor(tensor_class(device)):  # type: ignore[misc]  # a class made at run time
        def untyped_storage(self) -> Any:
            return _on_the_card(torch, self.raw.untyped_storage())

        def data_ptr(self) -> int:
            return int(self.raw.data_ptr())

        def record_stream(self, _stream: Any) -> None: ...

        def __dlpack__(self, **_more: Any) -> Any:
            device.lacks("memory that other libraries could read (DLPack)")

        @property
        def __cuda_array_interface__(self) -> Any:
            return device.lacks("memory that other libraries could read (__cuda_array_interface__)")

        def is_shared(self) -> bool:
            return True  # as PyTorch says of a card's memory

        def share_memory_(self) -> Any:
            return self

        def __reduce_ex__(self, protocol: Any) -> Any:
            return self._reduce_ex_internal(protocol)

    return CudaTensor


def let_storages_move(torch: Any) -> None:
    """Let storages go to the card and back, which torch.load moves them by."""
    move = torch.UntypedStorage.to
    torch.utils.dlpack.to_dlpack = torch.to_dlpack = lambda tensor: tensor.__dlpack__()

    def to(storage: Any, *, device: Any, non_blocking: bool = False) -> Any:
        if torch.device(device).type != "cuda":
            return move(storage, device=device, non_blocking=non_blocking)
        return storage if storage.is_cuda else _on_the_card(torch, storage.clone())

    def cuda(storage: Any, _device: Any = None, non_blocking: bool = False) -> Any:
        return to(storage, device=_WHERE, non_blocking=non_blocking)

    torch.UntypedStorage.to, torch.UntypedStorage.cuda = to, cuda


def _on_the_card(torch: Any, storage: Any) -> Any:
    """The same storage, saying that it lies on the card."""
    global _storage_class
    if _storage_class is None:

        class CudaStorage(torch.UntypedStorage):  # type: ignore[misc]  # torch is not followed
            is_cuda = True
            device = torch.device(_WHERE)

            def get_device(self) -> int:
                return 0

            def cpu(self) -> Any:
                twin = torch.UntypedStorage(self.nbytes())
                return twin.copy_(self)

            def clone(self) -> Any:
                return _on_the_card(torch, self.cpu())

            def to(self, *, device: Any, **_more: Any) -> Any:
                return self if torch.device(device).type == "cuda" else self.cpu()

            def cuda(self, _device: Any = None, **_more: Any) -> Any:
                return self

        _storage_class = CudaStorage
    storage.__class__ = _storage_class
    return storage


_storage_class: Any = None
