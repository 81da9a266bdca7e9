"""Runs, claims and what the rows say in `edge_controls`."""

from __future__ import annotations

from math import nan

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import ABLATION, EdgeGroup, measured_group
from spectraledge.experiments.spectral_edge.edge_study import Groups, over_seeds
from spectraledge.experiments.study import Known
from spectraledge.instruments import EdgeNoise
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval
from spectraledge.training import RunSpec

__all__ = [
    "NOISE",
    "change",
    "control_claims",
    "control_curve",
    "control_groups",
    "control_runs",
    "full_windows",
]

NOISE = EdgeNoise()
control_curve = CurveNames([ABLATION, NOISE])
# A part of the windows that is nearly all, and as much of one direction.
NEARLY = 0.9


def control_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """One run a seed by task, three records longer than the last removal needs."""
    regimes = edge_regimes(scale)
    return {
        # A length of their own: rows of other studies lack these removals.
        task: regime.runs(steps=regime.functional_steps["late"] + 3 * regime.record_every)
        for task in (DYCK, MODULAR)
        if (regime := regimes.get(task)) is not None
    }


def control_groups(known: Known, scale: Scale) -> dict[str, EdgeGroup]:
    """The runs that are known and were measured, by task."""
    needed = control_curve(NOISE, "above")
    return {
        task: measured_group(known, task, edge_regimes(scale)[task], {DECAY: runs}, needed)
        for task, runs in control_runs(scale).items()
    }


def control_claims(groups: Groups) -> list[Verdict]:
    """All verdicts, by task."""
    return [
        claim
        for group in groups.values()
        for claim in (
            _every_value(group),
            _first_value(group),
            *(_more(group, phase, step) for phase, step in group.regime.functional_steps.items()),
        )
    ]


def full_windows(row: Row, output: str, component: str | None = None) -> np.ndarray:
    """An output of `EdgeNoise` in all windows that hold W displacements."""
    labels = () if component is None else (component,)
    last = row.curve(control_curve(NOISE, "excess", f"v{NOISE.window}"))[1]
    return row.curve(control_curve(NOISE, output, *labels))[1][np.isfinite(last)]


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else nan


def _every_value(group: EdgeGroup) -> Verdict:
    counts = [_mean(full_windows(row, "above")) for row in group.rows[DECAY].values()]
    found, width = mean_of(counts), NOISE.window
    return over_seeds(
        f"{group.name}: Every singular value stands out of noise",
        "all do, by 13.5 times, of a threshold made of the smallest ones",
        found,
        f"Leading singular values above their {NOISE.quantile:.0%} quantile under random signs of "
        f"blocks of {NOISE.block} weights, mean over all windows of {width} updates.",
        words=f"{short(found)} of {width}",
        above=width - 1 + NEARLY,
    )


def _first_value(group: EdgeGroup) -> Verdict:
    rows = group.rows[DECAY].values()
    found = mean_of((_mean(full_windows(row, "above") >= 1) for row in rows), 0.0, 1.0)
    excess = mean_of(_mean(full_windows(row, "excess", "v1")) for row in rows)
    return over_seeds(
        f"{group.name}: The first singular value stands out in nearly every window",
        "not tested apart from the others",
        found,
        "Share of the windows of a run in which the first singular value is above its quantile.",
        words=f"in {share_words(found)} of the windows; {short(excess)} times its quantile",
        above=NEARLY,
    )


def _more(group: EdgeGroup, phase: str, step: int) -> Verdict:
    edge, singular = (
        change(group, what, step, "accuracy_change") for what in ("edge", "singular_matched")
    )
    names = [control_curve(ABLATION, "accuracy_change", w) for w in ("singular_matched", "edge")]
    differences = [
        value_at(row, names[0], step) - value_at(row, names[1], step)
        for row in group.rows[DECAY].values()
    ]
    found = mean_of(differences)
    share = change(group, "edge", step, "removed")
    return over_seeds(
        f"{group.name}: At step {step} ({phase}) the edge matters more than as much along the "
        "leading singular directions",
        "not tested",
        found,
        "Accuracy lost without the edge minus that lost without them, by seed.",
        words=f"{short(edge)} against {short(singular)}, each {share_words(share)} of the weights; "
        f"{short(found)} more",
        above=0.0,
    )


def change(group: EdgeGroup, what: str, step: int, output: str) -> Interval | None:
    """An output of `Ablation` for one removal, mean over seeds."""
    return group.at(control_curve(ABLATION, output, what), step)
