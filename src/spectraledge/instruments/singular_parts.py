"""The part of chosen weights that the leading singular directions of their matrices make up."""

from __future__ import annotations

from collections import defaultdict

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import weight_matrices

__all__ = ["chosen_blocks", "leading_singular_part"]


def chosen_blocks(
    layout: Layout, columns: Int[Tensor, " D"]
) -> dict[tuple[int, int], Int[Tensor, "B m n"]]:
    """Where the matrices lie whose entries are all among chosen columns.

    Args:
        layout: Of all parameters.
        columns: The chosen ones.

    Returns:
        For each shape, the places of the entries of B matrices among the columns.
    """
    place = torch.full((layout.size,), -1, dtype=torch.int64)
    place[columns] = torch.arange(len(columns))
    blocks = defaultdict(list)
    for matrix in weight_matrices(layout).values():
        entries = matrix.view(place, layout)
        if (entries >= 0).all():
            blocks[entries.shape[0], entries.shape[1]].append(entries)
    return {shape: torch.stack(found) for shape, found in blocks.items()}


def leading_singular_part(
    vector: Float64[Tensor, "R D"],
    blocks: dict[tuple[int, int], Int[Tensor, "B m n"]],
    length: Float64[Tensor, "R 1"] | None = None,
) -> Float64[Tensor, "R D"]:
    """What leading singular directions make of weights: ``Σ_b Σ_j w_j σ_bj u_bj v_bjᵀ``.

    Args:
        vector: The weights of each run.
        blocks: Places of the entries of their matrices.
        length: How long the part shall be. Directions are then taken level by level, from every
            matrix its j-th at once, whole as long as they fit and shortened at the level at which
            the length is reached; all of them if they are shorter than that. None takes the first
            direction of every matrix.

    Returns:
        The part; zero outside the matrices. NaN for a run whose length or weights are not finite,
        and where there are no matrices.

    Example:
        >>> places = {(2, 2): torch.arange(4).reshape(1, 2, 2)}
        >>> diagonal = torch.tensor([[3.0, 0.0, 0.0, 2.0]]).double()
        >>> leading_singular_part(diagonal, places).tolist()
        [[3.0, 0.0, 0.0, 0.0]]
    """
    whole = vector.isfinite().all(1, keepdim=True)
    # A decomposition of what is not finite is an error, also for the other runs.
    finite = torch.where(whole, vector, 0.0)
    found = {
        shape: torch.linalg.svd(finite[:, places], full_matrices=False)
        for shape, places in blocks.items()
    }
    levels = max((min(shape) for shape in found), default=0)
    energy = vector.new_zeros(len(vector), levels)
    for _, sigma, _ in found.values():
        energy[:, : sigma.shape[-1]] += sigma.square().sum(1)
    weights = _first(energy) if length is None else _shares(energy, length)
    part = torch.zeros_like(vector)
    for shape, (left, sigma, right) in found.items():
        kept = sigma * weights[:, None, : sigma.shape[-1]]
        part[:, blocks[shape]] = (left * kept.unsqueeze(-2)) @ right
    return torch.where(whole & (levels > 0), part, torch.nan)


def _first(energy: Tensor) -> Tensor:
    weights = torch.zeros_like(energy)
    weights[:, :1] = 1.0
    return weights


def _shares(energy: Tensor, length: Tensor) -> Tensor:
    """Weights of the levels so that their energies add up to the square of the length."""
    before = energy.cumsum(1) - energy
    share = (length.square() - before) / energy.clamp(min=torch.finfo(energy.dtype).tiny)
    return share.clamp(min=0, max=1).sqrt()
