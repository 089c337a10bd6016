"""torch.autocast on a stand-in: the usual casts, which plugins of makers register in C++ with PyTorch's own lists.

The lists are those of PyTorch for other accelerators (aten/src/ATen/autocast_mode.h, 2.13).
"""

from __future__ import annotations

from typing import Any, Callable, List

LOWER = (
    "_convolution", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d.input",
    "conv_transpose3d.input", "convolution", "prelu", "addmm", "addmv", "addr", "matmul", "einsum", "mm", "mv", "linear",
    "addbmm", "baddbmm", "bmm", "chain_matmul", "linalg_multi_dot", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell",
    "scaled_dot_product_attention",
)  # fmt: skip
"""Cast to the type that autocast was asked for."""

SINGLE = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh", "tan",
    "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "softplus", "layer_norm", "native_layer_norm", "group_norm",
    "norm.Scalar", "nuclear_norm", "cosine_similarity", "poisson_nll_loss", "cosine_embedding_loss", "nll_loss", "nll_loss2d",
    "hinge_embedding_loss", "kl_div", "l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss", "margin_ranking_loss",
    "multilabel_margin_loss", "soft_margin_loss", "triplet_margin_loss", "multi_margin_loss", "binary_cross_entropy_with_logits",
    "dist", "pdist", "cdist", "renorm", "logsumexp", "softmax.int", "log_softmax.int", "prod", "cumprod", "cumsum", "sum",
)  # fmt: skip
"""Cast to float32."""


def register(device: str) -> List[Any]:
    """Register the casts for the device of PrivateUse1. Returns what has to be kept alive."""
    import torch

    library, rest = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    rest.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name in LOWER:
        library.impl(name, _cast(name, lambda: torch.get_autocast_dtype(device)), "AutocastPrivateUse1")
    for name in SINGLE:
        library.impl(name, _cast(name, lambda: torch.float32), "AutocastPrivateUse1")
    return [library, rest]


def _cast(name: str, wanted: Callable[[], Any]) -> Callable[..., Any]:
    import torch
    from torch.utils import _pytree

    base, _, overload = name.partition(".")
    operator = getattr(getattr(torch.ops.aten, base), overload or "default")
    autocast = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        dtype = wanted()

        def cast(leaf: Any) -> Any:
            eligible = isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.dtype is not torch.float64
            return leaf.to(dtype) if eligible and leaf.dtype is not dtype else leaf

        with torch._C._ExcludeDispatchKeyGuard(autocast):
            given, named = _pytree.tree_map(cast, (args, kwargs))
            return operator(*given, **named)

    return kernel
