"""Verdicts and section on how specific the onset is to runs that generalise."""

from __future__ import annotations

from collections.abc import Sequence

from spectraledge.experiments.execution_subspace.curvature_specificity import (
    FACTORS,
    STEPS,
    Corrected,
    areas_at,
    horizon_of,
    onset_scores,
    outcomes,
    threshold_choice,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    DefectRun,
    published_onset,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import share_words
from spectraledge.report import Verdict
from spectraledge.series import AlarmOutcomes, area_under_roc

__all__ = ["specificity_verdicts", "with_plain"]

NOT_RUN = "not run yet"
# Least area of a score that is of use as a warning; 0.5 says nothing.
USEFUL = 0.75
# A rule that may be wrong more often than this is no warning; eight runs decide it if all agree.
MOST_WRONG = 0.4


def specificity_verdicts(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], rule: Corrected | None
) -> list[Verdict]:
    """False alarms of the published rule, warnings at fixed steps, and corrected rules.

    Args:
        decayed: Runs with decay.
        plain: Runs without.
        rule: Of all runs, see `corrected_rule`.

    Returns:
        One verdict per claim.
    """
    horizon = horizon_of(decayed)
    groups = {
        "operations that do not generalise": decayed,
        "runs without decay": with_plain(decayed, plain),
    }
    return [
        *(_false_alarm(title, runs, horizon) for title, runs in groups.items()),
        _warning(decayed),
        *(_early(title, runs, horizon) for title, runs in groups.items()),
        _chosen(threshold_choice([*decayed, *plain], horizon)),
        _corrected(rule),
    ]


def with_plain(decayed: Sequence[DefectRun], plain: Sequence[DefectRun]) -> list[DefectRun]:
    """Runs that generalise with decay, and those that do not without it."""
    return [run for run in decayed if run.generalises] + [r for r in plain if r.silent]


def _published(runs: Sequence[DefectRun], horizon: int | None) -> AlarmOutcomes | None:
    return outcomes(runs, [published_onset(run).alarm for run in runs], horizon)


def _false_alarm(title: str, runs: Sequence[DefectRun], horizon: int | None) -> Verdict:
    found = _published(runs, horizon)
    observed, status = NOT_RUN, "undecided"
    if found is not None:
        status = decide(found.false_alarm, below=MOST_WRONG)
        observed = (
            f"it fires in {share_words(found.false_alarm)} of the runs by step {horizon}, and "
            f"misses {share_words(found.miss)} of those that generalise; "
            f"{found.false_alarm.count} seeds"
        )
    return Verdict(
        f"The published rule stays silent: {title}",
        "not tested; released runs fire at step 2000 in hard operations and 3400 without decay",
        observed,
        status,
        "Alarms until half of the runs that generalise have (grok_90), the same step for all. "
        f"Holds if false alarms lie below {MOST_WRONG:g} with their whole interval (exact, "
        "of as many trials as there are seeds), fails if above.",
    )


def _warning(decayed: Sequence[DefectRun]) -> Verdict:
    steps = [g for run in decayed if (g := run.grok("grok_90")) is not None]
    early = [step for step in STEPS if step < min(steps, default=0)]
    # One step, set beforehand, so one area: its confidence need not be shared.
    found = areas_at(decayed, 1).get(("published form", early[-1])) if early else None
    observed, status = NOT_RUN if not steps else "no step before the first", "undecided"
    if found is not None:
        status = decide(found.interval, above=USEFUL)
        observed = f"{share_words(found.interval)} at step {early[-1]}"
    return Verdict(
        "Before they do, the defect tells runs that will generalise from those that will not",
        "zero overlap, of maxima over whole runs; 0.72 at step 2000 of the released runs",
        observed,
        status,
        "Area under the ROC of the published defect among runs with decay, at the last of the "
        f"steps {', '.join(map(str, STEPS))} at which none has generalised (grok_90). Holds above "
        f"{USEFUL:g}, fails below; 0.5 says nothing.",
    )


def _early(title: str, runs: Sequence[DefectRun], horizon: int | None) -> Verdict:
    observed, status = NOT_RUN, "undecided"
    scored = onset_scores(runs, horizon)
    if scored is not None:
        area = area_under_roc(*scored).interval
        status = decide(area, above=USEFUL)
        observed = f"{share_words(area)}, onsets by step {horizon}"
    return Verdict(
        f"The published onset comes earlier in runs that generalise: {title}",
        "not tested; area 0.76 and 0.65 in the released runs",
        observed,
        status,
        "Area under the ROC of minus the onset; no onset by then is the latest. Holds above "
        f"{USEFUL:g}, fails below; 0.5 says nothing.",
    )


def _chosen(found: Corrected | None) -> Verdict:
    return _by_others(
        found,
        "The published rule with a threshold chosen on other seeds warns of generalisation",
        f"Factors {', '.join(map(str, FACTORS))} of the baseline, each with twice that number as "
        "the fixed level; the one for each seed chosen by the others.",
    )


def _corrected(found: Corrected | None) -> Verdict:
    return _by_others(
        found,
        "A rule on the unnormalised bracket, chosen on other seeds, warns of generalisation",
        "Relative rises since memorisation, above the rounding floor; 24 candidates, the rule for "
        "each seed chosen by the others.",
    )


def _by_others(found: Corrected | None, claim: str, how: str) -> Verdict:
    observed, status = NOT_RUN, "undecided"
    if found is not None:
        rates = found.rates
        each = [decide(r, below=MOST_WRONG) for r in (rates.false_alarm, rates.miss)]
        status = "fails" if "fails" in each else "holds" if set(each) == {"holds"} else "undecided"
        observed = (
            f"false alarms {share_words(rates.false_alarm)}, misses {share_words(rates.miss)}; "
            f"choosing on the same runs would have promised {found.optimism:.2f} more"
        )
    return Verdict(
        claim,
        "not published",
        observed,
        status,
        f"{how} Among all runs, with and without decay. Holds if false alarms and misses both lie "
        f"below {MOST_WRONG:g}, fails if either lies above.",
    )
