"""Where the directions of a basis come from: weights, their trajectory, a gradient, or chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.block_basis.basis import BasisBlock, BlockBasis
from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import WeightMatrix, check_kinds, weight_matrices

__all__ = [
    "displacement_basis",
    "gradient_basis",
    "random_basis",
    "singular_basis",
    "trajectory_basis",
]

Flat = Float[Tensor, "R P"]
# What to build on: kinds of matrices, or the matrices themselves (for transposed storage, which
# a layout alone does not show).
Chosen = Sequence[str] | Sequence[WeightMatrix]
EPSILON = torch.finfo(torch.float64).eps


def singular_basis(theta: Flat, layout: Layout, kinds: Chosen, k: int) -> BlockBasis:
    """The leading singular directions of each weight matrix.

    Definition: the rank-1 matrices ``u_i v_iᵀ``, i = 1..k, of the singular value decomposition,
    which are orthonormal as vectors. Where singular values coincide the choice is arbitrary.

    Args:
        theta: Parameters ``(R, P)``.
        layout: Their layout.
        kinds: Kinds of matrices, empty for all; or `WeightMatrix` objects.
        k: Directions per matrix, >= 1; a matrix with fewer singular values gives those.

    Returns:
        The basis, NaN for runs whose matrices are not finite.

    Raises:
        ValueError: If k < 1 or the model has no such matrix.

    Example:
        >>> layout = Layout(("attention.query.weight",), ((2, 2),))
        >>> basis = singular_basis(torch.tensor([[5.0, 0.0, 0.0, 1.0]]), layout, ("query",), 1)
        >>> basis.coefficients(torch.tensor([[3.0, 1.0, 1.0, 1.0]])).abs().tolist()
        [[3.0]]
    """
    _check_count(k)
    blocks = []
    for matrix in _matrices(layout, kinds):
        weights, finite = _finite_only(matrix.view(theta, layout).double())
        blocks.append(_block(matrix, layout, _rank_one(weights, k)[0], finite))
    return BlockBasis(layout.size, tuple(blocks))


def displacement_basis(
    theta: Flat, start: Flat, layout: Layout, kinds: Chosen, k: int
) -> BlockBasis:
    """The leading singular directions of how far each weight matrix has moved, ``W_t − W_0``.

    Args:
        theta: Parameters ``(R, P)`` now.
        start: Those to count from, ``(R, P)``.
        layout: Their layout.
        kinds: Kinds of matrices, empty for all; or `WeightMatrix` objects.
        k: Directions per matrix, >= 1.

    Returns:
        The basis; directions below the rounding of the largest singular value are zero, so a
        matrix that has not moved has none.

    Raises:
        ValueError: If k < 1 or the model has no such matrix.

    Source: arXiv:2602.16967, one of three bases of the top 3 of each matrix.

    Example:
        >>> layout = Layout(("attention.query.weight",), ((2, 2),))
        >>> start, moved = torch.ones(1, 4), torch.tensor([[4.0, 1.0, 1.0, 1.0]])
        >>> basis = displacement_basis(moved, start, layout, ("query",), 2)
        >>> basis.ranks.tolist(), basis.coefficients(torch.tensor([[2.0, 9.0, 9.0, 9.0]])).tolist()
        ([1], [[2.0, 0.0]])
    """
    _check_count(k)
    blocks = []
    for matrix in _matrices(layout, kinds):
        moved = matrix.view(theta, layout).double() - matrix.view(start, layout).double()
        moved, finite = _finite_only(moved)
        directions, values = _rank_one(moved, k)
        kept = values > max(moved.shape[-2:]) * EPSILON * values[:, :1]
        blocks.append(_block(matrix, layout, directions * kept[:, None, :], finite))
    return BlockBasis(layout.size, tuple(blocks))


def gradient_basis(gradient: Flat, layout: Layout, kinds: Chosen, k: int) -> BlockBasis:
    """The leading singular directions of each matrix block of a gradient.

    Args:
        gradient: ``(R, P)``.
        layout: Its layout.
        kinds: Kinds of matrices, empty for all; or `WeightMatrix` objects.
        k: Directions per matrix, >= 1.

    Returns:
        The basis. A gradient lies mostly in its own leading directions, so this basis is the
        trivial one to compare others with.
    """
    return singular_basis(gradient, layout, kinds, k)


def trajectory_basis(
    snapshots: Iterable[Flat], layout: Layout, kinds: Chosen, k: int
) -> BlockBasis:
    """The leading principal directions of each matrix's trajectory.

    Definition: eigenvectors of the centred ``T × T`` Gram matrix ``X Xᵀ``, carried back by ``Xᵀ``
    and orthonormalised. Directions below the rounding of the Gram matrix are zero: T snapshots
    have at most T - 1.

    Args:
        snapshots: Parameters ``(R, P)`` over time. Those up to now use the past only; those of a
            whole run, as published, use the future.
        layout: Their layout.
        kinds: Kinds of matrices, empty for all; or `WeightMatrix` objects.
        k: Directions per matrix, >= 1.

    Returns:
        The basis, always with k columns per block (fewer entries give fewer).

    Raises:
        ValueError: If k < 1, there is no snapshot, or the model has no such matrix.

    Cost: memory for one block of all snapshots in float64 at a time.

    Source: arXiv:2602.16746, top-2 of whole-run trajectories of the attention matrices.

    Example:
        >>> layout = Layout(("attention.query.weight",), ((1, 2),))
        >>> line = [torch.tensor([[3.0 * t, 4.0 * t]]) for t in range(3)]
        >>> basis = trajectory_basis(line, layout, ("query",), 1)
        >>> round(basis.coefficients(torch.tensor([[3.0, 4.0]])).abs().item(), 12)
        5.0
    """
    _check_count(k)
    flats = list(snapshots)
    if not flats:
        raise ValueError("expected at least one snapshot of the trajectory, got none")
    blocks = []
    for matrix in _matrices(layout, kinds):
        rows = torch.stack([matrix.view(f, layout).flatten(-2).double() for f in flats], 1)
        rows, finite = _finite_only(rows)
        vectors = _principal_directions(rows - rows.mean(1, keepdim=True), k)
        blocks.append(_block(matrix, layout, vectors, finite))
    return BlockBasis(layout.size, tuple(blocks))


def random_basis(layout: Layout, kinds: Chosen | None, k: int, seeds: Sequence[int]) -> BlockBasis:
    """Uniformly random orthonormal directions, per matrix or in the whole space.

    Args:
        layout: Layout of the flat vectors.
        kinds: Kinds of matrices (empty for all) or `WeightMatrix` objects, to draw k directions
            inside each; None for k directions over all parameters at once.
        k: Directions per block, >= 1.
        seeds: One seed per run; a run's directions depend on its seed alone.

    Returns:
        The basis of ``len(seeds)`` runs.

    Raises:
        ValueError: If k < 1, there is no seed, or the model has no such matrix.

    Example:
        >>> layout = Layout(("attention.query.weight", "bias"), ((4, 4), (4,)))
        >>> random_basis(layout, None, 3, seeds=(0, 1)).covered
        20
    """
    _check_count(k)
    if not seeds:
        raise ValueError("expected one seed per run, got none")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    named = {"all": torch.arange(layout.size)} if kinds is None else {
        matrix.name: _columns(matrix, layout) for matrix in _matrices(layout, kinds)
    }  # fmt: skip
    blocks = []
    for name, columns in named.items():
        size = (len(columns), min(k, len(columns)))
        gaussian = [torch.randn(size, generator=g, dtype=torch.float64) for g in generators]
        blocks.append(BasisBlock(name, columns, torch.linalg.qr(torch.stack(gaussian))[0]))
    return BlockBasis(layout.size, tuple(blocks))


def _rank_one(matrices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top-k ``u_i v_iᵀ`` of ``(R, m, n)`` as columns ``(R, m n, k)``, and values ``(R, k)``."""
    U, S, Vh = torch.linalg.svd(matrices, full_matrices=False)
    # (R, k, m, n) -> (R, m n, k): row-major entries of u_i v_iᵀ, like the columns.
    outer = U.mT[:, :k, :, None] * Vh[:, :k, None, :]
    return outer.flatten(2).mT, S[:, :k]


