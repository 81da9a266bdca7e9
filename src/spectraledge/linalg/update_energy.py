"""What makes the updates of a window move along its leading directions, from inner products alone.

An update is a sum of parts, ``δ_i = Σ_p p_i``. With the directions ``v_k = Xᵀ u_k / σ_k`` of
`UpdateSpectrum`, ``⟨p_i, v_k⟩ = Σ_j ⟨p_i, δ_j⟩ U_jk / σ_k``, so that no direction is ever formed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.linalg.update_spectrum import UpdateSpectrum

__all__ = ["alignment_cosines", "direction_projections", "energy_shares", "signed_shares"]

Projected = Float64[Tensor, "*parts w k"]


def direction_projections(
    products: Float64[Tensor, "*parts n w"], spectrum: UpdateSpectrum
) -> Float64[Tensor, "*parts n w"]:
    """Projections of parts on the directions of a window.

    Args:
        products: ``⟨p_i, δ_j⟩``, rows are intervals of the part, columns updates of the window.
        spectrum: Of the window.

    Returns:
        ``⟨p_i, v_k⟩``, rows are intervals, columns directions, in units of the weights; NaN for
        directions without length.

    Example:
        >>> from spectraledge.linalg import update_spectrum
        >>> gram = torch.diag(torch.tensor([4.0, 9.0]).double())
        >>> direction_projections(gram / 2, update_spectrum(gram)).abs().tolist()
        [[0.0, 1.0], [1.5, 0.0]]
    """
    sigma = torch.where(spectrum.values > 0, spectrum.values, torch.nan)
    return products @ spectrum.left / sigma.unsqueeze(-2)


def energy_shares(projected: Float64[Tensor, "parts *batch w k"]) -> Tensor:
    """Share of each part in the energy along each direction.

    ``E_p / Σ_q E_q`` with ``E_p = Σ_i ⟨p_i, v_k⟩²`` over the intervals i given.

    Args:
        projected: ``⟨p_i, v_k⟩`` of every part.

    Returns:
        ``(parts, ..., k)`` in [0, 1], with sum 1 over the parts; NaN where nothing moves.

    Source: arXiv:2604.07380, the fractions called gradient and weight decay. There is no cross
    term: the energies of opposing parts do not sum to that of the update.
    """
    energy = projected.square().sum(-2)
    total = energy.sum(0)
    return energy / torch.where(total > 0, total, torch.nan)


def signed_shares(
    projected: Float64[Tensor, "parts *batch w k"], spectrum: UpdateSpectrum
) -> Tensor:
    """Share of each part in the movement along each direction, cross terms included.

    ``Σ_i ⟨p_i, v_k⟩⟨δ_i, v_k⟩ / σ_k²``: parts sum to 1, and one that works against the update is
    negative. Below 1e-12 of σ_k² it is rounding.

    Args:
        projected: ``⟨p_i, v_k⟩`` of every part, over all intervals of the window.
        spectrum: Of the window.

    Returns:
        ``(parts, ..., k)``; NaN for directions without length.
    """
    sigma = torch.where(spectrum.values > 0, spectrum.values, torch.nan)
    return (projected * spectrum.left).sum(-2) / sigma


def alignment_cosines(first: Projected, second: Projected) -> Float64[Tensor, "*parts k"]:
    """Cosine between the coefficients of two parts along each direction.

    ``Σ_i a_i b_i / √(Σ a_i² Σ b_i²)``; the published sign of alignment is that of the numerator.

    Args:
        first: ``⟨a_i, v_k⟩``.
        second: ``⟨b_i, v_k⟩``.

    Returns:
        In [−1, 1]; NaN where a part does not act, as without decay, where nothing can be aligned.
    """
    lengths = first.square().sum(-2) * second.square().sum(-2)
    return (first * second).sum(-2) / torch.where(lengths > 0, lengths, torch.nan).sqrt()
