"""The last few displacements of chosen weights, and their leading directions as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.parameter_subset import chosen_columns
from spectraledge.linalg.update_spectrum import UpdateSpectrum, update_spectrum
from spectraledge.snapshots import Snapshot

__all__ = ["UpdateWindow", "run_dots", "update_gram"]


def update_gram(points: Sequence[Tensor]) -> Tensor:
    """Inner products of the steps between points of R trajectories.

    Args:
        points: n + 1 flat parameter vectors, n >= 1, each ``(R, D)``.

    Returns:
        ``(R, n, n)`` float64.
    """
    steps = [(after.double() - before.double()) for before, after in pairwise(points)]
    return torch.stack([torch.stack([run_dots(a, b) for b in steps], -1) for a in steps], 1)


def run_dots(first: Float64[Tensor, "R D"], second: Float64[Tensor, "R D"]) -> Tensor:
    """Inner product of two vectors of each run, ``(R,)``."""
    # Run by run: a sum over a stack of other sizes may round differently.
    return torch.stack([torch.dot(a, b) for a, b in zip(first, second)])


@dataclass(frozen=True, eq=False)
class UpdateWindow:
    """The last W displacements of chosen weights of R runs.

    Args:
        points: W + 1 points ``(R, D)``, oldest first.
        spectrum: Of their displacements.
    """

    points: tuple[Tensor, ...]
    spectrum: UpdateSpectrum

    @classmethod
    def of(cls, snapshots: Sequence[Snapshot], kinds: tuple[str, ...], width: int) -> UpdateWindow:
        """The window that ends at the newest snapshot.

        Args:
            snapshots: Oldest first, at least two; only the last ``width + 1`` count.
            kinds: Kinds of matrices; empty for every weight matrix.
            width: Displacements W; fewer if there are fewer snapshots.

        Returns:
            The window.

        Raises:
            ValueError: For fewer than two snapshots, or if the model has no such matrix.
        """
        if len(snapshots) < 2:
            raise ValueError(f"expected at least two snapshots, got {len(snapshots)}")
        taken = snapshots[-width - 1 :]
        columns = chosen_columns(taken[-1].layout, kinds)
        points = tuple(snapshot.parameters[:, columns] for snapshot in taken)
        return cls(points, update_spectrum(update_gram(points)))

    @property
    def width(self) -> int:
        """Displacements in the window."""
        return len(self.points) - 1

    def directions(self, count: int) -> Float64[Tensor, "R K D"]:
        """Leading right singular directions ``v_k = Σ_j U_jk δ_j / σ_k``, unit, v₁ first.

        Args:
            count: How many, K <= W.

        Returns:
            In the chosen columns; NaN where ``σ_k`` is zero. Signs are arbitrary.

        Raises:
            ValueError: For more directions than displacements.
        """
        if not 1 <= count <= self.width:
            raise ValueError(f"expected 1 to {self.width} directions, got {count}")
        sigma = self.spectrum.values[:, :count]
        weights = (
            self.spectrum.left[:, :, :count] / torch.where(sigma > 0, sigma, torch.nan)[:, None]
        )
        found = sigma.new_zeros(*sigma.shape, self.points[0].shape[1])
        for step, (before, after) in enumerate(pairwise(self.points)):
            found += weights[:, step, :, None] * (after.double() - before.double())[:, None]
        return found
