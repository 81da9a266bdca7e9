"""When the edge flips, beside when a run generalises: the first flip, and any flip at all."""

from __future__ import annotations

from math import isfinite, nan

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY
from spectraledge.experiments.spectral_edge.edge_runs import (
    SPLIT,
    SPLITS,
    EdgeGroup,
    counted_windows,
    finite_curve,
    flip_step,
    flip_steps,
)
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN
from spectraledge.instruments import UpdateDecomposition
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import first_held

__all__ = [
    "NEW_WORDS",
    "any_flip",
    "first_flip_with_generalising",
    "first_flip_with_window",
    "flips",
    "new_words",
    "step_range",
    "window_end",
]

NEW_WORDS = "validation_accuracy_new_word"


def window_end(group: EdgeGroup, split: UpdateDecomposition, condition: str = DECAY) -> int:
    """Step at which the first displacement has left the window: (W + 1) · cadence."""
    return (split.window + 1) * split.stride * group.regime.cadence(condition)


def flips(group: EdgeGroup, split: UpdateDecomposition, condition: str = DECAY) -> list[float]:
    """Steps of the first flip, one a seed; NaN where there is none."""
    width = group.regime.cadence(condition)
    return [flip_step(row, split, width) for row in group.rows[condition].values()]


def first_flip_with_window(group: EdgeGroup) -> Verdict:
    """Whether the first flip comes when the first displacement leaves the window."""
    claim = f"{group.name}: The first flip comes when the first displacement leaves the window"
    rule = (
        "First window of two displacements or more whose gradient share is below one half after "
        "one above; (W + 1) × cadence for five windows and cadences. Holds if 80 % of the flips "
        "lie within one cadence of it, fails if fewer than 20 % do."
    )
    pairs = [(s, f) for s in SPLITS for f in flips(group, s) if isfinite(f)]
    if not pairs:
        return Verdict(claim, "not questioned", NOT_RUN, "undecided", rule)
    near = [abs(f - window_end(group, s)) <= s.stride * group.regime.record_every for s, f in pairs]
    share = float(np.mean(near))
    words = f"{sum(near)} of {len(near)} flips; " + "; ".join(
        f"W = {s.window}, {s.stride * group.regime.record_every} steps: "
        f"{step_range(flips(group, s))} against {window_end(group, s)}"
        for s in SPLITS
    )
    status = "holds" if share >= 0.8 else "fails" if share < 0.2 else "undecided"
    return Verdict(claim, "not questioned", words, status, rule)


def first_flip_with_generalising(group: EdgeGroup) -> Verdict:
    """Whether the first flip comes when a run generalises, as published."""
    claim = f"{group.name}: The first flip comes when a run generalises"
    rule = (
        "Flip minus first record at the accuracy that counts, runs that have both. Holds if "
        "every run is within one cadence, fails if most are not."
    )
    grokked, flipped = list(group.grok_steps().values()), flips(group, SPLIT)
    apart = [f - g for f, g in zip(flipped, grokked) if g is not None and isfinite(f)]
    if not apart:
        return Verdict(claim, "at grokking", _neither(group, grokked), "undecided", rule)
    near = [abs(d) <= group.regime.record_every for d in apart]
    words = (
        f"flips {step_range(flipped)}, generalising {step_range([_nan(g) for g in grokked])}: "
        f"apart by {short(mean_of(apart))}; {sum(near)} of {len(near)} within one cadence"
    )
    status = "holds" if all(near) else "fails" if sum(near) * 2 < len(near) else "undecided"
    return Verdict(claim, "at grokking", words, status, rule)


