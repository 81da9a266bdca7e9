"""How much of a trajectory one direction explains when nothing is learned.

A null model adds independent random directions u_i of D dimensions with given coefficients,
``W_t = sum_i A_ti u_i``. In high dimensions the u_i are nearly orthogonal, so the shares of its
principal components follow from A alone; what is left of chance is an inner product of standard
deviation ``D^(-1/2)`` per pair, whose effect on a share is worked out here to first order in 1/D.
Nothing of D numbers is ever drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import pad

from spectraledge.linalg.trajectory_components import all_finite, explained_variance

__all__ = [
    "NullShares",
    "decay_logarithms",
    "null_shares",
    "ornstein_uhlenbeck_coefficients",
    "published_z_score",
    "random_walk_coefficients",
    "remaining_fractions",
    "sampled_null_shares",
    "step_lengths",
    "z_score",
]

Lengths = Float64[Tensor, "*batch steps"]
Coefficients = Float64[Tensor, "*batch T sources"]
Shares = Float64[Tensor, "*batch K"]
Number = Float64[Tensor, "*batch"]
Trials = Float64[Tensor, "trials *batch"]


class NullShares(NamedTuple):
    """Mean and standard deviation of explained shares under a null model, ``(..., K)``."""

    mean: Tensor
    deviation: Tensor


def step_lengths(gram: Float64[Tensor, "*batch T T"]) -> Lengths:
    """Distances between successive points of a trajectory, from its Gram matrix.

    Returns:
        ``(..., T - 1)`` float64.

    Example:
        >>> step_lengths(torch.tensor([[0.0, 0.0], [0.0, 9.0]], dtype=torch.float64)).tolist()
        [3.0]
    """
    square = gram.diagonal(dim1=-2, dim2=-1)
    next_to = gram.diagonal(offset=1, dim1=-2, dim2=-1)
    return (square[..., 1:] + square[..., :-1] - 2 * next_to).clamp(min=0).sqrt()


def random_walk_coefficients(lengths: Lengths) -> Coefficients:
    """Coefficients of a random walk whose steps have the given lengths.

    Source: the null of arXiv:2602.16746, there sampled in all D dimensions. Equal steps give
    ``6/pi^2 = 60.8 %`` of the variance to one component for many points, 15.2 % to the second.

    Returns:
        ``(..., T, T - 1)``, zero at the first point.

    Example:
        >>> random_walk_coefficients(torch.tensor([1.0, 2.0], dtype=torch.float64)).tolist()
        [[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]
    """
    steps = lengths.unsqueeze(-2).expand(*lengths.shape, lengths.shape[-1]).tril()
    return pad(steps, (0, 0, 1, 0))


def decay_logarithms(
    steps: Sequence[int], lr: Sequence[Tensor | None], weight_decay: float
) -> Tensor:
    """Logarithm of what decoupled weight decay leaves from each point to the next.

    Definition: ``n log(1 - lr wd)`` for n optimizer steps at the learning rate of the later point,
    exact while the learning rate is constant between two points.

    Args:
        steps: Step of each of T points.
        lr: Learning rate ``(R,)`` at each point, None where it is not known.
        weight_decay: Decay per unit learning rate, >= 0.

    Returns:
        ``(R, T - 1)`` float64, <= 0, or ``(1, T - 1)`` without decay or learning rates; NaN where
        a learning rate is missing.

    Example:
        >>> decay_logarithms((0, 10), (None, torch.tensor([0.1])), 1.0).exp().item() == 0.9**10
        False
        >>> round(decay_logarithms((0, 10), (None, torch.tensor([0.1])), 1.0).exp().item(), 6)
        0.348678
    """
    if weight_decay == 0 or len(steps) < 2:
        return torch.zeros(1, len(steps) - 1, dtype=torch.float64)
    known = [rate for rate in lr if rate is not None]
    unknown = torch.full_like(known[0], torch.nan) if known else torch.tensor([torch.nan])
    rates = torch.stack([unknown if r is None else r for r in lr[1:]], -1).double()
    taken = torch.tensor(steps, dtype=torch.float64, device=rates.device).diff()
    return taken * torch.log1p(-rates * weight_decay)


def remaining_fractions(logarithms: Lengths) -> Float64[Tensor, "*batch T"]:
    """What is left of the first point at each point, 1 at the first."""
    return pad(logarithms, (1, 0)).cumsum(-1).exp()


def ornstein_uhlenbeck_coefficients(
    lengths: Lengths, start: Number, logarithms: Lengths
) -> Coefficients:
    """Coefficients of a random walk that decays towards zero, starting at W_0.

    Definition: ``W_i = rho_i W_{i-1} + xi_i`` with xi_i in a random direction and so long that the
    expected displacement has the given length, ``|xi_i|^2 = max(0, d_i^2 - (1 - rho_i)^2 n_{i-1})``
    with ``n_i = rho_i^2 n_{i-1} + |xi_i|^2`` and ``n_0 = |W_0|^2``. Where decay alone would move
    further than d_i, xi_i is zero.

    Args:
        lengths: d_i, distances between successive points ``(..., T - 1)``.
        start: Norm of W_0 ``(...)``.
        logarithms: ``log rho_i`` of `decay_logarithms` ``(..., T - 1)``; zeros give the random
            walk.

    Returns:
        ``(..., T, T)``: the first source is the direction of W_0.
    """
    logarithms = logarithms.expand(lengths.shape)
    # A recursion over few numbers: numpy takes a quarter of the time.
    square, decay = lengths.square().cpu().numpy(), logarithms.cpu().numpy()
    lost, left_over = np.expm1(decay) ** 2, np.exp(2 * decay)
    norm = start.square().cpu().numpy()
    sources = [norm]
    for t in range(square.shape[-1]):
        noise = np.maximum(square[..., t] - lost[..., t] * norm, 0)
        norm = left_over[..., t] * norm + noise
        sources.append(noise)
    noises = torch.from_numpy(np.stack(sources, -1)).to(lengths)
    total = pad(logarithms, (1, 0)).cumsum(-1)
    # Differences of logarithms: products of many factors would vanish in both terms of a ratio.
    left = (total.unsqueeze(-1) - total.unsqueeze(-2)).tril().exp().tril()
    return left * noises.sqrt().unsqueeze(-2)


def null_shares(
    coefficients: Coefficients, dimension: Tensor | float | int, components: int = 1
) -> NullShares:
    """Expected share of each principal component of a null model, and how far chance moves it.

    Definition: with ``M`` the coefficients about their mean over t, the shares are those of
    ``M (I + E) M^T``, where the off-diagonal E_ij, inner products of random unit vectors, have
    mean 0 and variance 1/D and are uncorrelated. Mean and variance are exact up to terms of
    second order in 1/D.

    Args:
        coefficients: ``(..., T, sources)``.
        dimension: D, one number or ``(...)``.
        components: How many shares K, >= 1.

    Returns:
        Means and standard deviations ``(..., K)``; NaN where `explained_variance` is.

    Cost: one eigendecomposition, 0.7 ms at T = 75 on one CPU core.

    Source: perturbation theory, derived here.

    Example:
        >>> walk = random_walk_coefficients(torch.ones(500, dtype=torch.float64))
        >>> mean, deviation = null_shares(walk, 1e9)
        >>> round(100 * mean.item(), 1), 100 * deviation.item() < 0.01
        (60.8, True)
    """
    moved = coefficients - coefficients.mean(-2, keepdim=True)
    gram = moved @ moved.mT
    finite = all_finite(gram)[..., None]
    values, vectors = torch.linalg.eigh(torch.where(finite[..., None], gram, 0.0))
    values, vectors = values.flip(-1).clamp(min=0), vectors.flip(-1)
    square = (vectors.mT @ moved).square()  # (..., T, sources): squared loadings of a component
    kept = min(components, values.shape[-1] - 1)
    shift, variance = _to_first_order(values, square, kept)
    dimension = torch.as_tensor(dimension, dtype=torch.float64, device=gram.device)[..., None]
    total = values.sum(-1, keepdim=True)
    known = finite & (total > 0)
    mean = values[..., :kept] / torch.where(known, total, 1.0) + shift / dimension
    deviation = (variance / dimension).sqrt()
    missing = (0, components - kept)
    return NullShares(*(
        pad(torch.where(known, x, torch.nan), missing, value=torch.nan) for x in (mean, deviation)
    ))  # fmt: skip


def _to_first_order(values: Tensor, square: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Shift of the mean and variance of the leading shares, times D, from all eigenvalues."""
    # With a_k the loadings of component k, d lambda_k = a_k^T E a_k + sum_l (a_k^T E a_l)^2 /
    # (lambda_k - lambda_l), and D var(a_k^T E a_l) = lambda_k lambda_l - 2 sum_i a_ki^2 a_li^2.
    total = values.sum(-1, keepdim=True)
    overlap = square @ square.mT
    leading, own = values[..., :components], overlap[..., :components, :]
    share = leading / total
    with_total = 2 * (leading.square() - own.sum(-1))
    of_total = 2 * (values.square().sum(-1) - overlap.sum((-2, -1))).unsqueeze(-1)
    itself = 2 * (leading.square() - own.diagonal(dim1=-2, dim2=-1))
    gap = leading.unsqueeze(-1) - values.unsqueeze(-2)
    between = leading.unsqueeze(-1) * values.unsqueeze(-2) - 2 * own
    pushed = torch.where(gap == 0, 0.0, between / torch.where(gap == 0, 1.0, gap)).sum(-1)
    shift = pushed / total + (share * of_total - with_total) / total.square()
    variance = (itself - 2 * share * with_total + share.square() * of_total) / total.square()
    # A single source has no chance in it; what differences leave there is rounding.
    known = variance > 64 * torch.finfo(torch.float64).eps
    return shift, torch.where(known, variance, 0.0)


def sampled_null_shares(
    coefficients: Coefficients,
    dimension: int,
    *,
    trials: int = 10,
    seed: int = 0,
    components: int = 1,
) -> Float64[Tensor, "trials *batch K"]:
    """Explained shares of random trials of a null model, as published.

    The inner products of random unit directions are drawn as such, from the triangular factor of a
    Wishart matrix: exact at any D, and D numbers are never made.

    Args:
        coefficients: ``(..., T, sources)``.
        dimension: D >= 1.
        trials: Number of trials, >= 1; 10 are published.
        seed: Of the directions; the seed of the run is published.
        components: How many shares K.

    Returns:
        ``(trials, ..., K)``.

    Raises:
        ValueError: For a dimension or trials below 1.

    Source: arXiv:2602.16746 for the null; M. S. Bartlett 1933 for the factor.
    """
    if dimension < 1 or trials < 1:
        raise ValueError(
            f"expected dimension >= 1 and trials >= 1, got dimension={dimension}, trials={trials}"
        )
    chance = np.random.default_rng(seed)
    sources = coefficients.shape[-1]
    rank = min(sources, dimension)
    found = []
    for _ in range(trials):
        factor = np.tril(chance.standard_normal((sources, rank)), -1)
        factor[range(rank), range(rank)] = np.sqrt(chance.chisquare(dimension - np.arange(rank)))
        unit = torch.from_numpy(factor / np.linalg.norm(factor, axis=1, keepdims=True))
        points = coefficients @ unit.to(coefficients.device)
        found.append(explained_variance(points @ points.mT, components))
    return torch.stack(found)


def published_z_score(share: Number, trials: Trials) -> Number:
    """``(share - mean) / (std + 1e-8)`` over sampled trials, population standard deviation.

    In D dimensions the deviation falls as ``D^(-1/2)``, so a large z says that there are many
    parameters, not that a direction is important; and ten trials know the deviation to 24 % only.

    Returns:
        ``(...)``, without unit.

    Source: arXiv:2602.16746.

    Example:
        >>> trials = torch.tensor([0.4, 0.6], dtype=torch.float64)
        >>> round(published_z_score(torch.tensor(0.8, dtype=torch.float64), trials).item(), 4)
        3.0
    """
    return (share - trials.mean(0)) / (trials.std(0, correction=0) + 1e-8)


def z_score(share: Shares, null: NullShares) -> Shares:
    """``(share - mean) / deviation`` with the exact mean and deviation of `null_shares`.

    Give the null of `ornstein_uhlenbeck_coefficients` where there is weight decay, and compare two
    runs over equal numbers of points and steps (`matched_points` of `trajectory_components`):
    share and null depend on both.

    Returns:
        NaN where the null leaves nothing to chance.
    """
    quotient = (share - null.mean) / torch.where(null.deviation > 0, null.deviation, 1.0)
    return torch.where(null.deviation > 0, quotient, torch.nan)
