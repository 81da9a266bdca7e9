"""Does the defect tell runs that will generalise from those that will not, before they do?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Integer

from spectraledge.experiments.execution_subspace.defect_records import (
    EXACT_NAME,
    PUBLISHED_NAME,
    DefectRun,
    bracket_onset,
    published_onset,
)
from spectraledge.experiments.seed_intervals import share_by_seeds
from spectraledge.series import (
    AlarmOutcomes,
    Auroc,
    BaselineOnset,
    DetectionRates,
    RelativeRise,
    alarm_outcomes,
    area_under_roc,
    leave_one_unit_out,
    simultaneous_confidence,
)

__all__ = [
    "FACTORS",
    "SIGNALS",
    "STEPS",
    "Corrected",
    "areas_at",
    "corrected_rule",
    "horizon_of",
    "onset_scores",
    "outcomes",
    "threshold_choice",
    "threshold_rule",
]

Rates = TypeVar("Rates", AlarmOutcomes, DetectionRates)
Rule = TypeVar("Rule", RelativeRise, BaselineOnset)
Reference = Literal["first_median", "running_minimum"]
# Of the threshold sweep; the fixed level is twice the factor, as at the published 10 and 20.
FACTORS = (3, 5, 10, 20, 30, 50)
STEPS = (500, 1000, 1500, 2000, 2500)
SIGNALS: Mapping[str, tuple[str, str]] = {
    "published form": (PUBLISHED_NAME, "defect"),
    "exact defect": (EXACT_NAME, "defect"),
    "exact bracket": (EXACT_NAME, "bracket_norm"),
}
REFERENCES: tuple[Reference, ...] = ("first_median", "running_minimum")
CANDIDATES = tuple(
    RelativeRise(factor, reference, 2, persistence, 0, 3)
    for factor, reference, persistence in product((2, 3, 5, 10, 20, 50), REFERENCES, (1, 3))
)
# Of candidates, those with more false alarms than this are not picked.
MOST_FALSE_ALARMS = 0.25


@dataclass(frozen=True)
class Corrected:
    """Corrected onset rules, each seed judged by the rule that the other seeds pick.

    Args:
        rates: False alarms and misses of all runs, none judged by a rule that it helped to pick;
            intervals by seed.
        optimism: What picking on the same runs would have pretended, in Youden's index.
        picked: The rule picked without each seed.
    """

    rates: DetectionRates
    optimism: float
    picked: tuple[RelativeRise | BaselineOnset, ...]


def threshold_rule(factor: float) -> BaselineOnset:
    """The published rule with another threshold; 10 gives the published one."""
    return BaselineOnset(factor, 2 * factor, 3, 0.1, 2, window=1, centred=False)


def horizon_of(runs: Sequence[DefectRun]) -> int | None:
    """Step by which half of the runs that generalise have; until then alarms are counted."""
    steps = [step for run in runs if run.generalises and (step := run.grok("grok_90")) is not None]
    return int(np.median(steps)) if steps else None


def _watched(runs: Sequence[DefectRun], horizon: int) -> list[DefectRun]:
    """The runs of which the answer at a horizon is known."""
    return [run for run in runs if run.generalises or (run.silent and run.watched >= horizon)]


def outcomes(
    runs: Sequence[DefectRun], alarms: Sequence[int | None], horizon: int | None
) -> AlarmOutcomes | None:
    """False alarms and misses by a horizon; None where one kind of run is lacking."""
    if horizon is None:
        return None
    known = set(_watched(runs, horizon))
    seen = [(run, alarm) for run, alarm in zip(runs, alarms) if run in known]
    groks = [run.grok("grok_90") if run.generalises else None for run, _ in seen]
    if not any(g is None for g in groks) or all(g is None for g in groks):
        return None
    # A run that generalises later than the horizon may still be warned of until it does.
    found = alarm_outcomes([a for _, a in seen], groks, horizon)
    return _by_seeds(found, [run for run, _ in seen])


def areas_at(
    runs: Sequence[DefectRun], comparisons: int = len(STEPS) * len(SIGNALS)
) -> dict[tuple[str, int], Auroc]:
    """Area under the ROC of every signal at fixed steps, over the runs not yet generalised.

    Args:
        runs: Of both kinds.
        comparisons: How many areas share the confidence.

    Returns:
        Areas by (signal, step), of those steps at which there are runs of both kinds.
    """
    confidence = simultaneous_confidence(comparisons)
    found = {}
    for (name, (form, output)), step in product(SIGNALS.items(), STEPS):
        pending = [run for run in _watched(runs, step) if run.watched >= step]
        pending = [run for run in pending if _not_yet(run, step)]
        scores = np.array([run.records(output, form=form).at(step) for run in pending])
        known = np.isfinite(scores)
        positive = np.array([run.generalises for run in pending], dtype=bool)[known]
        if not positive.any() or positive.all():
            continue
        units = np.array([run.seed for run in pending])[known]
        found[name, step] = area_under_roc(scores[known], positive, units, confidence=confidence)
    return found


def _not_yet(run: DefectRun, step: int) -> bool:
    grok = run.grok("grok_90")
    return grok is None or grok > step


def corrected_rule(runs: Sequence[DefectRun], horizon: int | None) -> Corrected | None:
    """Rules on the unnormalised bracket, picked on other seeds; None where they cannot be."""
    return _judged(runs, horizon, CANDIDATES, lambda run, rule: bracket_onset(run, rule).alarm)


def threshold_choice(runs: Sequence[DefectRun], horizon: int | None) -> Corrected | None:
    """The published rule with a threshold picked on other seeds; None where it cannot be."""
    rules = tuple(threshold_rule(factor) for factor in FACTORS)

    def alarm(run: DefectRun, rule: BaselineOnset) -> int | None:
        return rule.find(run.records("defect", form=PUBLISHED_NAME)).alarm

    return _judged(runs, horizon, rules, alarm)


def onset_scores(
    runs: Sequence[DefectRun], horizon: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """How early the published onset comes in each run, for a ROC of all its thresholds in time.

    Args:
        runs: Of both kinds.
        horizon: Step up to which onsets count.

    Returns:
        Scores ``(n,)``, minus the step of the alarm, lowest where there is none by the horizon;
        whether each run generalises; its seed. None where one kind of run is lacking.
    """
    judged = [] if horizon is None else _watched(runs, horizon)
    positive = np.array([run.generalises for run in judged], dtype=bool)
    if horizon is None or not positive.any() or positive.all():
        return None
    alarms = [published_onset(run).alarm for run in judged]
    late = float(horizon + 1)
    scores = np.array([-late if a is None or a > horizon else -float(a) for a in alarms])
    return scores, positive, np.array([run.seed for run in judged])


def _judged(
    runs: Sequence[DefectRun],
    horizon: int | None,
    candidates: tuple[Rule, ...],
    alarm: Callable[[DefectRun, Rule], int | None],
) -> Corrected | None:
    """Each seed judged by the candidate that the other seeds pick."""
    if horizon is None:
        return None
    judged = _watched(runs, horizon)
    positive = np.array([run.generalises for run in judged], dtype=bool)
    units = np.array([run.seed for run in judged])
    if not _both_kinds(positive, units):
        return None
    flags = np.array(
        [[_flag(run, alarm(run, rule), horizon) for run in judged] for rule in candidates]
    )
    rates, optimism, picks = leave_one_unit_out(
        flags, positive, units, most_false_alarms=MOST_FALSE_ALARMS
    )
    picked = tuple(candidates[index] for index in picks)
    return Corrected(_by_seeds(rates, judged), optimism, picked)


def _by_seeds(rates: Rates, runs: Sequence[DefectRun]) -> Rates:
    """The same shares of runs, with the intervals of as many trials as there are seeds."""
    quiet, grokking = ({r.seed for r in runs if r.generalises is kind} for kind in (False, True))
    return replace(
        rates,
        false_alarm=share_by_seeds(rates.false_alarm.centre, len(quiet)),
        miss=share_by_seeds(rates.miss.centre, len(grokking)),
    )


def _both_kinds(positive: Bool[np.ndarray, " n"], units: Integer[np.ndarray, " n"]) -> bool:
    """Whether both kinds are left without any one seed, of at least two."""
    names = np.unique(units)
    left: list[Float[np.ndarray, " m"]] = [positive[units != name] for name in names]
    return len(names) > 1 and all(own.any() and not own.all() for own in left)


def _flag(run: DefectRun, alarm: int | None, horizon: int) -> bool:
    grok = run.grok("grok_90") if run.generalises else None
    return alarm is not None and alarm <= horizon and (grok is None or alarm < grok)
