"""An intervention: cut matrices down to their leading singular values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_count
from spectraledge.updates.matrix_stacks import matrix_stacks

__all__ = ["TruncateRank"]


@dataclass(frozen=True)
class TruncateRank(Update):
    """W ← Σ_{i ≤ rank} σᵢ uᵢ vᵢᵀ, the best approximation of that rank, at chosen steps.

    Put it last. A rank of at least the smaller side of a matrix leaves it alone.
    Source: Eckart and Young (1936).

    Args:
        rank: Number of singular values to keep, >= 1.
        start: First step to act at, >= 1.
        stop: Step to act no more at, > start; None acts at `start` alone.
        on: Group of matrices.
        keep_norm: Rescale to the Frobenius norm that the matrix had before.

    Raises:
        ValueError: For numbers out of range; at ``init`` for a group with tensors that are not
            matrices.

    Cost: a singular value decomposition of each matrix at each of these steps.
    """

    rank: int
    start: int
    stop: int | None = None
    on: str = "qk"
    keep_norm: bool = False

    part: ClassVar[str | None] = "intervention"

    @property
    def compiled(self) -> bool:
        """Decompositions at some steps only run eagerly."""
        return False

    def __post_init__(self) -> None:
        check_count("TruncateRank", rank=self.rank, start=self.start)
        if self.stop is not None:
            check_count("TruncateRank", self.start + 1, stop=self.stop)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together."""
        return {"stacks": matrix_stacks("TruncateRank", self.on, layout, groups)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Truncate, in place, if it is time."""
        stop = self.start + 1 if self.stop is None else self.stop
        if not self.start <= clock.index < stop:
            return
        for stack in hyper["stacks"]:
            if self.rank >= min(stack.rows, stack.columns):
                continue
            matrices = stack.read(theta)
            chosen = (clock.active > 0) & frobenius_norm(matrices).isfinite()
            # A decomposition refuses the whole batch for one matrix that is not finite.
            safe = torch.where(chosen[..., None, None], matrices, 0.0)
            stack.write_(theta, self._truncated(safe), chosen)

    def _truncated(self, matrices: Tensor) -> Tensor:
        U, S, Vh = torch.linalg.svd(matrices, full_matrices=False)
        low = (U[..., : self.rank] * S[..., None, : self.rank]) @ Vh[..., : self.rank, :]
        if not self.keep_norm:
            return low
        norm = frobenius_norm(low)
        ratio = torch.where(norm > 0, frobenius_norm(matrices) / norm, 1.0)
        return ratio[..., None, None].to(low.dtype) * low
