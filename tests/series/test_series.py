"""Onsets and intervals against brute force and simulated truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectraledge.series import first_held, mean_interval, proportion_interval


@given(
    st.lists(st.sampled_from([0.2, 0.96, float("nan")]), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_first_held_by_brute_force(values, patience):
    steps = 100 * np.arange(len(values))
    found = first_held(steps, np.array(values), threshold=0.95, patience=patience)
    stretches = [
        i
        for i in range(len(values) - patience + 1)
        if all(v >= 0.95 for v in values[i : i + patience])
    ]
    assert found == (100 * stretches[0] if stretches else None)


def test_first_held_below():
    steps = np.arange(4)
    assert (
        first_held(steps, np.array([9.0, 3.0, 8.0, 2.0]), threshold=3.0, patience=1, below=True)
        == 1
    )


def test_patience_below_one_is_refused():
    with pytest.raises(ValueError, match="patience >= 1, got 0"):
        first_held(np.arange(2), np.zeros(2), threshold=1.0, patience=0)


def test_a_step_may_repeat_and_not_descend():
    steps, values = np.array([0, 100, 100, 200]), np.array([0.0, 0.0, 1.0, 1.0])
    assert first_held(steps, values, threshold=1.0, patience=2) == 100
    with pytest.raises(ValueError, match="ascending steps, got 200 before 100"):
        first_held(np.array([0, 200, 100]), values[:3], threshold=1.0, patience=1)


def test_one_value_too_few_is_refused():
    with pytest.raises(ValueError, match="one value per step, got 3 and 2"):
        first_held(np.arange(3), np.zeros(2), threshold=1.0, patience=1)


def test_t_interval_covers_the_mean():
    chance = np.random.default_rng(0)
    samples = chance.normal(3.0, 2.0, size=(2000, 4))
    hits = [i.lower <= 3.0 <= i.upper for i in map(mean_interval, samples.tolist())]
    # 2000 trials at 95 %: standard error 0.5 %, so four of them are 2 %.
    assert abs(np.mean(hits) - 0.95) < 0.02


def test_proportion_interval_in_closed_form():
    # All of n successes: the lower end solves p^n = 0.025.
    found = proportion_interval(5, 5)
    assert found.lower == pytest.approx(0.025 ** (1 / 5))
    assert found.upper == 1.0


def test_one_seed_has_no_interval():
    assert str(mean_interval([2.0])) == "2 (n = 1, no interval)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "at least one finite value"),
        (lambda: mean_interval([1.0, float("nan")]), "finite value"),
        (lambda: mean_interval([1.0], confidence=1.0), "confidence < 1, got 1.0"),
        (lambda: proportion_interval(3, 2), "successes=3 and trials=2"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
