"""Bases of a few directions per weight matrix: orthonormal, disjoint, the right directions."""

import pytest
import torch

from spectraledge.block_basis import (
    BasisBlock,
    BlockBasis,
    displacement_basis,
    gradient_basis,
    random_basis,
    singular_basis,
    trajectory_basis,
)
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Layout
from spectraledge.store.tensors import tensors_from_bytes, tensors_to_bytes
from spectraledge.weight_matrices import WeightMatrix, weight_matrices

# The encoder fuses query, key and value into one parameter.
MODEL = PreNormEncoderSpec(width=8, heads=2, mlp_width=4)
LAYOUT = Layout.of(MODEL.build(vocabulary=5, length=2, classes=5, seed=0))
ATTENTION = ("query", "key", "value", "attention_output")
RUNS, P = 3, LAYOUT.size
# Householder QR and SVD are orthonormal to a small multiple of eps times the square root of the
# number of entries, at most 9 here; 64 leaves room for the multiple.
ROUNDING = 64 * torch.finfo(torch.float64).eps


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def walk(steps: int) -> list[torch.Tensor]:
    return list(gaussian(steps, RUNS, P, seed=5).cumsum(0))


BASES = {
    "singular": singular_basis(gaussian(RUNS, P), LAYOUT, ATTENTION, 3),
    "every matrix": singular_basis(gaussian(RUNS, P), LAYOUT, (), 2),
    "gradient": gradient_basis(gaussian(RUNS, P, seed=1), LAYOUT, ATTENTION, 3),
    "displacement": displacement_basis(*walk(2), LAYOUT, ATTENTION, 3),
    "trajectory": trajectory_basis(walk(6), LAYOUT, ATTENTION, 2),
    "random blocks": random_basis(LAYOUT, ATTENTION, 2, seeds=(0, 1, 2)),
    "random": random_basis(LAYOUT, None, 5, seeds=(0, 1, 2)),
}
each = pytest.mark.parametrize("basis", BASES.values(), ids=BASES)


def dense(basis: BlockBasis) -> torch.Tensor:
    """The ``(R, P, K)`` matrix that the class never builds, column by column."""
    out = torch.zeros(basis.runs, basis.parameters, basis.rank, dtype=torch.float64)
    first = 0
    for block in basis.blocks:
        for row, column in enumerate(block.columns.tolist()):
            out[:, column, first : first + block.vectors.shape[-1]] = block.vectors[:, row]
        first += block.vectors.shape[-1]
    return out


@each
def test_directions_are_orthonormal(basis):
    B = dense(basis)
    identity = torch.eye(basis.rank, dtype=torch.float64).expand(basis.runs, -1, -1)
    torch.testing.assert_close(B.mT @ B, identity, rtol=0, atol=ROUNDING)
    assert basis.ranks.tolist() == [basis.rank] * basis.runs


@each
def test_products_agree_with_the_dense_matrix(basis):
    B, vectors = dense(basis), gaussian(RUNS, 4, P, seed=2)
    expected = torch.einsum("rjp,rpk->rjk", vectors.double(), B)
    # Sums of P products of numbers of size one.
    tolerance = {"rtol": 0, "atol": 1e-12}
    torch.testing.assert_close(basis.coefficients(vectors), expected, **tolerance)
    torch.testing.assert_close(
        basis.embed(expected), torch.einsum("rjk,rpk->rjp", expected, B), **tolerance
    )
    assert torch.equal(basis.coefficients(vectors[:, 0]), basis.coefficients(vectors[:, :1])[:, 0])


@each
def test_parallel_is_the_orthogonal_projection(basis):
    vectors = gaussian(RUNS, P, seed=3).double()
    inside = basis.parallel(vectors)
    torch.testing.assert_close(basis.parallel(inside), inside, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        basis.coefficients(vectors - inside),
        torch.zeros(RUNS, basis.rank, dtype=torch.float64),
        rtol=0,
        atol=1e-12,
    )
    assert basis.parallel(vectors.float()).dtype == torch.float32


@each
def test_saved_and_loaded(basis):
    named, _ = tensors_from_bytes(tensors_to_bytes(basis.tensors(), {}), "memory")
    loaded = BlockBasis.from_tensors(dict(reversed(named.items())))
    assert [b.name for b in loaded.blocks] == [b.name for b in basis.blocks]
    vectors = gaussian(RUNS, P)
    assert torch.equal(loaded.coefficients(vectors), basis.coefficients(vectors))


@each
def test_runs_and_leading_directions_can_be_picked(basis):
    vectors = gaussian(RUNS, P)
    whole = basis.coefficients(vectors)
    picked = basis.of_runs((2, 0)).coefficients(vectors[[2, 0]])
    torch.testing.assert_close(picked, whole[[2, 0]], rtol=0, atol=1e-12)
    first = basis.leading(1).coefficients(vectors)
    torch.testing.assert_close(first, whole[:, basis.order == 0], rtol=0, atol=1e-12)


def test_singular_directions_of_a_planted_matrix():
    """The i-th coefficient of the weights is the i-th singular value, up to sign none."""
    theta = gaussian(RUNS, P)
    basis = singular_basis(theta, LAYOUT, ("key",), 3)
    key = weight_matrices(LAYOUT, ("key",))["layer1.attention.key"].view(theta, LAYOUT)
    values = torch.linalg.svdvals(key.double())[:, :3]
    torch.testing.assert_close(basis.coefficients(theta)[:, 3:], values, rtol=1e-12, atol=0)


