"""Interventions after the optimizer: only the part of its step inside a subspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from spectraledge.names import check_name
from spectraledge.snapshots import Layout
from spectraledge.updates.base import (
    Clock,
    Groups,
    State,
    Update,
    inner_state,
    wrapped_state,
)
from spectraledge.updates.basis import Basis, OnBasis, check_basis
from spectraledge.updates.project_gradient import Kept, check_share, weakened

__all__ = ["ProjectUpdate"]


@dataclass(frozen=True)
class ProjectUpdate(OnBasis):
    """Δ ← Δ_∥ + (1 − s) Δ_⊥ for the displacement Δ of another update; or the converse.

    Around `Adam` it suppresses what `ProjectGradient` cannot, since nothing rescales the step
    afterwards. Around `WeightDecay` with s = 1 it decays inside the span only. The moments of an
    optimizer see the whole gradient either way.

    Args:
        update: The update that moves the parameters.
        basis: The directions.
        strength: s, in [0, 1].
        keep: Which part stays whole: ``parallel`` to the span, or ``orthogonal`` to it.

    Raises:
        TypeError: If `update` or `basis` is none.
        ValueError: For an update that does not move the parameters, a strength out of range or
            an unknown part.
    """

    update: Update
    basis: Basis
    strength: float
    keep: Kept = "parallel"

    def __post_init__(self) -> None:
        if not isinstance(self.update, Update):
            raise TypeError(
                f"ProjectUpdate: expected an update, got {self.update!r}; write "
                "ProjectUpdate(Adam(), InitialBasis(), 0.5)"
            )
        check_basis("ProjectUpdate", self.basis)
        check_share("ProjectUpdate", self.strength)
        check_name("keep", self.keep, get_args(Kept))
        if self.part is None:
            raise ValueError(
                f"ProjectUpdate: expected an update that moves the parameters, got {self.update}; "
                "use ProjectGradient for gradients"
            )

    @property
    def part(self) -> str | None:
        """The part that the inner update makes."""
        return self.update.part

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The directions, and the state of the inner update."""
        inner = self.update.init(theta, layout, groups)
        return super().init(theta, layout, groups) | wrapped_state(inner)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """The inner update and the projection of what it did, in place."""
        hyper["span"].renew_(theta, state, clock)
        before = theta.clone()
        self.update.apply_(theta, gradient, inner_state(state), hyper["update"], clock)
        strength = clock.active * hyper["strength"] * hyper["span"].ready(state)
        step = theta - before
        new = before + weakened(step, hyper["span"].parallel(state, step), strength, self.keep)
        theta.copy_(torch.where(strength > 0, new, theta))

    def watch_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Renew the basis; the inner update watches."""
        super().watch_(theta, gradient, state, hyper, clock)
        self.update.watch_(theta, gradient, inner_state(state), hyper["update"], clock)
