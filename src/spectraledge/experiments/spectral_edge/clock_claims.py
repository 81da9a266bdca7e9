"""What of the edge follows the clock of decay, the step, the window or the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short, status_within
from spectraledge.experiments.spectral_edge.clock_runs import (
    BASE,
    CHECKS,
    DENSE_BASE,
    SETTINGS,
    TICK,
    ClockSetting,
    check_steps,
    clock_curve,
)
from spectraledge.experiments.spectral_edge.edge_class import run_class
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY
from spectraledge.experiments.spectral_edge.edge_runs import SPLIT, EdgeGroup, finite_curve
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, Groups, over_seeds
from spectraledge.experiments.spectral_edge.flip_claims import first_flip_with_window, window_end
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict

__all__ = ["CLOCKED", "QUANTITIES", "classes_at", "clock_claims", "distances", "mean_share"]

QUANTITIES: Mapping[str, str] = {
    "the gradient's share along v₁": clock_curve(SPLIT, "energy_share", "gradient", "v1"),
    "decay's share of a displacement": clock_curve(SPLIT, "interval_share", "weight_decay"),
    "|cos(v₁, θ)|": clock_curve(SPLIT, "overlap", "v1"),
}
# Settings whose clock is another than their steps, and those that divide lr · decay otherwise.
CLOCKED = tuple(name for name, setting in SETTINGS.items() if setting.rate != 1)
MARGIN = 0.1
PAPER = "not tested; classes are said to be set by task and capacity"
SAME = 0.9

# Class of a run at each check, empty where it cannot be told.
Classes = dict[int, list[str]]


def clock_claims(groups: Groups, scale: Scale) -> list[Verdict]:
    """All verdicts."""
    base = groups[BASE]
    others = {name: g for name, g in groups.items() if name not in (BASE, DENSE_BASE)}
    return [
        *(first_flip_with_window(group) for group in groups.values()),
        *(
            _by_clock(base, groups[name], SETTINGS[name], quantity)
            for name in CLOCKED
            for quantity in QUANTITIES
        ),
        *(
            _alike(base, group, quantity)
            for name, group in others.items()
            if name not in CLOCKED
            for quantity in QUANTITIES
        ),
        *(_along_a_run(groups[name], scale, SETTINGS[name]) for name in groups),
        *(_same_class(base, groups[name], scale, name) for name in groups if name != BASE),
    ]


def distances(
    base: Row, row: Row, name: str, rate: float, starts: tuple[float, float]
) -> tuple[float, float]:
    """How far a run is from the published one at the same step, and at the same clock.

    Args:
        base: The published run of the seed.
        row: The other.
        name: Of a curve of both.
        rate: Of the clock of the other, a step; of the published one 1.
        starts: First step whose window is full, in the published run and in the other.

    Returns:
        Mean absolute differences over the records of the other that the published run has at the
        same step and at the same clock, all with full windows; NaN without any.
    """
    steps, values = finite_curve(row, name)
    there = dict(zip(*finite_curve(base, name)))
    pairs = [
        (abs(value - there[step]), abs(value - there[step * rate]))
        for step, value in zip(steps, values)
        if step >= starts[1] and all(at in there and at >= starts[0] for at in (step, step * rate))
    ]
    apart = np.mean(pairs, axis=0) if pairs else np.full(2, np.nan)
    return float(apart[0]), float(apart[1])


def _by_clock(base: EdgeGroup, group: EdgeGroup, setting: ClockSetting, quantity: str) -> Verdict:
    claim = f"{group.name}: {quantity} follows the clock and not the step"
    rule = (
        "Mean absolute difference to the published settings at the same step, minus that at the "
        "same clock s = Σηω, records whose windows are full in both, by seed."
    )
    name, starts = QUANTITIES[quantity], (window_end(base, SPLIT), window_end(group, SPLIT))
    apart = [
        distances(base.rows[DECAY][seed], row, name, setting.rate, starts)
        for seed, row in group.rows[DECAY].items()
        if seed in base.rows[DECAY]
    ]
    found = mean_of(step - clock for step, clock in apart)
    step, clock = (short(mean_of(values)) for values in zip(*apart)) if apart else ("", "")
    words = f"{step} apart at the same step, {clock} at the same clock; {short(found)} less"
    return over_seeds(claim, PAPER, found, rule, words=words, above=0.0)


def mean_share(group: EdgeGroup, row: Row, name: str) -> float:
    """Mean of a curve over the records from the window's end to the last check."""
    steps, values = finite_curve(row, name)
    end = row.steps_taken * CHECKS[-1] / (CHECKS[-1] + 1)
    seen = values[(steps >= window_end(group, SPLIT)) & (steps <= end)]
    return float(seen.mean()) if seen.size else np.nan


