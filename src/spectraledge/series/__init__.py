"""Statistics over seeds: onsets, times, boundaries, intervals and tests; numpy and scipy only."""

from spectraledge.series.alarms import AlarmOutcomes, alarm_outcomes, alarm_scores
from spectraledge.series.attempts import Attempts
from spectraledge.series.bisection import Bisection
from spectraledge.series.boundary import (
    Boundary,
    Position,
    isotonic_boundary,
    logistic_boundary,
)
from spectraledge.series.boundary_difference import boundary_difference
from spectraledge.series.change_point import ChangePoint
from spectraledge.series.comparisons import benjamini_hochberg, holm, simultaneous_confidence
from spectraledge.series.decay_driven import (
    decay_driven_alarm,
    decay_driven_windows,
    gradient_reentry,
)
from spectraledge.series.detection import Auroc, RocCurve, area_under_roc, roc_curve
from spectraledge.series.detection_choice import (
    ChosenRule,
    DetectionRates,
    choose_rule,
    choose_threshold,
    detection_rates,
    leave_one_unit_out,
    score_flags,
)
from spectraledge.series.grok_rules import (
    GROK_RULES,
    GrokRule,
    count_crossings,
    grok_rule,
    grok_step,
)
from spectraledge.series.intervals import Interval, mean_interval, proportion_interval
from spectraledge.series.lead_time import LeadTimes, SignTest, lead_times
from spectraledge.series.onset import first_held
from spectraledge.series.onset_rules import (
    PUBLISHED_ONSETS,
    AboveFloor,
    BaselineOnset,
    Onset,
    RelativeRise,
)
from spectraledge.series.paired import paired_difference, sign_flip_test, sign_test
from spectraledge.series.power_law import (
    GroupedPowerLaw,
    PowerLaw,
    censored_power_law,
    exponent_interval,
    grouped_power_law,
    power_law,
)
from spectraledge.series.rank_tests import log_rank, paired_log_rank, time_ratio
from spectraledge.series.records import Records
from spectraledge.series.restricted_mean import restricted_mean, restricted_mean_difference
from spectraledge.series.shuffled_onsets import ShuffledOnsets, shuffled_onsets
from spectraledge.series.survival import SurvivalCurve, Times, kaplan_meier, median_time
from spectraledge.series.turnover import turnover_step
from spectraledge.series.universality_class import (
    CLASS_RULE,
    CLASSES,
    EdgeNumbers,
    spectral_peak,
    universality_class,
)

__all__ = [
    "CLASSES",
    "CLASS_RULE",
    "GROK_RULES",
    "PUBLISHED_ONSETS",
    "AboveFloor",
    "AlarmOutcomes",
    "Attempts",
    "Auroc",
    "BaselineOnset",
    "Bisection",
    "Boundary",
    "ChangePoint",
    "ChosenRule",
    "DetectionRates",
    "EdgeNumbers",
    "GrokRule",
    "GroupedPowerLaw",
    "Interval",
    "LeadTimes",
    "Onset",
    "Position",
    "PowerLaw",
    "Records",
    "RelativeRise",
    "RocCurve",
    "ShuffledOnsets",
    "SignTest",
    "SurvivalCurve",
    "Times",
    "alarm_outcomes",
    "alarm_scores",
    "area_under_roc",
    "benjamini_hochberg",
    "boundary_difference",
    "censored_power_law",
    "choose_rule",
    "choose_threshold",
    "count_crossings",
    "decay_driven_alarm",
    "decay_driven_windows",
    "detection_rates",
    "exponent_interval",
    "first_held",
    "gradient_reentry",
    "grok_rule",
    "grok_step",
    "grouped_power_law",
    "holm",
    "isotonic_boundary",
    "kaplan_meier",
    "lead_times",
    "leave_one_unit_out",
    "log_rank",
    "logistic_boundary",
    "mean_interval",
    "median_time",
    "paired_difference",
    "paired_log_rank",
    "power_law",
    "proportion_interval",
    "restricted_mean",
    "restricted_mean_difference",
    "roc_curve",
    "score_flags",
    "shuffled_onsets",
    "sign_flip_test",
    "sign_test",
    "simultaneous_confidence",
    "spectral_peak",
    "time_ratio",
    "turnover_step",
    "universality_class",
]
