"""What was published on the slow regime, and what the rows say of each claim."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Literal, cast

import numpy as np

from spectraledge.experiments.execution_subspace.curvature_effects import Effect, generalising
from spectraledge.experiments.execution_subspace.defect_records import (
    EXACT_NAME,
    PUBLISHED_NAME,
    DefectRun,
    leads_of,
    published_onset,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import curve_name
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.seed_intervals import interval_by_seed
from spectraledge.models import PreNormEncoderSpec
from spectraledge.report import Verdict
from spectraledge.series import Interval, proportion_interval

__all__ = ["first_share", "lead_fraction", "slow_verdicts", "unlike_share"]

Status = Literal["holds", "fails", "undecided"]
NOT_RUN = "not run yet"
# The published form may differ by this factor from the exact one and still measure it.
ALIKE = 1.5


def slow_verdicts(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], fast: Sequence[DefectRun]
) -> list[Verdict]:
    """All verdicts.

    Args:
        decayed: Slow runs with decay.
        plain: Slow runs without.
        fast: Fast runs of the same seeds or others.

    Returns:
        One verdict per claim.
    """
    return [
        _precedes(decayed),
        _longer(decayed, fast),
        _follows_memorisation(decayed),
        _measures(decayed),
        _silent(plain),
        _lower_share(decayed, fast),
    ]


def lead_fraction(run: DefectRun) -> float:
    """Lead of the published onset over `grok_90`; NaN without either."""
    grok, onset = run.grok("grok_90"), published_onset(run).step
    return nan if grok is None or onset is None else (grok - onset) / grok


def unlike_share(run: DefectRun) -> float:
    """Share of records in which the published form is not the exact defect up to a factor."""
    published, exact = (run.records("defect", form=f) for f in (PUBLISHED_NAME, EXACT_NAME))
    _, here, there = np.intersect1d(published.steps, exact.steps, return_indices=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.asarray(published.values)[here] / np.asarray(exact.values)[there]
    # NaN, where a gradient is zero, is no measurement either.
    alike = (ratios > 1 / ALIKE) & (ratios < ALIKE)
    return 1 - float(alike.mean()) if alike.size else nan


def first_share(run: DefectRun, output: str = "first_share") -> float:
    """An output's mean over W_V and W_O of the last layer, at `grok_stop`; NaN without one."""
    stop = run.grok("grok_stop")
    if stop is None:
        return nan
    last = cast(PreNormEncoderSpec, run.spec.model).layers - 1
    names = [f"layer{last}.attention.{kind}" for kind in ("value", "output")]
    return float(np.mean([value_at(run.row, curve_name(output, n), stop) for n in names]))


def _precedes(runs: Sequence[DefectRun]) -> Verdict:
    claim = "The published onset precedes generalisation"
    paper = "575,000 and 540,000 steps, two of two runs"
    # A run without an onset, or with one too late, counts against it.
    known = generalising(runs)
    if not known:
        return Verdict(claim, paper, _none(runs), "undecided")
    onsets = [published_onset(run).step for run in known]
    leads = leads_of(known, onsets, ["grok_90"])["grok_90"].leads
    first = int((leads > 0).sum())
    return Verdict(
        claim,
        paper,
        f"{short(mean_of(leads))} steps; {first} of {len(known)} first",
        decide(proportion_interval(first, len(known)), above=0.5),
        "Holds if the exact 95 % bound on the share of runs whose onset comes first is above one "
        "half, which takes six seeds.",
    )


def _longer(runs: Sequence[DefectRun], fast: Sequence[DefectRun]) -> Verdict:
    claim = "The lead is a larger share of the time to generalise than in the fast regime"
    paper = "0.55 against 0.38 in the text; 0.98 by the coded rule in the released runs"
    slow_lead, fast_lead = (_of(group, lead_fraction) for group in (runs, fast))
    if slow_lead is None or fast_lead is None:
        return Verdict(claim, paper, _none(runs, slow_lead), "undecided")
    return Verdict(
        claim,
        paper,
        f"{share_words(slow_lead)} against {share_words(fast_lead)}",
        _greater(slow_lead, fast_lead),
        "Lead of the published onset over grok_90. Holds if the two 95 % intervals do not overlap "
        "in this order, fails in the other. Where the onset comes with memorisation, a larger "
        "share says that generalisation is later.",
    )


