"""Principal components of trajectories from Gram matrices, over whole and partial windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

__all__ = [
    "all_finite",
    "centred",
    "component_scores",
    "expanding_shares",
    "expanding_window_sizes",
    "explained_variance",
    "matched_points",
    "principal_components",
    "principal_directions",
    "rolling_windows",
    "shares_and_cosine",
    "total_variance",
]

Gram = Float64[Tensor, "*batch T T"]
Vector = Float64[Tensor, "*batch T"]
Shares = Float64[Tensor, "*batch K"]


def centred(gram: Gram) -> Gram:
    """Gram matrix of points about their mean: rows and columns sum to zero.

    Returns:
        ``(..., T, T)`` float64.

    Example:
        >>> centred(torch.tensor([[0.0, 0.0], [0.0, 4.0]], dtype=torch.float64)).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    rows = gram.mean(-1, keepdim=True)
    return gram - rows - rows.mT + rows.mean(-2, keepdim=True)


def all_finite(gram: Gram) -> Bool[Tensor, "*batch"]:
    """Whether every entry of a matrix is finite; also false where their sum would overflow."""
    # Half the time of asking every entry: an infinite or undefined one makes the sum so.
    return gram.sum((-2, -1)).isfinite()


def total_variance(gram: Gram) -> Float64[Tensor, "*batch"]:
    """Sum of the squared distances from the mean, the trace of the centred Gram matrix."""
    return centred(gram).diagonal(dim1=-2, dim2=-1).sum(-1)


def explained_variance(gram: Gram, components: int, floor: Tensor | float = 0.0) -> Shares:
    """Share of the variance of a trajectory along each of its leading principal directions.

    Definition: ``lambda_k / sum_l lambda_l`` of the centred Gram matrix.

    Args:
        gram: Inner products of the T points ``(..., T, T)``, about any origin.
        components: How many shares K, >= 1.
        floor: Total variance at or below which there is nothing but rounding, ``(...)``.

    Returns:
        ``(..., K)`` float64 in [0, 1], largest first; NaN beyond the T - 1 directions that T
        points can have, and where the points coincide or are not finite.

    Raises:
        ValueError: For less than one component.

    Cost: 0.3 ms at T = 75 for each matrix on one CPU core.

    Example:
        >>> line = torch.arange(4, dtype=torch.float64)
        >>> explained_variance(torch.outer(line, line), 2).round(decimals=9).tolist()
        [1.0, 0.0]
    """
    _check_components(components)
    inner = centred(gram)
    values = torch.linalg.eigvalsh(_finite(inner)).flip(-1).clamp(min=0)
    return _shares(gram, inner, values, components, floor)


def principal_components(gram: Gram, components: int) -> tuple[Shares, Tensor]:
    """Leading eigenvalues of the centred Gram matrix and their eigenvectors.

    Args:
        gram: ``(..., T, T)``.
        components: K, at most T.

    Returns:
        Eigenvalues ``(..., K)``, largest first, and unit eigenvectors ``(..., T, K)``, whose
        largest entry is positive; NaN where the Gram matrix is not finite.

    Raises:
        ValueError: For less than one component or more than T.
    """
    _check_components(components)
    if components > gram.shape[-1]:
        raise ValueError(f"expected at most {gram.shape[-1]} components, got {components}")
    inner = centred(gram)
    values, vectors = torch.linalg.eigh(_finite(inner))
    values = values.flip(-1)[..., :components].clamp(min=0)
    vectors = vectors.flip(-1)[..., :components]
    peak = vectors.gather(-2, vectors.abs().argmax(-2, keepdim=True))
    vectors = torch.where(peak < 0, -vectors, vectors)
    finite = all_finite(inner)[..., None]
    return torch.where(finite, values, torch.nan), torch.where(
        finite[..., None], vectors, torch.nan
    )


def component_scores(gram: Gram, components: int) -> Float64[Tensor, "*batch T K"]:
    """Coordinates of the points along their principal directions, about their mean."""
    values, vectors = principal_components(gram, components)
    return vectors * values.sqrt().unsqueeze(-2)


def shares_and_cosine(
    gram: Gram, components: int, along: Vector, length: Float64[Tensor, "*batch"]
) -> tuple[Shares, Float64[Tensor, "*batch"]]:
    """`explained_variance`, and how the first direction lies to a vector y, by one decomposition.

    Args:
        gram: Inner products of the points ``(..., T, T)``.
        components: How many shares K, >= 1.
        along: Inner products of the points with y ``(..., T)``.
        length: Norm of y.

    Returns:
        Shares ``(..., K)``, and the absolute cosine of the first principal direction with y
        ``(...)`` in [0, 1], the sign of a direction being arbitrary; NaN without variance.

    Raises:
        ValueError: For less than one component.
    """
    _check_components(components)
    inner = centred(gram)
    values, vectors = torch.linalg.eigh(_finite(inner))
    values = values.flip(-1).clamp(min=0)
    largest = torch.where(all_finite(inner), values[..., 0], torch.nan)
    dot = (vectors[..., -1] * (along - along.mean(-1, keepdim=True))).sum(-1)
    cosine = (dot / (largest.sqrt() * length)).abs().clamp(max=1)
    known = largest > _rounding(gram)
    return _shares(gram, inner, values, components), torch.where(known, cosine, torch.nan)


