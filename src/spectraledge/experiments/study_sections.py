"""What pages of studies share: words for numbers, curves over rows, and where they come from.

A page is a function of the ledger, and a ledger may hold any part of what a study wants: whatever
is missing is said to be missing, and nothing here fails for want of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectraledge.experiments.base import Scale
from spectraledge.experiments.gather import band
from spectraledge.experiments.study import GENERALISED, Known
from spectraledge.lab.rows import Row
from spectraledge.report import Curve, Verdict
from spectraledge.series import Times, kaplan_meier, restricted_mean
from spectraledge.training import RunSpec

__all__ = [
    "BAND",
    "NOT_RUN",
    "PROVENANCE",
    "RULE",
    "answer_words",
    "by_seed",
    "p_words",
    "provenance_row",
    "row_curve",
    "scaled_verdicts",
    "survival_curve",
    "time_words",
]

Array = NDArray[Any]
PROVENANCE = ("runs", "wanted", "known", "failed", "seeds", "steps", "taken on average", "hours")
Rows = Mapping[int, Row]

NOT_RUN = "not run yet"
RULE = (
    f"Generalised: validation accuracy at least {GENERALISED.threshold:g}, held for "
    f"{GENERALISED.patience} records."
)
BAND = (
    "Thin lines are seeds, a cross is where a run was stopped because its outcome was known; the "
    "thick line is the mean (on log axes the geometric one) as long as every seed trains, the band "
    "its 95 % t interval."
)


def by_seed(known: Known, runs: Iterable[RunSpec]) -> dict[int, Row]:
    """Rows of the runs that are known and did not fail, by seed, ascending.

    Args:
        known: What is known.
        runs: Runs of one arm under one condition: one for each seed.

    Returns:
        Rows by seed; empty if none is known.
    """
    found = {spec.seed: row for spec, row in known.rows(runs)}
    return dict(sorted(found.items()))


def time_words(times: Times | None, horizon: int) -> str:
    """How many runs generalised and after how many steps on average, up to a horizon.

    Args:
        times: One per run; None for no run.
        horizon: Steps up to which the mean is taken.

    Returns:
        Such as ``7 of 8, 1200 [900, 1600] steps``.
    """
    if times is None:
        return NOT_RUN
    mean = str(restricted_mean(times, horizon)).partition(" (")[0]
    return f"{int(times.observed.sum())} of {times.count}, {mean} steps"


def p_words(p: float | None) -> str:
    """A p-value with two digits, None as a dash."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def scaled_verdicts(verdicts: Iterable[Verdict], scale: Scale) -> list[Verdict]:
    """The verdicts; of a smoke run, which decides nothing, all undecided."""
    if scale != "smoke":
        return list(verdicts)
    note = "A smoke run is too small to decide anything."
    return [replace(verdict, status="undecided", explanation=note) for verdict in verdicts]


