"""An optimizer that forgets everything at one step, as training that goes on without its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import (
    Clock,
    Groups,
    State,
    Update,
    check_range,
    check_whole,
    inner_state,
    wrapped_state,
)

__all__ = ["RestartAt"]

START = "start/"


@dataclass(frozen=True)
class RestartAt(Update):
    """The update with its state as at the start from step `at` on, which is its step 1 again.

    What a script does that loads weights at step ``at − 1`` and builds a new optimizer: moments
    are zero and bias corrections begin anew. The step that the update sees is counted from `at`;
    the number of the loop's step is not, so links that act at given steps belong around it.

    Args:
        update: An update with state, e.g. `Adam`.
        at: First step after the restart, a whole number >= 1; may differ between runs.

    Raises:
        TypeError: If `update` is none.
        ValueError: For a step below 1 or between two.

    Cost: the state twice, and one pass over it a step.

    Source: the weight-decay intervention of arXiv:2604.07380 starts a new optimizer at a snapshot
    and does not say so.
    """

    update: Update
    at: float

    def __post_init__(self) -> None:
        if not isinstance(self.update, Update):
            raise TypeError(
                f"RestartAt: expected an update, got {self.update!r}; write "
                "RestartAt(Adam(), 1001.0)"
            )
        check_range("RestartAt", low=1, at=self.at)
        check_whole("RestartAt", at=self.at)

    @property
    def part(self) -> str | None:
        """The part that the inner update makes."""
        return self.update.part

    @property
    def compiled(self) -> bool:
        """Traceable if the inner update is."""
        return self.update.compiled

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The state of the inner update, and what it was at the start."""
        inner = self.update.init(theta, layout, groups)
        kept = {START + name: value.clone() for name, value in inner.items()}
        return kept | wrapped_state(inner)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """The inner update, in place, forgetting first if it is time."""
        inner, since = inner_state(state), clock.step - hyper["at"] + 1
        for name, value in inner.items():
            now = (since == 1).view(-1, *(1,) * (value.ndim - 1))
            value.copy_(torch.where(now, state[START + name], value))
        # At the step of the restart and after, a run counts from there.
        own = replace(clock, step=torch.where(since >= 1, since, clock.step))
        self.update.apply_(theta, gradient, inner, hyper["update"], own)
