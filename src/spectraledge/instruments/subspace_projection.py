"""How much of the commutator lies in a small subspace, against the law of random subspaces."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.block_basis import (
    BlockBasis,
    displacement_basis,
    gradient_basis,
    singular_basis,
    trajectory_basis,
)
from spectraledge.instruments.base import Differentiable, Instrument, Output, Window
from spectraledge.instruments.pair_brackets import pair_brackets
from spectraledge.instruments.projection_shares import (
    ProjectionShares,
    projection_shares,
    random_band,
)
from spectraledge.instruments.shape_batches import check_kinds
from spectraledge.names import check_name
from spectraledge.snapshots import Snapshot

__all__ = ["SubspaceProjection", "whole_run_projections"]

ATTENTION = ("query", "key", "value", "attention_output")
BASES = ("singular", "displacement", "trajectory", "gradient")
OF_THE_PAST = ("displacement", "trajectory")
SWEEP = ("sweep",)


@dataclass(frozen=True)
class SubspaceProjection(Instrument):
    """Share of the brackets of batch pairs inside a basis of a few directions per matrix.

    Definition: with ``δ = H_B g_A - H_A g_B`` of pairs of measuring batches and B an
    orthonormal basis of K directions, the share is the mean of ``‖Bᵀδ‖²/‖δ‖²`` and the ratio
    ("exec/random") is ``sqrt(share)/sqrt(K/P)``: 1 for a random subspace, which lies in the band
    of the Beta law with the stated confidence. The band is that of one subspace and one bracket;
    a mean over pairs varies less.

    A ratio above 1 says that the bracket prefers the subspace, not that it avoids it. The
    residual ``‖δ - BBᵀδ‖/‖δ‖`` says next to nothing: it is ``sqrt(1 - K/P)`` for a random
    subspace, which is what its neighbour ``residual_random`` holds.

    Args:
        basis: ``singular``, leading singular directions of the current weights (the basis behind
            the published 1.8 to 2.9); ``displacement``, those of ``W_t - W_0``, W_0 the first
            snapshot that was measured; ``trajectory``, leading principal directions of the
            snapshots up to now; ``gradient``, leading singular directions of the mean gradient
            of the measuring batches, the trivial comparison. The published trajectory basis uses
            the whole run, hence the future: `WholeRunProjection`.
        components: Directions per matrix of the headline numbers, >= 1.
        sweep: Directions per matrix of the dimension sweep, each >= 1; a matrix with fewer gives
            all of its own. Without any direction, as before the first step, the numbers are NaN.
        pairs: Pairs of measuring batches, >= 1; M batches make M(M-1)/2. The brackets are those
            of `CommutatorDefect`.
        kinds: Kinds of matrices; empty for every matrix.
        confidence: Of the band, in (0, 1).

    Raises:
        ValueError: For an unknown basis or kind, or numbers out of range; at the first snapshot
            if the model has no such matrix.

    Cost: with 6 pairs 4 gradients and 13 Hessian-vector products; the projections are small.
    ``trajectory`` and ``displacement`` have the observer keep all snapshots.

    Source: arXiv:2602.16746 (residual, exec/random, ``singular`` and the whole-run trajectory);
    arXiv:2602.16967 for ``singular`` and ``displacement`` with the top 3 of attention and MLP
    matrices. Differs: exact brackets for differences of positions, the Beta law for Gaussian
    bases, every pair for one; the third basis of 2602.16967 is of the sum of the last 50 gradients
    of training, where ``gradient`` is of the mean gradient here and now.
    """

    basis: str = "singular"
    components: int = 3
    sweep: tuple[int, ...] = (1, 2, 3, 4, 8, 16, 32)
    pairs: int = 6
    kinds: tuple[str, ...] = ATTENTION
    confidence: float = 0.95

    name: ClassVar[str] = "subspace_projection"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "rank": Output("K, directions of the basis"),
        "share": Output("mean of ‖Bᵀδ‖²/‖δ‖²"),
        "residual": Output("mean of ‖δ − BBᵀδ‖/‖δ‖"),
        "residual_random": Output("√(1 − K/P), from counting dimensions"),
        "ratio": Output("√share / √(K/P), exec/random"),
        "ratio_lower": Output("lower end of the ratio of a random subspace"),
        "ratio_upper": Output("upper end of the ratio of a random subspace"),
        "ratio_published": Output("median ‖Bᵀδ‖ / median ‖δ‖, over its random mean"),
        "inside": Output("root mean share of δ on the parameters of the matrices"),
        "ratio_inside": Output("the ratio among the parameters of the matrices alone"),
        "ratio_inside_lower": Output("lower end for a random subspace of those parameters"),
        "ratio_inside_upper": Output("upper end for a random subspace of those parameters"),
        "ratio_matched": Output("the ratio to random directions inside each matrix"),
        "sweep_rank": Output("K", axes=SWEEP, each=True),
        "sweep_share": Output("mean of ‖Bᵀδ‖²/‖δ‖²", axes=SWEEP, each=True),
        "sweep_ratio": Output("√share / √(K/P)", axes=SWEEP, each=True),
        "sweep_ratio_lower": Output("lower end for a random subspace", axes=SWEEP, each=True),
        "sweep_ratio_upper": Output("upper end for a random subspace", axes=SWEEP, each=True),
        "sweep_ratio_inside": Output(
            "the ratio among the matrices' parameters", axes=SWEEP, each=True
        ),
    }

    def __post_init__(self) -> None:
        check_name("basis for SubspaceProjection", self.basis, BASES)
        check_kinds("SubspaceProjection", self.kinds)
        counts = (self.components, *self.sweep)
        if min(counts) < 1 or not 1 <= len(self.sweep) == len(set(self.sweep)):
            raise ValueError(
                "SubspaceProjection: expected components >= 1 and at least one sweep entry, all "
                f"distinct and >= 1, got {self.components} and {self.sweep}"
            )
        if self.pairs < 1 or not 0 < self.confidence < 1:
            raise ValueError(
                "SubspaceProjection: expected pairs >= 1 and confidence in (0, 1), got "
                f"{self.pairs} and {self.confidence}"
            )

    @property
    def history(self) -> int | None:  # type: ignore[override]
        """All snapshots for a basis that needs them, else one."""
        return None if self.basis in OF_THE_PAST else 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Directions per matrix along the sweep."""
        return {"sweep": tuple(str(count) for count in self.sweep)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Shares and ratios at the newest snapshot."""
        brackets, gradient = self.brackets(window)
        return self.readings(brackets, self._basis(window, gradient))

    def brackets(self, window: Window) -> tuple[Tensor, Tensor]:
        """Brackets ``(R, J, P)`` at the newest snapshot, and the mean gradient ``(R, P)``."""
        return pair_brackets(self.name, window, self.pairs)

    @property
    def most(self) -> int:
        """Most directions per matrix that the outputs need."""
        return max(self.components, *self.sweep)

    def _basis(self, window: Window, gradient: Tensor) -> BlockBasis:
        now, count = window.now, self.most
        if self.basis == "trajectory":
            past = (s.parameters for s in window.snapshots)
            return trajectory_basis(past, now.layout, self.kinds, count)
        if self.basis == "displacement":
            start = window.snapshots[0].parameters
            return displacement_basis(now.parameters, start, now.layout, self.kinds, count)
        if self.basis == "gradient":
            return gradient_basis(gradient, now.layout, self.kinds, count)
        return singular_basis(now.parameters, now.layout, self.kinds, count)

    def readings(self, brackets: Tensor, basis: BlockBasis) -> dict[str, Tensor]:
        """All outputs for given brackets ``(R, J, P)`` and a basis of `most` directions."""
        shares = projection_shares(brackets, basis)
        P, n = basis.parameters, basis.covered
        one = shares.statistics(self.components)
        ranks = shares.ranks(self.components)
        arrays = one | {
            "residual_random": (1 - one["rank"] / P).sqrt(),
            "inside": (shares.blocks.sum(-1) / shares.whole).nanmean(-1).sqrt(),
        }
        for name, size in (("ratio", P), ("ratio_inside", n)):
            band = random_band(ranks, size, self.confidence)
            arrays |= {f"{name}_lower": band[:, 0], f"{name}_upper": band[:, 1]}
        arrays |= self._sweep(shares)
        return {name: array.double().cpu() for name, array in arrays.items()}

    def _sweep(self, shares: ProjectionShares) -> dict[str, Tensor]:
        rows = []
        for count in self.sweep:
            row = shares.statistics(count)
            band = random_band(shares.ranks(count), shares.basis.parameters, self.confidence)
            rows.append(row | {"ratio_lower": band[:, 0], "ratio_upper": band[:, 1]})
        names = [n.removeprefix("sweep_") for n in self.outputs if n.startswith("sweep_")]
        return {f"sweep_{name}": torch.stack([r[name].cpu() for r in rows], 1) for name in names}


def whole_run_projections(
    instrument: SubspaceProjection,
    snapshots: Sequence[Snapshot],
    problem: Differentiable,
    steps: Collection[int] | None = None,
) -> list[dict[str, Tensor]]:
    """Readings on the published basis: principal directions of the whole run's trajectory.

    At each snapshot this basis knows the snapshots that come after it. Live measurement cannot,
    so it is a function of a finished run; `WholeRunProjection` has the laboratory ask for it.

    Args:
        instrument: With ``basis="trajectory"``; the published one has ``components=2``.
        snapshots: The whole run, oldest first.
        problem: The problem it was trained on.
        steps: At which snapshots to measure, all if None; the basis is that of all.

    Returns:
        What the instrument measures, at every such snapshot.

    Raises:
        ValueError: If the instrument has another basis.

    Source: arXiv:2602.16746, top-2 of eight attention matrices, K = 16.
    """
    if instrument.basis != "trajectory":
        raise ValueError(
            'expected SubspaceProjection(basis="trajectory"), got '
            f"basis={instrument.basis!r}, which does not depend on later snapshots"
        )
    whole = Window(tuple(snapshots), problem)
    basis = trajectory_basis(
        (s.parameters for s in snapshots), whole.now.layout, instrument.kinds, instrument.most
    )
    return [
        instrument.readings(instrument.brackets(Window((s,), problem))[0], basis)
        for s in snapshots
        if steps is None or s.step in steps
    ]
