"""How large singular values of updates are by chance: updates whose blocks change sign at random.

Flipping signs keeps how long every update is and where it acts, and takes away what updates have
in common. Hence the singular values of flipped updates say what a window without any common
direction would show, whatever the noise is like (Hong, Sheng and Dobriban, arXiv 2012.02985).
"""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float64, Int
from torch import Tensor

__all__ = ["block_grams", "sign_flip_values"]


def block_grams(steps: Float64[Tensor, "w D"], block: int) -> Float64[Tensor, "B w w"]:
    """Inner products of updates, block by block of neighbouring entries.

    Args:
        steps: w updates.
        block: Entries of a block; the last one may be shorter.

    Returns:
        ``(B, w, w)``; their sum is the Gram matrix.

    Example:
        >>> block_grams(torch.tensor([[1.0, 2.0, 3.0]]).double(), 2).flatten().tolist()
        [5.0, 9.0]
    """
    width, size = steps.shape
    padded = torch.nn.functional.pad(steps, (0, -size % block))
    pieces = padded.reshape(width, -1, block).movedim(0, 1)
    return pieces @ pieces.mT


def sign_flip_values(
    grams: Float64[Tensor, "B w w"], signs: Int[Tensor, "F B w"]
) -> Float64[Tensor, "F w"]:
    """Singular values of updates whose blocks have changed sign.

    Definition: those of ``G_f = Σ_b (s_b s_bᵀ) ∘ G_b`` with ``s_b ∈ {−1, 1}^w``.

    Args:
        grams: ``G_b``, see `block_grams`.
        signs: One sign for every flip, block and update.

    Returns:
        Largest first; NaN where a product is not finite.
    """
    if not grams.isfinite().all():
        return grams.new_full((len(signs), grams.shape[-1]), torch.nan)
    total = grams.sum(0).expand(len(signs), -1, -1).clone()
    # What an update has with itself keeps its sign.
    for i, j in combinations(range(grams.shape[-1]), 2):
        agreed = (signs[..., i] * signs[..., j]).double() @ grams[:, i, j]
        total[:, i, j] = total[:, j, i] = agreed
    return torch.linalg.eigvalsh(total).flip(-1).clamp(min=0).sqrt()