def test_fused_projections_cover_their_own_rows_only():
    basis = random_basis(LAYOUT, ("key",), 1, seeds=(0,) * RUNS)
    marked = torch.zeros(RUNS, P)
    LAYOUT.view(marked, "blocks.0.attention.qkv.weight")[:, 8:16] = 1.0
    assert basis.blocks[0].columns.tolist() == marked[0].nonzero().flatten().tolist()
    assert basis.inside(marked).tolist() == [[8.0, 0.0]] * RUNS
    assert (basis.rank, basis.covered) == (2, 128)


def test_transposed_storage_gives_the_same_directions():
    """A basis of inputs-by-outputs storage sees the matrix, not how it is stored."""
    stored = gaussian(RUNS, 6, 4)
    turned = stored.mT.contiguous()
    straight, storage = Layout(("w",), ((4, 6),)), Layout(("w",), ((6, 4),))
    plain = WeightMatrix("w", "w", "mlp", None, 1, 2, transposed=False)
    transposed = WeightMatrix("w", "w", "mlp", None, 1, 2, transposed=True)
    first = singular_basis(turned.flatten(1), straight, (plain,), 2)
    second = singular_basis(stored.flatten(1), storage, (transposed,), 2)
    torch.testing.assert_close(first.blocks[0].vectors, second.blocks[0].vectors)
    vector = gaussian(RUNS, 4, 6, seed=9)
    torch.testing.assert_close(
        second.parallel(vector.mT.flatten(1)).view(RUNS, 6, 4).mT,
        first.parallel(vector.flatten(1)).view(RUNS, 4, 6),
    )


def test_trajectory_directions_are_the_principal_ones():
    snapshots = walk(12)
    basis = trajectory_basis(snapshots, LAYOUT, ("query",), 3)
    query = weight_matrices(LAYOUT, ("query",))["layer0.attention.query"]
    rows = torch.stack([query.view(s, LAYOUT).flatten(1) for s in snapshots], 1).double()
    _, _, Vh = torch.linalg.svd(rows - rows.mean(1, keepdim=True), full_matrices=False)
    overlap = (Vh[:, :3] @ basis.blocks[0].vectors).abs()
    # Singular vectors move by rounding over the relative gap, at least 1e-2 for this walk.
    torch.testing.assert_close(
        overlap, torch.eye(3, dtype=torch.float64).expand(RUNS, -1, -1), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(("steps", "directions"), [(1, 0), (2, 1), (3, 2), (9, 2)])
def test_a_short_or_straight_trajectory_has_fewer_directions(steps, directions):
    basis = trajectory_basis(walk(steps), LAYOUT, ("query",), 2)
    assert basis.rank == 2 * MODEL.layers
    assert basis.ranks.tolist() == [directions * MODEL.layers] * RUNS
    theta, step = gaussian(RUNS, P).double(), gaussian(RUNS, P, seed=1).double()
    straight = trajectory_basis([theta + t * step for t in range(9)], LAYOUT, ("query",), 2)
    assert straight.ranks.tolist() == [MODEL.layers] * RUNS


def test_random_directions_depend_on_the_seed_of_the_run_alone():
    one, all_runs = random_basis(LAYOUT, (), 2, seeds=(7,)), random_basis(LAYOUT, (), 2, (1, 7, 2))
    for single, many in zip(one.blocks, all_runs.blocks):
        assert torch.equal(single.vectors[0], many.vectors[1])
    assert not torch.equal(all_runs.blocks[0].vectors[0], all_runs.blocks[0].vectors[1])


def test_more_directions_than_there_are_gives_all_of_them():
    assert singular_basis(gaussian(RUNS, P), LAYOUT, ("query",), 99).rank == 8 * MODEL.layers
    tiny = Layout(("w",), ((2, 2),))
    basis = random_basis(tiny, None, 99, seeds=(0,))
    vector = gaussian(1, 4)
    torch.testing.assert_close(basis.parallel(vector), vector)


def test_a_broken_run_is_nan_and_alone():
    theta, snapshots = gaussian(RUNS, P), walk(5)
    healthy = singular_basis(theta, LAYOUT, (), 2), trajectory_basis(snapshots, LAYOUT, (), 2)
    theta[1], snapshots[3][1] = torch.inf, torch.nan
    broken = singular_basis(theta, LAYOUT, (), 2), trajectory_basis(snapshots, LAYOUT, (), 2)
    for before, after in zip(healthy, broken):
        for a, b in zip(before.blocks, after.blocks):
            assert torch.equal(a.vectors[[0, 2]], b.vectors[[0, 2]])
            assert b.vectors[1].isnan().all()


ONE = BasisBlock("one", torch.tensor([0]), torch.ones(1, 1, 1, dtype=torch.float64))
TWO = BasisBlock("two", torch.tensor([0]), torch.ones(2, 1, 1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BlockBasis(4, ()), "at least one block"),
        (lambda: BlockBasis(4, (ONE, TWO)), "same number of runs"),
        (lambda: BlockBasis(4, (ONE, ONE)), "share no column"),
        (lambda: BlockBasis(0, (ONE,)), r"columns in \[0, 0\)"),
        (lambda: BlockBasis(4, (BasisBlock("x", torch.arange(2), ONE.vectors),)), "one row"),
        (lambda: BlockBasis(4, (ONE,)).parallel(torch.zeros(1, 5)), r"\(1, ..., 4\)"),
        (lambda: BlockBasis(4, (ONE,)).embed(torch.zeros(2, 1)), "same runs"),
        (lambda: BlockBasis.from_tensors({"0000/w/columns": torch.arange(1)}), "are missing"),
        (lambda: singular_basis(gaussian(1, P), LAYOUT, ("query",), 0), "k >= 1"),
        (lambda: singular_basis(gaussian(1, P), LAYOUT, ("conv",), 1), "no weight matrix"),
        (lambda: trajectory_basis([], LAYOUT, ("query",), 1), "at least one snapshot"),
        (lambda: random_basis(LAYOUT, None, 1, ()), "one seed per run"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
