"""Survival curves, restricted means and rank tests against hand-worked examples and laws."""

import itertools

import numpy as np
import pytest
from scipy import stats

from spectraledge.series import (
    Times,
    kaplan_meier,
    log_rank,
    median_time,
    paired_log_rank,
    restricted_mean,
    restricted_mean_difference,
    time_ratio,
)

# Events at 2, 4 and 6, censored at 4 and 9: S = 4/5, 4/5 · 3/4, 3/5 · 1/2.
WORKED = Times(np.array([2.0, 4.0, 4.0, 6.0, 9.0]), np.array([True, True, False, True, False]))


def exponential(chance, count, rate=1.0, budget=np.inf):
    steps = chance.exponential(1 / rate, count)
    return Times(np.minimum(steps, budget), steps <= budget)


def scaled(times, factor):
    return Times(times.steps * factor, times.observed)


def test_kaplan_meier_by_hand():
    curve = kaplan_meier(WORKED)
    assert curve.steps.tolist() == [2, 4, 6, 9]
    np.testing.assert_allclose(curve.survival, [0.8, 0.6, 0.3, 0.3])
    np.testing.assert_allclose(
        curve.at(np.array([1, 2, 3.9, 4, 8, 9])), [1, 0.8, 0.8, 0.6, 0.3, 0.3]
    )
    assert np.isnan(curve.at(np.array([9.5]))).all()


def test_flags_may_be_zeros_and_ones():
    flags = Times(WORKED.steps, WORKED.observed.astype(int))
    assert flags.observed.dtype == bool
    np.testing.assert_array_equal(kaplan_meier(flags).survival, kaplan_meier(WORKED).survival)


def test_the_band_is_exponential_greenwood():
    curve = kaplan_meier(WORKED)
    # Σ d / (Y (Y − d)) up to each event: 1/20, + 1/12, + 1/2.
    greenwood = np.cumsum([1 / 20, 1 / 12, 1 / 2, 0])
    log_survival = np.log(curve.survival)
    reach = stats.norm.ppf(0.975) * np.sqrt(greenwood) / -log_survival
    np.testing.assert_allclose(curve.lower, np.exp(log_survival * np.exp(reach)))
    np.testing.assert_allclose(curve.upper, np.exp(log_survival * np.exp(-reach)))


def test_the_band_is_filled_where_greenwood_says_nothing():
    nobody, everybody = (Times.from_optional(found, 9) for found in ([None] * 3, [2, 5, 7]))
    assert (kaplan_meier(nobody).lower, kaplan_meier(nobody).upper) == (1, 1)
    curve = kaplan_meier(everybody)
    assert curve.lower[-1] == 0
    assert curve.upper[-1] == curve.upper[-2]


def test_median_is_the_first_step_at_one_half():
    assert median_time(WORKED).centre == 6
    assert str(median_time(Times.from_optional([3, None, None], 9))) == "inf [3, inf] (n = 3)"


def test_restricted_mean_is_the_area_under_the_curve():
    assert restricted_mean(WORKED, 8).centre == pytest.approx(2 + 2 * 0.8 + 2 * 0.6 + 2 * 0.3)
    chance = np.random.default_rng(0)
    steps, ends = chance.exponential(size=(2, 30))
    times = Times(np.minimum(steps, ends), steps <= ends)
    horizon = float(np.quantile(times.steps, 0.9))
    grid = (np.arange(200_000) + 0.5) / 200_000 * horizon
    # The midpoint rule errs by at most one cell per step of the staircase: 30 / 200000.
    area = kaplan_meier(times).at(grid).mean() * horizon
    assert restricted_mean(times, horizon).centre == pytest.approx(area, rel=5e-4)


def test_restricted_mean_of_an_exponential():
    horizon, rate = 1.5, 0.7
    found = restricted_mean(exponential(np.random.default_rng(1), 2000, rate, horizon), horizon)
    # Four standard errors; the interval reaches two.
    assert abs(found.centre - (1 - np.exp(-rate * horizon)) / rate) < found.upper - found.lower


