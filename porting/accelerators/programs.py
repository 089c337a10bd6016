"""What a program expects of PyTorch once a device is there, and a device in Python does not bring by itself.

For programs that are run as they are; exported ones use none of it.
"""

from __future__ import annotations

from typing import Any, Callable


def prepare(torch: Any, name: str, tensor: Any) -> None:
    """Patch PyTorch in this process, for good. name: of the device; tensor: the class of its tensors."""
    # A parameter that goes to the device has to stay the object that it is: two modules may share it.
    torch.__future__.set_swap_module_params_on_conversion(True)
    _patch_constructors(torch, name)
    _patch_generator(torch, name)
    _allow_multi_tensor(tensor)
    _patch_pinning(torch)


def _patch_constructors(torch: Any, name: str) -> None:
    """torch.tensor and torch.as_tensor make their copy on the device below the dispatcher, where a tensor in Python is unknown
    (an internal assertion of 2.13): let them make it on the host, and move it."""

    def moved(make: Callable[..., Any]) -> Callable[..., Any]:
        def constructor(data: Any, *args: Any, device: Any = None, requires_grad: bool = False, **more: Any) -> Any:
            wanted = _default_device() if device is None and not isinstance(data, torch.Tensor) else device
            if wanted is None or torch.device(wanted).type != name:
                more.update({"requires_grad": True} if requires_grad else {})
                return make(data, *args, **({} if device is None else {"device": device}), **more)
            if isinstance(data, torch.Tensor):
                return data.detach().to(wanted, more.get("dtype")).requires_grad_(requires_grad)
            return make(data, *args, device="cpu", **more).to(wanted).requires_grad_(requires_grad)

        constructor.__name__ = make.__name__
        constructor.__doc__ = make.__doc__
        return constructor

    torch.tensor = moved(torch.tensor)
    torch.as_tensor = moved(torch.as_tensor)


def _patch_generator(torch: Any, name: str) -> None:
    """Random numbers of the device are drawn on the host, so its generator is one of the host's under the device's name."""
    original = torch.Generator

    class _Kind(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, other: Any) -> bool:
            return isinstance(other, original)

    class Generator(original, metaclass=_Kind):  # type: ignore[misc, valid-type]
        def __new__(cls, device: Any = "cpu") -> Any:
            ours = torch.device(device).type == name
            return original.__new__(cls if ours else original, "cpu" if ours else device)

        @property
        def device(self) -> Any:
            return torch.device(name, 0)

    torch.Generator = Generator


def _patch_pinning(torch: Any) -> None:
    """Host memory is pinned by hooks in C++ that a device in Python lacks; one that computes on the host needs none pinned."""

    def pin_memory(tensor: Any, _device: Any = None) -> Any:
        return tensor

    torch.Tensor.pin_memory = pin_memory


def _default_device() -> Any:
    """The device that `with torch.device(...)` or torch.set_default_device asked for. torch.get_default_device makes a tensor to
    find it out."""
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    modes = [mode for mode in _get_current_function_mode_stack() if isinstance(mode, DeviceContext)]
    return modes[-1].device if modes else None


def _allow_multi_tensor(tensor: Any) -> None:
    """Let optimizers take their multi-tensor way, as they do with a plugin's own tensors."""
    import torch.optim.optimizer as optimizer

    known = getattr(optimizer, "_foreach_supported_types", None)
    if isinstance(known, list) and tensor not in known:
        known.append(tensor)
