"""ROC, alarms and chosen thresholds against closed forms and planted truth.

The generators are seeded, so a measured coverage is a fixed number; bands allow for twice the
standard error of the trials.
"""

import numpy as np
import pytest
from scipy import stats

from spectraledge.series import (
    alarm_outcomes,
    alarm_scores,
    area_under_roc,
    choose_rule,
    choose_threshold,
    detection_rates,
    leave_one_unit_out,
    roc_curve,
    score_flags,
)


def scored(chance, seeds, positives, negatives, gap, shared=0.0):
    """Normal scores, those of grokking runs higher by `gap`; part of the noise is the seed's."""
    runs = positives + negatives
    units = np.repeat(np.arange(seeds), runs)
    positive = np.tile(np.arange(runs) < positives, seeds)
    noise = np.sqrt(1 - shared**2) * chance.normal(size=units.size)
    return gap * positive + noise + shared * chance.normal(size=seeds)[units], positive, units


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_the_chance_to_rank_a_pair_right(ties):
    scores, positive, units = scored(np.random.default_rng(0), 6, 3, 2, 1.0)
    scores = scores.round() if ties else scores
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert roc_curve(scores, positive).area == pytest.approx(np.mean(pairs))
    found = area_under_roc(scores, positive, units)
    assert found.interval.centre == pytest.approx(np.mean(pairs))
    assert (found.positives, found.negatives, found.interval.count) == (18, 12, 6)


def test_the_curve_runs_from_nothing_to_everything():
    scores, positive, _ = scored(np.random.default_rng(1), 5, 2, 2, 0.5)
    curve = roc_curve(scores, positive)
    assert (curve.false_alarms[0], curve.hits[0]) == (0, 0)
    assert (curve.false_alarms[-1], curve.hits[-1]) == (1, 1)
    assert (np.diff(curve.hits) >= 0).all()
    assert (np.diff(curve.false_alarms) >= 0).all()


def test_turning_the_score_turns_the_area():
    scores, positive, units = scored(np.random.default_rng(2), 8, 2, 2, 0.8)
    up, down = (area_under_roc(s, positive, units).interval for s in (scores, -scores))
    assert up.centre + down.centre == pytest.approx(1)
    # Both ends come from the same draws; the roots of the score interval are good to 1e-12.
    assert (up.lower, up.upper) == pytest.approx((1 - down.upper, 1 - down.lower), abs=1e-9)


@pytest.mark.parametrize(
    ("seeds", "positives", "negatives", "gap", "shared"),
    [(6, 2, 1, 0.0, 0.0), (12, 1, 1, 1.0, 0.0), (3, 4, 2, 2.5, 0.6), (8, 2, 2, 1.0, 0.6)],
)
def test_areas_are_covered(seeds, positives, negatives, gap, shared):
    chance, covered, areas = np.random.default_rng(3), [], []
    truth = stats.norm.cdf(gap / np.sqrt(2))
    for _ in range(150):
        runs = scored(chance, seeds, positives, negatives, gap, shared)
        found = area_under_roc(*runs, resamples=100).interval
        covered.append(found.lower <= truth <= found.upper)
        areas.append(found.centre)
    # By construction at least 95 %, and more where the two intervals differ.
    assert np.mean(covered) >= 0.92
    if not gap:
        # Identical distributions: one half, within three standard errors.
        assert abs(np.mean(areas) - 0.5) < 3 * np.std(areas) / np.sqrt(150)


def test_a_perfect_score_on_few_runs_is_no_certainty():
    scores, positive = np.arange(6.0), np.arange(6) > 2
    found = area_under_roc(scores, positive, np.arange(6))
    assert (found.interval.centre, found.interval.upper) == (1, 1)
    assert found.interval.lower < 0.75
    # All of C(6, 3) = 20 orders, two-sided.
    assert found.p_value == pytest.approx(0.1)


def test_alarms_as_scores():
    assert alarm_scores([5, None, 20], 10).tolist() == [-5, -np.inf, -np.inf]
    grok = np.array([True, True, False, False])
    early = roc_curve(alarm_scores([5, 9, 8, None], 10), grok)
    assert early.area == 0.75


