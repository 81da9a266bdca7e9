"""One step of low-rank decay on tensors."""

import subprocess
import sys

import pytest
import torch
from decay_models import matrix

from spectraledge.decay import low_rank_decay_, low_rank_decayed

METHODS = ("auto", "svd", "floored", "huber", "two_sign", "subgradient", "published")


def naive_published_step(W: torch.Tensor, amount: float) -> torch.Tensor:
    """Five cubic Newton-Schulz steps after Frobenius normalisation, written out plainly."""
    X = W / (W.norm() + 1e-8)
    for _ in range(5):
        X = 1.5 * X - 0.5 * X @ X.T @ X
    return W - amount * X


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 5, 4)])
def test_svd_step_is_the_soft_threshold(shape: tuple[int, ...]) -> None:
    W = matrix(*shape)
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    expected = U @ torch.diag_embed((S - 0.7).clamp_min(0)) @ Vh
    # fp64 SVD reconstruction.
    torch.testing.assert_close(
        low_rank_decayed(W, 0.7, method="svd"), expected, rtol=1e-12, atol=1e-12
    )


def test_subgradient_step_subtracts_the_exact_polar_factor_and_overshoots():
    W = matrix(9, 4)
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    expected = U @ torch.diag_embed(S - 0.7) @ Vh
    # fp64 SVD reconstruction.
    torch.testing.assert_close(
        low_rank_decayed(W, 0.7, method="subgradient"), expected, rtol=1e-12, atol=1e-12
    )
    tail = torch.diag(torch.tensor([2.0, 0.1], dtype=torch.float64))
    assert low_rank_decayed(tail, 0.5, method="subgradient")[1, 1].item() == pytest.approx(-0.4)


@pytest.mark.parametrize("method", METHODS)
def test_transposition(method: str) -> None:
    W = matrix(12, 7)
    # Tall and wide take the same small Gram side, so only rounding differs; the law says 1e-6.
    torch.testing.assert_close(
        low_rank_decayed(W.mT, 0.1, method=method).mT,
        low_rank_decayed(W, 0.1, method=method),
        rtol=0,
        atol=1e-9,
    )


@pytest.mark.parametrize("method", METHODS)
def test_in_place_equals_pure_and_records_no_gradient(method: str) -> None:
    weight = torch.nn.Parameter(matrix(3, 6, 5))
    amount = torch.tensor([0.0, 0.1, 0.5], dtype=torch.float64)
    expected = low_rank_decayed(weight.detach(), amount, method=method)
    version = weight._version
    assert low_rank_decay_(weight, amount, method=method) is weight
    assert torch.equal(weight.detach(), expected)
    assert weight.requires_grad
    assert weight.is_leaf
    assert weight._version > version  # autograd would notice if a graph still needed it


def test_auto_is_within_a_fifth_of_an_amount_of_the_exact_step():
    W = matrix(24, 16)
    # Its schedule has gain 307, and its normaliser is at most 1.01 times the Frobenius norm: from
    # this amount on the floor is active. 0.184 is the largest deviation of the scalar function on
    # a grid of 4e5 points.
    amount = 1.01 * W.norm().item() / 307
    exact = low_rank_decayed(W, amount, method="svd")
    difference = torch.linalg.svdvals(low_rank_decayed(W, amount) - exact)
    assert difference.max() < 0.19 * amount


def test_auto_kills_a_tail_without_passing_zero():
    U, _, Vh = torch.linalg.svd(matrix(16, 16))
    tail = torch.tensor([1.0] + 15 * [1e-3], dtype=U.dtype)
    W = (U * tail) @ Vh
    for _ in range(20):
        W = low_rank_decayed(W, 1e-2)
        values = torch.einsum("ij,jk,ki->i", U.mT, W, Vh.mT)
        assert values.min() > -1e-8  # -1e-6 of the amount
    # 20 steps of 0.01 from 1, each within 1.5 %; the tail is far below rounding by then.
    assert abs(values[0] - 0.8) < 0.2 * 0.015
    assert values[1:].abs().max() < 1e-8