def test_restricted_mean_has_greenwoods_variance():
    # Uncensored, so min(t, h) are the pseudo-values: Σ A² d / (Y (Y − d)) · n / (n − 1).
    times, horizon = Times.from_optional([2, 3, 5, 8, 13, None, None], 20), 10.0
    clipped = np.minimum(times.steps, horizon)
    events, watched = np.array([2, 3, 5, 8]), np.array([7, 6, 5, 4])
    areas = np.array([np.clip(clipped - t, 0, None).sum() / 7 for t in events])
    greenwood = (areas**2 / (watched * (watched - 1))).sum() * 7 / 6
    found = restricted_mean(times, horizon)
    logit = [np.log(x / (horizon - x)) for x in (found.lower, found.centre, found.upper)]
    reach = stats.t.ppf(0.975, 6) * np.sqrt(greenwood)
    expected = reach * horizon / (found.centre * (horizon - found.centre))
    np.testing.assert_allclose(np.diff(logit), expected)


def test_seeds_that_agree_do_not_make_the_interval_a_point():
    none = restricted_mean(Times.from_optional([None] * 8, 100), 100)
    assert none.centre == none.upper == 100
    # 8 of 8 would be censored with probability 0.025 if this share were, all others at once.
    assert none.lower == pytest.approx(100 * 0.025 ** (1 / 8))
    both = restricted_mean_difference(*[Times.from_optional([None] * 8, 100)] * 2, 100)
    assert both.centre == 0
    assert both.upper == -both.lower == pytest.approx(100 - none.lower)


def test_the_scale_of_time_does_not_matter():
    chance = np.random.default_rng(2)
    a, b = exponential(chance, 9, budget=2.0), exponential(chance, 9, 0.4, budget=2.0)
    for call in (
        lambda f: restricted_mean(scaled(a, f), 2 * f),
        lambda f: restricted_mean_difference(scaled(a, f), scaled(b, f), 2 * f),
        lambda f: median_time(scaled(a, f)),
    ):
        one, many = call(1.0), call(1000.0)
        np.testing.assert_allclose(
            [many.centre, many.lower, many.upper],
            [1000 * one.centre, 1000 * one.lower, 1000 * one.upper],
        )
    # Rank tests see any rising function of time alike.
    squares = [Times(t.steps**2, t.observed) for t in (a, b)]
    assert log_rank(a, b) == pytest.approx(log_rank(*squares))
    assert paired_log_rank(a, b) == paired_log_rank(*squares)


def test_swapping_arms_and_seeds():
    chance = np.random.default_rng(3)
    a, b = exponential(chance, 8, budget=1.5), exponential(chance, 8, 0.5, budget=1.5)
    forth, back = restricted_mean_difference(a, b, 1), restricted_mean_difference(b, a, 1)
    assert (forth.centre, forth.lower) == pytest.approx((-back.centre, -back.upper))
    assert paired_log_rank(a, b) == paired_log_rank(b, a)
    ratio, inverse = time_ratio(a, b, 1.5, 0.8), time_ratio(b, a, 1.5, 0.8)
    assert (ratio.lower, ratio.upper) == pytest.approx((1 / inverse.upper, 1 / inverse.lower))
    order = chance.permutation(8)
    shuffled = [Times(t.steps[order], t.observed[order]) for t in (a, b)]
    assert paired_log_rank(*shuffled) == paired_log_rank(a, b)


def observed_minus_expected(a, b):
    """Log-rank numerator, event by event."""
    total = 0.0
    for step in np.unique(np.concatenate([a.steps[a.observed], b.steps[b.observed]])):
        events = [(t.observed & (t.steps == step)).sum() for t in (a, b)]
        watched = [(t.steps >= step).sum() for t in (a, b)]
        total += events[0] - sum(events) * watched[0] / sum(watched)
    return total


def test_paired_log_rank_by_brute_force():
    chance = np.random.default_rng(4)
    for _ in range(5):
        # Rounded up, so that there are ties.
        steps = np.ceil(chance.exponential(4, size=(2, 6)))
        pairs, seen = np.minimum(steps, 7), steps <= 7
        numerators = []
        for swap in itertools.product([0, 1], repeat=6):
            rows, columns = np.array([swap, 1 - np.array(swap)]), np.arange(6)
            arms = [Times(pairs[row, columns], seen[row, columns]) for row in rows]
            numerators.append(observed_minus_expected(*arms))
        # Adding up in another order moves ties by rounding.
        extreme = np.abs(numerators) >= abs(numerators[0]) - 1e-9
        found = paired_log_rank(*(Times(p, s) for p, s in zip(pairs, seen)))
        assert found == pytest.approx(extreme.mean())


