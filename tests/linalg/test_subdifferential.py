"""Needle and fan: dimensions, closed-form distances, stationarity, birth of directions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import gaussian, planted

from spectraledge.linalg import (
    distance_to_subdifferential,
    fan_diameter,
    fan_dimension,
    fan_fraction,
    frobenius_norm,
    nuclear_norm,
    numerical_rank,
    polar_factor,
    regrow_margin,
    soft_threshold_singular_values,
    subdifferential_rank,
    tangent_alignment,
    tangential_part,
)


def low_rank(rows: int, columns: int, rank: int, seed: int = 0):
    values = torch.zeros(min(rows, columns), dtype=torch.float64)
    values[:rank] = torch.linspace(2, 1, rank, dtype=torch.float64)
    return planted(values, rows, columns, seed)


def test_rank_ignores_values_at_the_noise_level_of_the_decay():
    values = torch.tensor([1.0, 0.1, 0.02, 0.01, 0.0]).double()
    W = planted(values, 5, 7)[2]
    assert subdifferential_rank(W).item() == 4
    assert subdifferential_rank(W, 0.005).item() == 3  # 3 t = 0.015
    assert subdifferential_rank(W, 0.05).item() == 1
    batch = torch.stack([W, W])
    assert subdifferential_rank(batch, torch.tensor([0.005, 0.05])).tolist() == [3, 1]
    assert subdifferential_rank(W.float()).item() == 4  # rounding of float32 is not a direction


@pytest.mark.parametrize(("m", "n"), [(12, 12), (7, 12), (12, 7)])
def test_fan_sizes(m, n):
    W = torch.zeros(4, m, n)
    rank = torch.tensor([0, 3, min(m, n) - 1, min(m, n)]).double()
    expected = (m - rank) * (n - rank)
    torch.testing.assert_close(fan_dimension(W, rank), expected)
    torch.testing.assert_close(fan_fraction(W, rank), expected / (m * n))
    torch.testing.assert_close(fan_diameter(W, rank), 2 * (min(m, n) - rank).sqrt())
    assert fan_dimension(W, 0).tolist() == [m * n] * 4
    assert fan_dimension(W, min(m, n)).tolist() == [0] * 4


def test_fan_dimension_counts_the_free_directions():
    # Z = U_perp K V_perp^T with any K: the span of these has that many dimensions.
    m, n, rank = 5, 4, 2
    U, V, W = low_rank(m, n, rank)
    free = [torch.outer(U[:, i], V[:, j]).flatten() for i in range(rank, m) for j in range(rank, n)]
    assert numerical_rank(torch.stack(free)) == fan_dimension(W, rank)


@pytest.mark.parametrize("rank", [12, 8, 4, 1])
def test_fan_is_seen_by_perturbing_the_matrix(rank):
    # Polar factors of W + tiny noise: one point at full rank, a ball of radius sqrt(q - r) else.
    W = low_rank(12, 12, rank)[2]
    draws = polar_factor(W + 1e-6 * gaussian(200, 12, 12, seed=5))
    spread = (frobenius_norm(draws - draws.mean(0)) ** 2).mean().sqrt()
    radius = (fan_diameter(W, rank) / 2).item()
    # 200 draws give the spread to 1 %; at full rank the noise itself moves it by 1e-6 times 12.
    assert spread.item() == pytest.approx(radius, rel=0.01, abs=1e-4)


def test_fan_diameter_is_the_distance_of_opposite_points():
    U, V, _W = low_rank(6, 5, 2)
    far = U[:, 2:5] @ V[:, 2:].mT
    assert frobenius_norm(far - (-far)).item() == pytest.approx(
        fan_diameter(torch.zeros(6, 5), 2).item()
    )


def projected_distance(G, W, rank, steps):
    """Distance by projected gradient over Z, the slow obvious way."""
    U, _, Vh = torch.linalg.svd(W)
    base = U[:, :rank] @ Vh[:rank]
    left, right = U[:, rank:] @ U[:, rank:].mT, Vh[rank:].mT @ Vh[rank:]
    Z = torch.zeros_like(G)
    for _ in range(steps):
        Z = Z - 0.1 * (base + Z - G)
        A, S, Bh = torch.linalg.svd(left @ Z @ right, full_matrices=False)
        Z = (A * S.clamp(max=1)) @ Bh
    return (base + Z - G).norm()


@pytest.mark.parametrize(("m", "n", "rank"), [(6, 6, 2), (5, 7, 3), (7, 5, 0), (5, 5, 5)])
def test_distance_equals_projected_gradient(m, n, rank):
    W, G = low_rank(m, n, rank)[2], 2 * gaussian(m, n, seed=9)
    # The iteration contracts by 0.9 a step: 300 steps leave 1e-13.
    expected = projected_distance(G, W, rank, steps=300)
    torch.testing.assert_close(
        distance_to_subdifferential(G, W, rank), expected, atol=1e-12, rtol=0
    )


@settings(max_examples=20, deadline=None)
@given(
    m=st.integers(1, 7), n=st.integers(1, 7), drop=st.integers(0, 6), seed=st.integers(0, 10_000)
)
def test_members_of_the_subdifferential_have_distance_zero(m, n, drop, seed):
    rank = max(min(m, n) - drop, 0)
    U, V, W = low_rank(m, n, rank, seed)
    K = gaussian(m - rank, n - rank, seed=seed + 3)
    K = K / torch.linalg.matrix_norm(K, 2) if K.numel() else K
    G = U[:, :rank] @ V[:, :rank].mT + U[:, rank:] @ K @ V[:, rank:].mT
    assert distance_to_subdifferential(G, W, rank) < 1e-12
    # <G, W> = ||W||_* for every subgradient.
    assert ((G * W).sum() - nuclear_norm(W)).abs() < 1e-12


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), amount=st.floats(0.1, 3.0))
def test_proximal_step_satisfies_its_optimality_condition(seed, amount):
    # 0.5 ||W - M||^2 + t ||W||_*: at the minimum (M - W)/t is a subgradient.
    M = gaussian(7, 6, seed=seed)
    W = soft_threshold_singular_values(M, amount)
    distance = distance_to_subdifferential((M - W) / amount, W, numerical_rank(W))
    assert distance < 1e-8
    assert distance_to_subdifferential((M - W) / amount + W, W, numerical_rank(W)) > 1e-3 or (
        frobenius_norm(W) < 1e-2
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 5), strength=st.floats(1e-3, 1e3))
def test_a_scale_invariant_loss_has_no_stationary_point(seed, rank, strength):
    # Its gradient is orthogonal to W, every subgradient G has <G, W> = ||W||_* > 0, so the
    # distance is at least ||W||_*/||W||_F.
    W = low_rank(6, 5, rank, seed)[2]
    gradient = tangential_part(gaussian(6, 5, seed=seed + 7), W)
    distance = distance_to_subdifferential(-gradient / strength, W, rank)
    assert distance >= nuclear_norm(W) / frobenius_norm(W) - 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), amount=st.floats(0.3, 2.0))
def test_tangential_distance_vanishes_at_the_optimum_on_the_sphere(seed, amount):
    # Minimise -<W, M>/||W||_F + t ||W||_* on the unit sphere: the solution is prox_t(M), scaled.
    M = gaussian(7, 6, seed=seed)
    W = soft_threshold_singular_values(M, amount)
    W = W / frobenius_norm(W)
    gradient = -tangential_part(M, W)
    G, rank = -gradient / amount, numerical_rank(W)
    assert distance_to_subdifferential(G, W, rank, tangential=True) < 1e-6
    assert distance_to_subdifferential(G, W, rank) >= nuclear_norm(W) - 1e-9


def test_decoupled_decay_is_stationary_in_its_base_step_not_in_the_gradient():
    # Fixed points of W -> prox_t(W + D(W)) with D a preconditioned step: D/t is a subgradient,
    # the raw gradient over any single strength is not.
    M, scale, t = 3 * gaussian(6, 6, seed=1), 0.05 + 0.1 * gaussian(6, 6, seed=2).abs(), 0.05
    W = M.clone()
    for _ in range(1500):
        W = soft_threshold_singular_values(W + scale * (M - W), t)
    D, rank = scale * (M - W), numerical_rank(W)
    assert distance_to_subdifferential(D / t, W, rank) < 1e-8
    strengths = torch.logspace(-3, 3, 60).tolist()
    assert min(distance_to_subdifferential((M - W) / s, W, rank) for s in strengths) > 0.1


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_regrow_margin_predicts_the_birth_of_a_direction(factor):
    U, V, W = low_rank(8, 6, 3)
    t, K = 0.01, gaussian(5, 3, seed=5)
    block = factor * t * K / torch.linalg.matrix_norm(K, 2)
    # A tangent part of the size of the amount shifts the margin by its square, about 1 %.
    D = U[:, 3:] @ block @ V[:, 3:].mT + t * U[:, :3] @ gaussian(3, 6, seed=4) / 6
    assert regrow_margin(D, W, t, 3).item() == pytest.approx(factor, rel=1e-12)
    born = numerical_rank(soft_threshold_singular_values(W + D, t)) - 3
    assert (born > 0) == (factor > 1)


def test_alignment_of_a_step_with_the_tangent_space():
    U, V, W = low_rank(8, 6, 3)
    inside = U[:, :3] @ gaussian(3, 6, seed=1) + gaussian(8, 3, seed=2) @ V[:, :3].mT
    outside = U[:, 3:] @ gaussian(5, 3, seed=3) @ V[:, 3:].mT
    assert tangent_alignment(inside, W, 3).item() == pytest.approx(1)
    assert tangent_alignment(outside, W, 3).item() == pytest.approx(0, abs=1e-12)
    total = tangent_alignment(inside + outside, W, 3)
    expected = inside.norm() / (inside.square().sum() + outside.square().sum()).sqrt()
    torch.testing.assert_close(total, expected)
    assert tangent_alignment(torch.zeros(8, 6), W, 3) == 0


def test_batches_with_different_ranks():
    W = torch.stack([low_rank(6, 5, rank, seed=rank)[2] for rank in (0, 2, 5)])
    G, rank = gaussian(3, 6, 5, seed=8), torch.tensor([0, 2, 5])
    for tangential in (False, True):
        together = distance_to_subdifferential(G, W, rank.double(), tangential=tangential)
        for i in range(3):
            alone = distance_to_subdifferential(G[i], W[i], int(rank[i]), tangential=tangential)
            torch.testing.assert_close(together[i], alone)
    margins = regrow_margin(G, W, torch.tensor([0.1, 0.2, 0.3]), rank.double())
    torch.testing.assert_close(margins[1], regrow_margin(G[1], W[1], 0.2, 2), rtol=1e-6, atol=0)
    assert margins[2] < 0.5 * torch.linalg.matrix_norm(G[2], 2) / 0.3  # one row only is null
