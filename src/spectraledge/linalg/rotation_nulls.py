"""How much the directions of sliding windows of updates turn by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.linalg.update_spectrum import direction_cosines

__all__ = ["RotationNull", "drift_ratio", "rotation_null"]

DEGREES = 180 / torch.pi
# So many directions that the noise of different updates is nearly orthogonal, as in a network.
DIMENSIONS = 512
DRAWS = 1000
# Ratios at which the null is simulated; it is flat beyond, where only the drift is seen.
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, eq=False)
class RotationNull:
    """Angles between the directions of two windows, the second one update later.

    Args:
        mean: Of each direction in degrees, ``(..., w)``.
        low: Its 5 % quantile.
        high: Its 95 % quantile.
    """

    mean: Tensor
    low: Tensor
    high: Tensor


def drift_ratio(gram: Float64[Tensor, "*batch w w"]) -> Float64[Tensor, "*batch"]:
    """Length of the common part of updates over that of the rest.

    With ``d²`` the mean inner product of two different updates and ``l²`` the mean square of
    their lengths, ``√(d² / (l² − d²))``: updates ``drift + noise`` with independent noise in many
    dimensions have just this ratio.

    Args:
        gram: Inner products of w >= 2 updates.

    Returns:
        >= 0; 0 where updates have nothing in common on the mean, infinite for equal ones.
    """
    count = gram.shape[-1]
    square = gram.diagonal(dim1=-2, dim2=-1).mean(-1)
    common = (gram.sum((-1, -2)) / count - square) / (count - 1)
    return (common.clamp(min=0) / (square - common).clamp(min=0)).sqrt()


def rotation_null(
    window: int, ratio: Float64[Tensor, "*batch"], *, autocorrelation: float = 0.0
) -> RotationNull:
    """Angles that a constant drift and noise give, since windows share updates.

    Two windows of w updates, one update apart, share w − 1 of them: their directions are alike
    even where updates are independent. Simulated once per window size, with noise of equal
    length in each update, and interpolated linearly between ratios.

    Args:
        window: Updates w >= 2.
        ratio: Length of the drift over that of the noise, >= 0, as `drift_ratio` estimates it.
        autocorrelation: ρ of the noise, ``ε_t = ρ ε_{t−1} + √(1 − ρ²) η_t``, in (−1, 1); 0 for
            white noise. Noise that goes on for longer than a window looks like a drift: what
            `drift_ratio` finds is then not that of the drift alone.

    Returns:
        Means and quantiles ``(..., w)``; NaN for a NaN ratio.

    Raises:
        ValueError: For windows below 2 or an autocorrelation out of range.

    Example:
        >>> null = rotation_null(5, torch.tensor(0.0).double())
        >>> 30 < null.mean[0] < 50 < null.mean[1] < null.mean[2] < 65
        tensor(True)
    """
    if window < 2:
        raise ValueError(f"expected windows of at least 2 updates, got {window}")
    if not -1 < autocorrelation < 1:
        raise ValueError(f"expected an autocorrelation in (-1, 1), got {autocorrelation}")
    table = _table(window, autocorrelation)
    grid = torch.tensor(RATIOS, dtype=torch.float64)
    known = ratio.nan_to_num(nan=0.0).clamp(max=RATIOS[-1])
    upper = torch.searchsorted(grid, known.contiguous()).clamp(1, len(RATIOS) - 1)
    below, above = grid[upper - 1], grid[upper]
    weight = ((known - below) / (above - below)).unsqueeze(-1)
    found = [torch.lerp(t[upper - 1], t[upper], weight) for t in table]
    gone = ratio.isnan().unsqueeze(-1)
    return RotationNull(*(values.masked_fill(gone, torch.nan) for values in found))


@lru_cache(maxsize=8)
def _table(window: int, autocorrelation: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, 5 % and 95 % quantile ``(ratios, w)`` of the angles."""
    chance = torch.Generator().manual_seed(0)
    shape = (DRAWS, window + 1, DIMENSIONS)
    noise = torch.randn(shape, generator=chance, dtype=torch.float64) / DIMENSIONS**0.5
    for t in range(1, window + 1):
        fresh = (1 - autocorrelation**2) ** 0.5 * noise[:, t]
        noise[:, t] = autocorrelation * noise[:, t - 1] + fresh
    rows = []
    for ratio in RATIOS:
        noise[..., 0] += ratio
        cosines = direction_cosines(noise @ noise.mT, window)
        noise[..., 0] -= ratio
        own = cosines.diagonal(dim1=-2, dim2=-1).abs().clamp(max=1).arccos() * DEGREES
        quantiles = own.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
        rows.append(torch.stack([own.mean(0), *quantiles]))
    mean, low, high = torch.stack(rows, 1)
    return mean, low, high
