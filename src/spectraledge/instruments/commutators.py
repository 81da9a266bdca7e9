"""Lie brackets of the gradient fields of two batches, and the numbers to read beside them.

The published difference of positions is here next to forms that do not cancel. In float32 the
former is its own rounding at the start of training and after grokking (arXiv:2602.16746 reports
2.4 at step 0, where the bracket gives 0.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from spectraledge.instruments.batch_pairs import Pair, batch_pairs
from spectraledge.names import check_name

__all__ = ["METHODS", "Commutator", "Pair", "TwiceDifferentiable", "batch_pairs", "commutators"]

METHODS = ("exact", "gradient_difference", "published", "published_adaptive")
PUBLISHED_SLACK = 1e-12
# Smallest displacement η‖g‖ of the variant with an adaptive step (arXiv:2602.16967).
ADAPTIVE_LENGTH = 1e-6


@runtime_checkable
class TwiceDifferentiable(Protocol):
    """Gradients and Hessian-vector products of R runs; every `Differentiable` is one."""

    def gradient(self, theta: Tensor, tokens: Any, labels: Any, /) -> tuple[Tensor, Any, Any]:
        """Gradients ``(R, P)`` first."""
        ...

    def hessian_vector(self, theta: Tensor, tokens: Any, labels: Any, vectors: Tensor, /) -> Tensor:
        """Hessian times K vectors ``(R, K, P)``."""
        ...


@dataclass(frozen=True)
class Commutator:
    """The bracket of two batches A and B, of R runs.

    Args:
        bracket: ``L = H_B g_A − H_A g_B``, ``(R, P)`` float64.
        gradients: g_A and g_B, each ``(R, P)`` float64.
        products: Norms of ``H_B g_A`` and ``H_A g_B``, each ``(R,)``.
        floor: Norm that rounding alone gives L, ``(R,)``.
        slack: Added to ``‖g_A‖ ‖g_B‖`` by the published definition, otherwise 0.
    """

    bracket: Tensor
    gradients: tuple[Tensor, Tensor]
    products: tuple[Tensor, Tensor]
    floor: Tensor
    slack: Tensor | float = 0.0

    def numbers(self) -> dict[str, Tensor]:
        """What to report of a pair, each ``(R,)`` float64.

        Returns:
            ``bracket_norm`` ‖L‖; ``first_norm`` and ``second_norm`` of the gradients; ``defect``
            ``‖L‖ / (‖g_A‖ ‖g_B‖)``, NaN where a gradient is zero; ``relative_defect``
            ``‖L‖ / (½ (‖H_B g_A‖ + ‖H_A g_B‖))`` in [0, 2]; ``gradient_cosine`` of g_A and g_B;
            ``bracket_cosine`` of L and g_A; ``rounding_floor`` in the unit of ‖L‖ and
            ``defect_floor`` in that of the defect.
        """
        first, second = self.gradients
        size, a, b = (x.norm(dim=1) for x in (self.bracket, first, second))
        scale = a * b + self.slack
        scale = torch.where(scale > 0, scale, torch.nan)
        return {
            "bracket_norm": size,
            "first_norm": a,
            "second_norm": b,
            "defect": size / scale,
            "relative_defect": 2 * size / (self.products[0] + self.products[1]),
            "gradient_cosine": (first * second).sum(1) / (a * b),
            "bracket_cosine": (self.bracket * first).sum(1) / (size * a),
            "rounding_floor": self.floor,
            "defect_floor": self.floor / scale,
        }


def commutators(
    problem: TwiceDifferentiable,
    theta: Tensor,
    batches: Sequence[tuple[Any, Any]],
    pairs: Sequence[Pair],
    *,
    method: str = "exact",
    eta: float = 1e-3,
) -> Iterator[Commutator]:
    """Brackets of pairs of batches, one at a time; each batch's gradient is computed once.

    Definition: with gradients g and Hessians H of the mean losses, ``L = H_B g_A − H_A g_B``, which
    is antisymmetric, zero for A = B, and free of any step. Two gradient steps η on A and then B end
    ``η² L + O(η³)`` away from those on B and then A.

    Args:
        problem: R runs.
        theta: Parameters ``(R, P)``.
        batches: Inputs and labels of the pieces, as `problem` takes them.
        pairs: Pieces of A and of B for each pair, see `batch_pairs`.
        method: ``exact`` by Hessian-vector products; ``gradient_difference`` replaces ``H_B g_A``
            by ``(g_B − g_B(θ − η g_A)) / η``; ``published`` subtracts the two end positions and
            adds 1e-12 to ``η²‖g_A‖‖g_B‖``, in the precision of `theta`; ``published_adaptive``
            does so with ``η = min(1, max(η, 1e-6 / min(‖g_A‖, ‖g_B‖)))``.
        eta: Step η > 0, finite, of all but ``exact``.

    Yields:
        A `Commutator` for every pair.

    Raises:
        ValueError: For an unknown method, or a step that is not positive and finite.

    Cost: with M pieces M gradients; then ``exact`` up to M(M − 1) Hessian-vector products and one
    for the floor, ``gradient_difference`` as many gradients, the published ones two gradients a
    pair. Memory: as many vectors as products.

    Source: arXiv:2602.16746 and 2602.16967 (``published``, ``published_adaptive``), whose code
    also computes each gradient twice; ``exact`` and the floors are derived here.
    """
    check_name("method of commutators", method, METHODS)
    if not (eta > 0 and isfinite(eta)):
        raise ValueError(f"commutators: expected a finite eta > 0, got {eta}")
    gradients = torch.stack([problem.gradient(theta, *batch)[0] for batch in batches], 1)
    if method.startswith("published"):
        at = partial(_mean_gradient, problem, batches)
        for pair in pairs:
            yield _published(at, theta, gradients, pair, eta, method == "published_adaptive")
        return
    wanted = sorted({ij for a, b in pairs for i in a for j in b for ij in ((i, j), (j, i))})
    images = _Images(problem, theta, batches, gradients, None if method == "exact" else eta)
    products = images.of(wanted)
    noise = images.noise(wanted[0], products[wanted[0]])
    for pair in pairs:
        yield _bracket(products, gradients, noise, pair)


def _bracket(
    products: dict[tuple[int, int], Tensor], gradients: Tensor, noise: Tensor, pair: Pair
) -> Commutator:
    a, b = pair
    forward = _mean([products[i, j] for i in b for j in a])
    backward = _mean([products[i, j] for i in a for j in b])
    sizes = forward.norm(dim=1), backward.norm(dim=1)
    return Commutator(
        bracket=forward - backward,
        gradients=(_mean([gradients[:, i] for i in a]), _mean([gradients[:, i] for i in b])),
        products=sizes,
        floor=noise * torch.hypot(*sizes),
    )


def _mean(pieces: Sequence[Tensor]) -> Tensor:
    # In float64, piece by piece: a mean over a stack of them takes three times as long.
    total = pieces[0].double()
    for piece in pieces[1:]:
        total = total + piece
    return total / len(pieces) if len(pieces) > 1 else total


@dataclass(frozen=True)
class _Images:
    """Products ``H_i g_j`` of batch Hessians and batch gradients; by differences if `eta`."""

    problem: TwiceDifferentiable
    theta: Tensor
    batches: Sequence[tuple[Any, Any]]
    gradients: Tensor
    eta: float | None

    def of(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Tensor]:
        """``(R, P)`` by (i, j); those that share a Hessian in one call."""
        found: dict[tuple[int, int], Tensor] = {}
        for i in sorted({i for i, _ in wanted}):
            others = [j for k, j in wanted if k == i]
            found |= {(i, j): v for j, v in zip(others, self._along(i, others, torch.clone))}
        return found

    def noise(self, which: tuple[int, int], product: Tensor) -> Tensor:
        """Relative change of a product when every parameter moves to a neighbouring number.

        Rounding acts like a random change of that size in what is evaluated, and this one is
        drawn from a generator of its own. Where the Hessian does not depend on the parameters, as
        with a linear model and square loss, moving them says nothing; but the sum over examples
        is rounded all the same. So the change counts as one eps of the parameters' type at least:
        of such models, sums over 8 to 512 examples are off by 0.5 to 4 eps.

        Args:
            which: (i, j) of the product.
            product: ``H_i g_j``, ``(R, P)``.

        Returns:
            ``(R,)`` float64, >= eps; NaN for a product of zero.
        """
        again = self._along(which[0], [which[1]], _neighbours)[0]
        moved = (again.double() - product.double()).norm(dim=1) / product.double().norm(dim=1)
        return moved.clamp_min(torch.finfo(self.theta.dtype).eps)

    def _along(self, i: int, others: list[int], moved: Any) -> list[Tensor]:
        batch = self.batches[i]
        if self.eta is None:
            vectors = self.gradients[:, others]
            return list(self.problem.hessian_vector(moved(self.theta), *batch, vectors).unbind(1))
        here = self.gradients[:, i].double()
        there = [moved(self.theta - self.eta * self.gradients[:, j]) for j in others]
        return [(here - self.problem.gradient(x, *batch)[0].double()) / self.eta for x in there]


def _neighbours(theta: Tensor) -> Tensor:
    chance = torch.Generator().manual_seed(0)
    # One row for all runs, so that a run's floor does not depend on its batch-mates.
    up = torch.rand(theta.shape[1], generator=chance).to(theta.device) < 0.5
    return torch.nextafter(theta, torch.where(up, torch.inf, -torch.inf).to(theta))


def _mean_gradient(
    problem: TwiceDifferentiable,
    batches: Sequence[tuple[Any, Any]],
    theta: Tensor,
    members: tuple[int, ...],
) -> Tensor:
    return torch.stack([problem.gradient(theta, *batches[i])[0] for i in members]).mean(0)


def _published(
    gradient: Any, theta: Tensor, gradients: Tensor, pair: Pair, eta: float, adaptive: bool
) -> Commutator:
    a, b = pair
    g_a, g_b = gradients[:, a].mean(1), gradients[:, b].mean(1)
    step = torch.full_like(theta[:, :1], eta)
    if adaptive:
        shorter = torch.minimum(g_a.norm(dim=1), g_b.norm(dim=1)).unsqueeze(1)
        step = torch.maximum(step, ADAPTIVE_LENGTH / shorter).clamp(max=1.0)
    at_a, at_b = theta - step * g_a, theta - step * g_b
    b_at_a, a_at_b = gradient(at_a, b), gradient(at_b, a)
    gap = (at_a - step * b_at_a) - (at_b - step * a_at_b)
    wide = step.double()
    changes = (g_b.double() - b_at_a.double()) * wide, (g_a.double() - a_at_b.double()) * wide
    noise = _grid_noise(at_a, at_b, changes)
    area = wide[:, 0] ** 2
    return Commutator(
        bracket=gap.double() / wide**2,
        gradients=(g_a.double(), g_b.double()),
        products=(changes[0].norm(dim=1) / area, changes[1].norm(dim=1) / area),
        floor=noise / area,
        slack=PUBLISHED_SLACK / area,
    )


def _grid_noise(at_a: Tensor, at_b: Tensor, changes: tuple[Tensor, Tensor]) -> Tensor:
    """Root mean square of what rounding adds to a difference of two positions.

    Where both paths stay on one grid of numbers of spacing u, each of the two changes d of the
    steps survives as a multiple of u: the next one above with probability ``f = frac(d/u)``, else
    the one below, so with variance ``u² f (1 − f)``. Where the first steps land on grids of
    different spacing, as those of a gain of exactly 1 do, the order of the steps decides: three
    roundings to the coarser grid and one to the finer, ``u² (3/12 + 1/48)``.

    Args:
        at_a: Parameters after the first step on A, ``(R, P)``.
        at_b: The same on B.
        changes: How the second steps differ from first ones on the same batch, float64.

    Returns:
        ``(R,)`` float64.
    """
    one, other = _spacing(at_a), _spacing(at_b)
    coarse = torch.maximum(one, other)
    shares = [(change.abs() / coarse).frac() for change in changes]
    stays = shares[0] * (1 - shares[0]) + shares[1] * (1 - shares[1])
    variance = torch.where(one == other, stays, 13 / 48) * coarse**2
    return variance.sum(1).sqrt()


def _spacing(x: Tensor) -> Tensor:
    return (torch.nextafter(x.abs(), torch.full_like(x, torch.inf)) - x.abs()).double()
