"""What chance gives for Fourier energies over tokens: few columns are sparse without structure.

Turn the axis of p tokens at random, keeping the mean over tokens. The energies of the p - 1
remaining modes then follow a Dirichlet law with equal parameters, exactly for independent normal
entries and for one column, and to the first two moments for any matrix. A frequency has two modes,
so its parameter is twice that of a mode; its share of the energy is Gamma over the sum of Gammas.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.special import digamma, gammainc, gammaincc

__all__ = [
    "expected_frequency_measures",
    "isotropic_concentration",
    "rotated_concentration",
]

# Beyond this the energies are equal to 4 digits, and a matrix of orthonormal rows has infinity.
LARGEST = 1e8
# Share of the energy that is rounding of the mean over tokens: 64 eps of float64, squared.
ROUNDING_OF_MEAN = (64 * torch.finfo(torch.float64).eps) ** 2
# Halvings of the bracket of a quantile, which leave 2^-60 of it.
HALVINGS = 60
# Trapezia of an integrand that falls from 1 to 0 over some of them; more change no 5th digit.
POINTS = 257


def isotropic_concentration(tokens: int, width: int) -> float:
    """Concentration for independent normal entries, ``(p - 1) d / 2``; exact.

    Args:
        tokens: p >= 3.
        width: Columns d >= 1.

    Returns:
        Sum of the parameters of the Dirichlet law, > 0.

    Example:
        >>> isotropic_concentration(97, 128)
        6144.0
    """
    return (tokens - 1) * width / 2


def rotated_concentration(weight: Float[Tensor, "*batch p d"]) -> Float64[Tensor, "*batch"]:
    """Concentration for the weight itself with its token axis turned at random.

    Definition: with ``N = p - 1``, the singular values s of the weight less its mean over tokens,
    and their participation ratio ``r = (sum s^2)^2 / sum s^4``, the concentration is
    ``(N - 1)(N + 2) / (2 (N/r - 1)) - 1``, which gives the energy of a mode the variance that it
    has for a uniformly random rotation. It is N/2 for one column.

    Args:
        weight: ``(..., p, d)``, tokens along the first of the two axes, p >= 3.

    Returns:
        Sum of the parameters of the Dirichlet law ``(...,)``, at most 1e8; NaN for a weight that is
        zero or the same for all tokens, or not finite.
    """
    moved = weight.double() - weight.double().mean(-2, keepdim=True)
    floor = weight.double().square().sum((-2, -1)) * ROUNDING_OF_MEAN
    gram = moved @ moved.mT if moved.shape[-2] < moved.shape[-1] else moved.mT @ moved
    total = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    modes = weight.shape[-2] - 1
    inverse_ratio = gram.square().sum((-2, -1)) / total.square().where(total > floor, torch.nan)
    beyond = (modes * inverse_ratio - 1).clamp(min=1e-12)
    return ((modes - 1) * (modes + 2) / (2 * beyond) - 1).clamp(max=LARGEST)


def expected_frequency_measures(
    concentration: Float64[Tensor, "*batch"], tokens: int, share: float = 0.8
) -> dict[str, Float64[Tensor, "*batch"]]:
    """Expected measures of the energies of frequencies 1 to p // 2, frequency 0 left out.

    Args:
        concentration: Of `isotropic_concentration` or `rotated_concentration`.
        tokens: p >= 3.
        share: Of `frequencies_for_share`, in (0, 1).

    Returns:
        ``frequencies``: how many hold the share, to 0.4, from the law of many frequencies plus one
        half for rounding up; ``effective_frequencies``: exp of the expected entropy, exact;
        ``largest_share``: exact up to the quadrature. NaN where the concentration is.

    Source: derived here; the order statistics and the entropy are those of the Dirichlet law.

    Example:
        >>> law = torch.tensor(isotropic_concentration(97, 128)).double()
        >>> {name: round(x.item(), 3) for name, x in expected_frequency_measures(law, 97).items()}
        {'frequencies': 37.654, 'effective_frequencies': 47.817, 'largest_share': 0.025}
    """
    sizes, times = _modes_and_times(tokens)
    parameters = concentration[..., None] * sizes / (tokens - 1)
    weights = times * sizes / (tokens - 1)
    entropy = digamma(concentration + 1) - (weights * digamma(parameters + 1)).sum(-1)
    return {
        "frequencies": _expected_count(parameters, weights, times, share).clamp(max=tokens // 2),
        "effective_frequencies": entropy.exp(),
        "largest_share": _expected_largest(parameters, times) / concentration,
    }


def _modes_and_times(tokens: int) -> tuple[Tensor, Tensor]:
    """Modes of each kind of frequency, and how many there are; the last of an even p has one."""
    pairs = [2.0, float((tokens - 1) // 2)]
    kinds = torch.tensor([pairs, [1.0, 1.0]] if tokens % 2 == 0 else [pairs]).double()
    return kinds[:, 0], kinds[:, 1]


def _expected_count(parameters: Tensor, weights: Tensor, times: Tensor, share: float) -> Tensor:
    low, high = torch.zeros_like(parameters[..., 0]), _reach(parameters)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        held = (weights * gammaincc(parameters + 1, middle[..., None])).sum(-1)
        low, high = torch.where(held > share, middle, low), torch.where(held > share, high, middle)
    count = (times * gammaincc(parameters, low[..., None])).sum(-1) + 0.5
    # A bracket ends somewhere even where nothing was held.
    return count.where(parameters[..., 0].isfinite(), torch.nan)


def _expected_largest(parameters: Tensor, times: Tensor) -> Tensor:
    """Expected largest Gamma variable, the integral of the probability that one is above x."""
    end, top = _reach(parameters), parameters.amax(-1)
    start = (top - 10 * top.sqrt()).clamp(min=0)
    at = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    x = start[..., None] + (end - start)[..., None] * at
    below = (times * gammainc(parameters[..., None, :], x[..., None]).log()).sum(-1)
    return start + torch.trapezoid(1 - below.exp(), x, dim=-1)


def _reach(parameters: Tensor) -> Tensor:
    """Beyond which a Gamma variable is with less than 1e-15 probability."""
    top = parameters.amax(-1)
    return top + 12 * top.sqrt() + 40
