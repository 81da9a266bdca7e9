"""Statistics over seeds: onsets, times, boundaries, intervals and tests; numpy and scipy only."""

from spectraledge.series.attempts import Attempts
from spectraledge.series.bisection import Bisection
from spectraledge.series.boundary import (
    Boundary,
    Position,
    isotonic_boundary,
    logistic_boundary,
)
from spectraledge.series.boundary_difference import boundary_difference
from spectraledge.series.comparisons import benjamini_hochberg, holm, simultaneous_confidence
from spectraledge.series.intervals import Interval, mean_interval, proportion_interval
from spectraledge.series.onset import first_held
from spectraledge.series.paired import paired_difference, sign_flip_test, sign_test
from spectraledge.series.rank_tests import log_rank, paired_log_rank, time_ratio
from spectraledge.series.restricted_mean import restricted_mean, restricted_mean_difference
from spectraledge.series.survival import SurvivalCurve, Times, kaplan_meier, median_time

__all__ = [
    "Attempts",
    "Bisection",
    "Boundary",
    "Interval",
    "Position",
    "SurvivalCurve",
    "Times",
    "benjamini_hochberg",
    "boundary_difference",
    "first_held",
    "holm",
    "isotonic_boundary",
    "kaplan_meier",
    "log_rank",
    "logistic_boundary",
    "mean_interval",
    "median_time",
    "paired_difference",
    "paired_log_rank",
    "proportion_interval",
    "restricted_mean",
    "restricted_mean_difference",
    "sign_flip_test",
    "sign_test",
    "simultaneous_confidence",
    "time_ratio",
]
