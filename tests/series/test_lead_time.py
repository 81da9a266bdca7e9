"""Leads with censored runs, their denominators, and sign tests against enumeration."""

import itertools

import numpy as np
import pytest

from spectraledge.series import LeadTimes, lead_times, sign_test

NAN = float("nan")
# Both, no onset, no grok, neither, tied, late.
ONSETS = [1000, None, 500, None, 800, 900]
GROKS = [3000, 2000, None, None, 800, 700]


def leads(onsets=ONSETS, groks=GROKS, units=None, last=5000):
    count = len(onsets)
    found = lead_times(
        onsets, {"grok_90": groks}, watched=[last] * count, units=units or list(range(count))
    )
    return found["grok_90"]


def test_leads_and_what_is_missing():
    np.testing.assert_array_equal(leads().leads, [2000, NAN, NAN, NAN, 0, -200])
    assert leads().counts() == {"both": 3, "no_onset": 1, "no_grok": 1, "neither": 1}


def test_bounds_of_censored_leads():
    low, high = leads().bounds
    np.testing.assert_array_equal(low, [2000, -np.inf, 4500, -np.inf, 0, -200])
    np.testing.assert_array_equal(high, [2000, -3000, np.inf, np.inf, 0, -200])


def test_watching_longer_keeps_the_truth_within_the_bounds():
    chance = np.random.default_rng(0)
    onsets, groks = chance.uniform(1, 1000, (2, 300)).round()
    truth = groks - onsets
    for last in (200, 500, 900):
        seen = [np.where(x <= last, x, NAN) for x in (onsets, groks)]
        run = LeadTimes("grok_90", *seen, np.full(300, float(last)), np.arange(300))
        low, high = run.bounds
        assert ((low <= truth) & (truth <= high)).all()


def test_each_rule_has_its_own_leads():
    found = lead_times(
        [100], {"grok_50": [300], "grok_90": [None]}, watched=[400], units=[0]
    )  # fmt: skip
    assert found["grok_50"].leads[0] == 200
    assert np.isnan(found["grok_90"].leads[0])
    assert found["grok_90"].rule == "grok_90"


def test_normalised_by_each_denominator():
    run = leads([1000], [3000])
    assert run.normalised(by="grok")[0] == pytest.approx(2 / 3)
    other = np.array([4000.0])
    assert run.normalised(by="grok_of_another_rule", reference=other)[0] == 0.5
    memorised = np.array([500.0])
    assert run.normalised(by="delay_since", reference=memorised)[0] == pytest.approx(0.8)
    # No delay, no share.
    assert np.isnan(run.normalised(by="delay_since", reference=np.array([3000.0]))[0])


def test_the_mean_is_over_units():
    run = leads([0, 0, 0, 0], [100, 300, 1000, 1000], units=[1, 1, 2, 2])
    assert run.mean().centre == 600
    assert run.mean().count == 2


def test_sign_test_counts():
    found = leads().sign_test()
    assert (found.positive, found.negative, found.tied, found.missed) == (1, 2, 1, 1)
    dropped = leads().sign_test(missed="dropped")
    assert (dropped.positive, dropped.negative, dropped.tied, dropped.missed) == (1, 1, 1, 1)


def test_all_positive_leads_give_the_published_p_value():
    found = leads([1] * 12, [2] * 12).sign_test()
    assert found.one_sided == pytest.approx(2**-12)
    assert found.two_sided == pytest.approx(2 * 2**-12)
    # Independent runs: turning units is turning runs.
    assert found.by_unit == pytest.approx(sign_test([2.0] * 12, [1.0] * 12))


def test_units_turn_together():
    chance = np.random.default_rng(1)
    units = np.repeat(np.arange(4), 3)
    for _ in range(10):
        signs = chance.choice([-1, 1], 12)
        run = leads([100] * 12, (100 + 50 * signs).tolist(), units=units.tolist())
        sums = np.abs([
            (np.repeat(turn, 3) * signs).sum() for turn in itertools.product([-1, 1], repeat=4)
        ])  # fmt: skip
        assert run.sign_test().by_unit == pytest.approx((sums >= abs(signs.sum())).mean())


def test_the_test_by_unit_holds_its_level_where_the_plain_one_does_not():
    # Eight seeds decide the sign of all their four runs.
    chance, rejected = np.random.default_rng(2), np.zeros(2)
    for _ in range(300):
        signs = np.repeat(chance.choice([-1, 1], 8), 4)
        run = leads([100] * 32, (100 + 50 * signs).tolist(), units=np.repeat(range(8), 4).tolist())
        found = run.sign_test()
        rejected += np.array([found.two_sided <= 0.05, found.by_unit <= 0.05]) / 300
    assert rejected[0] > 0.2
    # At most 5 %, plus twice the standard error of 300 trials.
    assert rejected[1] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def untyped(function):
    """Without the type checks that only tests install."""
    return getattr(function, "__wrapped__", function)


def test_nothing_decided_is_no_evidence():
    found = leads([None], [None]).sign_test()
    assert (found.one_sided, found.two_sided, found.by_unit) == (1, 1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leads([], []), "per run, got"),
        (lambda: leads([1], [2, 3]), r"per run, got \[1, 2, 1, 1\]"),
        (lambda: leads([9000], [None]), r"runs \[0\] with an onset or a grok step after"),
        (
            lambda: leads(last=NAN),
            r"last step of every run, got NaN for runs \[0, 1, 2, 3, 4, 5\]",
        ),
        (
            lambda: untyped(LeadTimes.normalised)(leads(), by="delay", reference=np.ones(6)),
            "unknown denominator 'delay'; known: grok, .*; did you mean 'delay_since'",
        ),
        (
            lambda: untyped(LeadTimes.sign_test)(leads(), missed="droped"),
            "unknown missed 'droped'; known: against, dropped; did you mean 'dropped'",
        ),
        (lambda: leads().normalised(by="delay_since"), "got by='delay_since' with none"),
        (lambda: leads().normalised(by="grok", reference=np.ones(6)), "'grok' with some"),
        (lambda: leads([None], [5]).mean(), "a run with onset and grok_90"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
