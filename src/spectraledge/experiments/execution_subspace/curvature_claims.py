"""Verdicts on the defect itself: its start, its growth, and the leads of its onset."""

from __future__ import annotations

from collections.abc import Sequence

from spectraledge.experiments.execution_subspace.curvature_effects import (
    after_ratio,
    baseline_growth,
    bracket_after,
    bracket_before,
    defect_growth,
    generalising,
    gradient_after,
    group_ratio,
    initial_ratio,
    last_defect,
    nearly,
    of_runs,
)
from spectraledge.experiments.execution_subspace.curvature_specificity import (
    FACTORS,
    threshold_rule,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    PUBLISHED_NAME,
    DefectRun,
    leads_of,
    published_onset,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study_sections import p_words
from spectraledge.report import Verdict
from spectraledge.series import Interval, LeadTimes

__all__ = ["defect_verdicts", "lead_words", "sign_words"]

NOT_RUN = "not run yet"
# Up to here a ratio of the two forms counts as agreement.
AGREES = 1.5
# Least ratio of what is published as 10 to 1000.
TENFOLD = 10.0


def defect_verdicts(decayed: Sequence[DefectRun], plain: Sequence[DefectRun]) -> list[Verdict]:
    """Verdicts on size, growth and leads.

    Args:
        decayed: Runs with decay.
        plain: Runs without.

    Returns:
        One verdict per claim.
    """
    grown = generalising(decayed)
    return [
        _start([*decayed, *plain]),
        _end_forms(grown),
        _before(grown),
        _explosion(grown),
        _lead(nearly(decayed), "grok_90", "1117 steps, 600 to 1600; 12 of 12 runs, p = 2.4e-4"),
        _lead(
            nearly(decayed),
            "grok_50",
            "not given; 708 steps, two of 12 at zero, in the released data",
        ),
        _thresholds(nearly(decayed)),
        _separation(decayed, [], "runs with decay, as published"),
        _separation(decayed, plain, "those without decay among them"),
        *_ratios(decayed, plain),
    ]


def _decided(interval: Interval | None, **side: float) -> str:
    return "undecided" if interval is None else decide(interval, **side)


def _start(runs: Sequence[DefectRun]) -> Verdict:
    ratio = of_runs(runs, initial_ratio)
    exact = of_runs(runs, lambda run: last_defect(run, until=0))
    published = of_runs(runs, lambda run: last_defect(run, PUBLISHED_NAME, 0))
    observed = (
        f"published form {short(published)}, exact {short(exact)}; ratio {short(ratio)}"
        if ratio
        else NOT_RUN
    )
    return Verdict(
        "The defect from which growth is counted is a property of the loss",
        "2.43 at step 0",
        observed,
        _decided(ratio, below=AGREES),
        f"Holds if the published form is less than {AGREES:g} times the exact defect at step 0, "
        "fails if it is more: the rest is rounding of weights in float32, from which a difference "
        "of 1e-6 is taken.",
    )


def _end_forms(grown: Sequence[DefectRun]) -> Verdict:
    ratio = of_runs(grown, after_ratio)
    return Verdict(
        "After generalisation the published form still measures the exact defect",
        "assumed",
        f"published form {short(ratio)} times the exact one" if ratio else NOT_RUN,
        _decided(ratio, below=AGREES),
        f"Median over the records from grok_stop on; holds below {AGREES:g}, fails above.",
    )


def _before(grown: Sequence[DefectRun]) -> Verdict:
    ratio = of_runs(grown, bracket_before)
    return Verdict(
        "The bracket itself grows between memorisation and generalisation",
        "not measured; the defect grows",
        f"{short(ratio)} times" if ratio else NOT_RUN,
        _decided(ratio, above=1.0),
        "‖H_B g_A − H_A g_B‖ at the record before grok_90 over that at memorisation.",
    )


def _explosion(grown: Sequence[DefectRun]) -> Verdict:
    bracket = of_runs(grown, bracket_after)
    words = (
        f"defect {short(of_runs(grown, defect_growth))} times, bracket {short(bracket)}, "
        f"gradient {short(of_runs(grown, gradient_after))}"
        if bracket
        else NOT_RUN
    )
    return Verdict(
        "The growth of the defect by 500 to 2000 times is a growth of curvature",
        "513 to 2141 times its baseline",
        words,
        _decided(bracket, above=1.0),
        "Where the exact defect is largest, over the record before grok_90. Holds if the bracket "
        "is larger there too; fails if it is smaller, so that the defect grows because it is "
        "divided by two gradients that vanish.",
    )


def lead_words(leads: LeadTimes) -> str:
    """Mean lead with its interval, and the range."""
    seen = leads.leads[leads.leads == leads.leads]
    if not seen.size:
        return "no lead"
    return f"{short(leads.mean())} steps, {seen.min():.0f} to {seen.max():.0f}"


def sign_words(leads: LeadTimes) -> str:
    """How many came first, with p by run and by seed."""
    test = leads.sign_test()
    total = test.positive + test.negative + test.tied
    missed = f", {test.missed} of them without an onset" if test.missed else ""
    return (
        f"{test.positive} of {total} first{missed}; p {p_words(test.one_sided)} if runs were "
        f"independent, {p_words(test.by_unit)} by seed ({test.units})"
    )


def _lead(grown: Sequence[DefectRun], rule: str, paper: str) -> Verdict:
    claim = f"The published onset precedes generalisation ({rule})"
    how = (
        "Holds if the mean lead over seeds is positive with its whole interval and no run lacks an "
        "onset. The published p-value takes operations that share seeds for independent; by seed, "
        "three of them cannot give less than 0.25."
    )
    if not grown:
        return Verdict(claim, paper, NOT_RUN, "undecided", how)
    leads = leads_of(grown, [published_onset(run).step for run in grown])[rule]
    observed = f"{lead_words(leads)}; {sign_words(leads)}"
    if leads.counts()["both"] == 0:
        return Verdict(claim, paper, observed, "undecided", how)
    status = decide(leads.mean(), above=0.0)
    missed = leads.counts()["no_onset"] > 0
    return Verdict(claim, paper, observed, "undecided" if missed and status == "holds" else status,
                   how)  # fmt: skip


def _thresholds(grown: Sequence[DefectRun]) -> Verdict:
    claim = "The onset precedes generalisation in every run, whatever the threshold"
    how = (
        f"Factors {', '.join(map(str, FACTORS))} of the baseline, each with twice that number as "
        "the fixed level. Fails if at any of them a run generalises (grok_90) before its onset or "
        "without one."
    )
    if not grown:
        return Verdict(claim, "12 of 12 at factor 10", NOT_RUN, "undecided", how)
    first = {factor: _came_first(grown, factor) for factor in FACTORS}
    words = ", ".join(f"{count} at {factor}" for factor, count in first.items())
    status = "holds" if min(first.values()) == len(grown) else "fails"
    return Verdict(
        claim, "12 of 12 at factor 10", f"of {len(grown)} runs first: {words}", status, how
    )


def _came_first(runs: Sequence[DefectRun], factor: float) -> int:
    found = [threshold_rule(factor).find(r.records("defect", form=PUBLISHED_NAME)) for r in runs]
    return leads_of(runs, [onset.step for onset in found])["grok_90"].sign_test().positive


def _separation(decayed: Sequence[DefectRun], plain: Sequence[DefectRun], which: str) -> Verdict:
    claim = (
        f"The growth of the defect separates runs that generalise from those that do not: {which}"
    )
    grown = [baseline_growth(run) for run in decayed if run.generalises]
    others = [baseline_growth(run) for run in [*decayed, *plain] if run.silent]
    asked = bool(plain) or "without" not in which
    complete = bool(grown and others and asked)
    least, most = min(grown, default=0.0), max(others, default=0.0)
    over = sum(value >= least for value in others)
    observed = (
        f"at least {least:.3g}; at most {most:.3g}, {over} of {len(others)} above the former"
        if complete
        else NOT_RUN
    )
    status = "undecided" if not complete else "holds" if least > most else "fails"
    return Verdict(
        claim,
        "at least 513 times; at most 47 times, of runs with decay",
        observed,
        status,
        "Largest published defect over its baseline over the whole run: a comparison of what "
        "follows generalisation, not a warning of it. Fails if they overlap.",
    )


def _ratios(decayed: Sequence[DefectRun], plain: Sequence[DefectRun]) -> list[Verdict]:
    grown = generalising(decayed)
    others = [run for run in [*decayed, *plain] if run.silent]
    steps = [step for run in grown if (step := run.grok("grok_90")) is not None]
    horizon = min(steps, default=0)
    end = group_ratio(grown, others, lambda run: last_defect(run, PUBLISHED_NAME))
    early = group_ratio(grown, others, lambda run: last_defect(run, until=horizon - 1))
    paper = "10 to 1000 times"
    how = f"Ratio paired by seed; holds if the whole interval is above {TENFOLD:g}."
    return [
        Verdict(
            "Networks that generalise have a defect ten times that of the others, at the end",
            paper,
            f"{short(end)} times (published form)" if end else NOT_RUN,
            _decided(end, above=TENFOLD),
            f"{how} The last record: 1000 steps after grok_stop, or at the horizon.",
        ),
        Verdict(
            "Networks that will generalise have ten times the defect of others, before any does",
            paper,
            f"{short(early)} times (exact, step {horizon - 1})" if early else NOT_RUN,
            _decided(early, above=TENFOLD),
            f"{how} The last record before the first run generalises, the same step for all.",
        ),
    ]
