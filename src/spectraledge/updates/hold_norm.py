"""Hold the norm of a group of parameters as it is at a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

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
    group_names,
)

__all__ = ["HoldNorm"]


@dataclass(frozen=True)
class HoldNorm(Update):
    """φ ← φ ‖φ_at‖ / ‖φ‖ from step `at` on, where φ is one vector of all parameters of a group.

    ``φ_at`` is φ as this link found it at the last step before `at`, or at the start of the run;
    until then it only watches. Put it last. Unlike `NormClamp`, which prescribes the norm of every
    matrix, matrices may grow at each other's cost.

    Args:
        at: First step at which the norm is held, a whole number >= 1; may differ between the runs
            of a batch.
        on: Group of parameters, e.g. ``attention``.

    Raises:
        ValueError: For a step out of range; for an unknown group at ``init``.

    Source: ours; arXiv:2604.07380 lets weights grow back when decay is released, and ascribes to
    decay what may be their length.
    """

    at: float
    on: str = "attention"

    part: ClassVar[str | None] = "norm"

    def __post_init__(self) -> None:
        check_range("HoldNorm", low=1, at=self.at)
        check_whole("HoldNorm", at=self.at)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The group as a 0/1 row ``(P,)``."""
        names = group_names("HoldNorm", self.on, groups)
        return {"mask": layout.mask(names).to(theta)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The initial norm."""
        mask = layout.mask(group_names("HoldNorm", self.on, groups)).to(theta)
        return {"norm": _norm(theta, mask)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Rescale or watch, in place."""
        norm, live = _norm(theta, hyper["mask"]), clock.active > 0
        held = (clock.step >= hyper["at"]) & live & (norm > 0) & norm.isfinite()
        factor = torch.where(held, state["norm"] / norm, 1.0)
        watched = (clock.step < hyper["at"]) & live
        state["norm"].copy_(torch.where(watched, norm, state["norm"]))
        theta.mul_(1 + (factor - 1).to(theta.dtype) * hyper["mask"])

    def watch_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Remember the norm, as before `at`."""
        norm = _norm(theta, hyper["mask"])
        state["norm"].copy_(torch.where(clock.active > 0, norm, state["norm"]))


def _norm(theta: Tensor, mask: Tensor) -> Tensor:
    """Norm of the group in every run, ``(R, 1)`` float64."""
    return (theta * mask).double().norm(dim=1, keepdim=True)
