"""Shares of vectors inside a block basis, beside what a random subspace would hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spectraledge.block_basis import BlockBasis
from spectraledge.linalg import random_subspaces as law

__all__ = ["ProjectionShares", "projection_shares", "random_band"]


@dataclass(frozen=True)
class ProjectionShares:
    """Squared lengths of J vectors per run: whole, inside the blocks, along each direction.

    Args:
        whole: ``(R, J)``, ``‖δ‖²``.
        blocks: ``(R, J, B)``, ``‖δ_b‖²`` on the parameters of each block.
        directions: ``(R, J, K)``, ``(Bᵀδ)²``.
        basis: The basis.
    """

    whole: Float[Tensor, "R J"]
    blocks: Float[Tensor, "R J B"]
    directions: Float[Tensor, "R J K"]
    basis: BlockBasis

    def ranks(self, components: int) -> Int[Tensor, " R"]:
        """Directions that each run has among the first `components` of every block."""
        return self.basis.leading(components).ranks

    def statistics(self, components: int) -> dict[str, Float[Tensor, " R"]]:
        """Shares, ratios and residual for the first `components` directions of every block.

        Args:
            components: Directions per block, >= 1; blocks with fewer give all of theirs.

        Returns:
            Float64 ``(R,)``, NaN without directions or where every vector is zero:
            ``share`` mean of ``‖Bᵀδ‖²/‖δ‖²``; ``residual`` mean of its root complement;
            ``ratio`` ``sqrt(share)`` in units of ``sqrt(K/P)``; ``ratio_published`` the median
            of ``‖Bᵀδ‖`` over the median of ``‖δ‖`` in units of the mean norm share;
            ``ratio_inside`` the ratio if only the blocks' own n parameters existed;
            ``ratio_matched`` in units of random bases with as many directions in each block.
            ``rank`` is 0 without directions.
        """
        P, n = self.basis.parameters, self.basis.covered
        kept = self.directions[..., (self.basis.order < components).to(self.directions.device)]
        ranks = self.ranks(components).to(kept.device)
        rank = torch.where(ranks > 0, ranks.double(), torch.nan)
        # Nothing is inside of no directions, and nothing outside was measured either.
        projected = torch.where(ranks[:, None] > 0, kept.sum(-1), torch.nan)
        share = _mean(projected / _positive(self.whole))
        inside = _mean(projected / _positive(self.blocks.sum(-1)))
        matched = (self.blocks * self._matched(components)[:, None]).sum(-1)
        medians = _median(projected.sqrt()) / _positive(_median(self.whole.sqrt()))
        norm_share = torch.tensor(
            [law.expected_norm_share(k, P) for k in ranks.tolist()], dtype=torch.float64
        )
        return {
            "rank": ranks.double(),
            "share": share,
            "residual": _mean((1 - projected / _positive(self.whole)).clamp_min(0).sqrt()),
            "ratio": (share * P / rank).sqrt(),
            "ratio_published": medians / _positive(norm_share.to(medians)),
            "ratio_inside": (inside * n / rank).sqrt(),
            "ratio_matched": _mean(projected / _positive(matched)).sqrt(),
        }

    def _matched(self, components: int) -> Tensor:
        """``k_b/n_b`` of each block ``(R, B)``."""
        blocks = self.basis.leading(components).blocks
        return torch.stack([b.vectors.any(1).sum(-1).double() / len(b.columns) for b in blocks], 1)


def projection_shares(vectors: Float[Tensor, "R J P"], basis: BlockBasis) -> ProjectionShares:
    """Squared lengths of vectors and of their coefficients.

    Args:
        vectors: ``(R, J, P)``, e.g. brackets of J batch pairs.
        basis: Basis of the same runs.

    Returns:
        The shares; nothing of size ``P × K`` is built.
    """
    return ProjectionShares(
        vectors.double().square().sum(-1),
        basis.inside(vectors).square(),
        basis.coefficients(vectors).square(),
        basis,
    )


def random_band(ranks: Int[Tensor, " R"], size: int, confidence: float = 0.95) -> Tensor:
    """Where the ratio of one random subspace lies, in units of ``sqrt(K/n)``.

    Definition: equal-tailed interval of ``sqrt(Beta(K/2, (n-K)/2))``, divided by ``sqrt(K/n)``.

    Args:
        ranks: K of each run ``(R,)``.
        size: n, the dimensions that the subspace is random in.
        confidence: In (0, 1).

    Returns:
        ``(R, 2)`` float64, lower and upper end; NaN for K = 0.

    Example:
        >>> [round(end, 2) for end in random_band(torch.tensor([24]), 290401)[0].tolist()]
        [0.72, 1.28]
    """
    return torch.tensor([_band(int(k), size, confidence) for k in ranks], dtype=torch.float64).view(
        -1, 2
    )


@lru_cache(maxsize=256)
def _band(rank: int, size: int, confidence: float) -> tuple[float, float]:
    if rank == 0:
        return (float("nan"), float("nan"))
    lower, upper = law.share_interval(rank, size, confidence)
    return ((lower * size / rank) ** 0.5, (upper * size / rank) ** 0.5)


def _positive(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, torch.nan)


def _median(values: Tensor) -> Tensor:
    return values.quantile(0.5, -1)


def _mean(values: Tensor) -> Tensor:
    """Mean over the vectors that are not zero; NaN of a broken run stays."""
    return values.nanmean(-1)
