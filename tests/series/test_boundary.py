"""Boundaries and their difference against oracles, symmetries and what cannot be known."""

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special

from spectraledge.series import (
    Attempts,
    boundary_difference,
    isotonic_boundary,
    logistic_boundary,
)
from spectraledge.series.logistic import firth_logistic

FRACTIONS = np.round(np.arange(0.3, 0.76, 0.05), 2)


def grid(outcomes, fractions=FRACTIONS):
    """Attempts from a table of seeds by fractions."""
    seeds, places = outcomes.shape
    return Attempts(
        np.tile(fractions, seeds), outcomes.ravel(), np.repeat(np.arange(seeds), places)
    )


def drawn(chance, centres, slope=60.0, fractions=FRACTIONS):
    odds = slope * (fractions - np.asarray(centres)[:, None])
    return grid(chance.random(odds.shape) < special.expit(odds), fractions)


def test_firth_by_direct_maximisation():
    chance = np.random.default_rng(0)
    trials = np.full((6, len(FRACTIONS)), 7.0)
    chances = special.expit(chance.normal(30, 20, (6, 1)) * (FRACTIONS - 0.5))
    success = chance.binomial(7, chances).astype(float)
    fits = firth_logistic(FRACTIONS, success, trials)
    design = np.stack([np.ones(len(FRACTIONS)), (FRACTIONS - fits.centre) / fits.scale], axis=1)
    for row in range(6):

        def loss(both, row=row):
            odds = design @ both
            weights = trials[row] * special.expit(odds) * special.expit(-odds)
            information = (design * weights[:, None]).T @ design
            likelihood = success[row] @ odds - trials[row] @ np.logaddexp(0, odds)
            return -likelihood - np.linalg.slogdet(information)[1] / 2

        best = optimize.minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-7}).x
        # BFGS with numerical gradients finds the place to about the root of its precision.
        np.testing.assert_allclose([fits.intercept[row], fits.slope[row]], best, atol=1e-4)


def test_the_covariance_is_the_inverse_information_at_the_fit():
    fits = firth_logistic(FRACTIONS, np.arange(10.0)[None], np.full((1, 10), 9.0))
    z = (FRACTIONS - fits.centre) / fits.scale
    chance = special.expit(fits.intercept + fits.slope * z)
    design = np.stack([np.ones(10), z], axis=1)
    information = design.T @ (design * (9 * chance * (1 - chance))[:, None])
    # The last Newton step is below 1e-8.
    np.testing.assert_allclose(np.linalg.inv(information), fits.covariance[0], atol=1e-8)


def test_many_seeds_find_the_curve():
    chance = np.random.default_rng(1)
    found = logistic_boundary(drawn(chance, np.full(800, 0.517), slope=40), resamples=100)
    assert found.position == "inside"
    assert not found.separated
    assert abs(found.interval.centre - 0.517) < 3 * found.standard_error < 0.006
    # Four standard errors of the slope: its relative error is 2.8 % (Fisher information).
    assert found.slope == pytest.approx(40, rel=0.11)
    assert found.width == pytest.approx(2 * np.log(9) / found.slope)
    easy = logistic_boundary(drawn(chance, np.full(800, 0.517), slope=40), level=0.8, resamples=100)
    assert abs(easy.interval.centre - 0.517 - np.log(4) / 40) < 3 * easy.standard_error


def test_separated_outcomes_give_the_middle_of_the_gap():
    found = logistic_boundary(grid(np.tile(FRACTIONS > 0.51, (6, 1))))
    assert found.separated
    assert found.interval.centre == pytest.approx(0.525, abs=0.001)
    assert np.isfinite(found.slope)
    # All seeds agree, so the bootstrap sees nothing; the interval still spans most of the gap.
    assert 0.6 < (found.interval.upper - found.interval.lower) / 0.05 < 1.5
    stairs = isotonic_boundary(grid(np.tile(FRACTIONS > 0.51, (6, 1))))
    assert stairs.interval.centre == pytest.approx(0.525)


@pytest.mark.parametrize("boundary", [logistic_boundary, isotonic_boundary])
def test_places_move_with_the_fractions(boundary):
    attempts = drawn(np.random.default_rng(2), [0.48, 0.5, 0.52, 0.55, 0.57])
    one = boundary(attempts)
    moved = boundary(replace(attempts, fractions=attempts.fractions / 2 + 0.1))
    np.testing.assert_allclose(
        [moved.interval.centre, moved.interval.lower, moved.interval.upper],
        [x / 2 + 0.1 for x in (one.interval.centre, one.interval.lower, one.interval.upper)],
    )
    # Success and failure exchanged, fractions mirrored: the boundary is mirrored.
    mirrored = boundary(Attempts(1 - attempts.fractions, ~attempts.success, attempts.units))
    assert mirrored.interval.centre == pytest.approx(1 - one.interval.centre)
    assert mirrored.standard_error == pytest.approx(one.standard_error)


def test_the_same_input_gives_the_same_output_in_any_order():
    attempts = drawn(np.random.default_rng(3), [0.48, 0.5, 0.55, 0.6])
    order = np.random.default_rng(4).permutation(attempts.units.size)
    shuffled = Attempts(attempts.fractions[order], attempts.success[order], attempts.units[order])
    assert logistic_boundary(attempts) == logistic_boundary(shuffled)
    assert logistic_boundary(attempts, seed=1) != logistic_boundary(attempts)


