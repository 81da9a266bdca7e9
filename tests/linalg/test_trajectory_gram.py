"""Gram matrices of trajectories and their principal components."""

import pytest
import torch
from planted import gaussian, orthogonal

from spectraledge.linalg import CountSketch
from spectraledge.linalg.lazy_trajectory import lazy_trajectory_products
from spectraledge.linalg.trajectory_components import (
    centred,
    component_scores,
    expanding_shares,
    expanding_window_sizes,
    explained_variance,
    principal_components,
    principal_directions,
    rolling_windows,
    shares_and_cosine,
    total_variance,
)
from spectraledge.linalg.trajectory_gram import (
    TrajectoryGram,
    displacement_gram,
    gram_without_decayed_start,
    gram_without_start,
    trajectory_products,
)


def oracle_products(points):
    """Inner products written out, in float64."""
    rows = points.double() - points[:1].double()
    rows[0] = points[0].double()
    return rows @ rows.mT


def svd_shares(points):
    """Explained variance the textbook way."""
    X = points.double() - points.double().mean(0)
    square = torch.linalg.svdvals(X).square()
    return square / square.sum()


def trajectory(T=12, D=5000, seed=0):
    return gaussian(T, D, seed=seed).cumsum(0).float() + 3


def streamed(points):
    gram = TrajectoryGram()
    for point in points:
        gram.add(point.unsqueeze(0))
    return gram.products[0]


def test_streamed_blocked_and_lazy_products_are_the_inner_products():
    points = trajectory()
    expected = oracle_products(points)
    # Float64 sums of 5000 terms in another order: eps sqrt(D) relative to the norms.
    close = {"rtol": 1e-12, "atol": 1e-12 * float(expected.abs().max())}
    torch.testing.assert_close(streamed(points), expected, **close)
    torch.testing.assert_close(trajectory_products(points), expected, **close)
    for held in (1, 5, 12, 40):
        lazy = lazy_trajectory_products(points.__getitem__, 12, held=held)
        torch.testing.assert_close(lazy, expected, **close)


def test_pieces_are_one_vector_and_products_add_up():
    points = trajectory().unsqueeze(1)
    gram, first, second = TrajectoryGram(), TrajectoryGram(), TrajectoryGram()
    for point in points:
        gram.add(point[:, :700], point[:, 700:])
        first.add(point[:, :700])
        second.add(point[:, 700:])
    whole = oracle_products(points[:, 0])
    close = {"rtol": 1e-12, "atol": 1e-12 * float(whole.abs().max())}
    torch.testing.assert_close(gram.products[0], whole, **close)
    torch.testing.assert_close((first.products + second.products)[0], whole, **close)


def test_a_run_does_not_depend_on_its_batch_mates_bit_for_bit():
    points = torch.stack([trajectory(seed=s) for s in range(3)], dim=1)  # (T, R, D)
    together = TrajectoryGram()
    for point in points:
        together.add(point)
    for run in range(3):
        assert torch.equal(together.products[run], streamed(points[:, run]))


def test_float32_points_far_from_zero_lose_nothing():
    """Displacements of 1e-3 at a norm of 1e3: in float32 the products would keep one digit."""
    start = 10 * gaussian(1, 10_000, seed=1).float()
    points = start + 1e-3 * gaussian(6, 10_000, seed=2).float()
    expected = oracle_products(points)[1:, 1:]
    torch.testing.assert_close(streamed(points)[1:, 1:], expected, rtol=1e-10, atol=1e-16)


def test_shares_equal_those_of_the_singular_value_decomposition():
    points = trajectory()
    shares = explained_variance(displacement_gram(trajectory_products(points)), 11)
    # Eigenvalues of the Gram matrix to eps relative to the largest.
    torch.testing.assert_close(shares, svd_shares(points)[:11], rtol=0, atol=1e-13)


