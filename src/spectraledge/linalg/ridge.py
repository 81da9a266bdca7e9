"""Ridge regression on features or on all their products, for many targets and penalties at once.

With centred features X and targets Y, ``W = (XᵀX + αI)⁻¹ XᵀY``, or the same function in its dual
form ``k(x)ᵀ (XXᵀ + αI)⁻¹ Y``, which needs inner products only and is cheaper if there are fewer
points than features, as of all products of two features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

__all__ = ["product_features", "r_squared", "ridge_predictions", "standardised"]

Features = Float64[Tensor, "n d"]
# A feature that varies less than this against its size is a rounded constant.
ROUNDING_OF_CONSTANT = 1e-7


def ridge_predictions(
    features: Features,
    targets: Float64[Tensor, "n c"],
    at: Float64[Tensor, "m d"],
    penalties: Sequence[float],
    *,
    products: bool = False,
) -> Float64[Tensor, "a m c"]:
    """Predictions of ``argmin ‖Y − XW − b‖² + α‖W‖²`` with a free intercept b.

    Args:
        features: To fit on.
        targets: c targets that are fitted independently.
        at: Features to predict at.
        penalties: α > 0, one or more.
        products: Whether ``x_i x_j`` for ``i < j`` are features as well, as in `product_features`.

    Returns:
        A table for each penalty; NaN where the equations cannot be solved in float64.

    Raises:
        ValueError: For a penalty that is not positive.

    Cost: a Cholesky factor a penalty, of the smaller one of n and the number of features.

    Example:
        >>> x = torch.arange(4.0).double()[:, None]
        >>> ridge_predictions(x, 3 * x + 1, torch.tensor([[10.0]]).double(), [1e-9]).round().item()
        31.0
    """
    if not all(alpha > 0 for alpha in penalties):
        raise ValueError(f"expected penalties > 0, got {list(penalties)}")
    middle = targets.mean(0)
    count = features.shape[1] * (features.shape[1] + 1) // 2 if products else features.shape[1]
    solve = _dual if len(features) < count else _primal
    found = solve(features, targets - middle, at, penalties, products)
    return found + middle


def product_features(features: Features) -> Float64[Tensor, "n q"]:
    """The features, and the product of every two different ones: d + d(d − 1)/2 in all."""
    i, j = torch.triu_indices(features.shape[1], features.shape[1], 1)
    return torch.cat([features, features[:, i] * features[:, j]], 1)


def _primal(
    features: Tensor, targets: Tensor, at: Tensor, penalties: Sequence[float], products: bool
) -> Tensor:
    x, z = (product_features(f) if products else f for f in (features, at))
    middle = x.mean(0)
    x, z = x - middle, z - middle
    gram, moment = x.mT @ x, x.mT @ targets
    return torch.stack([z @ _solved(gram, moment, alpha) for alpha in penalties])


def _dual(
    features: Tensor, targets: Tensor, at: Tensor, penalties: Sequence[float], products: bool
) -> Tensor:
    # Centred before, since products of large means would cancel; not so for products, whose
    # span depends on the origin.
    shift = 0 if products else features.mean(0)
    x, z = features - shift, at - shift
    own, other = _kernel(x, x, products), _kernel(z, x, products)
    column = own.mean(0)
    other = other - other.mean(1, keepdim=True) - column + column.mean()
    own = own - column[:, None] - column + column.mean()
    return torch.stack([other @ _solved(own, targets, alpha) for alpha in penalties])


def _kernel(first: Tensor, second: Tensor, products: bool) -> Tensor:
    """Inner products of features; Σ_{i<j} x_i x_j z_i z_j is half of (x·z)² − Σ x_i² z_i²."""
    inner = first @ second.mT
    if not products:
        return inner
    return inner + (inner.square() - first.square() @ second.square().mT) / 2


def _solved(matrix: Tensor, right: Tensor, penalty: float) -> Tensor:
    shifted = matrix.clone()
    shifted.diagonal().add_(penalty)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if bool(failed):
        return torch.full_like(right, torch.nan)
    return torch.cholesky_solve(right, factor)


def standardised(features: Features, *others: Float64[Tensor, "_ d"]) -> tuple[Tensor, ...]:
    """Features, and others of the same kind, by the means and standard deviations of the first.

    Args:
        features: Whose statistics count.
        *others: Further points.

    Returns:
        The same arrays in units of standard deviations; zero where a feature is constant.
    """
    middle, spread = features.mean(0), features.std(0, correction=0)
    size = (middle.square() + spread.square()).sqrt()
    alive = spread > ROUNDING_OF_CONSTANT * size
    unit = torch.where(alive, spread, torch.ones_like(spread))
    return tuple(((x - middle) / unit) * alive for x in (features, *others))


def r_squared(
    targets: Float64[Tensor, "n c"], predictions: Float64[Tensor, "*a n c"]
) -> Float64[Tensor, "*a"]:
    """``1 − Σ(y − ŷ)² / Σ(y − ȳ)²`` over all points and targets, ȳ the means of the given ones.

    Args:
        targets: True values.
        predictions: One or more tables of predictions.

    Returns:
        At most 1; 0 for predicting the means; NaN if no target varies.
    """
    total = (targets - targets.mean(0)).square().sum()
    error = (targets - predictions).square().sum((-2, -1))
    return torch.where(total > 0, 1 - error / total, torch.nan)