def _follows_memorisation(runs: Sequence[DefectRun]) -> Verdict:
    claim = "The onset comes well after memorisation, not with it"
    paper = "onset 10,000 by the coded rule, the third record; 185,000 by a rule not released"
    both = [(run, published_onset(run)) for run in runs]
    found = [
        (run.seed, onset.step / run.memorised)
        for run, onset in both
        if onset.step is not None and run.memorised
    ]
    ratio = interval_by_seed(found)
    if ratio is None:
        return Verdict(claim, paper, _none(runs), "undecided")
    limited = sum(onset.cadence_limited for _, onset in both)
    return Verdict(
        claim,
        paper,
        f"onset at {short(ratio)} times the step of memorisation; on the earliest record in "
        f"{limited} of {len(both)}",
        decide(ratio, above=2.0),
        "Holds if the 95 % interval is above 2, fails if it is below.",
    )


def _measures(runs: Sequence[DefectRun]) -> Verdict:
    claim = "The published form measures the defect throughout"
    paper = "not questioned; the released defect is exactly 0.00 in some records, 18,000 in others"
    share = _of(runs, unlike_share)
    if share is None:
        return Verdict(claim, paper, _none(runs), "undecided")
    return Verdict(
        claim,
        paper,
        f"off by more than {ALIKE:g} times in {share_words(share.within(0.0, 1.0))} of records",
        decide(share, below=0.05),
        "Against the exact bracket. Below gradients of 1e-3 the constant 1e-12 in the denominator "
        "outweighs the product of the gradients, and steps of η g vanish beside weights in "
        "float32. Holds if the share is below 0.05, fails if it is above.",
    )


def _silent(plain: Sequence[DefectRun]) -> Verdict:
    claim = "Without decay, where nothing generalises, the onset does not fire"
    paper = "not tested; the released control does at 10,000 steps, its third record"
    quiet = [run for run in plain if run.silent]
    if not quiet:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    fired = [published_onset(run).step for run in quiet]
    count = sum(step is not None for step in fired)
    steps = ", ".join(f"{step}" for step in fired if step is not None) or "–"
    return Verdict(
        claim,
        paper,
        f"fires in {count} of {len(quiet)} (step {steps})",
        # One such run is enough to refute that it never does.
        "fails" if count else "undecided",
        "One run, as published: a single alarm refutes the claim, a single silence proves nothing.",
    )


def _lower_share(runs: Sequence[DefectRun], fast: Sequence[DefectRun]) -> Verdict:
    claim = "The first component explains less than in the fast regime"
    paper = "caption: lower; figure: 85–94 % against 64–78 %"
    slow_share, fast_share = (_of(group, first_share) for group in (runs, fast))
    if slow_share is None or fast_share is None:
        return Verdict(claim, paper, _none(runs, slow_share), "undecided")
    left = _of(runs, lambda run: first_share(run, "first_share_without_decayed_start"))
    return Verdict(
        claim,
        paper,
        f"{share_words(slow_share)} against {share_words(fast_share)}; without the decayed start "
        f"{share_words(left)}",
        _greater(fast_share, slow_share),
        "W_V and W_O of the last layer at grok_stop. Holds if the two 95 % intervals do not "
        "overlap in this order, fails in the other.",
    )


def _of(runs: Sequence[DefectRun], effect: Effect) -> Interval | None:
    return mean_of(effect(run) for run in runs)


def _greater(first: Interval, second: Interval) -> Status:
    if first.lower > second.upper:
        return "holds"
    return "fails" if first.upper < second.lower else "undecided"


def _none(runs: Sequence[DefectRun], slow: Interval | None = None) -> str:
    if not runs:
        return NOT_RUN
    if slow is not None:
        return f"{share_words(slow)} in the slow regime; the fast one was not run"
    furthest = max(run.watched for run in runs)
    return f"none generalises within the {furthest:,} steps that were run"
