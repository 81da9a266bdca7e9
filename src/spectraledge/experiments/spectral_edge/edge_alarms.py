"""Runs and steps at which decay drives the edge by the rule of `decay_driven_alarm`."""

from __future__ import annotations

from math import nan

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DENSE
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
from spectraledge.series import decay_driven_alarm, decay_driven_windows

__all__ = ["alarm_claim", "alarm_section", "first_alarm"]

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
    known = [dict(zip(*finite_curve(row, name))) for name in CURVES]
    steps = sorted(set().union(*known))
    if not all(known):
        return nan
    curves = [np.array([curve.get(step, nan) for step in steps]) for curve in known]
    alarm = decay_driven_alarm(decay_driven_windows(*curves), SPLIT.window)
    found = np.flatnonzero(alarm)
    return float(steps[found[0]]) if found.size else np.inf


def alarm_claim(group: EdgeGroup) -> Verdict:
    """Whether a lasting edge of decay comes after generalising, and only then."""
    claim = (
        f"{group.name}: Decay drives the edge for two windows in a row only once a run generalises"
    )
    rule = (
        f"{RULE} Fails if any run fires that does not generalise, or before it does; holds if "
        "every run that generalises fires afterwards and no other does."
    )
    grokked = group.grok_steps()
    own = {seed: first_alarm(row) for seed, row in group.rows[DECAY].items()}
    others = [
        first_alarm(row)
        for condition, rows in group.rows.items()
        if condition not in (DECAY, DENSE)
        for row in rows.values()
    ]
    if not own or any(np.isnan(step) for step in own.values()):
        return Verdict(claim, "not asked", NOT_RUN, "undecided", rule)
    late = [step >= (grokked[s] or np.inf) for s, step in own.items() if np.isfinite(step)]
    false = sum(np.isfinite(step) for step in others)
    words = (
        f"{len(late)} of {len(own)} fire, {sum(late)} of them after generalising; of the runs that "
        f"cannot or do not decay {false} of {len(others)}"
    )
    status = "undecided"
    if false or not all(late):
        status = "fails"
    elif len(late) == len(own) and others:
        status = "holds"
    return Verdict(claim, "not asked", words, status, rule)


def alarm_section(groups: Groups) -> Section:
    """First alarm of every run, beside its step of generalising."""
    rows = [
        (
            f"{group.name}, {condition}",
            ", ".join(_words(first_alarm(row)) for row in runs.values()),
            ", ".join("–" if g is None else str(g) for g in group.grok_steps(condition).values()),
        )
        for group in groups.values()
        for condition, runs in group.rows.items()
        if runs
    ]
    columns = ("runs", "first alarm, each seed", "generalises, each seed")
    return Section("An alarm for edges of decay", RULE, [Table(columns, rows)] if rows else [])


def _words(step: float) -> str:
    return "not measured" if np.isnan(step) else "never" if np.isinf(step) else f"{step:.0f}"
