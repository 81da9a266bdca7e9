"""Numbers read off rows: the last one that was there, means of what is finite, and words."""

from math import isnan, nan

import numpy as np
import pytest

from experiments.planted import planted_row
from spectraledge.experiments.row_values import (
    last_value,
    mean_of,
    share_words,
    short,
    status_within,
    step_of,
    value_at,
)
from spectraledge.series import Interval
from spectraledge.training import RunSpec


def test_values_are_those_of_the_last_record():
    row = planted_row(RunSpec(steps=400, record_every=100), 200)
    row.curves["validation_accuracy"][-1] = nan  # diverged
    assert [value_at(row, "validation_accuracy", s) for s in (0, 199, 200, 350)] == [0.3, 0.3, 1, 1]
    assert [step_of(row, "validation_accuracy", s) for s in (0, 199, 350)] == [0, 100, 300]
    assert step_of(row, "validation_accuracy", -1) is step_of(row, "unknown", 100) is None
    assert last_value(row, "validation_accuracy") == 1.0
    assert isnan(value_at(row, "validation_accuracy", -1))
    assert isnan(last_value(row, "unknown"))


def test_means_leave_out_what_is_not_finite():
    assert mean_of([0.9, nan, 1.0], 0.0, 1.0).count == 2
    assert mean_of([0.9, 1.0], 0.0, 1.0).upper == 1.0
    assert mean_of([nan]) is None


def test_words():
    interval = Interval(0.5, 0.25, 0.75, 4)
    assert (short(interval), share_words(interval)) == ("0.5 [0.25, 0.75]", "0.500 [0.250, 0.750]")
    assert short(Interval(0.5, -np.inf, 1.0, 1)) == "0.5 (one seed)"
    assert share_words(Interval(0.5, 0.0, 1.0, 1)) == "0.500 (one seed)"
    assert short(None) == share_words(None) == "–"


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ((-0.04, 0.04), "holds"),
        ((-0.06, 0.04), "undecided"),
        ((0.02, 0.3), "undecided"),
        ((0.06, 0.3), "fails"),
        ((-0.3, -0.05), "fails"),
    ],
)
def test_nothing_but_a_margin(ends, status):
    assert status_within(Interval(0.0, *ends, 4), 0.05) == status
