"""The plan for finding a boundary: where it ends, and that any restart plans the same."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectraledge.series import Bisection

PLAN = Bisection(0.1, 0.9, trials=5, resolution=0.05, ladder=5, spacing=0.05)


def follow(plan, boundary):
    """Fractions in the order tried, where all runs above the boundary generalise."""
    observations = {}
    while fractions := plan.next_fractions(observations):
        for fraction in fractions:
            observations[fraction] = (plan.trials if fraction > boundary else 0, plan.trials)
    return observations


@given(st.floats(0.1, 0.9), st.sampled_from([0.02, 0.05, 0.1]))
def test_it_closes_in_on_the_boundary(boundary, resolution):
    plan = Bisection(0.1, 0.9, resolution=resolution, ladder=5, spacing=0.05)
    observations = follow(plan, boundary)
    low, high, middle = plan.bracket(observations)
    assert middle is None
    # Rounding a middle to three decimals moves it by half of 0.001 at each level.
    assert high - low <= resolution + 1e-9
    assert low - 1e-3 <= boundary <= high + 1e-3
    levels = math.ceil(math.log2(0.8 / resolution))
    assert len(observations) <= levels + 1 + plan.ladder
    assert all(0.1 <= f <= 0.9 and round(f, 3) == f for f in observations)
    # The ladder surrounds what was found, as far as the bracket allows.
    below, above = ([f for f in observations if side * (f - boundary) > 0] for side in (-1, 1))
    assert not below or boundary - max(below) <= 0.05 + 1e-3
    assert not above or min(above) - boundary <= 0.05 + 1e-3


@given(st.floats(0.1, 0.9), st.integers(0, 12), st.randoms())
def test_a_restart_plans_the_same(boundary, kept, chance):
    whole = follow(PLAN, boundary)
    items = list(whole.items())[:kept]
    expected = PLAN.next_fractions(dict(items))
    chance.shuffle(items)
    assert PLAN.next_fractions(dict(items)) == expected
    assert set(expected) <= set(whole)


def test_the_majority_decides():
    assert PLAN.next_fractions({0.5: (3, 5)}) == (0.3,)
    assert PLAN.next_fractions({0.5: (2, 5)}) == (0.7,)


def test_a_fraction_with_too_few_runs_is_asked_for_again():
    assert PLAN.next_fractions({0.5: (3, 4)}) == (0.5,)
    assert PLAN.next_fractions({0.5000001: (5, 5)}) == (0.3,)
    done = follow(PLAN, 0.42)
    done[max(done)] = (2, 4)
    assert PLAN.next_fractions(done) in {(max(done),), (0.5,)}


def test_the_ladder_stays_in_the_bracket():
    low, high = follow(PLAN, 0.0), follow(PLAN, 1.0)
    assert {0.1, 0.15, 0.2, 0.25, 0.3} <= set(low)
    assert {0.7, 0.75, 0.8, 0.85, 0.9} <= set(high)
    short = Bisection(0.4, 0.5, resolution=0.05, ladder=9, spacing=0.05)
    assert set(follow(short, 0.44)) <= {0.4, 0.45, 0.5}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Bisection(0.9, 0.1), "low < high <= 1, got 0.9 and 0.1"),
        (lambda: Bisection(0.1, 0.9, trials=4), "odd number of trials and ladder >= 1, got 4"),
        (lambda: Bisection(0.1, 0.9, ladder=0), "ladder >= 1, got 5 and 0"),
        (lambda: Bisection(0.1, 0.9, resolution=0.0), "resolution >= 0.002"),
        (lambda: PLAN.next_fractions({0.5: (6, 5)}), "got 6 of 5 at 0.5"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