def test_alarms_by_hand():
    # A hit, a late one, one after the horizon, none; two false of four.
    alarms, groks = [100, 900, 3000, None, 50, None, 60, 2500], [700, 800, 4000, 500] + [None] * 4
    found = alarm_outcomes(alarms, groks, horizon=2000)
    assert (found.hits, found.late, found.leads) == (1, 1, (600.0,))
    assert found.miss.centre == 0.75
    assert found.false_alarm.centre == 0.5
    beta = stats.beta.ppf([0.025, 0.975], [2, 3], [3, 2])
    assert (found.false_alarm.lower, found.false_alarm.upper) == pytest.approx(tuple(beta))


def test_nan_is_no_alarm_and_no_grok_step():
    alarms, groks = [100, None, None, 50], [700, 800, None, None]
    nan = float("nan")
    marked = [[nan if step is None else step for step in steps] for steps in (alarms, groks)]
    found, same = alarm_outcomes(alarms, groks, 2000), alarm_outcomes(*marked, 2000)
    assert (same.hits, same.late, same.leads) == (found.hits, found.late, found.leads)
    assert (same.miss, same.false_alarm) == (found.miss, found.false_alarm)
    assert alarm_scores([5, nan, 20], 10).tolist() == [-5, -np.inf, -np.inf]


def test_a_rule_that_always_fires_has_leads_and_says_nothing():
    found = alarm_outcomes([10] * 18, [3000] * 12 + [None] * 6, horizon=2000)
    assert (found.hits, found.miss.centre, found.false_alarm.centre) == (12, 0, 1)
    scores = alarm_scores([10] * 18, 2000)
    assert roc_curve(scores, np.arange(18) < 12).area == 0.5


def test_the_chosen_threshold_is_the_best_of_all():
    scores, positive, _ = scored(np.random.default_rng(4), 10, 2, 2, 1.0)
    for most in (0.0, 0.2, 1):
        chosen = choose_threshold(scores, positive, most_false_alarms=most)
        found = detection_rates(scores >= chosen, positive)
        assert found.false_alarm.centre <= most
        others = [detection_rates(scores >= t, positive) for t in scores]
        allowed = [r for r in others if r.false_alarm.centre <= most]
        key = "youden" if most == 1 else "miss"
        best = (
            max(r.youden for r in allowed) if key == "youden"
            else 1 - min(r.miss.centre for r in allowed)
        )  # fmt: skip
        assert (found.youden if key == "youden" else 1 - found.miss.centre) == pytest.approx(best)


def test_nothing_is_flagged_where_nothing_may_be():
    scores, positive = np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    assert choose_threshold(scores, positive, most_false_alarms=0.0) == np.inf


def test_choosing_on_noise_is_optimistic_and_testing_is_not():
    chance, optimism, tested = np.random.default_rng(5), [], []
    for _ in range(120):
        scores, positive, units = scored(chance, 6, 2, 2, 0.0)
        flags = score_flags(scores, np.unique(scores))
        found = choose_rule(flags, positive, units < 3, most_false_alarms=1)
        optimism.append(found.optimism)
        tested.append(found.tested_on.youden)
    assert np.mean(optimism) > 0.2
    # Scores that say nothing: three standard errors.
    assert abs(np.mean(tested)) < 3 * np.std(tested) / np.sqrt(120)


def test_leaving_each_seed_out_is_honest_too():
    chance, honest, pretended = np.random.default_rng(6), [], []
    for _ in range(60):
        scores, positive, units = scored(chance, 6, 2, 2, 0.0)
        flags = score_flags(scores, np.quantile(scores, np.linspace(0, 1, 9)))
        rates, optimism, picks = leave_one_unit_out(flags, positive, units, most_false_alarms=1)
        honest.append(rates.youden)
        pretended.append(rates.youden + optimism)
        assert len(picks) == 6
    assert np.mean(pretended) > 0.1
    # Leaving out tilts what is left against the seed, so a little below zero.
    assert -0.2 < np.mean(honest) < 0.05


def test_a_good_score_keeps_its_rates():
    scores, positive, units = scored(np.random.default_rng(7), 10, 3, 3, 4.0)
    flags = score_flags(scores, np.linspace(-2, 6, 30))
    found = choose_rule(flags, positive, units < 5, most_false_alarms=0.1)
    # A gap of four standard deviations: 0.95 at best, and 0.1 false alarms were allowed.
    assert found.tested_on.youden > 0.7
    assert abs(found.optimism) < 0.3


