"""The spectral edge of a run as a basis: leading directions of its last few displacements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spectraledge.block_basis import BasisBlock, BlockBasis
from spectraledge.snapshots import Layout
from spectraledge.updates.base import State, check_count
from spectraledge.updates.basis import ATTENTION, Basis, Span, block_columns, is_due
from spectraledge.weight_matrices import check_kinds

__all__ = ["EdgeBasis"]

PAST, COUNT = "edge_past", "edge_count"
NAME = "edge"


@dataclass(frozen=True)
class EdgeBasis(Basis):
    """Leading right singular directions of the last W displacements, of all matrices together.

    A snapshot of the matrices is taken every so many steps and kept in the update's state, and the
    displacements between the newest W + 1 of them give the directions, neither centred nor
    weighted. Unlike `PastBasis`, whose directions lie inside single matrices, each one spans all.
    Before there are `components` displacements there is no basis, and what is projected onto it
    stays as it is.

    Source: the edge of arXiv:2604.07380, with a window of 5 displacements of 100 steps for Dyck-1.

    Args:
        components: Directions, >= 1; two are called the edge.
        window: Displacements W, >= components.
        every: Steps of a displacement, >= 1.
        kinds: Kinds of matrices.

    Raises:
        ValueError: For numbers out of range or an unknown kind.
    """

    components: int = 2
    window: int = 5
    every: int = 100
    kinds: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        check_count("EdgeBasis", components=self.components, every=self.every)
        check_count("EdgeBasis", self.components, window=self.window)
        check_kinds("EdgeBasis", self.kinds)

    @property
    def structure(self) -> tuple[Any, ...]:
        """Every field."""
        return (self.components, self.window, self.every, self.kinds)

    def columns(self, layout: Layout) -> dict[str, Tensor]:
        """One block of all chosen matrices."""
        return {NAME: torch.cat(list(block_columns(layout, self.kinds).values()))}

    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """No directions yet."""
        columns = self.columns(layout)[NAME].to(theta.device)
        none = torch.zeros(len(theta), len(columns), self.components, dtype=torch.float64)
        return BlockBasis(layout.size, (BasisBlock(NAME, columns, none.to(theta.device)),))

    def memory(self, theta: Tensor, layout: Layout) -> State:
        """Room for the snapshots, and how many were taken."""
        size = len(self.columns(layout)[NAME])
        count = torch.zeros(len(theta), 1, dtype=torch.int64, device=theta.device)
        return {PAST: theta.new_zeros(len(theta), self.window + 1, size), COUNT: count}

    def renewed(self, theta: Tensor, span: Span, state: State, step: int) -> BlockBasis | None:
        """Take a snapshot, and the directions of the displacements so far."""
        if not is_due(step, self.every):
            return None
        columns, room = span.columns[NAME], self.window + 1
        # One number for all: runs of a batch stand at the same step.
        count = int(state[COUNT][0])
        state[PAST][:, count % room] = theta[:, columns]
        state[COUNT].add_(1)
        if count < self.components:
            return None
        order = [n % room for n in range(max(0, count - self.window), count + 1)]
        moved = state[PAST][:, order].double().diff(dim=1)
        # A run that diverged has no edge, and must not fail the others.
        finite = moved.isfinite().flatten(1).all(1)[:, None, None]
        values, right = torch.linalg.svd(moved.where(finite, 0.0), full_matrices=False)[1:]
        # A direction without length is none.
        kept = right[:, : self.components] * (values[:, : self.components, None] > 0)
        return BlockBasis(span.layout.size, (BasisBlock(NAME, columns, kept.mT),))
