"""Kernels whose derivatives can be differentiated again, for the time of a with-block.

Fused attention kernels have no second derivative, and torch's own LayerNorm backward gives a
wrong one where it is mapped over runs (2.13: per cent errors in the norm's gain, without a
warning). Inside the block both run by their formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

__all__ = ["twice_differentiable"]


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Run attention and LayerNorm by differentiable formulas inside; restore what was before.

    The choice of kernels is put back at the end of the block, also after an exception.

    Yields:
        Nothing.

    Example:
        >>> model = torch.nn.LayerNorm(4)
        >>> with twice_differentiable():
        ...     y = model(torch.arange(4.0))
        >>> bool(torch.allclose(y, model(torch.arange(4.0))))
        True
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _Formulas():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class _Formulas(TorchFunctionMode):
    """Calls of a fused function go to its formula instead."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace LayerNorm, pass everything else on."""
        chosen = _layer_norm if function is F.layer_norm else function
        return chosen(*arguments, **(named or {}))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    axes = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(axes, keepdim=True)
    normal = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias
