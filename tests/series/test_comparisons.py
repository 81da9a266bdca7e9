"""Adjusted p-values and paired tests against definitions, enumeration and simulated truth."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spectraledge.series import (
    benjamini_hochberg,
    holm,
    paired_difference,
    sign_flip_test,
    sign_test,
    simultaneous_confidence,
)

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_stepping_down_rejects(values, alpha):
    rejected, order = set(), np.argsort(values, kind="stable")
    for rank, index in enumerate(order):
        if values[index] * (len(values) - rank) > alpha:
            break
        rejected.add(int(index))
    assert set(np.flatnonzero(holm(values) <= alpha).tolist()) == rejected


@given(VALUES)
def test_benjamini_hochberg_by_its_definition(values):
    ordered, k = np.sort(values), len(values)
    for value, found in zip(values, benjamini_hochberg(values)):
        # The least q at which some cut i with p₍ᵢ₎ >= p has p₍ᵢ₎ <= q · i / k.
        cuts = [p * k / (i + 1) for i, p in enumerate(ordered) if p >= value]
        assert found == pytest.approx(min([*cuts, 1.0]))


@given(VALUES)
def test_adjusting_keeps_the_order_and_only_raises(values):
    for adjust in (holm, benjamini_hochberg):
        found = adjust(values)
        assert (found >= np.array(values) - 1e-15).all()
        assert (np.diff(found[np.argsort(values, kind="stable")]) >= -1e-15).all()
    assert (holm(values) >= benjamini_hochberg(values) - 1e-12).all()


def test_fourteen_intervals_against_one_control_hold_together():
    chance, level = np.random.default_rng(0), simultaneous_confidence(14)
    arms = chance.normal(size=(4000, 14, 8)) - chance.normal(size=(4000, 1, 8))
    reach = stats.t.ppf((1 + level) / 2, 7) * stats.sem(arms, axis=-1)
    misses = (np.abs(arms.mean(-1)) > reach).any(-1).mean()
    # 4000 trials at 5 % have a standard error of 0.35 %, so three of them. Sharing the control
    # makes the arms alike, and Bonferroni then errs less often than 5 %.
    assert 0.02 < misses <= 0.05 + 0.0105


def test_simultaneous_confidence_of_one_is_the_familys():
    assert simultaneous_confidence(1, 0.9) == pytest.approx(0.9)


def test_sign_flips_by_enumeration():
    values = np.array([0.5, -0.2, 1.1, 0.7, -0.1])
    sums = [np.dot(signs, values) for signs in itertools.product([-1, 1], repeat=5)]
    extreme = np.mean(np.abs(sums) >= abs(values.sum()) - 1e-12)
    assert float(sign_flip_test(values)) == pytest.approx(extreme)
    both = sign_flip_test(np.stack([values, -values], axis=1))
    np.testing.assert_allclose(both, [extreme, extreme])


def test_drawn_sign_flips_agree_with_all_of_them():
    values = np.random.default_rng(1).normal(0.4, 1, 16)
    exact = float(sign_flip_test(values))
    # A pair whose difference is zero changes no sum, but makes 17 pairs: these are drawn.
    drawn = float(sign_flip_test(np.append(values, 0.0), draws=20_000))
    # Four standard errors of a share among 20000 draws.
    assert abs(drawn - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)
    assert drawn == float(sign_flip_test(np.append(values, 0.0), draws=20_000))


def test_paired_difference_cancels_the_seeds():
    seeds = np.array([100.0, 2000.0, 30_000.0])
    found = paired_difference((seeds + np.arange(1, 4)).tolist(), seeds.tolist())
    assert str(found) == "2 [-0.484, 4.48] (n = 3)"


def test_sign_test_by_hand():
    assert sign_test([1.0] * 8, [0.0] * 8) == pytest.approx(2 / 2**8)
    # A tie is dropped: 3 of 4, p = 2 · 5 / 16.
    assert sign_test([1.0, 1.0, 1.0, 0.0, 5.0], [0.0, 0.0, 0.0, 1.0, 5.0]) == pytest.approx(0.625)
    assert sign_test([1.0], [1.0]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: holm([]), "at least one p-value"),
        (lambda: benjamini_hochberg([0.1, 1.2]), r"in \[0, 1\], got \[0.1, 1.2\]"),
        (lambda: simultaneous_confidence(0), "got comparisons=0 and family=0.95"),
        (lambda: simultaneous_confidence(3, 1.0), "family=1.0"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "got 1 and 2 values"),
        (lambda: sign_test([np.inf], [1.0]), "got 1 that are not; .* belong into Times"),
        (lambda: sign_flip_test(np.array([1.0, np.nan])), "got 1 that are not; .* into Times"),
        (lambda: sign_flip_test(np.array([[1.0, np.inf]])), "finite values, got 1"),
        (lambda: sign_flip_test(np.zeros(0)), "one pair and one draw, got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