def test_directions_and_scores_equal_those_of_the_singular_value_decomposition():
    points = trajectory().double()
    gram = displacement_gram(trajectory_products(points))
    X = points - points.mean(0)
    _, S, Vh = torch.linalg.svd(X, full_matrices=False)
    directions = principal_directions(list(points), gram, 3)
    signs = (directions * Vh[:3]).sum(-1).sign()
    # Vectors to eps over the relative gap of the eigenvalues, which is above 0.01 here.
    torch.testing.assert_close(directions, Vh[:3] * signs[:, None], rtol=0, atol=1e-10)
    scores = component_scores(gram, 3)
    torch.testing.assert_close(scores, X @ directions.mT, rtol=0, atol=1e-9 * float(S[0]))


def test_a_straight_line_has_one_direction():
    times = torch.tensor([0.0, 1.0, 3.0, 4.0, 9.0], dtype=torch.float64)
    points = gaussian(1, 300, seed=1) + times[:, None] * gaussian(1, 300, seed=2)
    shares = explained_variance(displacement_gram(trajectory_products(points)), 3)
    torch.testing.assert_close(
        shares, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), rtol=0, atol=1e-13
    )


def test_planted_variances_come_back():
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    U = orthogonal(8, 1) - orthogonal(8, 1).mean(0)
    U = torch.linalg.qr(U)[0][:, :4]  # orthonormal with columns of mean zero
    points = U * shares.sqrt() @ orthogonal(40, 2)[:4] + gaussian(1, 40, seed=3)
    found = explained_variance(displacement_gram(trajectory_products(points)), 5)
    torch.testing.assert_close(found[:4], shares, rtol=0, atol=1e-13)
    assert found[4].abs() < 1e-13


def test_components_beyond_the_points_are_nan_and_broken_runs_stay_alone():
    points = torch.stack([trajectory(T=4, seed=s) for s in range(2)])
    grams = torch.stack([displacement_gram(trajectory_products(p)) for p in points])
    broken = grams.clone()
    broken[0] = torch.nan
    shares = explained_variance(grams, 6)
    assert shares.isnan().tolist() == [[False] * 3 + [True] * 3] * 2
    again = explained_variance(broken, 6)
    assert again[0].isnan().all()
    assert torch.equal(again[1].nan_to_num(), shares[1].nan_to_num())
    assert explained_variance(torch.zeros(3, 3).double(), 2).isnan().all()
    values, vectors = principal_components(broken, 2)
    assert values[0].isnan().all()
    assert vectors[1].isfinite().all()


def test_windows_are_sub_matrices():
    points = trajectory()
    gram = displacement_gram(trajectory_products(points))
    for n, shares in zip((5, 9), expanding_shares(gram, (5, 9), 2)):
        torch.testing.assert_close(shares, svd_shares(points[:n])[:2], rtol=0, atol=1e-12)
    rolled = explained_variance(rolling_windows(gram, 10), 1)
    direct = [svd_shares(points[i : i + 10])[0] for i in range(3)]
    torch.testing.assert_close(rolled[:, 0], torch.stack(direct), rtol=0, atol=1e-12)


def test_published_expanding_windows():
    assert expanding_window_sizes(31) == tuple(sorted({int(5 + 26 * i / 19) for i in range(20)}))
    assert expanding_window_sizes(2001)[0] == 100
    assert len(expanding_window_sizes(2001)) == 20
    assert expanding_window_sizes(3) == (3,)


def test_shares_and_cosine_are_those_of_a_singular_value_decomposition():
    points, other = gaussian(12, 40, seed=3), gaussian(1, 40, seed=4)[0]
    gram, along = points @ points.mT, points @ other
    shares, cosine = shares_and_cosine(gram, 3, along, other.norm())
    _, values, directions = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    expected = values.square() / values.square().sum()
    # Rounding of a 12 x 12 decomposition in float64.
    torch.testing.assert_close(shares, expected[:3], rtol=1e-11, atol=0)
    assert cosine.item() == pytest.approx(abs(directions[0] @ other / other.norm()).item(), 1e-10)
    still = shares_and_cosine(torch.ones(3, 3, dtype=torch.float64), 1, along[:3], other.norm())
    assert all(x.isnan().all() for x in still)


