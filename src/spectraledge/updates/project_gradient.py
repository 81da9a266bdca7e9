"""Interventions on the gradient: weaken, keep or strengthen its part inside a subspace.

An optimizer like Adam does not notice how long a gradient is, coordinate by coordinate. So
weakening what lies outside a subspace is strengthening what lies inside, and a projection needs
the controls here: `ScaleGradient` weakens everything, `BoostParallel` strengthens the inside and
weakens nothing, ``match_norm`` keeps the length, and `ProjectUpdate` acts after the optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from spectraledge.names import check_name
from spectraledge.updates.base import Clock, State, Update, check_count, check_range
from spectraledge.updates.basis import Basis, OnBasis, check_basis, is_due

__all__ = ["BoostParallel", "Kept", "ProjectGradient", "ScaleGradient", "check_share", "weakened"]

Kept = Literal["parallel", "orthogonal"]


@dataclass(frozen=True)
class ProjectGradient(OnBasis):
    """g ← g_∥ + (1 − s) g_⊥ with g_∥ = B Bᵀ g over all parameters; or the converse.

    Put it after `ClipGradient` and before the optimizer; weight decay is not projected. Where a
    run has no basis yet its gradient stays as it is.

    Source: arXiv:2602.16746, "project" with s = 0.25, 0.5, 0.75, 1 from step 500 on, which is
    ``During(ProjectGradient(TrajectoryBasis(run), 0.75), 500)``; its "penalty" is the same with
    ``every=10``. Restated from the text; under Adam its effect is mostly that of `BoostParallel`.

    Args:
        basis: The directions B.
        strength: s, in [0, 1]; 0 does nothing, 1 leaves nothing of the other part.
        keep: Which part stays whole: ``parallel`` to the span, or ``orthogonal`` to it.
        every: Act at every so many steps only, >= 1.
        match_norm: Give the whole gradient back the norm it had.

    Raises:
        ValueError: For numbers out of range or an unknown part; at ``init`` for a basis that
            cannot be resolved.
        TypeError: If `basis` is none.
    """

    basis: Basis
    strength: float
    keep: Kept = "parallel"
    every: int = 1
    match_norm: bool = False

    part: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_basis("ProjectGradient", self.basis)
        check_share("ProjectGradient", self.strength)
        check_count("ProjectGradient", every=self.every)
        check_name("keep", self.keep, get_args(Kept))

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Project the gradient, in place."""
        self.watch_(theta, gradient, state, hyper, clock)
        if not is_due(clock.index, self.every):
            return
        strength = clock.active * hyper["strength"] * hyper["span"].ready(state)
        inside = hyper["span"].parallel(state, gradient)
        new = weakened(gradient, inside, strength, self.keep)
        if self.match_norm:
            new.mul_(_ratio(gradient, new))
        # Also where the rest is infinite: a diverged run has no finite basis.
        gradient.copy_(torch.where(strength > 0, new, gradient))


@dataclass(frozen=True)
class BoostParallel(OnBasis):
    """g ← g + (f − 1) g_∥: the inside of a subspace stronger, the outside as it was.

    The control for `ProjectGradient`: f = 1 / (1 − s) gives the same direction, and under Adam
    the same training but for ε and the first steps after it was switched on.

    Args:
        basis: The directions.
        factor: f, >= 0; 1 does nothing.

    Raises:
        ValueError: For a negative or non-finite factor.
        TypeError: If `basis` is none.
    """

    basis: Basis
    factor: float

    part: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_basis("BoostParallel", self.basis)
        check_range("BoostParallel", factor=self.factor)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Strengthen the inside, in place."""
        self.watch_(theta, gradient, state, hyper, clock)
        extra = clock.active * hyper["span"].ready(state) * (hyper["factor"] - 1)
        new = gradient + extra.to(gradient.dtype) * hyper["span"].parallel(state, gradient)
        gradient.copy_(torch.where(extra != 0, new, gradient))


@dataclass(frozen=True)
class ScaleGradient(Update):
    """g ← f g: the control that weakens everything, which Adam does not notice but for ε.

    Args:
        factor: f, >= 0.

    Raises:
        ValueError: For a negative or non-finite factor.
    """

    factor: float

    part: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_range("ScaleGradient", factor=self.factor)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Scale the gradient, in place."""
        gradient.mul_(hyper["factor"].to(gradient.dtype))


def weakened(vectors: Tensor, inside: Tensor, strength: Tensor, keep: Kept) -> Tensor:
    """Vectors with one of their parts weakened.

    Args:
        vectors: ``(R, P)``.
        inside: Their part inside the span, ``(R, P)``.
        strength: ``(R, 1)`` in [0, 1].
        keep: The part that stays whole.

    Returns:
        Kept part plus ``1 - strength`` times the other, ``(R, P)``.
    """
    outside = vectors - inside
    kept, other = (inside, outside) if keep == "parallel" else (outside, inside)
    return kept + (1 - strength).to(vectors.dtype) * other


def check_share(owner: str, strength: float) -> None:
    """Raise unless a strength is in [0, 1].

    Args:
        owner: Name of the dataclass that asks, for the message.
        strength: What it got.

    Raises:
        ValueError: Naming owner and value.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"{owner}: expected 0 <= strength <= 1, got {strength}")


def _ratio(before: Tensor, after: Tensor) -> Tensor:
    """‖before‖ / ‖after‖ per run, 0 where only rounding is left, in the dtype of the vectors."""
    whole, left = (
        torch.linalg.vector_norm(v, dim=1, keepdim=True, dtype=torch.float64)
        for v in (before, after)
    )
    # Parts and their sum are each rounded once, to half of eps of the whole.
    rounding = 4 * torch.finfo(before.dtype).eps * whole
    return torch.where(left > rounding, whole / left, 0.0).to(before.dtype)
