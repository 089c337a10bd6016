"""Operators that PyTorch leaves to the backend of a device and has no CPU kernel for, computed on the host.

Their workspaces are private to forward and backward; shapes are those of aten's schemas, batch N and hidden size H.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple


def host_kernel(func: Any) -> Callable[..., Any]:
    """What computes an operator on the host: itself, but for what only a backend has, or does in one."""
    name = func.name()
    kernel: Callable[..., Any] = _KERNELS.get(name) or (_WIDENED[name](func) if name in _WIDENED else func)
    return kernel


def only_a_backend_has(name: str) -> bool:
    """Whether even the CPU has no kernel of `aten::...`, so that falling back there helps nothing."""
    return name in _KERNELS


def _convolution(*args: Any, **more: Any) -> Any:
    import torch

    return torch.ops.aten.convolution.default(*args, **more)


def _convolution_backward(gradient: Any, inputs: Any, weight: Any, *rest: Any, **more: Any) -> Any:
    import torch

    return torch.ops.aten.convolution_backward.default(gradient, inputs, weight, [gradient.shape[1]], *rest, **more)


def _biased(gates: Any, bias: Optional[Any]) -> Any:
    return gates if bias is None else gates + bias


def _lstm_cell(
    input_gates: Any, hidden_gates: Any, cx: Any, input_bias: Optional[Any] = None, hidden_bias: Optional[Any] = None
) -> Tuple[Any, Any, Any]:
    """Gates [N, 4H] in the order input, forget, cell, output; cx [N, H]. Returns hy, cy, and the gates after activation."""
    import torch

    i, f, g, o = (_biased(input_gates, input_bias) + _biased(hidden_gates, hidden_bias)).chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cy = f * cx + i * g
    return o * cy.tanh(), cy, torch.cat([i, f, g, o], 1)


def _lstm_cell_backward(
    grad_hy: Optional[Any], grad_cy: Optional[Any], cx: Any, cy: Any, workspace: Any, has_bias: bool
) -> Tuple[Any, Any, Any]:
    """Returns the gradients of the gates [N, 4H], of cx [N, H], and of a bias [4H]."""
    import torch

    i, f, g, o = workspace.chunk(4, 1)
    grad_hy = torch.zeros_like(cy) if grad_hy is None else grad_hy
    grad_cy = torch.zeros_like(cy) if grad_cy is None else grad_cy
    t = cy.tanh()
    through = grad_hy * o * (1 - t * t) + grad_cy
    gates = torch.cat(
        [through * g * i * (1 - i), through * cx * f * (1 - f), through * i * (1 - g * g), grad_hy * t * o * (1 - o)], 1
    )
    return gates, through * f, gates.sum(0) if has_bias else gates.new_empty(0)


def _gru_cell(
    input_gates: Any, hidden_gates: Any, hx: Any, input_bias: Optional[Any] = None, hidden_bias: Optional[Any] = None
) -> Tuple[Any, Any]:
    """Gates [N, 3H] in the order reset, update, new; hx [N, H]. Returns hy and a workspace [N, 5H]."""
    import torch

    ir, iz, inew = _biased(input_gates, input_bias).chunk(3, 1)
    hr, hz, hnew = _biased(hidden_gates, hidden_bias).chunk(3, 1)
    reset, update = (ir + hr).sigmoid(), (iz + hz).sigmoid()
    new = (inew + reset * hnew).tanh()
    return new + update * (hx - new), torch.cat([reset, update, new, hx, hnew], 1)


def _gru_cell_backward(grad_hy: Any, workspace: Any, has_bias: bool) -> Tuple[Any, Any, Any, Any, Any]:
    """Returns the gradients of input gates, hidden gates [N, 3H], hx [N, H], and of both biases [3H]."""
    import torch

    reset, update, new, hx, hnew = workspace.chunk(5, 1)
    of_update = grad_hy * (hx - new) * update * (1 - update)
    of_new = grad_hy * (1 - update) * (1 - new * new)
    of_reset = of_new * hnew * reset * (1 - reset)
    of_input = torch.cat([of_reset, of_update, of_new], 1)
    of_hidden = torch.cat([of_reset, of_update, of_new * reset], 1)
    biases = (of_input.sum(0), of_hidden.sum(0)) if has_bias else (of_input.new_empty(0), of_input.new_empty(0))
    return (of_input, of_hidden, grad_hy * update, *biases)


def _softmax(func: Any) -> Callable[..., Any]:
    """half_to_float: the input is of 16 bits, and the result of 32."""

    def kernel(x: Any, dim: int, half_to_float: bool) -> Any:
        return func(x.float() if half_to_float else x, dim, False)

    return kernel


def _softmax_backward(func: Any) -> Callable[..., Any]:
    def kernel(gradient: Any, output: Any, dim: int, dtype: Any) -> Any:
        return func(gradient, output, dim, gradient.dtype).to(dtype)

    return kernel


_WIDENED: Dict[str, Callable[[Any], Callable[..., Any]]] = {
    "aten::_softmax": _softmax,
    "aten::_log_softmax": _softmax,
    "aten::_softmax_backward_data": _softmax_backward,
    "aten::_log_softmax_backward_data": _softmax_backward,
}
"""What the CPU's own kernel does not do."""

_KERNELS: Dict[str, Callable[..., Any]] = {
    "aten::convolution_overrideable": _convolution,
    "aten::convolution_backward_overrideable": _convolution_backward,
    "aten::_thnn_fused_lstm_cell": _lstm_cell,
    "aten::_thnn_fused_lstm_cell_backward_impl": _lstm_cell_backward,
    "aten::_thnn_fused_gru_cell": _gru_cell,
    "aten::_thnn_fused_gru_cell_backward": _gru_cell_backward,
}