def _alike(base: EdgeGroup, group: EdgeGroup, quantity: str) -> Verdict:
    claim = f"{group.name}: {quantity} is as with the published settings"
    rule = (
        "Mean over the records from the window's end on, difference to the published settings by "
        f"seed. Holds if its 95 % interval lies within ± {MARGIN:g}, fails if it lies outside."
    )
    name = QUANTITIES[quantity]
    rows, own = base.rows[DECAY], group.rows[DECAY]
    both = [seed for seed in own if seed in rows]
    means = [
        (mean_share(base, rows[seed], name), mean_share(group, own[seed], name)) for seed in both
    ]
    found = mean_of(b - a for a, b in means)
    if found is None:
        return Verdict(claim, PAPER, NOT_RUN, "undecided", rule)
    first, other = (short(mean_of(values)) for values in zip(*means))
    words = f"{other} against {first}, difference {short(found)}"
    return Verdict(claim, PAPER, words, status_within(found, MARGIN), rule)


def classes_at(group: EdgeGroup, scale: Scale, setting: ClockSetting) -> Classes:
    """Class of every run at every check, by seed."""
    return {
        seed: [run_class(group, row, step)[1] for step in check_steps(scale, setting)]
        for seed, row in group.rows[DECAY].items()
    }


def _along_a_run(group: EdgeGroup, scale: Scale, setting: ClockSetting) -> Verdict:
    found = classes_at(group, scale, setting)
    shares = (float(len(set(own)) == 1) for names in found.values() if (own := _told(names, 2)))
    mean = mean_of(shares, 0.0, 1.0)
    counts = [Counter(name or "not told" for name in at) for at in zip(*found.values())]
    words = "; ".join(_count_words(count) for count in counts)
    return over_seeds(
        f"{group.name}: The class of a run does not change with its length",
        PAPER,
        mean,
        "Share of the runs that have one class wherever it can be told, at s = "
        f"{_clocks()} of lr × decay × step, numbers of the last third until then; runs with two "
        "such places at least.",
        words=f"{share_words(mean)} of the runs; {words}",
        above=SAME,
    )


def _same_class(base: EdgeGroup, group: EdgeGroup, scale: Scale, name: str) -> Verdict:
    first, own = classes_at(base, scale, SETTINGS[BASE]), classes_at(group, scale, SETTINGS[name])
    shares = [
        float(np.mean([a == b for a, b in pairs]))
        for seed in own
        if seed in first and (pairs := [p for p in zip(first[seed], own[seed]) if all(p)])
    ]
    mean = mean_of(shares, 0.0, 1.0)
    return over_seeds(
        f"{group.name}: The class is that of the published settings at the same clock",
        PAPER,
        mean,
        f"Share of s = {_clocks()} at which both are told, by seed.",
        words=f"{share_words(mean)} of them",
        above=SAME,
    )


def _told(names: Iterable[str], least: int) -> list[str]:
    told = [name for name in names if name]
    return told if len(told) >= least else []


def _count_words(count: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in count.most_common())


def _clocks() -> str:
    return ", ".join(f"{check * TICK:g}" for check in CHECKS)
