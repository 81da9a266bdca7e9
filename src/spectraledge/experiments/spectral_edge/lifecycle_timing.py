"""When decay drives the edge: through other windows, without overlap, and by a run's own time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY
from spectraledge.experiments.spectral_edge.edge_runs import (
    SPLIT,
    SPLITS,
    EdgeGroup,
    curve_name,
    finite_curve,
    flip_steps,
)
from spectraledge.experiments.spectral_edge.edge_study import Groups
from spectraledge.experiments.spectral_edge.flip_claims import window_end
from spectraledge.report import Section, Table

__all__ = ["timing_section"]

SHARE = curve_name(SPLIT, "energy_share", "gradient", "v1")
DECAY_INTERVAL = curve_name(SPLIT, "interval_share", "weight_decay")
OFFSETS = (-10, -5, -3, -1, 0, 1, 3, 5, 10)  # in cadences, about a run's own generalising
APART = 8  # windows without overlap that are shown
BURST = 0.2


def timing_section(groups: Groups) -> Section:
    """All flips through five windows; windows that share nothing; runs aligned to themselves."""
    text = (
        "The same runs, looked at through other windows: if the first flip belonged to training, "
        "it would not move. Windows that share no displacement have no memory of the first one. "
        "By a run's own time: cadences before and after its generalising. A burst is an interval "
        f"of which decay makes less than {BURST:g}; single snapshots are a lottery among them."
    )
    tables = [_flip_table(groups), _apart_table(groups), _own_time_table(groups)]
    return Section("Windows and cadences", text, tables)


def _flip_table(groups: Groups) -> Table:
    columns = ("task and window", "(W + 1) × cadence", "flips, each seed", "generalises, each seed")
    rows = [
        (
            f"{group.name}, W = {split.window}, {split.stride * group.regime.record_every} steps",
            str(window_end(group, split)),
            "; ".join(
                _steps(flip_steps(row, split, group.regime.cadence(DECAY)))
                for row in group.rows[DECAY].values()
            ),
            ", ".join("–" if g is None else str(g) for g in group.grok_steps(DECAY).values()),
        )
        for group in groups.values()
        for split in SPLITS
    ]
    return Table(columns, rows, "Seeds are separated by semicolons.")


def _apart_table(groups: Groups) -> Table:
    columns = ("task", *(f"window {n}" for n in range(1, APART + 1)), "bursts")
    rows = [
        (group.name, *(_apart(group, n) for n in range(1, APART + 1)), _bursts(group))
        for group in groups.values()
    ]
    caption = (
        f"Share of the gradient along v₁ of windows of {SPLIT.window} displacements, one after "
        "another; means over seeds. Bursts: share of the intervals of a run."
    )
    return Table(columns, rows, caption)


def _apart(group: EdgeGroup, number: int) -> str:
    step = number * SPLIT.window * group.regime.record_every
    return _mean(_at(finite_curve(row, SHARE), step) for row in group.rows[DECAY].values())


def _bursts(group: EdgeGroup) -> str:
    return _mean(
        float(np.mean(shares < BURST)) if shares.size else np.nan
        for row in group.rows[DECAY].values()
        for shares in [finite_curve(row, DECAY_INTERVAL)[1]]
    )


def _own_time_table(groups: Groups) -> Table:
    columns = ("task", *(f"{n:+d}" if n else "generalises" for n in OFFSETS))
    rows = [(group.name, *(_own_time(group, n) for n in OFFSETS)) for group in groups.values()]
    caption = (
        "Share of the gradient along v₁, window of five, so many cadences after a run generalises; "
        "means over the seeds that have such a window."
    )
    return Table(columns, rows, caption)


def _own_time(group: EdgeGroup, offset: int) -> str:
    pairs = zip(group.rows[DECAY].values(), group.grok_steps().values())
    return _mean(
        _at(finite_curve(row, SHARE), grokked + offset * group.regime.record_every)
        for row, grokked in pairs
        if grokked is not None
    )


def _at(curve: tuple[np.ndarray, np.ndarray], step: int) -> float:
    found = curve[1][curve[0] == step]
    return float(found[0]) if found.size else np.nan


def _mean(values: Iterable[float]) -> str:
    mean = mean_of(values, 0.0, 1.0)
    return "–" if mean is None else share_words(mean)


def _steps(steps: np.ndarray) -> str:
    return ", ".join(f"{step:.0f}" for step in steps) or "–"
