"""Fourier analysis of what varies over an ordered class: a depth, or a residue modulo p."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from spectraledge.linalg import discrete_logarithm_order
from spectraledge.names import check_name

__all__ = [
    "ORDERS",
    "check_order",
    "class_fourier",
    "class_means",
    "class_order",
    "positional_power",
]

ORDERS = ("natural", "discrete_logarithm")
Values = Float64[Tensor, "*k n"]


def class_order(
    labels: Int64[Tensor, " n"], order: str, modulus: int | None
) -> Int64[Tensor, " D"]:
    """Classes that occur, in the order in which they are analysed.

    Args:
        labels: Class of each token.
        order: ``natural``, or ``discrete_logarithm`` for products modulo a prime.
        modulus: The prime; only for the latter, which leaves out class 0.

    Returns:
        D distinct classes.

    Raises:
        ValueError: If the modulus is missing or no prime.
    """
    if order == "natural":
        return labels.unique()
    if modulus is None:
        raise ValueError("discrete_logarithm: expected a prime modulus, got None; pass modulus=p")
    powers = discrete_logarithm_order(modulus)
    return powers[torch.isin(powers, labels)]


def check_order(owner: str, order: str, modulus: int | None) -> None:
    """Refuse an order of classes that `class_order` cannot make.

    Args:
        owner: Name of the instrument.
        order: Of the classes.
        modulus: For that of discrete logarithms.

    Raises:
        ValueError: For an unknown order, or a modulus that is missing or no prime.
    """
    check_name(f"order of classes for {owner}", order, ORDERS)
    if order == "natural":
        return
    if modulus is None:
        raise ValueError(f"{owner}: expected modulus=p for order {order!r}")
    discrete_logarithm_order(modulus)


def class_means(
    values: Values, labels: Int64[Tensor, " n"], classes: Int64[Tensor, " D"]
) -> tuple[Float64[Tensor, "*k D"], Float64[Tensor, " D"]]:
    """Mean of the values in each class, and how many there are."""
    member = (labels[:, None] == classes).double()
    counts = member.sum(0)
    return values @ member / counts, counts


def class_fourier(
    means: Float64[Tensor, "*k D"], counts: Float64[Tensor, " D"]
) -> dict[str, Float64[Tensor, "*k"]]:
    """How much of the variation over D classes in order one frequency holds.

    Definition: with the mean over classes removed, ``P = |rfft|²``: ``concentration`` is
    ``max P / ΣP``, ``elevation`` that times the ⌊D/2⌋ + 1 bins, ``peak`` the frequency. A zeroed
    bin counts, so elevation is at most the number of bins, and a straight line has 3.8 of 6 for 11
    classes: compare with other directions.
    ``weighted_concentration`` is the share of the variance over tokens (classes weigh as often
    as they occur) that cosine and sine of one frequency explain, ``weighted_peak`` which.

    Args:
        means: Of each class, in order.
        counts: Tokens of each class.

    Returns:
        The five numbers, named as above; NaN where nothing varies or fewer than three classes are.

    Source: arXiv:2604.07380 for the first three; the weighted ones are least squares, equal to
    shares of the squared coefficients where counts are equal.

    Example:
        >>> wave = torch.cos(2 * torch.pi * 2 * torch.arange(8) / 8).double()
        >>> found = class_fourier(3 + wave, torch.ones(8).double())
        >>> [round(found[n].item(), 6) for n in ("concentration", "elevation", "peak")]
        [1.0, 5.0, 2.0]
    """
    size = means.shape[-1]
    if size < 3:
        nothing = torch.full_like(means.sum(-1), torch.nan)
        return dict.fromkeys(NAMES, nothing)
    power = torch.fft.rfft(means - means.mean(-1, keepdim=True)).abs().square()
    power = torch.cat([torch.zeros_like(power[..., :1]), power[..., 1:]], -1)
    scale = means.abs().amax(-1).square() * size**2
    total = power.sum(-1)
    known = total > 1e-24 * scale
    largest = power.max(-1)
    concentration = (largest.values / total).where(known, torch.nan)
    explained = _explained(means, counts)
    best = explained.max(-1)
    return {
        "concentration": concentration,
        "elevation": concentration * power.shape[-1],
        "peak": largest.indices.double().where(known, torch.nan),
        "weighted_concentration": best.values.where(known, torch.nan),
        "weighted_peak": (best.indices + 1).double().where(known, torch.nan),
    }


NAMES = ("concentration", "elevation", "peak", "weighted_concentration", "weighted_peak")


def _explained(means: Tensor, counts: Tensor) -> Tensor:
    """Share of the weighted variance that each frequency explains, ``(..., ⌊D/2⌋)``."""
    root, size = counts.sqrt(), len(counts)
    unit = root / root.norm()
    moving = means * root - (means * root @ unit)[..., None] * unit
    total = moving.square().sum(-1)
    shares = []
    for frequency in range(1, size // 2 + 1):
        angle = 2 * torch.pi * frequency * torch.arange(size).double() / size
        waves = [angle.cos()] if 2 * frequency == size else [angle.cos(), angle.sin()]
        columns = torch.stack([unit, *(wave * root for wave in waves)], 1)
        basis = torch.linalg.qr(columns)[0][:, 1:]
        shares.append((moving @ basis).square().sum(-1) / total)
    return torch.stack(shares, -1)


def positional_power(
    representation: Float64[Tensor, "N T D"], counted: Tensor
) -> Float64[Tensor, " F"]:
    """Mean power of each frequency over positions.

    Definition: ``|rfft over T|²`` of the representation, zero where it does not count, averaged
    over sequences and features.

    Args:
        representation: Of N sequences.
        counted: ``(N, T)`` bool; False for padding.

    Returns:
        Frequencies 0 (the mean) to ⌊T/2⌋ (alternation).

    Source: arXiv:2604.07380, restated.
    """
    shown = torch.where(counted[..., None], representation, 0.0)
    return torch.fft.rfft(shown, dim=1).abs().square().mean((0, 2))