def principal_directions(
    points: Sequence[Float[Tensor, "*batch D"]], gram: Gram, components: int
) -> Float64[Tensor, "*batch K D"]:
    """Unit vectors of the leading principal directions, ``X_c^T u_k / sqrt(lambda_k)``.

    Args:
        points: The T points ``(..., D)``, any number at a time in memory.
        gram: Their Gram matrix ``(..., T, T)``.
        components: K, at most T - 1.

    Returns:
        ``(..., K, D)`` float64, orthonormal.

    Example:
        >>> points = [torch.tensor([0.0, 1.0]), torch.tensor([3.0, 1.0])]
        >>> gram = torch.tensor([[1.0, 1.0], [1.0, 10.0]], dtype=torch.float64)
        >>> principal_directions(points, gram, 1).abs().round(decimals=9).tolist()
        [[1.0, 0.0]]
    """
    values, vectors = principal_components(gram, components)
    weights = vectors / values.sqrt().unsqueeze(-2)
    # Weights sum to zero up to rounding, so any origin does; the first point cancels least.
    start = points[0].double().unsqueeze(-2)
    total = torch.zeros_like(start) * weights[..., :1, :].mT
    for t, point in enumerate(points):
        total = total + weights[..., t, :, None] * (point.double().unsqueeze(-2) - start)
    return total


def expanding_window_sizes(points: int) -> tuple[int, ...]:
    """Lengths of the published expanding windows: up to 20 prefixes of T points.

    Source: arXiv:2602.16746, figure F: whole numbers of 20 equal steps from max(5, T // 20) to T.

    Returns:
        Growing lengths, the last of them T.

    Example:
        >>> expanding_window_sizes(8)
        (5, 6, 7, 8)
    """
    return tuple(dict.fromkeys(np.linspace(min(max(5, points // 20), points), points, 20)
                               .astype(int).tolist()))  # fmt: skip


def expanding_shares(
    gram: Gram, sizes: Sequence[int], components: int = 1
) -> Float64[Tensor, "*batch windows K"]:
    """`explained_variance` of the first n points, for each n in `sizes`."""
    shares = [explained_variance(gram[..., :n, :n], components) for n in sizes]
    return torch.stack(shares, dim=-2)


def rolling_windows(gram: Gram, width: int) -> Float64[Tensor, "*batch windows width width"]:
    """Gram matrices of all stretches of `width` successive points, as a view.

    Args:
        gram: ``(..., T, T)``.
        width: Between 1 and T.

    Returns:
        ``(..., T - width + 1, width, width)``, earliest first.

    Raises:
        ValueError: For a width out of range.

    Example:
        >>> rolling_windows(torch.arange(9.0).reshape(3, 3).double(), 2).tolist()
        [[[0.0, 1.0], [3.0, 4.0]], [[4.0, 5.0], [7.0, 8.0]]]
    """
    if not 1 <= width <= gram.shape[-1]:
        raise ValueError(f"expected a width in 1..{gram.shape[-1]} points, got {width}")
    blocks = gram.unfold(-2, width, 1).unfold(-2, width, 1)  # (..., i, j, width, width)
    return blocks.diagonal(dim1=-4, dim2=-3).movedim(-1, -3)


def matched_points(*steps: Sequence[int]) -> tuple[Tensor, ...]:
    """Which points of several trajectories to compare: those at steps that all of them have.

    The published comparison sets 31 points of runs that generalise beside 2001 of runs that do
    not; the share of one component of a random trajectory depends on that number alone.

    Args:
        *steps: Recorded steps of each trajectory, growing.

    Returns:
        Positions within each trajectory, equally many and at equal steps.

    Raises:
        ValueError: If fewer than three steps are shared.

    Example:
        >>> [p.tolist() for p in matched_points((0, 100, 200, 300), (0, 50, 100, 150, 200))]
        [[0, 1, 2], [0, 2, 4]]
    """
    shared = sorted(set(steps[0]).intersection(*steps[1:])) if steps else []
    if len(shared) < 3:
        raise ValueError(
            f"expected at least 3 steps that all trajectories share, got {shared}; record them at "
            "a common cadence"
        )
    return tuple(torch.tensor([list(own).index(step) for step in shared]) for own in steps)


def _shares(
    gram: Tensor, inner: Tensor, values: Tensor, components: int, floor: Tensor | float = 0.0
) -> Tensor:
    total = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
    # Points far from the origin cancel; what is left of equal points is rounding.
    known = (total > floor) & (total > _rounding(gram))
    shares = torch.where(known[..., None], values / total[..., None], torch.nan)
    return _padded(shares[..., :-1], components)


def _check_components(components: int) -> None:
    if components < 1:
        raise ValueError(f"expected at least one component, got {components}")


def _rounding(gram: Gram) -> Tensor:
    """What centring leaves of equal points: rounding of the largest inner product, T times."""
    size = gram.shape[-1]
    largest = gram.diagonal(dim1=-2, dim2=-1).abs().amax(-1)
    return size * torch.finfo(torch.float64).eps * largest


def _finite(gram: Gram) -> Gram:
    """Zeros where a decomposition would refuse the whole batch."""
    return torch.where(all_finite(gram)[..., None, None], gram, 0.0)


def _padded(shares: Tensor, components: int) -> Tensor:
    missing = max(0, components - shares.shape[-1])
    return torch.nn.functional.pad(shares, (0, missing), value=torch.nan)[..., :components]
