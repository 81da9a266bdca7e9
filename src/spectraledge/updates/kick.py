"""Interventions on the parameters: kicks and noise orthogonal to a subspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from spectraledge.names import check_name
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, Sampled, State, check_count, check_range
from spectraledge.updates.basis import Basis, OnBasis, check_basis, is_due
from spectraledge.updates.random_streams import generator, run_keys

__all__ = ["Kick", "KickDirection", "KickLength", "OrthogonalNoise"]

KickDirection = Literal["commutator", "random"]
KickLength = Literal["gradient", "constant"]

# Both published: the step of the two gradient maps whose commutator is taken, and the length that
# stands for the norm of such a step in the random control.
STEP = 1e-3
CONSTANT = 1.5e-3


@dataclass(frozen=True)
class Kick(OnBasis):
    """θ ← θ + length · u, once or again and again, with a unit vector u orthogonal to a span.

    Put it last: unlike the published kick, which leaves a gradient of another batch behind for
    the optimizer, it changes parameters and nothing else. Batches are drawn with salts of their
    own, so runs with and without kicks see the same training batches.

    Directions: ``commutator`` is δ = θ_AB − θ_BA of two plain gradient steps η on two batches A,
    B, in the order that `samples` pairs give: of those with the median ‖δ‖ / (‖η g_A‖ ‖η g_B‖)
    the part outside the span. ``random`` is the part of a Gaussian vector outside the span.

    Lengths: ``gradient`` is ``size · ‖η g_A‖``, of the sample that gives the direction, or of one
    drawn for it, so both directions have matched lengths. ``constant`` is ``size · 1.5e-3``, the
    length of the published random control.

    Source: arXiv:2602.16746. Single kicks: ``at=500`` with sizes 1, 5, 10, 20. Sustained ones:
    ``at=500, every=50, samples=5`` with sizes 50 to 500, the control with ``random`` and
    ``constant``. δ is taken as a difference of gradients, where the published code subtracts
    parameters and loses it in rounding.

    Args:
        basis: The directions to leave alone.
        size: Length in units of one gradient step, >= 0.
        at: First step to act at, >= 1.
        every: Act at every so many steps from then on, >= 1; None acts once.
        direction: Where to.
        length: How far.
        samples: Pairs of batches to take the median of, >= 1.

    Raises:
        ValueError: For numbers out of range and unknown names.
        TypeError: If `basis` is none.

    Cost: four gradients per pair of batches.
    """

    basis: Basis
    size: float
    at: int
    every: int | None = None
    direction: KickDirection = "commutator"
    length: KickLength = "gradient"
    samples: int = 9

    part: ClassVar[str | None] = "intervention"

    def __post_init__(self) -> None:
        check_basis("Kick", self.basis)
        check_range("Kick", size=self.size)
        check_count("Kick", at=self.at, samples=self.samples)
        if self.every is not None:
            check_count("Kick", every=self.every)
        check_name("direction", self.direction, get_args(KickDirection))
        check_name("length", self.length, get_args(KickLength))

    @property
    def needs_problem(self) -> bool:
        """Unless direction and length are independent of gradients."""
        return self.direction == "commutator" or self.length == "gradient"

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The directions, and the key of the random stream."""
        return super().init(theta, layout, groups) | {"key": run_keys(theta)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Kick, in place, if it is time."""
        self.watch_(theta, gradient, state, hyper, clock)
        since = clock.index - self.at
        if since < 0 or not (since == 0 if self.every is None else is_due(since, self.every)):
            return
        if self.direction == "commutator":
            vectors, unit = self._commutator(hyper["problem"], theta, clock.index)
        else:
            vectors = _gaussian(state["key"], "Kick", clock.index, theta)
            unit = self._gradient_step(hyper, theta, clock.index)
        if self.length == "constant":
            unit = torch.full_like(unit, CONSTANT)
        outside = vectors - hyper["span"].parallel(state, vectors)
        _move_(theta, outside, clock.active * hyper["size"] * unit)

    def _commutator(self, problem: Sampled, theta: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """δ of the median sample and its ‖η g_A‖, ``(R, P)`` and ``(R, 1)`` float64."""
        every = [_commutator(problem, theta, index, sample) for sample in range(self.samples)]
        deltas, steps, defects = (torch.stack(column) for column in zip(*every))
        # Not torch.median, which says nothing about ties: the middle one in a stable order.
        middle = defects.argsort(dim=0, stable=True)[self.samples // 2]
        runs = torch.arange(len(theta), device=theta.device)
        chosen = middle.squeeze(1)
        return deltas[chosen, runs], steps[chosen, runs]

    def _gradient_step(self, hyper: Mapping[str, Any], theta: Tensor, index: int) -> Tensor:
        """‖η g_A‖ for a direction that has none of its own, ``(R, 1)`` float64."""
        if self.length == "constant":
            return torch.ones(len(theta), 1, dtype=torch.float64, device=theta.device)
        return STEP * _norm(_sampled_gradient(hyper["problem"], theta, index, "0/A"))


@dataclass(frozen=True)
class OrthogonalNoise(OnBasis):
    """θ ← θ + size · n_⊥ / ‖n_⊥‖ every so many steps, with n Gaussian over all parameters.

    Put it last.

    Source: arXiv:2602.16746, with size 0.01 to 0.5, every 50 steps from step 500 on, which is
    ``During(OrthogonalNoise(basis, 0.1, 50), 500)``.

    Args:
        basis: The directions to leave alone.
        size: Norm of the noise, >= 0.
        every: Steps between two additions, >= 1; it acts at their multiples.

    Raises:
        ValueError: For numbers out of range.
        TypeError: If `basis` is none.
    """

    basis: Basis
    size: float
    every: int = 50

    part: ClassVar[str | None] = "intervention"

    def __post_init__(self) -> None:
        check_basis("OrthogonalNoise", self.basis)
        check_range("OrthogonalNoise", size=self.size)
        check_count("OrthogonalNoise", every=self.every)

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The directions, and the key of the random stream."""
        return super().init(theta, layout, groups) | {"key": run_keys(theta)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Add the noise, in place, if it is time."""
        self.watch_(theta, gradient, state, hyper, clock)
        if not is_due(clock.index, self.every):
            return
        noise = _gaussian(state["key"], "OrthogonalNoise", clock.index, theta)
        outside = noise - hyper["span"].parallel(state, noise)
        _move_(theta, outside, clock.active * hyper["size"])


def _commutator(
    problem: Sampled, theta: Tensor, index: int, sample: int
) -> tuple[Tensor, Tensor, Tensor]:
    """δ, ‖η g_A‖ and ‖δ‖ / (‖η g_A‖ ‖η g_B‖) of one pair of batches, the last two ``(R, 1)``."""
    a, b = (_batch(problem, index, f"{sample}/{name}") for name in "AB")
    first, second = (problem.gradient(theta, *batch)[0] for batch in (a, b))
    second_after_first = problem.gradient(theta - STEP * first, *b)[0]
    first_after_second = problem.gradient(theta - STEP * second, *a)[0]
    # θ never enters, so nothing of the size of θ has to cancel.
    delta = STEP * (second.double() - second_after_first - (first.double() - first_after_second))
    steps = STEP * _norm(first), STEP * _norm(second)
    product = (steps[0] * steps[1]).clamp_min(torch.finfo(torch.float64).tiny)
    return delta, steps[0], _norm(delta) / product


def _batch(problem: Sampled, index: int, name: str) -> tuple[Tensor, Tensor]:
    return problem.batch(index, f"kick/{name}")


def _sampled_gradient(problem: Sampled, theta: Tensor, index: int, name: str) -> Tensor:
    return problem.gradient(theta, *_batch(problem, index, name))[0]


def _gaussian(keys: Tensor, purpose: str, index: int, theta: Tensor) -> Tensor:
    """Gaussian vectors ``(R, P)`` float64 from the streams of the runs."""
    streams = [generator(key, purpose, index) for key in keys.tolist()]
    drawn = [torch.randn(theta.shape[1], generator=s, dtype=torch.float64) for s in streams]
    return torch.stack(drawn).to(theta.device)


def _move_(theta: Tensor, direction: Tensor, length: Tensor) -> None:
    """θ ← θ + length · direction / ‖direction‖ where that is a number, in place."""
    norm = _norm(direction)
    chosen = (length > 0) & length.isfinite() & (norm > 0) & norm.isfinite()
    moved = theta + length * direction / norm.clamp_min(torch.finfo(torch.float64).tiny)
    theta.copy_(torch.where(chosen, moved.to(theta.dtype), theta))


def _norm(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
