"""Decay switched or ramped once the spectral edge lies along the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import (
    Clock,
    Groups,
    State,
    Update,
    check_count,
    check_range,
    check_whole,
    inner_state,
    wrapped_state,
)
from spectraledge.updates.basis import OnBasis
from spectraledge.updates.edge_basis import COUNT, EdgeBasis
from spectraledge.updates.ramp_strength import check_strength, scaled_strength

__all__ = ["RampStrengthAtEdge"]

REACHED = "aligned_at"


@dataclass(frozen=True)
class RampStrengthAtEdge(OnBasis):
    """An update with its strength ramped from the step at which v₁ aligns with the weights.

    The event is the first snapshot of a full window at which ``|cos(v₁, θ)|`` exceeds the
    threshold, as decay alone makes it, `patience` snapshots in a row; v₁ is the leading direction
    of the last W displacements and θ the weights that they are of. It acts from that step on and
    is never taken back. Every run of a batch waits for its own.

    Args:
        update: An update with a ``strength``, e.g. `WeightDecay`.
        threshold: In [0, 1]; 0.6 parts the windows of decay on Dyck-1 from the others.
        basis: Window, cadence and matrices of the edge.
        patience: Snapshots in a row that make the event, >= 1.
        duration: Steps that the ramp takes, >= 0.
        before: Factor before, >= 0.
        after: Factor afterwards, >= 0.

    Raises:
        TypeError: If `update` is no update with a strength, or `basis` no `EdgeBasis`.
        ValueError: For numbers out of range.

    Cost: that of `EdgeBasis`, and one inner product a snapshot.
    """

    update: Update
    threshold: float = 0.6
    basis: EdgeBasis = field(default_factory=lambda: EdgeBasis(components=1))
    patience: int = 1
    duration: float = 0.0
    before: float = 1.0
    after: float = 0.0

    def __post_init__(self) -> None:
        owner = "RampStrengthAtEdge"
        check_strength(owner, self.update)
        if not isinstance(self.basis, EdgeBasis):
            raise TypeError(f"{owner}: expected an EdgeBasis, got {self.basis!r}")
        check_range(owner, high=1, threshold=self.threshold)
        check_count(owner, patience=self.patience)
        check_range(owner, duration=self.duration, before=self.before, after=self.after)
        check_whole(owner, duration=self.duration)

    @property
    def part(self) -> str | None:
        """The part that the inner update makes."""
        return self.update.part

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Nothing reached yet, the snapshots, and the state of the inner update."""
        held = torch.zeros(len(theta), 1, dtype=torch.float64, device=theta.device)
        inner = self.update.init(theta, layout, groups)
        own = {"held": held, REACHED: held + torch.inf}
        return super().init(theta, layout, groups) | own | wrapped_state(inner)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """The inner update at its strength of this step, in place."""
        self._look_(theta, state, hyper, clock)
        inner = scaled_strength(hyper, clock.step - state[REACHED])
        self.update.apply_(theta, gradient, inner_state(state), inner, clock)

    def watch_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Wait for the event; the inner update watches."""
        self._look_(theta, state, hyper, clock)
        self.update.watch_(theta, gradient, inner_state(state), hyper["update"], clock)

    def _look_(self, theta: Tensor, state: State, hyper: Mapping[str, Any], clock: Clock) -> None:
        """Take the snapshot that is due, and note whether the event is there."""
        count = int(state[COUNT][0])
        span = hyper["span"]
        span.renew_(theta, state, clock)
        taken = int(state[COUNT][0])
        if taken == count or taken <= self.basis.window:
            return
        there = (_overlap(theta, span, state) > hyper["threshold"]) & (clock.active > 0)
        held = torch.where(there, state["held"] + 1, 0.0)
        state["held"].copy_(held)
        new = (held >= self.patience) & state[REACHED].isinf()
        state[REACHED].copy_(torch.where(new, clock.step, state[REACHED]))


def _overlap(theta: Tensor, span: Any, state: State) -> Tensor:
    """``|cos(v₁, θ)|`` over the columns of the edge, ``(R, 1)`` float64."""
    (columns,) = span.columns.values()
    along = span.of(state).coefficients(theta.double())[:, :1]
    return along.abs() / theta[:, columns].double().norm(dim=1, keepdim=True)
