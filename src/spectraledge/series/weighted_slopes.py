"""Many slopes of the same kind at once: one for every row of weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["ROUNDING", "least_squares_fits", "median_slopes"]

# Squared deviations of logarithms up to here, by run, are those of equal numbers: rounding.
ROUNDING = 1e-20


def least_squares_fits(
    u: Float[np.ndarray, "*a n"], v: Float[np.ndarray, "*b n"], weights: Float[np.ndarray, "W n"]
) -> tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"]]:
    """Slopes and R² of v on u, run i counted ``weights[:, i]`` times.

    Args:
        u: ``(n,)`` or ``(W, n)`` finite.
        v: ``(n,)`` or ``(W, n)`` finite.
        weights: ``(W, n)`` >= 0.

    Returns:
        ``(W,)`` slopes and R², NaN where fewer than two different u carry weight; R² also where
        fewer than two different v do.
    """
    total = weights.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        du = u - (weights * u).sum(1, keepdims=True) / total
        dv = v - (weights * v).sum(1, keepdims=True) / total
        uu, uv, vv = ((weights * a * b).sum(1) for a, b in ((du, du), (du, dv), (dv, dv)))
        uu, vv = (np.where(a > ROUNDING * total[:, 0], a, np.nan) for a in (uu, vv))
        return uv / uu, uv**2 / (uu * vv)


def median_slopes(
    u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"], weights: Float[np.ndarray, "W n"]
) -> Float[np.ndarray, " W"]:
    """Median slope between pairs of runs with different u, pair ij counted wᵢ·wⱼ times.

    What Theil and Sen's slope is on runs drawn with repetition: pairs of a run with itself have no
    slope and are left out there too.

    Args:
        u: ``(n,)`` finite.
        v: ``(n,)`` finite.
        weights: ``(W, n)`` >= 0.

    Returns:
        ``(W,)`` slopes (the lower median), NaN where no pair carries weight.
    """
    i, j = np.triu_indices(len(u), k=1)
    i, j = i[u[i] != u[j]], j[u[i] != u[j]]
    slopes = (v[j] - v[i]) / (u[j] - u[i])
    order = np.argsort(slopes)
    mass = np.cumsum((weights[:, i] * weights[:, j])[:, order], axis=1)
    if not order.size:
        return np.full(len(weights), np.nan)
    half = (mass >= mass[:, -1:] / 2).argmax(1)
    return np.where(mass[:, -1] > 0, slopes[order][half], np.nan)