def row_curve(
    arm: str,
    rows: Rows,
    name: str,
    *,
    relative: bool = False,
    log: bool = False,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Curve | None:
    """A quantity of an arm over steps with every seed; a run that was stopped ends there.

    Args:
        arm: Name of the arm.
        rows: Its rows by seed.
        name: Metric or ``instrument/output``; rows that lack it are left out.
        relative: Divide by the value at the first step.
        log: Take mean and interval of logarithms.
        limits: What the interval is cut to.

    Returns:
        The curve; None if no row has the quantity.
    """
    seen = {seed: row.curve(name) for seed, row in rows.items() if name in row.curves}
    seen = {seed: curve for seed, curve in seen.items() if curve[0].size}
    if not seen:
        return None
    steps = np.unique(np.concatenate([at for at, _ in seen.values()]))
    values = np.full((len(seen), len(steps)), np.nan)
    for line, (at, curve) in zip(values, seen.values()):
        line[np.searchsorted(steps, at)] = curve / curve[0] if relative else curve
    drawn = band(arm, (), steps, values, limits, log=log)
    return replace(drawn, seeds=tuple(seen))


def survival_curve(arm: str, times: Times, budget: int) -> Curve:
    """Share of runs that have generalised, after Kaplan and Meier, with its pointwise interval.

    Args:
        arm: Name of the arm.
        times: One per run, watched until the budget.
        budget: Last step drawn.

    Returns:
        The curve of 1 − S, with the step before each jump so that it is drawn as a staircase.
    """
    found = kaplan_meier(times)
    steps = np.unique(np.concatenate([[0, budget], found.steps - 1, found.steps]))
    place = np.searchsorted(found.steps, steps, side="right")

    def share(survival: Array) -> Array:
        return 1 - np.concatenate([[1.0], survival])[place]

    centre = share(found.survival)
    return Curve(
        arm,
        steps,
        centre[None],
        centre=centre,
        lower=share(found.upper),
        upper=share(found.lower),
        quantity="share generalised",
    )


def provenance_row(known: Known, title: str, runs: Sequence[RunSpec]) -> tuple[str | int, ...]:
    """What was run under a title.

    Args:
        known: What is known.
        title: First cell.
        runs: Runs that are wanted, as far as they can be named.

    Returns:
        A row below `PROVENANCE`.
    """
    runs = list(dict.fromkeys(runs))
    rows = [row for spec in runs if (row := known.row(spec) or known.groundwork(spec))]
    taken = [row.steps_taken for row in rows if row.state != "failed"]
    return (
        title,
        len(runs),
        len(rows),
        sum(row.state == "failed" for row in rows),
        len({spec.seed for spec in runs}),
        " or ".join(str(steps) for steps in sorted({spec.steps for spec in runs})) or "–",
        f"{np.mean(taken):.0f}" if taken else "–",
        f"{sum(row.seconds for row in rows) / 3600:.2f}",
    )


def answer_words(verdicts: Sequence[Verdict], anything: bool) -> str:
    """The claims by what became of them, as the first paragraphs of a page.

    Claims that begin with a subject and a colon, e.g. a task, are told by subject where there are
    several: what they agree about first.

    Args:
        verdicts: Of the page.
        anything: Whether any run is known.

    Returns:
        A sentence for each status that occurs; a paragraph for each subject.
    """
    if not anything:
        return "Nothing was run yet."
    told = [verdict for verdict in verdicts if verdict.observed != NOT_RUN]
    subjects: dict[str, dict[str, str]] = {}
    for verdict in told:
        subject, _, claim = verdict.claim.rpartition(": ")
        subjects.setdefault(subject, {})[claim] = verdict.status
    several = len([subject for subject in subjects if subject]) > 1
    paragraphs = _by_subject(subjects) if several else [
        _sentences({verdict.claim: verdict.status for verdict in told})
    ]  # fmt: skip
    waiting = len(verdicts) - len(told)
    return "\n\n".join([*paragraphs, f"{waiting} wait for runs."] if waiting else paragraphs)


def _by_subject(subjects: Mapping[str, Mapping[str, str]]) -> list[str]:
    asked = [set(claims) for subject, claims in subjects.items() if subject]
    shared = {
        claim: statuses.pop()
        for claim in dict.fromkeys(c for claims in subjects.values() for c in claims)
        if all(claim in own for own in asked)
        and len(statuses := {claims[claim] for s, claims in subjects.items() if s}) == 1
    }
    paragraphs = [f"All of {', '.join(s for s in subjects if s)}. {_sentences(shared)}"]
    for subject, claims in subjects.items():
        own = {claim: status for claim, status in claims.items() if claim not in shared}
        if own:
            paragraphs.append(f"{subject}. {_sentences(own)}" if subject else _sentences(own))
    return paragraphs if shared else paragraphs[1:]


def _sentences(statuses: Mapping[str, str]) -> str:
    words = {"holds": "These hold", "fails": "These fail", "undecided": "Undecided"}
    return " ".join(
        f"{start}: {'; '.join(claims)}."
        for status, start in words.items()
        if (claims := [claim for claim, found in statuses.items() if found == status])
    )