def any_flip(group: EdgeGroup) -> Verdict:
    """Whether some flip, first or not, comes with generalising more often than by chance."""
    claim = f"{group.name}: Some flip, first or later, comes when a run generalises"
    rule = (
        "Whether any flip of a run lies within one cadence of the window of its generalising, "
        "minus the share of the run's windows that lie as near one: what a step without relation "
        "gives. Mean over five windows and cadences, by seed. Fails if the 95 % interval over "
        "seeds lies below 0.2, else holds if it is above 0."
    )
    found = {split: _hits(group, split) for split in SPLITS}
    excess = mean_of(np.mean([hits[:, 0] - hits[:, 1] for hits in found.values()], axis=0))
    if excess is None:
        neither = _neither(group, list(group.grok_steps().values()))
        return Verdict(claim, "at grokking", neither, "undecided", rule)
    words = f"{short(excess)} beyond chance; " + "; ".join(
        f"W = {s.window}, {s.stride * group.regime.record_every} steps: "
        f"{np.nansum(hits[:, 0]):.0f} of {np.isfinite(hits[:, 0]).sum()} (chance "
        f"{np.nansum(hits[:, 1]):.1f})"
        for s, hits in found.items()
    )
    status = "fails" if excess.upper < 0.2 else decide(excess, above=0.0)
    return Verdict(claim, "at grokking", words, status, rule)


def _hits(group: EdgeGroup, split: UpdateDecomposition) -> np.ndarray:
    """Of every run: whether a flip is near its generalising, and the share of windows near one."""
    width, found = group.regime.cadence(DECAY), []
    for row, grokked in zip(group.rows[DECAY].values(), group.grok_steps().values()):
        steps, _ = counted_windows(row, split, width)
        if grokked is None or not steps.size:
            found.append((nan, nan))
            continue
        apart = np.abs(steps[:, None] - flip_steps(row, split, width)[None, :]).astype(float)
        close = apart.min(1, initial=np.inf) <= split.stride * width
        # The first window that ends at or after generalising.
        at = min(int(np.searchsorted(steps, grokked)), len(close) - 1)
        found.append((float(close[at]), float(close.mean())))
    return np.array(found).reshape(-1, 2)


def new_words(group: EdgeGroup) -> list[Verdict]:
    """Whether generalising on words that training lacks comes with that on all held-out rows."""
    rows = {s: r for s, r in group.rows[DECAY].items() if NEW_WORDS in r.curves}
    if not rows:
        return []
    claim = f"{group.name}: Words that training lacks are learned when held-out rows are"
    rule = (
        f"First record at {group.regime.grokked:g} on rows of words that training does not have, "
        "minus that on all held-out rows, which repeat training rows in part. Holds if the 90 % "
        "interval over seeds lies within one cadence of 0, fails if it lies above."
    )
    every = group.grok_steps()
    new = {seed: _generalised(row, group.regime.grokked) for seed, row in rows.items()}
    apart = [new[s] - _nan(every[s]) for s in rows]
    mean = mean_of(apart, confidence=0.9)
    if mean is None:
        return [Verdict(claim, "not separated", NOT_RUN, "undecided", rule)]
    words = (
        f"{step_range(list(new.values()))} against "
        f"{step_range([_nan(g) for g in every.values()])}; later by {short(mean)} (90 %)"
    )
    width = group.regime.record_every
    inside = -width < mean.lower and mean.upper < width
    status = "holds" if inside else "fails" if mean.lower > width else "undecided"
    return [Verdict(claim, "not separated", words, status, rule)]


def _generalised(row: Row, threshold: float) -> float:
    steps, values = finite_curve(row, NEW_WORDS)
    return _nan(first_held(steps, values, threshold=threshold, patience=1))


def step_range(steps: list[float]) -> str:
    """Least and largest of the finite steps."""
    there = sorted(s for s in steps if isfinite(s))
    if not there:
        return "never"
    ends = f"{there[0]:.0f}" if there[0] == there[-1] else f"{there[0]:.0f} to {there[-1]:.0f}"
    return ends if len(there) == len(steps) else f"{ends} ({len(there)} of {len(steps)})"


def _neither(group: EdgeGroup, grokked: list[int | None]) -> str:
    if not group.known():
        return NOT_RUN
    return f"{sum(g is not None for g in grokked)} of {len(grokked)} generalise"


def _nan(step: int | None) -> float:
    return nan if step is None else float(step)
