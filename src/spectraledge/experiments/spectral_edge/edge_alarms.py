"""Runs and steps at which decay drives the edge by the rule of `decay_driven_alarm`."""

from __future__ import annotations

from math import nan

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, SHUFFLED
from spectraledge.experiments.spectral_edge.edge_runs import (
    EDGE,
    SPLIT,
    EdgeGroup,
    curve_name,
    finite_curve,
)
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, Groups
from spectraledge.lab.rows import Row
from spectraledge.report import Section, Table, Verdict
from spectraledge.series import decay_driven_alarm, decay_driven_windows, gradient_reentry

__all__ = ["alarm_claim", "alarm_section", "first_alarm", "first_reentry"]

CURVES = (
    curve_name(SPLIT, "energy_share", "gradient", "v1"),
    curve_name(SPLIT, "overlap", "v1"),
    curve_name(SPLIT, "interval_share", "weight_decay"),
    curve_name(EDGE, "rotation", "v1"),
    curve_name(EDGE, "least_null_rotation", "v1"),
)
RULE = (
    "First step at which two windows of five displacements, one after the other, have a gradient "
    "share below 0.2 along v₁, |cos(v₁, θ)| above 0.6, more than half of the displacement from "
    "decay, and less turning than 95 % of drift and noise."
)


def first_alarm(row: Row) -> float:
    """Step of the first alarm; infinite if there is none, NaN if it was not measured."""
    steps, curves = _curves(row)
    return _first(steps, decay_driven_alarm(decay_driven_windows(*curves), SPLIT.window))


def first_reentry(row: Row) -> float:
    """Step at which the gradient first drives the edge again after decay has, as `first_alarm`."""
    steps, curves = _curves(row)
    return _first(steps, gradient_reentry(curves[0], decay_driven_windows(*curves)))


def _curves(row: Row) -> tuple[np.ndarray, list[np.ndarray]]:
    known = [dict(zip(*finite_curve(row, name))) for name in CURVES]
    steps = sorted(set().union(*known)) if all(known) else []
    return np.array(steps), [np.array([curve.get(step, nan) for step in steps]) for curve in known]


def _first(steps: np.ndarray, where: np.ndarray) -> float:
    if not steps.size:
        return nan
    found = np.flatnonzero(where)
    return float(steps[found[0]]) if found.size else np.inf


def alarm_claim(group: EdgeGroup) -> Verdict:
    """Whether a lasting edge of decay comes after generalising, and only then."""
    claim = f"{group.name}: Decay drives two windows in a row only once a run generalises"
    width = SPLIT.window * group.regime.record_every
    rule = (
        f"{RULE} The first of the two windows counts. Fails if it ends before the run generalises "
        "in a run with decay, or if a run on shuffled labels fires; holds if every run that "
        "generalises fires afterwards and runs on shuffled labels were measured and are silent. "
        f"The rule cannot fire before step {2 * width + group.regime.record_every}."
    )
    grokked = group.grok_steps()
    own = {seed: first_alarm(row) for seed, row in group.rows[DECAY].items()}
    shuffled = [first_alarm(row) for row in group.rows[SHUFFLED].values()]
    known = {seed: step for seed, step in own.items() if not np.isnan(step)}
    others = [step for step in shuffled if not np.isnan(step)]
    if not known:
        return Verdict(claim, "not asked", NOT_RUN, "undecided", rule)
    fired = {seed: step - width for seed, step in known.items() if np.isfinite(step)}
    late = [step >= (grokked[seed] or np.inf) for seed, step in fired.items()]
    silent = [seed for seed in known if grokked[seed] is not None and seed not in fired]
    false = sum(np.isfinite(step) for step in others)
    words = (
        f"{len(late)} of {len(known)} fire, {sum(late)} of them after generalising; on shuffled "
        f"labels {false} of {len(others)}"
    )
    if false or not all(late):
        return Verdict(claim, "not asked", words, "fails", rule)
    decided = bool(late) and not silent and bool(others)
    return Verdict(claim, "not asked", words, "holds" if decided else "undecided", rule)


def alarm_section(groups: Groups) -> Section:
    """First alarm of every run, and the gradient's return, beside its step of generalising."""
    rows = [
        (
            f"{group.name}, {condition}",
            ", ".join(_words(first_alarm(row)) for row in runs.values()),
            ", ".join(_words(first_reentry(row)) for row in runs.values()),
            ", ".join("–" if g is None else str(g) for g in group.grok_steps(condition).values()),
        )
        for group in groups.values()
        for condition, runs in group.rows.items()
        if runs
    ]
    columns = (
        "runs",
        "first alarm, each seed",
        "gradient again after any such window, each seed",
        "generalises, each seed",
    )
    return Section("An alarm for edges of decay", RULE, [Table(columns, rows)] if rows else [])


def _words(step: float) -> str:
    return "not measured" if np.isnan(step) else "never" if np.isinf(step) else f"{step:.0f}"
