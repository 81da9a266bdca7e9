"""Claims on the basis that was described, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Literal

import numpy as np

from spectraledge.experiments.execution_subspace.orthogonal_curvature_claims import (
    AGAINST,
    RANGE,
    STABLE,
    by_phase,
)
from spectraledge.experiments.execution_subspace.published_basis_runs import (
    PREFIXES,
    SO_FAR,
    WHOLE,
)
from spectraledge.experiments.execution_subspace.training_phases import (
    PHASES,
    Cells,
    Number,
    lowest,
    median_of,
    phases_at,
    pooled,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval, simultaneous_confidence

__all__ = [
    "chance_of",
    "fine",
    "future_by_phase",
    "future_over_past",
    "not_known",
    "published_basis_verdicts",
]

Status = Literal["holds", "fails", "undecided"]
# The lowest published residual, and the share K/P of its 16 directions among all parameters.
RESIDUAL, CHANCE = 0.9996, 16 / 290_401
# What it leaves room for: so many times the share of a random basis.
ROOM = (1 - RESIDUAL**2) / CHANCE


def published_basis_verdicts(cells: Cells, grokking: Cells) -> list[Verdict]:
    """All verdicts.

    Args:
        cells: Rows by seed of every operation, as far as known.
        grokking: Those of the operations that can generalise.

    Returns:
        One verdict per claim, undecided where nothing is measured.
    """
    return [_residual(cells), _ratio(grokking), _future(cells)]


def not_known(cells: Cells) -> str:
    """Why there is no number: nothing was run, or what was run was not measured."""
    return "not measured" if any(cells.values()) else "not run yet"


def chance_of(cells: Cells) -> float | None:
    """K/P, the mean share of a random basis with as many directions; None if not measured."""

    def number(row: Row) -> float:
        share, ratio = (median_of(f"{PREFIXES[WHOLE]}/{name}")(row) for name in ("share", "ratio"))
        return share / ratio**2

    found = pooled(cells, number)
    return None if found is None else found.centre


def future_over_past(phase: str | None = None) -> Number:
    """Median over records of the ratio on the whole run's basis over that on the one so far.

    Args:
        phase: One of `PHASES`; None for all records.

    Returns:
        A function of the row, NaN where one of the two was not measured.
    """
    names = [f"{PREFIXES[basis]}/ratio" for basis in (WHOLE, SO_FAR)]

    def number(row: Row) -> float:
        if any(name not in row.curves for name in names):
            return np.nan
        (steps, whole), (own, past) = (row.curve(name) for name in names)
        at, here, there = np.intersect1d(steps, own, return_indices=True)
        quotients = whole[here] / np.where(past[there] > 0, past[there], np.nan)
        chosen = np.isfinite(quotients)
        if phase is not None:
            chosen &= phases_at(row, at) == phase
        return float(np.median(quotients[chosen])) if chosen.any() else np.nan

    return number


def future_by_phase(cells: Cells) -> dict[str, Interval]:
    """What knowing the future changes, by phase; intervals hold at once with 95 %."""
    return _by_phase(cells, future_over_past)


def fine(interval: Interval) -> str:
    """A residual in five decimals."""
    if interval.count == 1:
        return f"{interval.centre:.5f} (one seed)"
    return f"{interval.centre:.5f} [{interval.lower:.5f}, {interval.upper:.5f}]"


def _by_phase(cells: Cells, number: Callable[[str], Number]) -> dict[str, Interval]:
    known = [phase for phase in PHASES if pooled(cells, number(phase)) is not None]
    confidence = simultaneous_confidence(max(len(known), 1))
    wide = {phase: pooled(cells, number(phase), confidence) for phase in known}
    return {phase: interval for phase, interval in wide.items() if interval is not None}


def _residual(cells: Cells) -> Verdict:
    claim = f"The residual of commutators outside the published basis is at least {RESIDUAL}"
    paper = "0.9996 to 1.0000, 36 conditions; counting dimensions alone gives 0.99997"
    seeds = sorted({seed for rows in cells.values() for seed in rows})
    smallest = mean_of([_smallest(cells, seed) for seed in seeds], high=1.0)
    chance = chance_of(cells)
    if smallest is None or chance is None:
        return Verdict(claim, paper, not_known(cells), "undecided")
    floor = sqrt(max(1 - ROOM * chance, 0.0))
    rule = (
        f"Smallest residual of all records of a seed. Holds if its interval lies above {floor:.5f},"
        f" which leaves room for {ROOM:.1f} times the share of a random basis, as {RESIDUAL} does "
        "at the published size. So it holds for a random basis, for one that curvature avoids, and "
        "for one that it prefers: it says nothing of orthogonality."
    )
    told = f"{fine(smallest)}; random basis {sqrt(1 - chance):.5f}"
    return Verdict(claim, paper, told, decide(smallest, above=floor), rule)


def _smallest(cells: Cells, seed: int) -> float:
    rows = [by_seed[seed] for by_seed in cells.values() if seed in by_seed]
    return lowest(rows, f"{PREFIXES[WHOLE]}/residual")


def _ratio(grokking: Cells) -> Verdict:
    low, high = RANGE
    claim = f"The published basis holds {low} to {high} times as much curvature as a random one"
    paper = (
        f"{low} to {high} as described; released runs 1.03 on average, 0.49 to 1.00 by operation"
    )
    found = by_phase(grokking, f"{PREFIXES[WHOLE]}/ratio")
    rule = (
        "Operations that can generalise; medians over the records of a phase. Holds if the "
        f"interval of the memorization phase, of which the published range tells, lies within {low}"
        f" and {high}, fails if it lies outside. Intervals hold for all phases at once. {AGAINST}"
    )
    if "memorization" not in found:
        return Verdict(claim, paper, _words(found) or not_known(grokking), "undecided", rule)
    status = _inside(found["memorization"], low, high)
    return Verdict(claim, paper, _words(found), status, rule)


def _future(cells: Cells) -> Verdict:
    claim = "Knowing the future of the run changes how much curvature the basis holds"
    paper = "not examined; the future is part of the basis throughout"
    found = future_by_phase(cells)
    rule = (
        "Ratio on the basis of the whole run over that on the basis so far, record by record, so "
        "paired by seed. Holds if the interval of the memorization phase lies outside "
        f"{1 / STABLE:g} and {STABLE:g}, fails if it lies within. Towards the last record the two "
        "bases become the same. Intervals hold for all phases at once."
    )
    if "memorization" not in found:
        return Verdict(claim, paper, _words(found) or not_known(cells), "undecided", rule)
    same = _inside(found["memorization"], 1 / STABLE, STABLE)
    status = {"holds": "fails", "fails": "holds", "undecided": "undecided"}[same]
    return Verdict(claim, paper, _words(found), status, rule)


def _inside(interval: Interval, low: float, high: float) -> Status:
    if low < interval.lower and interval.upper < high:
        return "holds"
    return "fails" if interval.upper <= low or interval.lower >= high else "undecided"


def _words(found: dict[str, Interval]) -> str:
    told = "; ".join(f"{phase} {short(interval)}" for phase, interval in found.items())
    return told and f"{told} (95 % for all phases at once)"
