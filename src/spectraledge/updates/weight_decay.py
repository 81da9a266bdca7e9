"""Decoupled L2 weight decay on a named group of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range, group_names

__all__ = ["WeightDecay"]


@dataclass(frozen=True)
class WeightDecay(Update):
    """θ ← (1 − lr · strength) θ on the parameters of one group.

    Source: Loshchilov and Hutter (2019), as in ``torch.optim.AdamW``, which decays before the
    Adam step; so put it before `Adam` in a chain.

    Args:
        strength: Decay per unit learning rate, >= 0.
        on: Group of parameters, e.g. ``all``, ``qk``, ``not_qk``, ``matrices``.

    Raises:
        ValueError: For a negative or non-finite strength; for an unknown group at ``init``.
    """

    strength: float
    on: str = "all"

    part: ClassVar[str | None] = "weight_decay"

    def __post_init__(self) -> None:
        check_range("WeightDecay", strength=self.strength)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The group as a 0/1 row ``(P,)``."""
        names = group_names("WeightDecay", self.on, groups)
        return {"mask": layout.mask(names).to(theta)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place."""
        theta.mul_(1 - (clock.lr * hyper["strength"]).to(theta.dtype) * hyper["mask"])
