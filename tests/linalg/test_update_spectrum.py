"""Spectra of windows of updates: the thin SVD of the updates themselves, and planted directions."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from spectraledge.linalg import direction_cosines, half_window_stability, update_spectrum

CHANCE = torch.Generator().manual_seed(0)


def updates(count=5, size=400, runs=2):
    return torch.randn(runs, count, size, generator=CHANCE, dtype=torch.float64)


def test_singular_values_are_those_of_the_updates():
    X = updates()
    found = update_spectrum(X @ X.mT)
    expected = torch.linalg.svdvals(X)
    # Squares of numbers of order 20 with a relative error of 1e-16 · w.
    torch.testing.assert_close(found.values, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.gap23, expected[:, 1] ** 2 - expected[:, 2] ** 2)
    torch.testing.assert_close(found.drift, X.mean(1).norm(dim=1))


def test_scores_by_their_definition():
    X = updates(6)
    found = update_spectrum(X @ X.mT)
    for run, values in enumerate(found.values.tolist()):
        plain = [values[j] / values[j + 1] for j in range(5)]
        weighted = [values[j] * plain[j] for j in range(5)]
        for scores, flag in ((plain, False), (weighted, True)):
            k = int(np.argmax(scores))
            assert found.rank_at_gap(weighted=flag)[run] == k + 1
            assert found.gap_ratio(weighted=flag)[run] == pytest.approx(plain[k], rel=1e-12)


def test_planted_directions_are_counted():
    two = torch.zeros(6, 50, dtype=torch.float64)
    two[:, 0] = torch.tensor([5.0, 5, 5, 5, 5, 5])
    two[:, 1] = torch.tensor([4.0, -4, 4, -4, 4, -4])
    two += 0.01 * torch.randn(6, 50, generator=CHANCE, dtype=torch.float64)
    found = update_spectrum(two @ two.T)
    assert found.rank_at_gap(weighted=False) == 2
    assert found.first_share == pytest.approx(25 / 41, abs=1e-2)  # noise of 0.01 beside 4
    # Equal updates are √w times as long together as the longest.
    one = torch.ones(5, 3, dtype=torch.float64)
    assert update_spectrum(one @ one.T).excess_over_orthogonal == pytest.approx(math.sqrt(5))
    apart = torch.eye(4, dtype=torch.float64) * torch.tensor([1.0, 2, 3, 4])
    assert update_spectrum(apart @ apart.T).excess_over_orthogonal == pytest.approx(1.0)


def test_few_updates_have_no_gap():
    single = update_spectrum(torch.ones(1, 1, dtype=torch.float64))
    assert math.isnan(single.gap23)
    assert math.isnan(single.rank_at_gap())
    assert math.isnan(single.gap_ratio())
    assert math.isnan(update_spectrum(torch.eye(2).double()).gap23)


@pytest.mark.parametrize("signal", [0.0, 5.0])
def test_the_published_threshold_says_the_same_of_noise_and_signal(signal):
    size, count = 20_000, 5
    X = updates(count, size, runs=1)[0]
    X[:, 0] += signal * math.sqrt(size) / 5
    ratio = update_spectrum(X @ X.T).published_threshold_ratio(size)
    # σ_w over the root mean square of the smaller half is 1 up to √(w/p) = 1.6 %.
    assert ratio == pytest.approx((size / (count - 1)) ** 0.25, rel=0.05)


def test_the_edge_of_noise_is_one_and_signal_is_beyond():
    size, count = 20_000, 6
    X = updates(count, size, runs=1)[0]
    # All σ of noise are √p up to √(w/p) = 1.7 %.
    assert update_spectrum(X @ X.T).marchenko_pastur_ratio(size) == pytest.approx(1.0, abs=0.04)
    X[:, 0] += 2 * math.sqrt(size)
    # One direction of length 2√(w p) beside noise of length √p: √(1 + 4 w).
    expected = math.sqrt(1 + 4 * count)
    found = update_spectrum(X @ X.T).marchenko_pastur_ratio(size)
    assert found == pytest.approx(expected, rel=0.04)
    assert math.isnan(update_spectrum(torch.ones(1, 1).double()).marchenko_pastur_ratio(9))


def test_cosines_are_those_of_explicit_directions():
    X = updates(6, 30, runs=1)[0]
    found = direction_cosines(X @ X.T, 5)
    before, after = (torch.linalg.svd(rows, full_matrices=False).Vh for rows in (X[:-1], X[1:]))
    torch.testing.assert_close(found.abs(), (before @ after.T).abs(), rtol=0, atol=1e-10)
    angles = subspace_angles(before[:2].T.numpy(), after[:2].T.numpy())
    ours = torch.linalg.svdvals(found[:2, :2]).clamp(max=1).arccos().flip(0)
    # The largest angle is well conditioned; small ones lose half of the digits.
    assert ours[0].item() == pytest.approx(angles[0], abs=1e-6)


def test_a_broken_run_is_nan_and_leaves_the_others_alone():
    X = updates(4)
    whole = X @ X.mT
    broken = whole.clone()
    broken[1, 0, 0] = torch.inf
    found, expected = update_spectrum(broken), update_spectrum(whole)
    assert torch.equal(found.values[0], expected.values[0])
    for array in (found.values, found.gap23, found.rank_at_gap(), found.gap_ratio()):
        assert array[1].isnan().all()
        assert not array[0].isnan().any()
    assert direction_cosines(broken, 3)[1].isnan().any()


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="of 5 updates for windows of 4, got 4"):
        direction_cosines(torch.eye(4).double(), 4)


def test_stability_is_the_cosine_of_the_directions_of_both_halves():
    X = updates(count=5)
    found = half_window_stability(X @ X.mT)
    for run, own in zip(found, X):
        first, second = (
            torch.linalg.svd(part, full_matrices=False)[2] for part in own.split([2, 3])
        )
        expected = (first[:2] * second[:2]).sum(-1).abs()
        torch.testing.assert_close(run, expected, rtol=1e-9, atol=1e-12)
    # Of a constant drift every half has the same first direction, and nothing else.
    line = torch.ones(1, 4, 1).double() * torch.randn(1, 1, 50, generator=CHANCE).double()
    assert half_window_stability(line @ line.mT)[0, 0].item() == pytest.approx(1.0)


def test_updates_along_one_line_have_rank_one_and_a_ratio_that_is_a_bound():
    line = torch.randn(1, 1, 50, generator=CHANCE).double()
    for lengths in (torch.ones(5), 0.9 ** torch.arange(5)):
        X = lengths.double()[None, :, None] * line
        found = update_spectrum(X @ X.mT)
        assert found.rank_at_gap().tolist() == found.rank_at_gap(weighted=False).tolist() == [1]
        # √(w ε) of the largest value is what a Gram matrix of float64 resolves.
        assert found.gap_ratio().item() == pytest.approx((5 * 2.0**-52) ** -0.5)


def test_a_run_that_stands_still_has_no_rank():
    found = update_spectrum(torch.zeros(1, 4, 4).double())
    assert found.rank_at_gap().isnan().all()
    assert found.gap_ratio().isnan().all()
