"""Null models of trajectories against closed forms and sampled walks."""

from math import log, pi

import pytest
import torch
from planted import gaussian, generator

from spectraledge.linalg.trajectory_components import explained_variance, matched_points
from spectraledge.linalg.trajectory_nulls import (
    NullShares,
    decay_logarithms,
    null_shares,
    ornstein_uhlenbeck_coefficients,
    published_z_score,
    random_walk_coefficients,
    remaining_fractions,
    sampled_null_shares,
    step_lengths,
    z_score,
)


def lengths(T=20, seed=0):
    return torch.rand(T - 1, dtype=torch.float64, generator=generator(seed)) + 0.2


def walked(coefficients, dimension, trials, seed=0):
    """Trajectories of the null model with every number drawn: slow and obvious."""
    u = gaussian(trials, coefficients.shape[-1], dimension, seed=seed)
    return coefficients @ (u / u.norm(dim=-1, keepdim=True))


def test_equal_steps_give_the_known_shares():
    """Eigenfunctions of centred Brownian motion: 6 / (pi k)^2, up to 1/T^2."""
    mean, deviation = null_shares(
        random_walk_coefficients(torch.ones(600, dtype=torch.float64)), 1e12, 3
    )
    expected = 6 / (pi * torch.arange(1.0, 4.0, dtype=torch.float64)) ** 2
    torch.testing.assert_close(mean, expected, rtol=1e-4, atol=0)
    assert (deviation < 1e-5).all()


def test_orthogonal_steps_give_partial_sums_of_squares():
    steps = lengths()
    coefficients = random_walk_coefficients(steps)
    sums = torch.cat([torch.zeros(1).double(), steps.square().cumsum(0)])
    expected = torch.minimum(sums[:, None], sums[None, :])
    torch.testing.assert_close(coefficients @ coefficients.mT, expected)
    torch.testing.assert_close(step_lengths(expected), steps)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_mean_and_deviation_equal_those_of_sampled_walks(decay):
    """The shift of the mean by chance, order 1/D, is included: 1.0 pp at this D."""
    steps, D, trials = lengths(), 400, 1500
    logarithms = torch.full_like(steps, -decay)
    coefficients = ornstein_uhlenbeck_coefficients(steps, torch.tensor(3.0).double(), logarithms)
    mean, deviation = null_shares(coefficients, D, 3)
    points = walked(coefficients, D, trials)
    shares = explained_variance(points @ points.mT, 3)
    # Four standard errors of the mean; the deviation is known to 1/sqrt(2 trials) = 2 %, and
    # terms of order 1/D^2 add 1 %.
    assert ((shares.mean(0) - mean).abs() < 4 * deviation / trials**0.5 + 1e-4).all()
    torch.testing.assert_close(shares.std(0), deviation, rtol=0.09, atol=0)


def test_sampling_inner_products_equals_sampling_vectors():
    coefficients, D = random_walk_coefficients(lengths(T=8)), 5  # fewer dimensions than steps
    ours = sampled_null_shares(coefficients, D, trials=2000)[:, 0]
    points = walked(coefficients, D, 2000)
    theirs = explained_variance(points @ points.mT, 1)[:, 0]
    error = (ours.var() / 2000 + theirs.var() / 2000).sqrt()
    assert (ours.mean() - theirs.mean()).abs() < 4 * error
    torch.testing.assert_close(ours.std(), theirs.std(), rtol=0.1, atol=0)
    assert torch.equal(ours, sampled_null_shares(coefficients, D, trials=2000)[:, 0])


def test_without_decay_the_decaying_walk_is_the_walk():
    steps = lengths()
    zero = torch.zeros_like(steps)
    coefficients = ornstein_uhlenbeck_coefficients(steps, torch.tensor(7.0).double(), zero)
    walk, still = (
        null_shares(random_walk_coefficients(steps), 100, 4),
        null_shares(coefficients, 100, 4),
    )
    # W_0 is a constant coefficient, which centring takes out.
    torch.testing.assert_close(still.mean, walk.mean, rtol=1e-10, atol=0)
    torch.testing.assert_close(still.deviation, walk.deviation, rtol=1e-7, atol=0)


def test_decaying_walk_has_the_steps_it_is_given():
    steps, logarithms = lengths(), torch.full((19,), -0.05, dtype=torch.float64)
    coefficients = ornstein_uhlenbeck_coefficients(steps, torch.tensor(3.0).double(), logarithms)
    torch.testing.assert_close(step_lengths(coefficients @ coefficients.mT), steps)
    assert coefficients[0, 0] == 3
    expected = remaining_fractions(logarithms) * 3
    torch.testing.assert_close(coefficients[:, 0], expected)