LABELLED = [
    lambda labels, scores, units: roc_curve(scores, labels).area,
    lambda labels, scores, units: area_under_roc(scores, labels, units),
    lambda labels, scores, units: choose_threshold(scores, labels, most_false_alarms=0.3),
    lambda labels, scores, units: detection_rates(labels, np.roll(labels, 1)),
    lambda labels, scores, units: choose_rule(
        np.stack([labels, np.roll(labels, 1)]), labels, np.roll(labels, 1), most_false_alarms=1
    ),
    lambda labels, scores, units: leave_one_unit_out(
        np.stack([labels, np.roll(labels, 1)]), labels, units, most_false_alarms=1
    ),
]


@pytest.mark.parametrize("call", LABELLED)
@pytest.mark.parametrize("dtype", [int, np.uint8, float])
def test_zeros_and_ones_are_labels_too(call, dtype):
    scores, positive, units = scored(np.random.default_rng(8), 6, 3, 2, 1.0)
    assert call(positive.astype(dtype), scores, units) == call(positive, scores, units)


@pytest.mark.parametrize("call", LABELLED)
@pytest.mark.parametrize(
    ("value", "message"),
    [(2, r"as 0 and 1, got \[2\]; say which"), (-1, r"got \[-1\]"), (0.5, r"got \[0.5\]"),
     (np.nan, r"got \[nan\]"), ("yes", "got dtype <U")],
)  # fmt: skip
def test_other_labels_are_refused(call, value, message):
    scores, positive, units = scored(np.random.default_rng(8), 6, 3, 2, 1.0)
    labels = np.where(positive, np.array(value), np.array(value) if value == "yes" else 0)
    with pytest.raises(ValueError, match=message):
        call(labels, scores, units)


KINDS = np.array([True, False])
THREE = np.array([True, False, True])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roc_curve(np.array([1.0, np.nan]), KINDS), "without NaN, got 1"),
        (lambda: roc_curve(np.ones(2), np.ones(2, dtype=bool)), "got 2 and 0"),
        (lambda: roc_curve(np.ones(3), KINDS), "each, got 3 in scores, 2 in positive"),
        (lambda: area_under_roc(np.ones(2), THREE, np.arange(2)), "2 in scores, 3 in positive"),
        (lambda: area_under_roc(np.ones(2), KINDS, np.arange(3)), "2 in scores, 3 in units"),
        (lambda: detection_rates(THREE, KINDS), "got 3 in flagged, 2 in positive"),
        (lambda: choose_threshold(np.ones(2), THREE, most_false_alarms=1), "3 in positive"),
        (
            lambda: choose_rule(THREE[None], KINDS, KINDS, most_false_alarms=1),
            "3 in flags, 2 in positive, 2 in choosing",
        ),
        (
            lambda: leave_one_unit_out(KINDS[None], KINDS, np.arange(3), most_false_alarms=1),
            "2 in flags, 2 in positive, 3 in units",
        ),
        (lambda: alarm_outcomes([1], [2, 3], 10), "per run, got 1 and 2"),
        (lambda: alarm_outcomes([1], [2], np.nan), "a step as the horizon, got nan"),
        (lambda: alarm_scores([1], np.nan), "a step as the horizon, got nan"),
        (lambda: alarm_outcomes([1], [2], 10), "non-grokking runs, got 1 and 0"),
        (lambda: detection_rates(KINDS, ~KINDS | True), "got 2 and 0"),
        (
            lambda: choose_threshold(np.ones(2), KINDS, most_false_alarms=2),
            "most_false_alarms <= 1",
        ),
        (
            lambda: choose_rule(KINDS[None], KINDS, KINDS, most_false_alarms=1),
            "for choosing, got 1 and 0; split otherwise",
        ),
        (
            lambda: leave_one_unit_out(KINDS[None], KINDS, np.zeros(2, int), most_false_alarms=1),
            "at least two units",
        ),
        (
            lambda: leave_one_unit_out(KINDS[None], KINDS, np.arange(2), most_false_alarms=1),
            "without unit 0, got one kind",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
