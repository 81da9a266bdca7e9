"""Inner products between vectors of the last intervals of training, each computed once."""

from __future__ import annotations

from collections.abc import MutableMapping

import torch
from torch import Tensor

from spectraledge.instruments.interval_parts import IntervalParts
from spectraledge.instruments.update_window import run_dots

__all__ = ["IntervalProducts"]

Span = tuple[int, int]
Key = tuple[str, Span, str, Span]


class IntervalProducts:
    """Inner products of the vectors of a window, each computed once while it slides.

    Args:
        intervals: The vectors.
        kept: Products of earlier windows; those are added that are new, and dropped that begin
            before the window.
    """

    def __init__(self, intervals: IntervalParts, kept: MutableMapping[Key, Tensor]) -> None:
        self.intervals = intervals
        self._kept = kept
        self._vectors: dict[tuple[str, int], Tensor] = {}
        # With a stride, neighbouring windows have no interval in common, but every other has.
        oldest = intervals.snapshots[0].step
        for key in [k for k in kept if min(k[1][0], k[3][0]) < oldest]:
            del kept[key]

    def gram(self) -> Tensor:
        """``⟨δ_i, δ_j⟩`` of the displacements, ``(R, w, w)``; empty without any."""
        if not self.intervals.count:
            newest = self.intervals.snapshots[-1].parameters
            return newest.new_zeros(len(newest), 0, 0, dtype=torch.float64)
        return self.between("displacement", "displacement")

    def between(self, rows: str, columns: str) -> Tensor:
        """``⟨a_i, b_j⟩`` of two kinds of vectors over all intervals, ``(R, w, w)``."""
        numbers = range(self.intervals.count)
        return torch.stack(
            [torch.stack([self.one(rows, i, columns, j) for j in numbers], -1) for i in numbers], 1
        )

    def one(self, first: str, i: int, second: str, j: int) -> Tensor:
        """``⟨a_i, b_j⟩`` of each run."""
        spans = self.intervals.spans
        key = (first, spans[i], second, spans[j])
        mirrored = (second, spans[j], first, spans[i])
        if key not in self._kept:
            if mirrored in self._kept:
                return self._kept[mirrored]
            self._kept[key] = self._dot(first, i, second, j)
        return self._kept[key]

    def _dot(self, first: str, i: int, second: str, j: int) -> Tensor:
        if self.intervals.is_absent(first, i) or self.intervals.is_absent(second, j):
            newest = self.intervals.snapshots[-1].parameters
            return newest.new_zeros(len(newest), dtype=torch.float64)
        return run_dots(self._vector(first, i), self._vector(second, j))

    def _vector(self, what: str, number: int) -> Tensor:
        # Only as long as one snapshot is measured: kept ones would double the memory.
        if (what, number) not in self._vectors:
            self._vectors[what, number] = self.intervals.vector(what, number)
        return self._vectors[what, number]

    def with_weights(self) -> Tensor:
        """``⟨θ, δ_j⟩`` with the newest weights, ``(R, w)``."""
        now = self.intervals.now
        numbers = range(self.intervals.count)
        return torch.stack([run_dots(now, self._vector("displacement", j)) for j in numbers], -1)
