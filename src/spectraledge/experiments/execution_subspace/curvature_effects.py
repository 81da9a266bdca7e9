"""Sizes of what the page on curvature compares, one number per run, as intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan

import numpy as np

from spectraledge.experiments.execution_subspace.defect_records import (
    EXACT_NAME,
    PUBLISHED_NAME,
    DefectRun,
)
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.series import PUBLISHED_ONSETS, Interval

__all__ = [
    "after_ratio",
    "baseline_growth",
    "bracket_after",
    "bracket_before",
    "defect_growth",
    "form_ratio",
    "generalising",
    "gradient_after",
    "group_ratio",
    "initial_ratio",
    "last_defect",
    "nearly",
    "of_runs",
]

Effect = Callable[[DefectRun], float]
LEAST = PUBLISHED_ONSETS["published"].least_baseline


def of_runs(runs: Sequence[DefectRun], effect: Effect, confidence: float = 0.95) -> Interval | None:
    """Geometric mean over seeds of an effect that is a ratio or positive."""
    return geometric_interval([(run.seed, effect(run)) for run in runs], confidence)


def generalising(runs: Sequence[DefectRun]) -> list[DefectRun]:
    """The runs that reached `grok_stop`."""
    return [run for run in runs if run.generalises]


def nearly(runs: Sequence[DefectRun]) -> list[DefectRun]:
    """The runs that reached the accuracy of `grok_90`, whether they were watched further or not."""
    return [run for run in runs if not run.silent]


def form_ratio(run: DefectRun, first: int, last: float) -> float:
    """Median over the records from `first` to `last` of published over exact defect."""
    published, exact = (run.records("defect", form=f) for f in (PUBLISHED_NAME, EXACT_NAME))
    _, here, there = np.intersect1d(published.steps, exact.steps, return_indices=True)
    steps = published.steps[here]
    chosen = (steps >= first) & (steps <= last)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (np.asarray(published.values)[here] / np.asarray(exact.values)[there])[chosen]
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if ratios.size else nan


def initial_ratio(run: DefectRun) -> float:
    """Published over exact defect at the initial weights."""
    return form_ratio(run, 0, 0)


def after_ratio(run: DefectRun) -> float:
    """Published over exact defect in the records from `grok_stop` on."""
    stop = run.grok("grok_stop")
    return nan if stop is None else form_ratio(run, stop, np.inf)


def baseline_growth(run: DefectRun, until: float = np.inf) -> float:
    """Largest published defect up to a step over its baseline, as published."""
    records = run.records("defect", form=PUBLISHED_NAME).until(until)
    values = np.asarray(records.values, dtype=np.float64)
    seen = values[np.isfinite(values)]
    return float(seen.max()) / max(LEAST, float(np.median(seen[:3]))) if seen.size else nan


def last_defect(run: DefectRun, form: str = EXACT_NAME, until: float = np.inf) -> float:
    """The last defect at or before a step."""
    return run.records("defect", form=form).at(until)


def _after(run: DefectRun, output: str) -> float:
    """An output where the exact defect is largest, over its value at the record before grok_90."""
    defect = run.records("defect")
    grok = run.grok("grok_90")
    values = np.asarray(defect.values, dtype=np.float64)
    if grok is None or not np.isfinite(values).any():
        return nan
    peak = int(defect.steps[int(np.nanargmax(values))])
    return run.records(output).at(peak) / run.before(grok, output)


def defect_growth(run: DefectRun) -> float:
    """The largest exact defect over that at the record before `grok_90`."""
    return _after(run, "defect")


def bracket_after(run: DefectRun) -> float:
    """The bracket where the defect is largest, over the bracket before `grok_90`."""
    return _after(run, "bracket_norm")


def gradient_after(run: DefectRun) -> float:
    """The gradient where the defect is largest, over the gradient before `grok_90`."""
    return _after(run, "gradient_norm")


def bracket_before(run: DefectRun) -> float:
    """The bracket at the record before `grok_90`, over the bracket when the run memorised."""
    grok, memorised = run.grok("grok_90"), run.memorised
    if grok is None or memorised is None or memorised >= grok:
        return nan
    return run.before(grok, "bracket_norm") / run.records("bracket_norm").at(memorised)


def group_ratio(
    first: Sequence[DefectRun], second: Sequence[DefectRun], effect: Effect
) -> Interval | None:
    """Ratio of an effect between two groups of runs, paired by seed.

    Args:
        first: Runs above the line.
        second: Runs below it.
        effect: A positive number per run.

    Returns:
        Geometric mean over the seeds that both groups have; None if they share none.
    """
    means = [_seed_means(group, effect) for group in (first, second)]
    shared = sorted(set(means[0]) & set(means[1]))
    return geometric_interval([(s, float(np.exp(means[0][s] - means[1][s]))) for s in shared])


def _seed_means(runs: Sequence[DefectRun], effect: Effect) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for run in runs:
        value = effect(run)
        if np.isfinite(value) and value > 0:
            found.setdefault(run.seed, []).append(float(np.log(value)))
    return {seed: float(np.mean(values)) for seed, values in found.items()}