def test_isotonic_boundary_by_hand():
    # Shares 0, 1/4, 1/2 pooled from (3/4, 1/4), 1: the stretch at one half has its middle.
    success = np.array([[0, 0, 1, 0, 1], [0, 0, 1, 0, 1], [0, 1, 1, 0, 1], [0, 0, 0, 1, 1]], bool)
    five = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert isotonic_boundary(grid(success, five)).interval.centre == pytest.approx(0.35)
    # Three quarters lie halfway between 1/2 at 0.4 and 1 at 0.5.
    found = isotonic_boundary(grid(success, five), level=0.75)
    assert found.interval.centre == pytest.approx(0.45)


def test_a_boundary_outside_the_range_is_not_extrapolated():
    everywhere, nowhere = (grid(np.full((8, 10), yes)) for yes in (True, False))
    for boundary in (logistic_boundary, isotonic_boundary):
        below, above = boundary(everywhere), boundary(nowhere)
        assert (str(below), str(above)) == ("below 0.3 (n = 8)", "above 0.75 (n = 8)")
        # 8 of 8 at 0.3 already reject a share of one half there.
        assert (below.interval.lower, below.interval.upper) == (-np.inf, 0.3)
        assert (above.interval.lower, above.interval.upper) == (0.75, np.inf)
    # Four of four do not: 1/16 > 0.05.
    assert logistic_boundary(grid(np.full((4, 10), True))).interval.upper == np.inf


def test_an_end_that_leaves_the_range_is_infinite():
    found = logistic_boundary(drawn(np.random.default_rng(5), [0.25, 0.32, 0.33, 0.34, 0.42]))
    assert found.position == "inside"
    assert found.interval.lower == -np.inf
    assert np.isfinite(found.interval.upper)


def test_success_that_falls_has_no_boundary():
    falling = grid(np.tile(FRACTIONS < 0.5, (6, 1)))
    found = logistic_boundary(falling)
    assert found.position == "unclear"
    assert str(found) == "unclear in [0.3, 0.75] (n = 6)"
    assert found.slope < 0
    difference = boundary_difference(falling, grid(np.tile(FRACTIONS > 0.5, (6, 1))))
    assert str(difference) == "nan (n = 6, no interval)"


def test_one_seed_has_no_interval():
    found = logistic_boundary(grid(FRACTIONS[None] > 0.51))
    assert str(found) == "0.525 (n = 1, no interval)"
    two = [grid(FRACTIONS[None] > x) for x in (0.41, 0.51)]
    assert "no interval" in str(boundary_difference(*two))


def test_the_difference_is_antisymmetric_and_cancels_the_seeds():
    chance, shifts = np.random.default_rng(6), np.array([-0.09, -0.06, -0.02, 0, 0.02, 0.06, 0.09])
    a, b = drawn(chance, 0.56 + shifts, 200), drawn(chance, 0.5 + shifts, 200)
    forth, back = boundary_difference(a, b), boundary_difference(b, a)
    assert (forth.centre, forth.lower) == pytest.approx((-back.centre, -back.upper))
    own = logistic_boundary(a).interval
    assert forth.upper - forth.lower < 0.6 * (own.upper - own.lower)
    assert forth.lower < 0.06 < forth.upper


def test_arms_may_be_tried_at_different_fractions():
    chance, shifts = np.random.default_rng(7), np.array([-0.03, -0.01, 0, 0.01, 0.03, 0.04])
    low, high = np.round(np.arange(0.2, 0.5, 0.05), 2), np.round(np.arange(0.5, 0.8, 0.05), 2)
    a = drawn(chance, 0.65 + shifts, fractions=high)
    found = boundary_difference(a, drawn(chance, 0.35 + shifts, fractions=low))
    assert found.lower < 0.3 < found.upper
    assert found.upper - found.lower < 0.15


def test_a_difference_with_an_arm_outside_has_one_end():
    inside, below = grid(np.tile(FRACTIONS > 0.51, (8, 1))), grid(np.full((8, 10), True))
    found = boundary_difference(below, inside)
    assert (found.centre, found.lower) == (-np.inf, -np.inf)
    # At most 0.3 minus the lower end of the other arm.
    assert found.upper == pytest.approx(0.3 - logistic_boundary(inside).interval.lower)
    assert np.isnan(boundary_difference(below, below).centre)


def test_a_thousand_resamples_take_less_than_a_second():
    attempts = drawn(np.random.default_rng(8), np.linspace(0.45, 0.55, 8))
    logistic_boundary(attempts, resamples=100)
    start = time.perf_counter()
    logistic_boundary(attempts, resamples=1000)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Attempts(np.ones(2), np.ones(3, bool), np.arange(2)), "got 2, 3 and 2"),
        (lambda: Attempts(np.arange(2.0), np.array([0, 3]), np.arange(2)),
         r"success as bools .* got \[3\]"),
        (lambda: Attempts(np.full(2, 0.3), np.ones(2, bool), np.arange(2)),
         r"at least two different ones, got \[0.3\]"),
        (lambda: logistic_boundary(grid(np.eye(2, dtype=bool), FRACTIONS[:2]), level=1.0),
         "0 < level < 1, got 1.0"),
        (lambda: isotonic_boundary(grid(np.eye(2, dtype=bool), FRACTIONS[:2]), confidence=0.0),
         "0 < confidence < 1, got 0.0"),
        (lambda: logistic_boundary(grid(np.eye(2, dtype=bool), FRACTIONS[:2]), resamples=9),
         "at least 100 resamples, got 9"),
        (lambda: boundary_difference(*(grid(np.eye(n, 10, dtype=bool)) for n in (2, 3))),
         r"same seeds in both arms, got \(0, 1\) and \(0, 1, 2\)"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