def test_pure_decay_is_one_direction_and_vanishes_without_the_start():
    remaining = (1 - 1e-3) ** torch.arange(0, 3000, 100, dtype=torch.float64)
    points = remaining[:, None] * gaussian(1, 2000, seed=0)
    products = trajectory_products(points)
    gram = displacement_gram(products)
    assert explained_variance(gram, 1).item() == pytest.approx(1, abs=1e-13)
    along = products[0].clone()
    along[0] = 0
    shares, cosine = shares_and_cosine(gram, 2, along, products[0, 0].sqrt())
    assert shares[0].item() == pytest.approx(1, abs=1e-13)
    assert cosine.item() == pytest.approx(1)
    for left in (gram_without_decayed_start(products, remaining), gram_without_start(products)):
        # The products themselves are known to eps of the largest, 30 times over.
        assert total_variance(left).abs() < 1e-13 * total_variance(gram)
        assert explained_variance(left, 1, 1e-13 * total_variance(gram)).isnan().all()


def test_removing_the_start_equals_removing_it_from_the_vectors():
    points = trajectory().double()
    products = trajectory_products(points)
    remaining = 0.9 ** torch.arange(12, dtype=torch.float64)
    removed = points - remaining[:, None] * points[0]
    close = {"rtol": 1e-11, "atol": 1e-12 * float(products.abs().max())}
    expected = removed @ removed.mT
    torch.testing.assert_close(gram_without_decayed_start(products, remaining), expected, **close)
    unit = points[0] / points[0].norm()
    orthogonal_part = points - points[0] - ((points - points[0]) @ unit)[:, None] * unit
    expected = orthogonal_part @ orthogonal_part.mT
    torch.testing.assert_close(gram_without_start(products), expected, **close)


def test_products_of_sketched_points_are_unbiased():
    points = trajectory(T=4, D=3000)
    exact = oracle_products(points)[1:, 1:]
    k = 64
    sketched = [CountSketch(k, seed)(points) for seed in range(300)]
    norms = exact.diagonal().sqrt()
    found = torch.stack([streamed(points)[1:, 1:] for points in sketched])
    error = (found - exact) / torch.outer(norms, norms)
    # Two products of variance 1/k each at most, the diagonal attaining it: sqrt(2/k). Mean of 300
    # within 4 standard errors of zero; the deviation is known to 1/sqrt(600) = 4 %.
    bound = (2 / k) ** 0.5
    assert error.mean(0).abs().max() < 4 * bound / 300**0.5
    assert 0.7 * bound < error.std(0).max() < 1.12 * bound


def test_centring_ignores_the_origin():
    points = trajectory().double()
    torch.testing.assert_close(
        centred(points @ points.mT),
        centred(displacement_gram(trajectory_products(points))),
        rtol=1e-9,
        atol=1e-7,  # eps of the squared norms, which are about 1e6
    )


def test_errors():
    gram = TrajectoryGram()
    gram.add(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"shapes \[\(2, 3\)\] as at first, got \[\(2, 4\)\]"):
        gram.add(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="at least one point, got none"):
        trajectory_products([])
    with pytest.raises(ValueError, match="held >= 1, got count=3, held=0"):
        lazy_trajectory_products(lambda t: torch.zeros(2), 3, held=0)
    with pytest.raises(ValueError, match="at least one component, got 0"):
        explained_variance(torch.eye(3).double(), 0)
    with pytest.raises(ValueError, match="at most 3 components, got 4"):
        principal_components(torch.eye(3).double(), 4)
    with pytest.raises(ValueError, match=r"width in 1..3 points, got 4"):
        rolling_windows(torch.eye(3).double(), 4)
