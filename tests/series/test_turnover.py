"""Turnover of planted series."""

import numpy as np
import pytest

from spectraledge.series import turnover_step

STEPS = np.arange(0, 700, 100)


@pytest.mark.parametrize(
    ("values", "falls", "expected"),
    [
        ([0, 1, 2, 3, 2, 1, 0], 2, 300),  # falls from its maximum on
        ([3, 2, 2.5, 2, 2.2, 1, 0], 2, 400),  # one fall is not enough
        ([3, 2, 2.5, 2, 2.2, 1, 0], 1, 0),
        ([0, 1, 2, 3, 4, 5, 6], 2, None),  # never turns
        ([0, 1, 5, np.nan, 4, np.nan, 3], 2, 200),  # gaps are passed over
        ([6, 5, 4, 3, 2, 1, 0], 2, 0),  # the maximum is the first record
        ([0, 1, 2, 3, 4, 5, 4], 2, None),  # the series ends after one fall
        ([np.nan] * 7, 2, None),
    ],
)
def test_planted_turnovers(values, falls, expected):
    assert turnover_step(STEPS, np.array(values, dtype=np.float64), falls=falls) == expected


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one value per step, got 7 and 2"):
        turnover_step(STEPS, np.zeros(2))
    with pytest.raises(ValueError, match="falls >= 1, got 0"):
        turnover_step(STEPS, np.zeros(7), falls=0)
