"""Displacements over intervals of training, and what decays contributed to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.parameter_subset import chosen_stretches
from spectraledge.snapshots import Snapshot

__all__ = ["IntervalParts"]

WHOLE = ("displacement", "trapezoid")


@dataclass(frozen=True, eq=False)
class IntervalParts:
    """Vectors of the last intervals between snapshots, in chosen columns.

    Args:
        snapshots: Oldest first; each interval ends at one of `ends`.
        ends: Places of the snapshots at the ends of intervals; one more than there are intervals.
        stretches: Columns of the parameters that are looked at, D in all.
        weight_decay: ω of the trapezoid.
    """

    snapshots: tuple[Snapshot, ...]
    ends: tuple[int, ...]
    stretches: tuple[slice, ...]
    weight_decay: float

    @classmethod
    def of(
        cls,
        snapshots: Sequence[Snapshot],
        kinds: tuple[str, ...],
        stride: int,
        weight_decay: float = 0.0,
    ) -> IntervalParts:
        """Intervals of `stride` snapshots each; the last one ends at the newest.

        Args:
            snapshots: Oldest first.
            kinds: Kinds of matrices.
            stride: Snapshots per interval.
            weight_decay: ω of the trapezoid.

        Returns:
            As many whole intervals as there are.
        """
        stretches = chosen_stretches(snapshots[-1].layout, kinds)
        return cls.between(tuple(snapshots), stretches, stride, weight_decay)

    @classmethod
    def between(
        cls,
        snapshots: tuple[Snapshot, ...],
        stretches: tuple[slice, ...],
        stride: int,
        weight_decay: float,
    ) -> IntervalParts:
        """The same, where the columns are known."""
        last = len(snapshots) - 1
        ends = tuple(range(last % stride, last + 1, stride))
        return cls(snapshots, ends, stretches, weight_decay)

    @property
    def count(self) -> int:
        """Number of intervals."""
        return len(self.ends) - 1

    @property
    def size(self) -> int:
        """Number of parameters that are looked at, D."""
        return sum(stretch.stop - stretch.start for stretch in self.stretches)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last step of each interval."""
        steps = [self.snapshots[end].step for end in self.ends]
        return list(pairwise(steps))

    @property
    def now(self) -> Float64[Tensor, "R D"]:
        """The newest weights."""
        return self._weights(self.ends[-1])

    def vector(self, what: str, number: int) -> Float64[Tensor, "R D"]:
        """One vector of one interval.

        Args:
            what: ``displacement``, a recorded part, or ``trapezoid``.
            number: Which interval, oldest first.

        Returns:
            The vector of each run; NaN for parts if none were recorded.
        """
        if what == "displacement":
            return self._weights(self.ends[number + 1]) - self._weights(self.ends[number])
        if what == "trapezoid":
            return self._trapezoid(number)
        return self._part(what, number)

    def is_absent(self, what: str, number: int) -> bool:
        """Whether a vector is zero since no update made such a part."""
        if what in WHOLE:
            return False
        inside = self._inside(number)
        return all(s.parts and what not in s.parts for s in inside)

    def _inside(self, number: int) -> tuple[Snapshot, ...]:
        return self.snapshots[self.ends[number] + 1 : self.ends[number + 1] + 1]

    def _weights(self, place: int) -> Tensor:
        return self.chosen(self.snapshots[place].parameters).double()

    def chosen(self, flat: Tensor) -> Tensor:
        """The columns of a flat vector that are looked at, ``(R, D)``."""
        return torch.cat([flat[:, stretch] for stretch in self.stretches], dim=1)

    def _part(self, part: str, number: int) -> Tensor:
        inside = self._inside(number)
        first = self._recorded(inside[0], part)
        return sum((self._recorded(snapshot, part) for snapshot in inside[1:]), first)

    def _recorded(self, snapshot: Snapshot, part: str) -> Tensor:
        if part in snapshot.parts:
            return self.chosen(snapshot.parts[part]).to(snapshot.parameters.device)
        # A part that no update makes is zero; one of a run that nobody recorded is not known.
        nothing = 0.0 if snapshot.parts else torch.nan
        shape = (snapshot.runs, self.size)
        return snapshot.parameters.new_full(shape, nothing, dtype=torch.float64)

    def _trapezoid(self, number: int) -> Tensor:
        start, end = (self.snapshots[self.ends[n]] for n in (number, number + 1))
        if end.lr is None:
            shape = (end.runs, self.size)
            return end.parameters.new_full(shape, torch.nan, dtype=torch.float64)
        # Where nothing was trained yet no rate is known, and the first one is that of the end.
        known = start.lr is not None and start.step > 0
        rates = [start.lr if known and start.lr is not None else end.lr, end.lr]
        places = (self.ends[number], self.ends[number + 1])
        pulls = [
            rate.to(end.parameters.device, torch.float64).unsqueeze(1) * self._weights(place)
            for rate, place in zip(rates, places)
        ]
        pull = pulls[0] + pulls[1]
        factor = self.weight_decay * (end.step - start.step) / 2
        if end.parts:
            decayed = self._part("weight_decay", number).abs().sum(1) > 0
            pull = torch.where(decayed.unsqueeze(1), pull, 0.0)
        return -factor * pull
