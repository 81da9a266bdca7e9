"""How the spectrum of a window of parameter updates changes from one window to the next."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.linalg.update_spectrum import UpdateSpectrum, update_spectrum

__all__ = ["eigenvalue_stability", "gram_change"]

Gram = Float64[Tensor, "*batch w w"]


def gram_change(gram: Gram, window: int) -> Float64[Tensor, "*batch"]:
    """``‖G' − G‖_F / (σ_k − σ_{k+1})²``, the adiabatic parameter but for the learning rate.

    G and G' are the Gram matrices of two windows, the second one update later, and k is
    `UpdateSpectrum.rank_at_gap` of the second. The papers divide by η as well and fix no constant,
    so that its size means nothing; at one η, its course may be compared.

    Args:
        gram: Inner products of all updates in either window, ``(..., w + 1, w + 1)``.
        window: w, updates in each of the two.

    Returns:
        Without unit, >= 0; NaN where there is no gap.

    Raises:
        ValueError: If the window does not fit the matrix.

    Source: arXiv:2603.28964, v2 and v3, restated.

    Example:
        >>> steps = torch.diag(torch.tensor([1.0, 1.0, 3.0]).double())
        >>> round(float(gram_change(steps @ steps.T, 2)), 6)  # G' − G = diag(0, 8), σ' = 3 and 1
        2.0
    """
    before, after = _windows(gram, window)
    now = update_spectrum(after)
    gap = _gap(now)
    return torch.linalg.matrix_norm(after - before) / torch.where(gap > 0, gap, torch.nan).square()


def eigenvalue_stability(gram: Gram, window: int) -> Float64[Tensor, "*batch k"]:
    """``α_j = max(0, 1 − ‖λ' − λ‖² / gap_j²)`` of two windows, the second one update later.

    λ are the eigenvalues of the Gram matrix, largest first, and gap_j is the distance of ``λ'_j``
    to its nearest neighbour. It says how much spectra changed, not whether directions turned: for
    that see `half_window_stability`, which goes by the same name α.

    Args:
        gram: Inner products of all updates in either window, ``(..., w + 1, w + 1)``.
        window: w, updates in each of the two.

    Returns:
        Numbers in [0, 1]; NaN where an eigenvalue has no distance to its neighbour.

    Raises:
        ValueError: If the window does not fit the matrix, or is below 2.

    Source: the theory check of the authors of arXiv:2603.28964, restated.

    Example:
        >>> steps = torch.diag(torch.tensor([3.0, 1.0, 3.0]).double())
        >>> eigenvalue_stability(steps @ steps.T, 2).tolist()
        [1.0, 1.0]
    """
    before, after = (update_spectrum(own).values.square() for own in _windows(gram, window))
    beyond = before.new_full((*after.shape[:-1], 1), torch.inf)
    steps = after[..., :-1] - after[..., 1:]
    nearest = torch.minimum(torch.cat([beyond, steps], -1), torch.cat([steps, beyond], -1))
    change = (after - before).square().sum(-1, keepdim=True)
    known = torch.where(nearest > 0, nearest, torch.nan)
    return (1 - change / known.square()).clamp(min=0)


def _windows(gram: Tensor, window: int) -> tuple[Tensor, Tensor]:
    if window < 2 or gram.shape[-1] != window + 1:
        raise ValueError(
            f"expected a window >= 2 and the Gram matrix of window + 1 updates, got "
            f"window={window} and {gram.shape[-1]} updates"
        )
    return gram[..., :-1, :-1], gram[..., 1:, 1:]


def _gap(spectrum: UpdateSpectrum) -> Tensor:
    """``σ_k − σ_{k+1}`` at the weighted gap."""
    rank = spectrum.rank_at_gap()
    place = rank.nan_to_num(nan=1.0).long().unsqueeze(-1)
    pair = [spectrum.values.gather(-1, place - 1 + j).squeeze(-1) for j in range(2)]
    return torch.where(rank.isnan(), torch.nan, pair[0] - pair[1])
