"""Power laws against planted truth, and the control that a law of leads must pass.

The generators are seeded, so a measured coverage is a fixed number; bands allow for twice the
standard error of the trials.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from spectraledge.series import (
    Times,
    censored_power_law,
    exponent_interval,
    grouped_power_law,
    power_law,
    shuffled_onsets,
)
from spectraledge.series.weighted_slopes import least_squares_fits, median_slopes

X = np.geomspace(1e3, 1e5, 9)


@pytest.mark.parametrize("method", ["least_squares", "theil_sen"])
def test_an_exact_law_is_found(method):
    fit = power_law(X, 0.03 * X**1.3, method=method)
    # Rounding of logarithms of 1e5.
    assert fit.exponent == pytest.approx(1.3, abs=1e-12)
    assert fit.coefficient == pytest.approx(0.03, rel=1e-10)
    assert fit.r_squared == pytest.approx(1)


def test_leads_that_are_not_positive_are_counted_as_dropped():
    y = np.array([1.0, 2.0, -3.0, 0.0, np.nan, 4.0, 5.0, 6.0, 7.0])
    for method in ("least_squares", "theil_sen"):
        fit = power_law(X, y, method=method)
        assert (fit.count, fit.dropped) == (6, 3)


def test_nothing_is_fitted_to_one_place():
    assert np.isnan(power_law(np.full(3, 7.0), np.arange(1.0, 4.0), method="theil_sen").exponent)


@pytest.mark.parametrize("method", ["least_squares", "theil_sen"])
def test_equal_leads_have_an_exponent_and_no_share_explained(method):
    # Rounding of equal logarithms is no spread: it once gave an R² of −3.
    fit = power_law(X, np.full(9, 100.0), method=method)
    assert fit.exponent == pytest.approx(0, abs=1e-12)
    assert np.isnan(fit.r_squared)
    slopes, shares = least_squares_fits(np.log(X), np.full(9, np.log(100.0)), np.ones((2, 9)))
    assert slopes == pytest.approx([0, 0], abs=1e-12)
    assert np.isnan(shares).all()


def test_a_wild_run_moves_least_squares_and_not_theil_sen():
    y = 0.1 * X**1.2
    y[0] *= 1e3
    assert abs(power_law(X, y, method="least_squares").exponent - 1.2) > 0.3
    assert power_law(X, y, method="theil_sen").exponent == pytest.approx(1.2, abs=1e-6)


def test_weighted_fits_are_fits_of_repeated_runs():
    chance = np.random.default_rng(0)
    u, v = chance.normal(size=(2, 7))
    weights = chance.integers(0, 3, (20, 7)).astype(float)
    slopes, shares = least_squares_fits(u, v, weights)
    medians = median_slopes(u, v, weights)
    for row, slope, share, median in zip(weights.astype(int), slopes, shares, medians):
        again = stats.linregress(np.repeat(u, row), np.repeat(v, row))
        assert (slope, share) == pytest.approx((again.slope, again.rvalue**2))
        pairs = itertools.combinations(np.repeat(np.arange(7), row), 2)
        each = sorted((v[j] - v[i]) / (u[j] - u[i]) for i, j in pairs if i != j)
        assert median == pytest.approx(each[(len(each) - 1) // 2])


def planted(chance, seeds, runs, shared, own, exponent=1.2):
    """Runs of several learning rates by seed; part of the noise belongs to the seed."""
    units = np.repeat(np.arange(seeds), runs)
    place = np.tile(np.linspace(7, 10, runs), seeds) + 0.3 * chance.normal(size=seeds * runs)
    place += 0.3 * chance.normal(size=seeds)[units]
    noise = shared * chance.normal(size=seeds)[units] + own * chance.normal(size=seeds * runs)
    return np.exp(place), 0.1 * np.exp(exponent * place + noise), units


@pytest.mark.parametrize("method", ["least_squares", "theil_sen"])
@pytest.mark.parametrize(("seeds", "shared", "own"), [(6, 0.2, 0.2), (6, 0.0, 0.3), (12, 0.1, 0.3)])
def test_a_planted_exponent_is_covered(method, seeds, shared, own):
    chance, covered = np.random.default_rng(1), []
    trials = 300 if method == "least_squares" else 150
    for _ in range(trials):
        x, y, units = planted(chance, seeds, 4, shared, own)
        found = exponent_interval(x, y, units, method=method, resamples=100)
        covered.append(found.lower <= 1.2 <= found.upper)
    # 93 to 96 % in 500 trials, and twice the standard error of these.
    assert 0.93 - 2 * np.sqrt(0.06 / trials) <= np.mean(covered) <= 0.98


def test_an_interval_needs_two_seeds():
    found = exponent_interval(X, X**1.1, np.zeros(9, dtype=int), method="least_squares")
    assert (found.lower, found.upper, found.count) == (-np.inf, np.inf, 1)


def of_places(*places, runs=1):
    """One place of x to a seed, a planted law with noise."""
    x = np.repeat(np.array(places, dtype=float), runs)
    y = x**1.1 * np.exp(0.2 * np.random.default_rng(len(places)).normal(size=len(x)))
    return x, y, np.repeat(np.arange(len(places)), runs)


@pytest.mark.parametrize("method", ["least_squares", "theil_sen"])
@pytest.mark.parametrize("count", range(2, 9))
def test_a_slope_that_rests_on_one_seed_has_no_interval(method, count):
    for runs in (1, 2):
        found = exponent_interval(*of_places(3e4, *[2e3] * (count - 1), runs=runs), method=method)
        assert np.isfinite(found.centre)
        assert (found.lower, found.upper, found.count) == (-np.inf, np.inf, count)


@pytest.mark.parametrize("method", ["least_squares", "theil_sen"])
@pytest.mark.parametrize(
    "places",
    [(2e3, 8e3, 3e4), (2e3, 2e3, 3e4, 3e4), *((3e4, 3e4, *[2e3] * n) for n in (3, 6, 10, 30))],
)
def test_a_slope_that_rests_on_two_seeds_or_on_three_places_has_one(method, places):
    found = exponent_interval(*of_places(*places), method=method)
    assert found.lower < found.centre < found.upper
    assert np.isfinite([found.lower, found.upper]).all()


def test_two_seeds_of_one_place_each_are_no_certainty():
    x, y = np.array([2e3, 2e3, 3e4, 3e4]), np.array([1e3, 1.2e3, 2e4, 2.2e4])
    found = exponent_interval(x, y, np.array([0, 0, 1, 1]), method="least_squares")
    assert found.centre == pytest.approx(1.09, abs=0.005)
    assert (found.lower, found.upper) == (-np.inf, np.inf)


def test_seeds_that_span_the_places_have_an_interval_from_two_on():
    x, units = np.tile([2e3, 3e4], 2), np.array([0, 0, 1, 1])
    found = exponent_interval(x, np.array([1e3, 2e4, 2e3, 3e4]), units, method="least_squares")
    assert np.isfinite([found.lower, found.upper]).all()


def untyped(function):
    """Without the type checks that only tests install."""
    return getattr(function, "__wrapped__", function)


def test_an_unknown_method_is_refused():
    known = "unknown method 'theil_san'; known: least_squares, theil_sen; did you mean 'theil_sen'"
    with pytest.raises(ValueError, match=known):
        untyped(power_law)(X, X, method="theil_san")


def clusters(chance, each=12):
    """Onset independent of grokking within two learning rates, at published sizes."""
    rates = np.repeat([1e-3, 1e-4], each)
    groks = np.where(rates > 5e-4, 2700, 31700) * np.exp(0.2 * chance.normal(size=2 * each))
    onsets = np.where(rates > 5e-4, 1600, 2400) * np.exp(0.15 * chance.normal(size=2 * each))
    return rates, groks, onsets


def test_independent_onsets_give_an_exponent_above_one_and_the_control_contains_it():
    chance, contained = np.random.default_rng(2), []
    for _ in range(40):
        rates, groks, onsets = clusters(chance)
        found = shuffled_onsets(groks, onsets, rates, draws=200)
        assert found.observed.exponent > 1.1
        assert found.observed.r_squared > 0.85
        contained.append(found.contains())
    # Two criteria at 95 % each: 90 % at worst, minus twice the standard error of 40 trials.
    assert np.mean(contained) >= 0.90 - 2 * np.sqrt(0.09 / 40)


def test_the_p_value_is_uniform_for_independent_onsets():
    chance, values = np.random.default_rng(3), []
    for _ in range(150):
        rates, groks, onsets = clusters(chance, each=6)
        values.append(shuffled_onsets(groks, onsets, rates, draws=100).p_value())
    # Kolmogorov's distance of 150 values stays below 0.11 with 95 % probability.
    assert stats.kstest(values, "uniform").statistic < 0.11


def test_onsets_that_follow_grokking_leave_the_control():
    chance = np.random.default_rng(4)
    rates, groks, _ = clusters(chance)
    onsets = 0.5 * groks * np.exp(0.05 * chance.normal(size=24))
    found = shuffled_onsets(groks, onsets, rates, draws=500)
    assert found.r_squared_place > 0.99
    assert found.p_value() < 0.01
    assert not found.contains()


def test_shuffling_stays_within_groups_and_counts_what_it_drops():
    groks, groups = np.array([10.0, 20.0, 1000.0, 2000.0]), np.array([0.0, 0.0, 1.0, 1.0])
    found = shuffled_onsets(groks, np.array([5.0, 15.0, 600.0, 700.0]), groups, draws=100)
    # The onset of 15 comes after the grok step of 10 when exchanged, never the ones of 600 or 700.
    assert set(found.dropped.tolist()) == {0.0, 1.0}
    spread = shuffled_onsets(groks, np.array([5.0, 15.0, 600.0, 700.0]), np.zeros(4), draws=100)
    assert spread.dropped.max() >= 2
    alone = shuffled_onsets(groks, np.array([5.0, 15.0, 600.0, 700.0]), np.arange(4.0), draws=100)
    assert alone.exponent_place == alone.r_squared_place == 0.5


def test_without_an_observed_fit_there_is_no_p_value_and_no_answer():
    # One step of generalisation, so no exponent; then equal leads, so no R².
    for groks, onsets in (
        (np.full(6, 900.0), np.arange(100.0, 700.0, 100.0)),
        (np.arange(500.0, 800.0, 50.0), np.arange(400.0, 700.0, 50.0)),
    ):
        found = shuffled_onsets(groks, onsets, np.zeros(6), draws=100)
        assert np.isnan(found.p_value())
        with pytest.raises(ValueError, match=r"expected an exponent and R² .* got places"):
            found.contains()


def test_the_pooled_exponent_is_a_mean_of_within_and_between():
    chance = np.random.default_rng(5)
    for _ in range(20):
        rates, groks, onsets = clusters(chance, each=5)
        found = grouped_power_law(groks, onsets, rates)
        share = found.between_share
        mixed = share * found.between + (1 - share) * found.within.exponent
        assert found.pooled.exponent == pytest.approx(mixed)


def test_within_groups_is_a_fit_with_dummy_variables():
    chance = np.random.default_rng(6)
    rates, groks, onsets = clusters(chance)
    found = grouped_power_law(groks, onsets, rates).within
    u, v = np.log(groks), np.log(onsets)
    design = np.stack([u, rates > 5e-4, rates < 5e-4], axis=1).astype(float)
    slope = np.linalg.lstsq(design, v, rcond=None)[0]
    left = v - design @ slope
    error = np.sqrt(left @ left / (24 - 3) * np.linalg.inv(design.T @ design)[0, 0])
    assert found.exponent == pytest.approx(slope[0])
    assert found.standard_error == pytest.approx(error)


def test_groups_of_one_place_have_no_exponent():
    rates = np.repeat([1.0, 2.0], 2)
    found = grouped_power_law(np.array([5.0, 5.0, 9.0, 9.0]), np.ones(4), rates)
    assert np.isnan(found.within.exponent)
    assert np.isnan(found.groups[1.0].exponent)
    assert found.between_share == pytest.approx(1)


def test_censored_onsets_without_censoring_are_least_squares():
    chance = np.random.default_rng(7)
    x, y, _ = planted(chance, 5, 4, 0.2, 0.2)
    found = censored_power_law(x, Times(y, np.ones(20, dtype=bool)))
    plain = power_law(x, y, method="least_squares")
    # BFGS stops at a gradient of 1e-5.
    assert found.exponent == pytest.approx(plain.exponent, abs=1e-3)
    assert found.coefficient == pytest.approx(plain.coefficient, rel=2e-2)


def test_censored_onsets_are_not_flattened():
    chance, found = np.random.default_rng(8), []
    for _ in range(30):
        x, y, _ = planted(chance, 20, 3, 0.0, 0.5, exponent=0.7)
        last = np.full(60, np.quantile(y, 0.65))
        seen = y <= last
        tobit = censored_power_law(x, Times(np.minimum(y, last), seen)).exponent
        left_out = power_law(x[seen], y[seen], method="least_squares").exponent
        found.append((tobit, left_out))
    tobit, left_out = np.array(found).T
    # Three standard errors of the mean of 30 fits.
    assert abs(tobit.mean() - 0.7) < 3 * tobit.std() / np.sqrt(30)
    assert left_out.mean() < 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shuffled_onsets(X, X / 2, X, draws=9), "at least 100 draws, got 9"),
        (lambda: shuffled_onsets(X, X[:1], X), "each, got 9 in groks, 1 in onsets, 9 in groups"),
        (lambda: shuffled_onsets(X, X, X[1:]), "9 in groks, 9 in onsets, 8 in groups"),
        (
            lambda: shuffled_onsets(X, X / 2, np.where(X > 5e4, np.nan, 1.0)),
            "a group for every run, got 2 NaN",
        ),
        (lambda: shuffled_onsets(X, X / 2, X).contains(95.0), "confidence < 1, got 95"),
        (
            lambda: exponent_interval(X, X, np.arange(9), method="theil_sen", confidence=1.0),
            "confidence < 1",
        ),
        (
            lambda: censored_power_law(X, Times(X, np.zeros(9, dtype=bool))),
            "9 positive x for 9 runs with 0 onsets",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
