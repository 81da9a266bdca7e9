"""How much of a vector a random subspace holds: the exact law, instead of random bases.

For a uniformly random K-dimensional subspace of R^P with orthonormal basis B and any fixed vector
v (or any fixed subspace and a uniformly random v), ``‖Bᵀv‖²/‖v‖²`` follows Beta(K/2, (P-K)/2).
Drawing Gaussian bases to estimate this costs seconds and adds noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log, pi, sqrt

from scipy.special import betaincinv

__all__ = [
    "expected_cosine",
    "expected_cosine_approximate",
    "expected_norm_share",
    "expected_share",
    "matched_share",
    "published_norm_share",
    "share_interval",
    "share_quantile",
    "typical_norm_share",
]


def expected_share(dimension: int, parameters: int) -> float:
    """Mean of ``‖Bᵀv‖²/‖v‖²``, which is K/P.

    Args:
        dimension: K, directions of the subspace, in [0, P].
        parameters: P >= 1.

    Returns:
        K/P in [0, 1].

    Raises:
        ValueError: If K is outside [0, P].

    Example:
        >>> expected_share(16, 64)
        0.25
    """
    _check(dimension, parameters)
    return dimension / parameters


def typical_norm_share(dimension: int, parameters: int) -> float:
    """``sqrt(K/P)``, the root mean square of ``‖Bᵀv‖/‖v‖``: the unit of the exec/random ratio.

    Args:
        dimension: K in [0, P].
        parameters: P >= 1.

    Returns:
        In [0, 1].

    Example:
        >>> round(typical_norm_share(16, 290401), 5)
        0.00742
    """
    return sqrt(expected_share(dimension, parameters))


def expected_norm_share(dimension: int, parameters: int) -> float:
    """Mean of ``‖Bᵀv‖/‖v‖``, a little below ``sqrt(K/P)``.

    Definition: ``Γ((K+1)/2) Γ(P/2) / (Γ(K/2) Γ((P+1)/2))``, the moment of order 1/2 of the law.

    Args:
        dimension: K in [0, P].
        parameters: P >= 1.

    Returns:
        In [0, 1].

    Example:
        >>> round(expected_norm_share(1, 2), 6)  # 2/π, mean |cos| of a random angle
        0.63662
    """
    _check(dimension, parameters)
    if dimension in (0, parameters):
        return float(dimension > 0)
    return exp(_log_gamma_step(dimension) - _log_gamma_step(parameters))


def expected_cosine(parameters: int) -> float:
    """Mean ``|cos|`` between a fixed and a uniformly random vector, exactly.

    Definition: ``Γ(P/2) / (sqrt(π) Γ((P+1)/2))``.

    Args:
        parameters: P >= 1.

    Returns:
        In (0, 1].

    Example:
        >>> round(expected_cosine(290401), 7)
        0.0014806
    """
    return expected_norm_share(1, parameters)


def expected_cosine_approximate(parameters: int) -> float:
    """The published baseline ``sqrt(2/(πP))``, too low by a factor of about ``1 - 1/(4P)``.

    Args:
        parameters: P >= 1.

    Returns:
        In (0, 1).

    Source: arXiv:2602.16746.

    Example:
        >>> round(expected_cosine_approximate(290401), 7)
        0.0014806
    """
    _check(1, parameters)
    return sqrt(2 / (pi * parameters))


def published_norm_share(dimension: int, parameters: int) -> float:
    """K/P where ``sqrt(K/P)`` belongs: the published baseline of ``‖Cᵀv‖/‖v‖``, a slip.

    It is the mean of the square. At K = 12 and P = 290401 it is 156 times too low.

    Args:
        dimension: K in [0, P].
        parameters: P >= 1.

    Returns:
        K/P, to be compared with a ratio of norms only to repeat the published figure.

    Source: arXiv:2602.16746, the figure of the converse analysis.

    Example:
        >>> round(typical_norm_share(12, 290401) / published_norm_share(12, 290401))
        156
    """
    return expected_share(dimension, parameters)


def share_quantile(probability: float, dimension: int, parameters: int) -> float:
    """Quantile of ``‖Bᵀv‖²/‖v‖²``; its root is that of the ratio of norms.

    Args:
        probability: In [0, 1].
        dimension: K in [0, P].
        parameters: P >= 1.

    Returns:
        In [0, 1].

    Raises:
        ValueError: If K is outside [0, P] or the probability outside [0, 1].

    Example:
        >>> round(share_quantile(0.5, 2, 4), 12)  # K = 2, P = 4 is uniform
        0.5
    """
    _check(dimension, parameters)
    if not 0 <= probability <= 1:
        raise ValueError(f"expected a probability in [0, 1], got {probability}")
    if dimension in (0, parameters):
        return float(dimension > 0)
    return float(betaincinv(dimension / 2, (parameters - dimension) / 2, probability))


def share_interval(
    dimension: int, parameters: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Where ``‖Bᵀv‖²/‖v‖²`` of one random subspace lies, equal tails.

    Args:
        dimension: K in [0, P].
        parameters: P >= 1.
        confidence: Probability of the interval, in (0, 1).

    Returns:
        Lower and upper end, each in [0, 1].

    Raises:
        ValueError: If K is outside [0, P] or the confidence outside (0, 1).

    Example:
        >>> [round(end, 3) for end in share_interval(2, 4)]
        [0.025, 0.975]
    """
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence in (0, 1), got {confidence}")
    tail = (1 - confidence) / 2
    lower = share_quantile(tail, dimension, parameters)
    return lower, share_quantile(1 - tail, dimension, parameters)


def matched_share(
    energies: Sequence[float], dimensions: Sequence[int], sizes: Sequence[int]
) -> float:
    """Mean share of v in a subspace with k_b random directions inside each block b.

    Definition: ``Σ_b ‖v_b‖² k_b/n_b / ‖v‖²``. Unlike K/P it knows where the vector lives, so it
    is the mean of block-matched random bases.

    Args:
        energies: ``‖v_b‖²/‖v‖²`` of each block; the rest lies outside the blocks.
        dimensions: k_b of each block, in [0, n_b].
        sizes: n_b of each block.

    Returns:
        The mean of ``‖Bᵀv‖²/‖v‖²``.

    Raises:
        ValueError: If the three differ in length, or a k_b is outside [0, n_b].

    Example:
        >>> matched_share([0.5, 0.0], [1, 1], [10, 1000])
        0.05
    """
    if not len(energies) == len(dimensions) == len(sizes):
        raise ValueError(
            f"expected one energy, dimension and size per block, got {len(energies)}, "
            f"{len(dimensions)} and {len(sizes)}"
        )
    return sum(e * expected_share(k, n) for e, k, n in zip(energies, dimensions, sizes))


def _log_gamma_step(count: int) -> float:
    """``ln Γ((n+1)/2) - ln Γ(n/2)``, by its series where the difference would cancel."""
    if count < 1000:
        return lgamma((count + 1) / 2) - lgamma(count / 2)
    # Stirling's series of the difference; the next term is 1/(20 n⁵).
    return 0.5 * log(count / 2) - 1 / (4 * count) + 1 / (24 * count**3)


def _check(dimension: int, parameters: int) -> None:
    if not (parameters >= 1 and 0 <= dimension <= parameters):
        raise ValueError(
            f"expected 0 <= K <= P with P >= 1, got K = {dimension} directions in P = "
            f"{parameters} dimensions"
        )
