"""Schedules: short lists of odd scalar functions whose composition approximates the sign function.

Applied to a matrix, an odd function acts on its singular values and leaves its singular vectors
alone, so a composition that is close to 1 on ``[l, 1]`` turns a matrix with singular values in
``[l, 1]`` into its polar factor. A row is either a polynomial ``a x + b x^3 + c x^5`` (matrix
products only) or a rational Halley step ``x (a + b x^2) / (1 + c x^2)`` (one Cholesky inverse).

Every schedule here satisfies ``0 <= f(x) <= gain x`` on ``[0, 1]``. That inequality is what lets
`soft_threshold_singular_values` promise never to push a singular value below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from math import cbrt, prod, sqrt

from spectraledge.linalg.rows import Halley, Polynomial, Row, Scalars

__all__ = [
    "Schedule",
    "cans",
    "evaluate",
    "gain",
    "halley",
    "muon",
    "newton_schulz",
    "polar_express",
]

# Amsel, Persson, Musco, Gower 2025 (arXiv:2505.16932), optimal quintics for l = 1e-3.
POLAR_EXPRESS_ROWS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
TAYLOR_ROW = (1.875, -1.25, 0.375)
POLAR_EXPRESS_SAFETY = 1.01

Schedule = tuple[Row, ...]


def evaluate(schedule: Sequence[Row], x: Scalars) -> Scalars:
    """Compose the rows on scalars: the function f that a schedule applies to singular values.

    Args:
        schedule: Rows, applied first to last.
        x: Singular values divided by the normaliser, in [0, 1].

    Returns:
        ``f(x)``, same type and shape as x.

    Example:
        >>> round(evaluate(newton_schulz(5), 0.1), 3)  # the published five steps are far from 1
        0.659
    """
    for row in schedule:
        x = row(x)
    return x


def gain(schedule: Sequence[Row]) -> float:
    """Slope of the composed function at zero, the largest factor on a small singular value.

    Definition: ``G = prod_k a_k``. Singular values below about ``1/G`` of the normaliser are not
    brought to 1.

    Args:
        schedule: Rows, applied first to last.

    Returns:
        G, dimensionless; 1 for an empty schedule.

    Example:
        >>> round(gain(newton_schulz(5)), 2)
        7.59
    """
    return prod([row.a for row in schedule])


def newton_schulz(steps: int) -> Schedule:
    """Cubic Newton-Schulz steps ``1.5 x - 0.5 x^3``.

    Args:
        steps: Number of rows, at least 1. About 19 reach 1 % on [1e-3, 1].

    Returns:
        The schedule.

    Raises:
        ValueError: If steps is below 1.
    """
    return (Polynomial(1.5, -0.5),) * _checked(steps)


def muon(steps: int) -> Schedule:
    """The fixed quintic of the Muon optimizer; it does not converge, f stays in [0.68, 1.2].

    For comparison only. Source: K. Jordan et al. 2024, Muon.

    Args:
        steps: Number of rows, at least 1; Muon uses 5.

    Returns:
        The schedule.

    Raises:
        ValueError: If steps is below 1.
    """
    return (Polynomial(3.4445, -4.7750, 2.0315),) * _checked(steps)


def polar_express(steps: int) -> Schedule:
    """Optimal quintics for ``l = 1e-3``, followed by Taylor quintics when steps exceeds 7.

    All rows but the last are those of ``x / 1.01``: a rounding error that lifts a singular value
    above the interval of its row would otherwise be amplified by the next one.

    Source: Amsel, Persson, Musco, Gower 2025, arXiv:2505.16932.

    Args:
        steps: Number of rows, at least 1. 5 leaves f within 15 % of 1 on [1e-3, 1], 6 within
            0.5 %, 8 within rounding.

    Returns:
        The schedule.

    Raises:
        ValueError: If steps is below 1.

    Example:
        >>> round(gain(polar_express(8)))
        6363
    """
    rows = (POLAR_EXPRESS_ROWS + tuple(repeat(TAYLOR_ROW, _checked(steps))))[:steps]
    s = POLAR_EXPRESS_SAFETY
    safe = tuple(Polynomial(a / s, b / s**3, c / s**5) for a, b, c in rows[:-1])
    return (*safe, Polynomial(*rows[-1]))


def cans(steps: int, lower: float) -> Schedule:
    """Optimal cubics for singular values in ``[lower, 1]``, in closed form.

    Definition: on ``[l, u]`` the odd cubic closest to 1 is ``k (3 m^2 x - x^3)`` with
    ``m^2 = (l^2 + l u + u^2)/3`` and ``k = 2/(2 m^3 + l^2 u + l u^2)``; its error e gives the
    next interval ``[1-e, 1+e]``. Composing the best cubics is optimal among composed cubics.

    Source: Grishina, Smirnov, Rakhuba 2025 (CANS), arXiv:2506.10935, re-derived.

    Args:
        steps: Number of rows, at least 1; 9 reach 1 % for ``lower = 1e-3``.
        lower: Smallest singular value to bring to 1, in (0, 1).

    Returns:
        The schedule.

    Raises:
        ValueError: If steps is below 1 or lower is outside (0, 1).
    """
    low, high = _open_unit(lower), 1.0
    rows = []
    for _ in range(_checked(steps)):
        middle = sqrt((low**2 + low * high + high**2) / 3)
        ends = low * high * (low + high)
        scale = 2 / (2 * middle**3 + ends)
        rows.append(Polynomial(3 * scale * middle**2, -scale))
        error = 1 - scale * ends
        low, high = 1 - error, 1 + error
    return tuple(rows)


def halley(steps: int = 3, lower: float = 5e-4) -> Schedule:
    """One optimal Halley step, then optimal cubics on the interval it leaves.

    The cheapest route on CPU: one Cholesky inverse and ``2 + 2 steps`` products, where quintics
    alone need 18 products. With the defaults f is within 1 % of 1 on [5e-4, 1] and the gain is
    3182.

    Definition: the weights maximise the smallest value of ``x (a + b x^2)/(1 + c x^2)`` on
    ``[l, 1]`` under f <= 1; ``b = (a-1)^2/4``, ``c = a + b - 1``.

    Source: Nakatsukasa, Bai, Gygi 2010, SIAM J. Matrix Anal. Appl. 31(5), the weights of their
    dynamically weighted Halley iteration. Following it by cubics is ours.

    Args:
        steps: Number of cubics after the Halley step, at least 1.
        lower: Smallest singular value to bring to 1, in [1e-4, 1): float32 needs ``c < 1e5``
            for a safe Cholesky factorisation, in float64 smaller values are fine too.

    Returns:
        The schedule.

    Raises:
        ValueError: If steps is below 1 or lower is outside (0, 1).

    Example:
        >>> round(gain(halley()))
        3182
    """
    square = _open_unit(lower) ** 2
    d = cbrt(4 * (1 - square) / square**2)
    root = sqrt(1 + d)
    a = root + sqrt(8 - 4 * d + 8 * (2 - square) / (square * root)) / 2
    b = (a - 1) ** 2 / 4
    first = Halley(a, b, a + b - 1)
    return (first, *cans(steps, first(lower)))


def _checked(steps: int) -> int:
    if steps < 1:
        raise ValueError(
            f"expected at least 1 step, got steps={steps}; leave it out for the default"
        )
    return steps


def _open_unit(lower: float) -> float:
    if not 0 < lower < 1:
        raise ValueError(f"expected lower in (0, 1), got lower={lower}; 1e-3 suits most matrices")
    return lower