def test_where_decay_alone_moves_further_there_is_no_noise_and_no_chance():
    steps = torch.full((9,), 1e-6, dtype=torch.float64)
    logarithms = torch.full_like(steps, -0.1)
    coefficients = ornstein_uhlenbeck_coefficients(steps, torch.tensor(1.0).double(), logarithms)
    null = null_shares(coefficients, 50)
    assert null.mean.item() == pytest.approx(1)
    assert null.deviation.item() == 0
    assert z_score(torch.ones(1).double(), null).isnan().all()


def test_long_decay_does_not_underflow():
    """exp(-2000) is zero in float64, its ratios are not."""
    steps, logarithms = lengths(), torch.full((19,), -200.0, dtype=torch.float64)
    coefficients = ornstein_uhlenbeck_coefficients(steps, torch.tensor(0.1).double(), logarithms)
    assert coefficients.isfinite().all()
    assert null_shares(coefficients, 100).mean.isfinite().all()


def test_decay_logarithms_follow_the_learning_rates():
    rate = torch.tensor([1e-3, 2e-3])
    found = decay_logarithms((0, 10, 30), (0 * rate, rate, 2 * rate), 0.5)
    expected = [
        [10 * log(1 - 0.5e-3), 20 * log(1 - 1e-3)],
        [10 * log(1 - 1e-3), 20 * log(1 - 2e-3)],
    ]
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-6, atol=0)
    assert torch.equal(decay_logarithms((0, 10), (None, None), 0.0), torch.zeros(1, 1).double())
    assert decay_logarithms((0, 10), (None, None), 1.0).isnan().all()
    assert (
        decay_logarithms((0, 5, 9), (None, None, rate), 1.0).isnan().tolist() == [[True, False]] * 2
    )


def test_scores():
    trials = torch.tensor([0.5, 0.52, 0.54], dtype=torch.float64)
    share = torch.tensor(0.6, dtype=torch.float64)
    expected = 0.08 / ((0.02**2 * 2 / 3) ** 0.5 + 1e-8)
    assert published_z_score(share, trials).item() == pytest.approx(expected)
    null = NullShares(torch.tensor([0.52]).double(), torch.tensor([0.04]).double())
    assert z_score(torch.tensor([0.6]).double(), null).item() == pytest.approx(2)


def test_a_walk_of_the_null_scores_near_zero():
    coefficients, D = random_walk_coefficients(lengths()), 400
    points = walked(coefficients, D, 200, seed=5)
    gram = points @ points.mT
    null = null_shares(random_walk_coefficients(step_lengths(gram)), D)
    scores = z_score(explained_variance(gram, 1), null)
    # Its own steps are known exactly, so only chance is left: mean within 4/sqrt(200).
    assert scores.mean().abs() < 0.3
    assert 0.8 < scores.std() < 1.2


def test_batches_equal_single_models():
    steps = torch.stack([lengths(seed=s) for s in range(3)])
    together = null_shares(random_walk_coefficients(steps), torch.tensor([10.0, 20.0, 30.0]), 2)
    for i in range(3):
        alone = null_shares(random_walk_coefficients(steps[i]), 10.0 * (i + 1), 2)
        torch.testing.assert_close(together.mean[i], alone.mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(together.deviation[i], alone.deviation, rtol=1e-9, atol=0)


def test_too_few_points_and_broken_runs_are_nan():
    one = null_shares(random_walk_coefficients(torch.zeros(2, 0).double()), 10, 2)
    assert one.mean.isnan().all()
    assert one.mean.shape == (2, 2)
    two = null_shares(random_walk_coefficients(torch.ones(1).double()), 10, 2)
    assert two.mean.tolist()[0] == 1
    assert two.deviation.tolist()[0] == 0
    steps = torch.stack([lengths(), torch.full((19,), torch.nan).double()])
    assert null_shares(random_walk_coefficients(steps), 10).mean.isnan().tolist() == [
        [False],
        [True],
    ]


def test_errors():
    with pytest.raises(ValueError, match="dimension=0, trials=10"):
        sampled_null_shares(torch.ones(3, 2).double(), 0)
    with pytest.raises(
        ValueError, match=r"at least 3 steps that all trajectories share, got \[0\]"
    ):
        matched_points((0, 1, 2), (0, 5, 9))
