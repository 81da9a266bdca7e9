"""Verdicts follow the interval; curves keep diverged runs out."""

import numpy as np
import pytest

from spectraledge.experiments.gather import at_step, band, decide
from spectraledge.series import Interval


@pytest.mark.parametrize(
    ("lower", "upper", "status"),
    [
        (0.6, 0.9, "holds"),
        (0.1, 0.4, "fails"),
        (0.4, 0.6, "undecided"),
        (-np.inf, np.inf, "undecided"),
    ],
)
def test_decide(lower, upper, status):
    interval = Interval(0.5, lower, upper, 3)
    mirrored = Interval(-0.5, -upper, -lower, 3)
    assert decide(interval, above=0.5) == status
    assert decide(mirrored, below=-0.5) == status


def test_decide_needs_one_threshold():
    with pytest.raises(ValueError, match="exactly one"):
        decide(Interval(0.0, 0.0, 0.0, 2))


class Run:
    """As much of a result as a curve asks for."""

    def __init__(self, seed: int) -> None:
        self.spec = type("Spec", (), {"seed": seed})


def test_band_is_the_t_interval_where_all_seeds_have_values():
    steps = np.array([0, 10, 20])
    values = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 3.0], [3.0, 2.0, np.nan]])
    curve = band("arm", [Run(0), Run(1), Run(2)], steps, values, limits=(0.0, 4.0))
    assert curve.centre[:2].tolist() == [2.0, 2.0]
    assert np.isnan(curve.centre[2])
    assert curve.lower.tolist()[:2] == [0.0, 2.0]  # 2 - 4.3 / sqrt(3) is -0.48, cut to the limit
    assert curve.upper.tolist()[:2] == [4.0, 2.0]
    assert band("arm", [Run(0), Run(1)], steps, values[:2]).lower is None


def test_band_of_logarithms_is_multiplicative():
    steps, values = np.array([0, 10]), np.array([[1.0, 0.0], [10.0, 1.0], [100.0, 1.0]])
    curve = band("arm", [Run(0), Run(1), Run(2)], steps, values, log=True)
    assert curve.centre[0] == pytest.approx(10.0)
    assert curve.upper[0] / curve.centre[0] == pytest.approx(curve.centre[0] / curve.lower[0])
    assert np.isnan(curve.centre[1])  # zero has no logarithm


def test_at_step_takes_the_closest_recorded_step():
    steps = np.array([0, 100, 200])
    assert at_step(steps, np.array([[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]]), 120) == [2.0]
