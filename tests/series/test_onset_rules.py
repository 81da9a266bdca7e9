"""Onset rules: by hand, on planted onsets, and the laws that each claims."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectraledge.series import (
    PUBLISHED_ONSETS,
    AboveFloor,
    BaselineOnset,
    ChangePoint,
    Records,
    RelativeRise,
)

NAN = float("nan")
PUBLISHED = PUBLISHED_ONSETS["published"]
RISE = RelativeRise(3, "running_minimum", 3, persistence=3, after=0, floor_factor=0)
KNOT = ChangePoint(1.0, 0.3, segment=4, after=0)
SHAPES = [RISE, RelativeRise(3, "first_median", 3, persistence=2, after=0, floor_factor=0), KNOT]


def records(*values, every=100, floor=None):
    return Records(every * np.arange(len(values)), np.array(values, dtype=float), floor)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([0.0, 1.0, 3.0, 19.0, 21.0, 45.0]), min_size=3, max_size=12))
def test_the_published_rule_by_brute_force(values):
    base = max(0.1, sorted(values[:3])[1])
    hits = [i for i, v in enumerate(values) if i >= 2 and v > 10 * base and v > 20]
    assert PUBLISHED.find(records(*values)).step == (100 * hits[0] if hits else None)


def test_both_published_thresholds_are_strict():
    assert PUBLISHED.find(records(2, 2, 2, 20, 20.1)).step == 400
    assert PUBLISHED.find(records(3, 3, 3, 30, 30.1)).step == 400


def test_the_slow_variant_asks_for_less():
    run = records(0.2, 0.2, 0.2, 6.0, 30.0)
    assert PUBLISHED_ONSETS["published_slow"].find(run).step == 300
    assert PUBLISHED.find(run).step == 400


def test_one_spike_is_an_onset_as_published_and_none_when_smoothed():
    run = records(2, 2, 2, 2, 500, 2, 2, 2, 2)
    assert PUBLISHED.find(run).step == 400
    assert PUBLISHED_ONSETS["published_smoothed"].find(run).step is None


def test_a_centred_window_knows_the_future():
    found = PUBLISHED_ONSETS["published_smoothed"].find(records(*[2] * 8, *[50] * 8))
    assert (found.step, found.alarm) == (800, 1000)


def test_missing_records_are_no_onset_and_leave_the_baseline():
    assert PUBLISHED.find(records(2, NAN, 2, NAN, 50)).step == 400
    assert PUBLISHED.find(records(NAN, NAN, NAN, 50)).step is None


def test_the_published_rule_depends_on_the_unit_and_the_corrected_ones_do_not():
    run = [2.0, 1.5, 1.8, 2, 2.1, 3, 7, 12, 22, 45, 90, 200, 400, 900]
    assert PUBLISHED.find(records(*run)).step == 800
    assert PUBLISHED.find(records(*np.multiply(run, 1e-3))).step is None
    for rule in SHAPES:
        found = [rule.find(records(*np.multiply(run, c))).step for c in (1e-6, 1.0, 1e6)]
        assert found[0] is not None
        assert len(set(found)) == 1


@pytest.mark.parametrize("every", [50, 100, 500])
def test_an_onset_on_the_third_record_is_the_cadence(every):
    # Risen long before the first record, as in runs measured rarely.
    found = PUBLISHED.find(records(0.3, 500, 800, 900, every=every))
    assert found.step is None  # its baseline is the risen signal
    found = PUBLISHED.find(records(0.3, 0.3, 800, 900, every=every))
    assert found.step == found.earliest == 2 * every
    assert found.cadence_limited
    assert not PUBLISHED.find(records(0.3, 0.3, 0.3, 900, every=every)).cadence_limited


def test_no_onset_still_says_the_earliest_possible():
    found = PUBLISHED.find(records(2, 2, 2, 2))
    assert (found.step, found.alarm, found.earliest) == (None, None, 200)
    assert not found.cadence_limited
    assert PUBLISHED.find(records(2, 2)).earliest is None


def test_relative_rise_starts_at_the_stretch_and_alarms_at_its_end():
    found = RISE.find(records(9, 9, 9, 4, 2, 2, 2, 7, 1, 7, 8, 9))
    # Levels are three times the smallest median of three so far: 6 from the seventh record on.
    assert (found.step, found.alarm, found.level) == (900, 1100, 6.0)


def test_relative_rise_after_memorisation_forgets_what_came_before():
    values = [0.1, 0.1, 0.1, 50, 50, 50, 50, 50, 50, 200, 200, 200]
    later = RelativeRise(3, "first_median", 3, persistence=3, after=300, floor_factor=0)
    assert RISE.find(records(*values)).step == 300
    assert later.find(records(*values)).step == 900


def test_a_rise_within_rounding_is_none():
    values = np.array([1e-9, 1e-9, 1e-9, 1e-8, 1e-8, 1e-8, 1e-4, 1e-4, 1e-4])
    run = records(*values, floor=np.full(9, 1e-7))
    floored = RelativeRise(3, "running_minimum", 3, persistence=3, after=0, floor_factor=10)
    assert RISE.find(run).step == 300
    assert floored.find(run).step == 600
    assert AboveFloor(10, persistence=3, after=0).find(run).step == 600


def test_persistence_keeps_noise_quiet():
    chance = np.random.default_rng(0)
    runs = [records(*np.exp(0.4 * chance.normal(size=100))) for _ in range(200)]
    alarms = [
        np.mean([
            RelativeRise(3, "first_median", 5, persistence=k, after=0, floor_factor=0)
            .find(run).step is not None
            for run in runs
        ])
        for k in (1, 3)
    ]  # fmt: skip
    assert alarms[0] > 0.3
    assert alarms[1] < 0.05


@pytest.mark.parametrize("knot", [600, 1000, 1500])
def test_the_change_point_finds_a_planted_knot(knot):
    chance, steps = np.random.default_rng(knot), np.arange(100, 3100, 100)
    power = np.where(steps <= knot, (steps / knot) ** 0.2, (steps / knot) ** 3.0)
    found = [
        KNOT.find(Records(steps, power * np.exp(0.1 * chance.normal(size=30)))) for _ in range(100)
    ]
    # Noise of 0.1 against a bend of 2.8 in log step: a shift of 10 % of t moves the fit by as much.
    assert np.median([f.step for f in found]) == pytest.approx(knot, rel=0.1)
    assert all(f.alarm == 3000 for f in found)


def test_the_change_point_is_the_least_residual_of_all_knots():
    chance, steps = np.random.default_rng(1), np.arange(50, 1050, 50)
    values = np.exp(chance.normal(size=20).cumsum())
    x, y = np.log(steps), np.log(values)
    residuals = {}
    for k in range(3, 17):
        design = np.stack([np.ones(20), x, np.maximum(0, x - x[k])], axis=1)
        residuals[steps[k]] = np.linalg.lstsq(design, y, rcond=None)[1][0]
    rule = ChangePoint(-np.inf, 0.0, segment=4, after=0)
    assert rule.find(Records(steps, values)).step == min(residuals, key=residuals.get)


def test_a_power_law_has_no_change_point():
    steps = np.arange(100, 3100, 100)
    chance = np.random.default_rng(2)
    assert KNOT.find(Records(steps, 1e-3 * steps**2.5)).step is None
    noisy = [steps**2.5 * np.exp(0.1 * chance.normal(size=30)) for _ in range(100)]
    assert sum(KNOT.find(Records(steps, v)).step is not None for v in noisy) <= 2


def test_a_falling_bend_is_no_onset():
    steps = np.arange(100, 3100, 100)
    values = np.where(steps <= 1000, steps**2.0, 1000.0**2)
    assert KNOT.find(Records(steps, values)).step is None


def test_too_few_records_have_no_change_point():
    found = KNOT.find(records(0, 1, 2, 3))
    assert (found.step, found.earliest) == (None, None)


@pytest.mark.parametrize("rule", [PUBLISHED, *SHAPES])
def test_causal_rules_know_at_the_alarm_what_they_say_later(rule):
    chance = np.random.default_rng(3)
    for _ in range(50):
        values = np.exp(0.1 * chance.normal(size=40)) * np.where(np.arange(40) > 20, 90, 1)
        run = records(*values, every=10)
        found = rule.find(run)
        if found.alarm is not None:
            again = rule.find(run.until(found.alarm))
            assert (again.step, again.alarm) == (found.step, found.alarm)


def test_records_until_since_and_at():
    run = records(1, NAN, 3, floor=np.arange(3.0))
    assert run.until(150).steps.tolist() == [0, 100]
    assert run.since(150).floor.tolist() == [2]
    assert (run.at(150), run.at(250), run.at(-1)) == (1, 3, pytest.approx(NAN, nan_ok=True))


def test_running_medians_by_hand():
    run = records(1, 5, NAN, 2, 8)
    np.testing.assert_array_equal(run.smoothed(3, centred=False), [1, 3, 3, 3.5, 5])
    np.testing.assert_array_equal(run.smoothed(3, centred=True), [3, 3, 3.5, 5, 5])
    assert records().smoothed(3, centred=False).size == 0


def untyped(kind, *values):
    """Constructed without the type checks that only tests install."""
    made = object.__new__(kind)
    getattr(kind.__init__, "__wrapped__", kind.__init__)(made, *values)
    return made


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Records(np.arange(2), np.zeros(3)), "2 steps and 3 values"),
        (lambda: Records(np.array([0, 0]), np.zeros(2)), "strictly ascending steps"),
        (lambda: records(1).smoothed(4, centred=True), "odd if centred, got 4"),
        (lambda: BaselineOnset(10, 20, 0, 0.1, 2, 1, False), "baseline_records >= 1"),
        (lambda: BaselineOnset(10, 20, 3, 0.1, 2, 0, False), "window >= 1, odd if centred, got 0"),
        (lambda: BaselineOnset(10, 20, 3, 0.1, 2, 4, True), "window >= 1, odd if centred, got 4"),
        (lambda: BaselineOnset(NAN, 20, 3, 0.1, 2, 1, False), "a number as factor, got nan"),
        (lambda: BaselineOnset(10, NAN, 3, 0.1, 2, 1, False), "a number as floor, got nan"),
        (lambda: BaselineOnset(10, 20, 3, NAN, 2, 1, False), "a number as least_baseline"),
        (lambda: RelativeRise(NAN, "first_median", 3, 1, 0, 0), "a number as factor, got nan"),
        (lambda: RelativeRise(2, "first_median", 3, 1, NAN, 0), "a number as after, got nan"),
        (lambda: RelativeRise(2, "first_median", 3, 1, 0, NAN), "a number as floor_factor"),
        (
            lambda: untyped(RelativeRise, 2, "running_minimun", 3, 1, 0, 0),
            "unknown reference 'running_minimun'; known: .*; did you mean 'running_minimum'",
        ),
        (lambda: RelativeRise(1, "first_median", 3, 1, 0, 0), "factor > 1"),
        (lambda: RelativeRise(2, "first_median", 3, 0, 0, 0), "persistence >= 1, got 0"),
        (lambda: AboveFloor(0.5, 1, 0), "factor >= 1, got 0.5"),
        (lambda: AboveFloor(NAN, 1, 0), "a number as factor, got nan"),
        (lambda: AboveFloor(2, 1, NAN), "a number as after, got nan"),
        (lambda: AboveFloor(2, 1, 0).find(records(1)), "records with a rounding floor"),
        (lambda: ChangePoint(1, 1.0, 3, 0), "least_gain < 1"),
        (lambda: ChangePoint(1, 0.5, 1, 0), "segment >= 2"),
        (lambda: ChangePoint(NAN, 0.5, 2, 0), "a number as least_change, got nan"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