def _principal_directions(rows: Tensor, k: int) -> Tensor:
    """Top-k right singular vectors ``(R, n, k)`` of centred rows ``(R, T, n)``."""
    values, vectors = torch.linalg.eigh(rows @ rows.mT)
    values, vectors = values.flip(-1)[..., :k], vectors.flip(-1)[..., :k]
    # Each entry of the Gram matrix sums n products: below this, an eigenvalue is rounding.
    kept = values > rows.shape[-1] * EPSILON * values[..., :1]
    scale = torch.where(kept, values, torch.inf).rsqrt()
    directions = rows.mT @ (vectors * scale[..., None, :])
    # The Gram matrix squares the condition number; QR restores what small eigenvalues lost.
    orthonormal = torch.linalg.qr(directions)[0]
    count = min(k, rows.shape[-1])
    columns = torch.where(kept[..., None, : orthonormal.shape[-1]], orthonormal, 0.0)
    return torch.nn.functional.pad(columns, (0, count - columns.shape[-1]))[..., :count]


def _block(matrix: WeightMatrix, layout: Layout, vectors: Tensor, finite: Tensor) -> BasisBlock:
    masked = torch.where(finite[:, None, None], vectors, torch.nan)
    return BasisBlock(matrix.name, _columns(matrix, layout).to(vectors.device), masked)


def _columns(matrix: WeightMatrix, layout: Layout) -> Tensor:
    """Columns of the flat vector that hold a matrix, in row-major order of its view."""
    return matrix.view(torch.arange(layout.size), layout).flatten()


def _finite_only(values: Tensor) -> tuple[Tensor, Tensor]:
    """Zero in place of runs that are not finite, which decompositions refuse; and which are."""
    finite = values.isfinite().flatten(1).all(1)
    return torch.where(finite.view(-1, *[1] * (values.ndim - 1)), values, 0.0), finite


def _matrices(layout: Layout, kinds: Chosen) -> list[WeightMatrix]:
    given = [kind for kind in kinds if isinstance(kind, WeightMatrix)]
    if given:
        return given
    named = tuple(str(kind) for kind in kinds)
    check_kinds("a block basis", kinds if isinstance(kinds, str) else named)
    return list(weight_matrices(layout, named).values())


def _check_count(k: int) -> None:
    if k < 1:
        raise ValueError(f"expected k >= 1 directions per block, got {k}")