def test_log_rank_of_equal_arms_is_uniform():
    chance = np.random.default_rng(5)
    values = [log_rank(*(exponential(chance, 60, budget=1.2) for _ in "ab")) for _ in range(400)]
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_paired_log_rank_keeps_its_level_and_sees_more_than_the_unpaired():
    chance = np.random.default_rng(6)

    def rejections(ratio, runs):
        found = []
        for _ in range(runs):
            seed, arms = chance.normal(0, 0.6, 10), chance.normal(0, 0.3, (2, 10))
            steps = np.exp(seed + arms + np.log([[ratio], [1.0]]))
            a, b = (Times(np.minimum(t, 3.0), t <= 3) for t in steps)
            found.append([paired_log_rank(a, b) <= 0.05, log_rank(a, b) <= 0.05])
        return np.mean(found, axis=0)

    # 400 trials at 5 %: standard error 1.1 %, so three of them.
    assert rejections(1.0, 400)[0] <= 0.05 + 0.033
    weak, strong = rejections(1.3, 150), rejections(1.8, 150)
    assert 0.1 < weak[0] < strong[0]
    assert weak[0] > weak[1] + 0.2
    assert strong[0] > 0.8


def test_power_of_the_log_rank_grows_with_the_runs():
    chance = np.random.default_rng(7)
    power = [
        np.mean([log_rank(exponential(chance, n), exponential(chance, n, 0.4)) < 0.05
                 for _ in range(150)])
        for n in (6, 12, 30)
    ]  # fmt: skip
    assert power[0] < power[1] < power[2]
    assert power[2] > 0.85


def test_log_rank_without_events():
    none = Times.from_optional([None, None], 9)
    assert log_rank(none, none) == paired_log_rank(none, none) == 1
    assert np.isnan(time_ratio(none, none, 9).centre)


def test_time_ratio_of_exact_multiples():
    steps = np.array([3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 90.0])
    fast = Times(steps, np.ones(8, bool))
    found = time_ratio(scaled(fast, 4), fast, budget=400)
    assert found.lower <= 4 <= found.upper
    assert found.centre == pytest.approx(4, rel=0.05)
    # With half of the slow runs censored the ratio is still bounded below.
    slow = 4 * steps
    late = time_ratio(Times(np.minimum(slow, 50), slow <= 50),
                      Times(np.minimum(steps, 50), steps <= 50), budget=50)  # fmt: skip
    assert 1.2 < late.lower < 4
    few = time_ratio(scaled(Times(steps[:5], np.ones(5, bool)), 4),
                     Times(steps[:5], np.ones(5, bool)), budget=400)  # fmt: skip
    assert (few.lower, few.upper) == (0, np.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Times(np.zeros(0), np.zeros(0, bool)), "at least one run, got 0 steps"),
        (lambda: Times(np.ones(2), np.ones(3, bool)), "got 2 steps and 3 flags"),
        (lambda: Times(np.zeros(1), np.ones(1, bool)), "positive finite steps"),
        (lambda: Times(np.ones(2), np.array([0, 2])), r"observed as bools .* got \[2\]"),
        (lambda: Times.from_optional([3, 12], 9), r"within the budget of 9, got \[12\]"),
        (lambda: restricted_mean(WORKED, 10.0), "choose horizon <= 9"),
        (lambda: restricted_mean(WORKED, 0), "positive finite horizon, got 0"),
        (lambda: restricted_mean(WORKED, 8, confidence=1.0), "confidence < 1, got 1"),
        (lambda: restricted_mean_difference(WORKED, Times(np.ones(1), np.ones(1, bool)), 1),
         "same seeds in both arms, got 5 and 1"),
        (lambda: paired_log_rank(WORKED, Times(np.ones(1), np.ones(1, bool))), "got 5 and 1 runs"),
        (lambda: time_ratio(WORKED, WORKED, 9), "all had the budget of 9"),
        (lambda: time_ratio(WORKED, WORKED, 9, confidence=0.0), "confidence < 1, got 0"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("step", [300, 600, None])
def test_one_run_says_nothing_of_the_mean(step):
    found = restricted_mean(Times.from_optional([step], budget=600), 600)
    assert (found.centre, found.lower, found.upper, found.count) == (step or 600, 0, 600, 1)
