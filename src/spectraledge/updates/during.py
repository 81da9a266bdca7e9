"""Any link, at some steps only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_count

__all__ = ["During"]


@dataclass(frozen=True)
class During(Update):
    """The update at steps ``start <= step < stop``; otherwise it only watches.

    While it watches, an update whose state is a memory of the past (a basis of past weights, an
    event waited for) keeps it up to date; all others stand still.

    Args:
        update: The link to switch on and off.
        start: First step to act at, >= 1.
        stop: Step to act no more at, > start; None acts for ever.

    Raises:
        TypeError: If `update` is none.
        ValueError: For steps out of range.
    """

    update: Update
    start: int
    stop: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.update, Update):
            raise TypeError(
                f"During: expected an update, got {self.update!r}; write During(LowRank(0.5), 100)"
            )
        check_count("During", start=self.start)
        if self.stop is not None:
            check_count("During", self.start + 1, stop=self.stop)

    @property
    def part(self) -> str | None:
        """The part that the inner update makes."""
        return self.update.part

    @property
    def compiled(self) -> bool:
        """Skipped steps run eagerly."""
        return False

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The state of the inner update."""
        return self.update.init(theta, layout, groups)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """The inner update, in place, if it is time."""
        if self.start <= clock.index and (self.stop is None or clock.index < self.stop):
            self.update.apply_(theta, gradient, state, hyper["update"], clock)
        else:
            self.watch_(theta, gradient, state, hyper, clock)

    def watch_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """The inner update watches."""
        self.update.watch_(theta, gradient, state, hyper["update"], clock)