def test_default_is_within_its_stated_distance_of_the_exact_step() -> None:
    W, amount = matrix(32, 32), 0.5
    exact = low_rank_decayed(W, amount, method="svd")
    error = torch.linalg.matrix_norm(low_rank_decayed(W, amount) - exact, ord=2)
    # Same singular vectors, so the spectral norm is the largest deviation of a singular value.
    assert error < 0.2104 * amount + 1e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_number_types_are_computed_in_float32(method: str, dtype: torch.dtype) -> None:
    W = matrix(8, 8).to(dtype)
    result = low_rank_decayed(W, 0.25, method=method)
    expected = low_rank_decayed(W.float(), 0.25, method=method).to(dtype)
    assert result.dtype == dtype
    assert torch.equal(result, expected)


@pytest.mark.parametrize("method", METHODS)
def test_zero_and_non_finite_matrices_are_untouched(method: str) -> None:
    batch = torch.stack([torch.zeros(4, 4), torch.eye(4), 2 * torch.eye(4)])
    batch[1, 0, 1] = torch.nan
    batch[2, 2, 2] = torch.inf
    result = low_rank_decayed(batch, 0.1, method=method)
    assert torch.equal(result.nan_to_num(7.0, 8.0), batch.nan_to_num(7.0, 8.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_published_step_repeats_the_naive_one(dtype: torch.dtype) -> None:
    ours = theirs = matrix(32, 32, dtype=dtype) / 32**0.5
    for _ in range(10):
        ours = low_rank_decayed(ours, 0.005, method="published")
        theirs = naive_published_step(theirs, 0.005)
        # The same polynomial with another order of products: rounding, well below 1e-6.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


COMPILED = """
import torch
from spectraledge.decay import decay_step

generator = torch.Generator().manual_seed(0)
batch = torch.randn(2, 8, 8, generator=generator)
rate, rho = (torch.full((2,), value, dtype=torch.float64) for value in (0.01, 8.0))
compiled = torch.compile(decay_step, fullgraph=True, backend="aot_eager")
for scale in ("adaptive", "absolute", "spectral"):
    both = zip(compiled(batch, rate, rho, scale), decay_step(batch, rate, rho, scale))
    for got, want in both:
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)  # float32 rounding
"""


def test_default_step_compiles_without_a_graph_break() -> None:
    # In its own process, because the shape checks of the test session cannot be traced.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=120)


@pytest.mark.parametrize(
    ("tensor", "amount", "options", "error", "message"),
    [
        (torch.eye(3), -0.1, {}, ValueError, "expected a finite amount >= 0, got amount=-0.1"),
        (torch.eye(3), float("nan"), {}, ValueError, "finite amount >= 0, got amount=nan"),
        (torch.eye(3), 0.1, {"method": "svdd"}, ValueError, "unknown method 'svdd'; known: auto"),
        (torch.eye(3), 0.1, {"method": "svd", "steps": 5}, ValueError, "got steps=5 for 'svd'"),
        (torch.eye(3), 0.1, {"steps": 0}, ValueError, "expected steps >= 1 .* got steps=0"),
        (torch.ones(3), 0.1, {}, ValueError, r"got shape \(3,\); the nuclear norm of a vector"),
        (torch.eye(3, dtype=torch.int64), 0.1, {}, TypeError, "strided torch.int64; decay the"),
        (torch.eye(3).to_sparse(), 0.1, {}, TypeError, "got torch.sparse_coo torch.float32"),
        (torch.eye(3, dtype=torch.complex64), 0.1, {}, TypeError, "torch.complex64"),
    ],
)
def test_errors(
    tensor: torch.Tensor,
    amount: float,
    options: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        low_rank_decay_(tensor, amount, **options)
    if tensor.layout == torch.strided:
        with pytest.raises(error, match=message):
            low_rank_decayed(tensor, amount, **options)
