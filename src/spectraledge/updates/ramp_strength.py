"""Decay switched on, off or ramped, at a step or at an event in the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from spectraledge.names import check_name
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

__all__ = [
    "Quantity",
    "RampStrength",
    "RampStrengthAtEvent",
    "check_strength",
    "scaled_strength",
]

Quantity = Literal["batch_loss", "batch_accuracy", "gradient_norm", "weight_norm"]
Crossing = Literal["below", "above"]


@dataclass(frozen=True)
class RampStrength(Update):
    """An update with its strength times ``before`` until step `at`, then on to ``after``.

    The factor is linear from step `at` to ``at + duration``; a duration of 0 switches at `at`.
    An event in another run (when it memorised, when it grokked) is a step here. ``before=1,
    after=0`` switches off, ``before=0, after=1`` on.

    Args:
        update: An update with a ``strength``, e.g. `WeightDecay`.
        at: First step of the ramp, a whole number >= 1; may differ between the runs of a batch.
        duration: Steps that the ramp takes, >= 0; may differ too.
        before: Factor before, >= 0.
        after: Factor afterwards, >= 0.

    Raises:
        TypeError: If `update` is no update with a strength.
        ValueError: For numbers out of range.
    """

    update: Update
    at: float
    duration: float = 0.0
    before: float = 1.0
    after: float = 0.0

    def __post_init__(self) -> None:
        check_strength("RampStrength", self.update)
        check_range("RampStrength", low=1, at=self.at)
        check_range("RampStrength", duration=self.duration, before=self.before, after=self.after)
        check_whole("RampStrength", at=self.at, duration=self.duration)

    @property
    def part(self) -> str | None:
        """The part that the inner update makes."""
        return self.update.part

    @property
    def compiled(self) -> bool:
        """Traceable if the inner update is."""
        return self.update.compiled

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
        """The inner update at its strength of this step, in place."""
        inner = scaled_strength(hyper, clock.step - hyper["at"])
        self.update.apply_(theta, gradient, state, inner, clock)

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


@dataclass(frozen=True)
class RampStrengthAtEvent(Update):
    """An update with its strength ramped from the step at which the run crosses a threshold.

    The event is the first step at which `quantity` has been on the given side of the threshold
    for `patience` steps in a row, as seen at this place of the chain; it acts from that step on
    and is never taken back. Every run of a batch waits for its own.

    Args:
        update: An update with a ``strength``, e.g. `WeightDecay`.
        quantity: Loss or accuracy on the batch of the step, or norm of the whole gradient or of
            all parameters.
        threshold: Where the event is.
        crossing: Whether the event is to be strictly ``below`` or ``above`` the threshold.
        patience: Steps in a row that make the event, >= 1.
        duration: Steps that the ramp takes, >= 0.
        before: Factor before, >= 0.
        after: Factor afterwards, >= 0.

    Raises:
        TypeError: If `update` is no update with a strength.
        ValueError: For numbers out of range and unknown names; in a step if the loop tells no
            batch loss or accuracy.
    """

    update: Update
    quantity: Quantity
    threshold: float
    crossing: Crossing = "below"
    patience: int = 1
    duration: float = 0.0
    before: float = 0.0
    after: float = 1.0

    def __post_init__(self) -> None:
        check_strength("RampStrengthAtEvent", self.update)
        check_name("quantity", self.quantity, get_args(Quantity))
        check_name("crossing", self.crossing, get_args(Crossing))
        check_range("RampStrengthAtEvent", low=-torch.inf, threshold=self.threshold)
        check_count("RampStrengthAtEvent", patience=self.patience)
        check_range(
            "RampStrengthAtEvent", duration=self.duration, before=self.before, after=self.after
        )
        check_whole("RampStrengthAtEvent", duration=self.duration)

    @property
    def part(self) -> str | None:
        """The part that the inner update makes."""
        return self.update.part

    @property
    def reads_gradient(self) -> bool:
        """Where its norm is the event, or the inner update reads it."""
        return self.quantity == "gradient_norm" or super().reads_gradient

    @property
    def compiled(self) -> bool:
        """Traceable if the inner update is, but for norms, beside which Inductor gives up."""
        return self.update.compiled and self.quantity.startswith("batch")

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Nothing reached yet, and the state of the inner update."""
        held = torch.zeros(len(theta), 1, dtype=torch.float64, device=theta.device)
        inner = self.update.init(theta, layout, groups)
        return {"held": held, "reached_at": held + torch.inf} | wrapped_state(inner)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """The inner update at its strength of this step, in place."""
        self._look_(theta, gradient, state, hyper, clock)
        inner = scaled_strength(hyper, clock.step - state["reached_at"])
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
        self._look_(theta, gradient, state, hyper, clock)
        self.update.watch_(theta, gradient, inner_state(state), hyper["update"], clock)

    def _look_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Note whether the event is there."""
        value = _observed(self.quantity, theta, gradient, clock)
        threshold = hyper["threshold"]
        there = value < threshold if self.crossing == "below" else value > threshold
        held = torch.where(there & (clock.active > 0), state["held"] + 1, 0.0)
        state["held"].copy_(held)
        new = (held >= self.patience) & state["reached_at"].isinf()
        state["reached_at"].copy_(torch.where(new, clock.step, state["reached_at"]))


def _observed(quantity: Quantity, theta: Tensor, gradient: Tensor, clock: Clock) -> Tensor:
    """The number that an event is about, ``(R, 1)`` float64."""
    if quantity in ("gradient_norm", "weight_norm"):
        vectors = gradient if quantity == "gradient_norm" else theta
        return torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
    told = clock.batch_loss if quantity == "batch_loss" else clock.batch_accuracy
    if told is None:
        raise ValueError(
            f"RampStrengthAtEvent: expected a clock that tells the {quantity}, got one without; "
            f"pass Clock(..., {quantity}=...), as the Trainer does"
        )
    return told


def scaled_strength(hyper: Mapping[str, Any], since: Tensor) -> dict[str, Any]:
    """Numbers of the inner update with its strength of the moment; `since` counts steps."""
    duration = hyper["duration"]
    progress = torch.where(since < duration, since / duration.clamp_min(1.0), 1.0)
    progress = torch.where(since < 0, 0.0, progress)
    # A weighted mean, not before + progress (after - before), so that both ends are exact.
    factor = hyper["before"] * (1 - progress) + hyper["after"] * progress
    return {**hyper["update"], "strength": hyper["update"]["strength"] * factor}


def check_strength(owner: str, update: object) -> None:
    """Raise unless it is an update with a strength."""
    if isinstance(update, Update) and isinstance(getattr(update, "strength", None), float):
        return
    raise TypeError(
        f"{owner}: expected an update with a strength (a float), got {update!r}; write "
        f"{owner}(WeightDecay(1.0), ...), inside During if it has a span of steps as well"
    )
