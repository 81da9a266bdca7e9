"""Rank measures: closed forms, invariances, orderings, edge cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import default_linear, gaussian, orthogonal

from spectraledge.linalg import (
    entropy_rank,
    nuclear_norm,
    nuclear_rank,
    numerical_rank,
    participation_ratio,
    singular_values,
    stable_rank,
    threshold_rank,
)

RANKS = (
    stable_rank,
    entropy_rank,
    nuclear_rank,
    participation_ratio,
    threshold_rank,
    numerical_rank,
)
SMOOTH = (stable_rank, entropy_rank, nuclear_rank, participation_ratio)


def test_closed_forms_on_two_values():
    W = torch.diag(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64))
    assert nuclear_norm(W).item() == pytest.approx(4)
    assert stable_rank(W).item() == pytest.approx(10 / 9)
    assert nuclear_rank(W).item() == pytest.approx(16 / 10)
    assert participation_ratio(W).item() == pytest.approx(100 / 82)
    # exp of the entropy of (3/4, 1/4) is 4/3^(3/4); of (9/10, 1/10) it is 10/9^(9/10).
    assert entropy_rank(W).item() == pytest.approx(4 / 3**0.75)
    assert entropy_rank(W, squared=True).item() == pytest.approx(10 / 9**0.9)
    assert numerical_rank(W).item() == 2


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("k", [1, 3, 6])
def test_k_equal_values_have_rank_k(rank, k):
    W = orthogonal(8, 1)[:, :k] @ orthogonal(6, 2)[:k]
    assert rank(W).item() == pytest.approx(k, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 10_000),
    exponent=st.integers(-100, 100),
)
def test_ranks_ignore_scale_rotation_and_transposition(rows, columns, seed, exponent):
    W = gaussian(rows, columns, seed=seed)
    turned = orthogonal(rows, seed + 1) @ W @ orthogonal(columns, seed + 2)
    for rank in RANKS:
        expected = rank(W).item()
        assert rank(W * 10.0**exponent).item() == pytest.approx(expected, rel=1e-10)
        assert rank(turned).item() == pytest.approx(expected, rel=1e-10)
        assert rank(W.mT).item() == pytest.approx(expected, rel=1e-10)
        assert 1 - 1e-12 <= expected <= min(rows, columns) * (1 + 1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), q=st.integers(1, 10))
def test_ordering_of_the_ranks(seed, q):
    W = gaussian(q, q, seed=seed)
    slack = 1 + 1e-12
    # Renyi entropies fall with their order: 1, 2 for p = sigma/N1, and 1, 2, infinity for the
    # energies p = sigma^2/F^2.
    assert nuclear_rank(W) <= entropy_rank(W) * slack
    assert participation_ratio(W) <= entropy_rank(W, squared=True) * slack
    assert stable_rank(W) <= participation_ratio(W) * slack
    assert entropy_rank(W, squared=True) <= entropy_rank(W) * slack


def test_one_decomposition_serves_all():
    W = gaussian(2, 3, 7, 5, seed=4)
    values = singular_values(W)
    assert values.shape == (2, 3, 5)
    for measure in (nuclear_norm, *SMOOTH, threshold_rank):
        torch.testing.assert_close(measure(singular_values=values), measure(W))
    torch.testing.assert_close(numerical_rank(W, singular_values=values), numerical_rank(W))
    shuffled = values[..., torch.randperm(5, generator=torch.Generator().manual_seed(0))]
    for measure in (nuclear_norm, *SMOOTH, threshold_rank):
        torch.testing.assert_close(measure(singular_values=shuffled), measure(W))


def test_default_initialisation():
    W = torch.stack([default_linear(seed=seed) for seed in range(8)])
    values = singular_values(W)
    mean = {
        "stable": stable_rank(singular_values=values).mean().item(),
        "entropy": entropy_rank(singular_values=values).mean().item(),
        "nuclear": nuclear_rank(singular_values=values).mean().item(),
        "participation": participation_ratio(singular_values=values).mean().item(),
        "nuclear norm": nuclear_norm(singular_values=values).mean().item(),
        "threshold": threshold_rank(singular_values=values).mean().item(),
    }
    # Published values to their two digits.
    assert mean["stable"] == pytest.approx(33.5, rel=0.02)
    assert mean["entropy"] == pytest.approx(103, rel=0.01)
    assert mean["nuclear"] == pytest.approx(92, rel=0.01)
    assert mean["participation"] == pytest.approx(64, rel=0.01)
    assert mean["nuclear norm"] == pytest.approx(62.7, rel=0.01)
    assert mean["threshold"] == pytest.approx(126, abs=1.5)
    assert (numerical_rank(W) == 128).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_zero_and_non_finite_matrices(dtype):
    W = gaussian(4, 6, 5, seed=1).to(dtype)
    W[1] = 0
    W[2, 0, 0] = torch.nan
    W[3, 0, 0] = torch.inf
    for rank in (nuclear_norm, *RANKS):
        result = rank(W)
        assert result.dtype == torch.float64
        assert result[0] > 0
        assert result[1] == 0
        assert result[2:].isnan().all(), rank.__name__


def test_threshold_rank_counts():
    values = torch.tensor([[4.0, 2.0, 1.0, 0.01], [1.0, 0.2, 0.1, 0.0]], dtype=torch.float64)
    assert threshold_rank(threshold=0.2, singular_values=values).tolist() == [3, 1]
    assert threshold_rank(threshold=0.2, relative=False, singular_values=values).tolist() == [3, 1]
    per_matrix = torch.tensor([1.5, 0.05])
    counted = threshold_rank(threshold=per_matrix, relative=False, singular_values=values)
    assert counted.tolist() == [2, 3]


def test_smooth_ranks_have_finite_gradients_even_at_zero():
    for W in (gaussian(4, 3, seed=1), torch.zeros(4, 3, dtype=torch.float64)):
        leaf = W.clone().requires_grad_()
        participation_ratio(leaf).backward()
        assert leaf.grad.isfinite().all()
    W = gaussian(3, 3, seed=2).requires_grad_()
    for rank in SMOOTH:
        assert torch.autograd.gradcheck(rank, (W,), atol=1e-6)


def test_a_matrix_or_its_values_but_not_both():
    W = torch.eye(3)
    for measure in (nuclear_norm, *SMOOTH, threshold_rank):
        with pytest.raises(ValueError, match="expected a matrix or singular_values, got neither"):
            measure()
        with pytest.raises(ValueError, match="expected a matrix or singular_values, got both"):
            measure(W, singular_values=singular_values(W))
