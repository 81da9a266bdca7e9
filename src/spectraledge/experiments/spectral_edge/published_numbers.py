"""Published numbers of the spectral edge and ours beside them, each with what a seed may show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from scipy.stats import fisher_exact
from scipy.stats import t as student

from spectraledge.experiments.row_values import mean_of, short, step_of, value_at
from spectraledge.experiments.seed_intervals import geometric_interval, share_by_seeds
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, finite_curve
from spectraledge.lab.rows import Row
from spectraledge.report import Section, Table
from spectraledge.series import Interval

__all__ = [
    "COLUMNS",
    "NOT_RUN",
    "Kind",
    "PublishedNumber",
    "Read",
    "at",
    "at_end",
    "exactly",
    "mean_over_run",
    "number_rows",
    "numbers_section",
    "sign_at",
    "whether",
]

Read = Callable[[Row], float]
Kind = Literal["plain", "fraction", "positive", "share"]
COLUMNS = ("quantity", "paper", "ours, its seed", "ours, mean over seeds", "verdict")
FEWEST = 3
# Shorter runs are smoke tests, in which no published number means anything.
LEAST_STEPS = 1000
OTHER_SIZE, OTHER_LENGTH, NOT_RUN, UNDECIDED = "other size", "other length", "not run", "–"
LEVEL = 0.05
CAPTION = (
    "Mean over seeds with 95 % t intervals; of what is positive and scatters by factors "
    "geometric, in logarithms. Verdict: whether the published number lies in the 95 % "
    "interval for as many further seeds as it is of, t s √(1/k + 1/n), and half a unit of its "
    "last digit; three seeds of ours at least. Shares of runs have exact intervals, and by "
    "Fisher's exact test no verdict where no outcome could differ. What follows from the rows "
    "alone no seed changes; where it differs, it does so by the split of tokens, and has no "
    "verdict, nor has what runs of ours are too short for. One snapshot scatters much "
    "between seeds, so that this interval is wide for some. Not run: no run of ours holds it."
)


@dataclass(frozen=True)
class PublishedNumber:
    """A number of the paper, and how it is read off a run.

    Args:
        quantity: What it is, with its step.
        value: As published.
        read: The same of one run.
        condition: Which runs.
        seeds: How many the published number is the mean of.
        seed: The run that it is of; None for the one that most numbers are of.
        kind: ``fraction`` for what lies in [0, 1], where intervals are cut; ``positive`` for what
            is positive by definition and scatters by factors: means, intervals and verdicts in
            logarithms; ``share`` of runs that do something, which `read` says of one run with 1
            and 0; ``plain`` for all else.
        same_length: Whether our runs are long enough for it: a fall over a whole run, or a mean
            over windows of which ours hold one, cannot be compared and has no verdict.
    """

    quantity: str
    value: float
    read: Read
    condition: str
    seeds: int = 1
    seed: int | None = None
    kind: Kind = "plain"
    same_length: bool = True


def at(name: str, step: float) -> Read:
    """A curve at a step, or the last record before it."""
    return lambda row: value_at(row, name, step)


def exactly(name: str, step: float) -> Read:
    """A curve at a step, NaN where it was not measured there."""
    return lambda row: value_at(row, name, step) if step_of(row, name, step) == step else np.nan


def at_end(name: str) -> Read:
    """The last record of a curve."""
    return lambda row: value_at(row, name, np.inf)


def mean_over_run(name: str) -> Read:
    """The mean of a curve over a run, as published angles are."""
    return lambda row: float(v.mean()) if (v := finite_curve(row, name)[1]).size else np.nan


def sign_at(name: str, step: float) -> Read:
    """−1 or 1, the sign of a curve at a step, where no more is published."""
    return lambda row: float(np.sign(value_at(row, name, step)))


def whether(read: Read, does: Callable[[float], bool]) -> Read:
    """1 if a number of a run is such, else 0; NaN if the run has none."""
    return lambda row: float(does(value)) if isfinite(value := read(row)) else np.nan


def number_rows(
    numbers: Iterable[PublishedNumber],
    rows: Mapping[str, Mapping[int, Row]],
    seed: int,
    *,
    same_size: bool = True,
) -> list[tuple[str, ...]]:
    """A line a number, also of those that no run of ours holds.

    Args:
        numbers: What was published.
        rows: By condition and seed.
        seed: The one that the paper gives numbers of.
        same_size: Whether model and task are the published ones; else there is no verdict, and
            no line without a number of ours.

    Returns:
        Cells under `COLUMNS`.
    """
    lines: list[tuple[str, ...]] = []
    for number in numbers:
        runs = rows.get(number.condition, {})
        values = _values(number, runs)
        head = f"{number.quantity}, {number.condition}", _paper(number)
        if values:
            own = _own(number, values, seed)
            verdict = _verdict(number, list(values.values())) if same_size else OTHER_SIZE
            lines.append((*head, own, _mean(number, values, len(runs)), verdict))
        elif same_size:
            lines.append((*head, "–", "–", NOT_RUN))
    return lines


def numbers_section(
    numbers: Sequence[PublishedNumber], group: EdgeGroup, *, same_size: bool = True
) -> list[Section]:
    """The table as a section; nothing of smoke runs, or without any number of ours.

    Args:
        numbers: What was published.
        group: Runs of the task.
        same_size: See `number_rows`.

    Returns:
        One section or none.
    """
    regime = group.regime
    if regime.steps < LEAST_STEPS:
        return []
    lines = number_rows(numbers, group.rows, regime.published_seed, same_size=same_size)
    title = f"Published numbers, {group.name}"
    known = any(line[-1] != NOT_RUN for line in lines)
    return [Section(title, "", [Table(COLUMNS, lines, CAPTION)])] if known else []


def _values(number: PublishedNumber, runs: Mapping[int, Row]) -> dict[int, float]:
    """What runs have, by seed."""
    found = {seed: number.read(row) for seed, row in runs.items()}
    least = 0.0 if number.kind == "positive" else -np.inf
    return {seed: value for seed, value in found.items() if isfinite(value) and value > least}


def _own(number: PublishedNumber, values: Mapping[int, float], seed: int) -> str:
    which = seed if number.seed is None else number.seed
    if which not in values:
        return "–"
    return _answer(values[which]) if number.kind == "share" else _figure(values[which])


def _answer(value: float) -> str:
    return "yes" if value else "no"


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _paper(number: PublishedNumber) -> str:
    if number.kind == "share":
        count, of = round(number.value * number.seeds), number.seeds
        return f"{count} of {of}" if of > 1 else _answer(number.value)
    return f"{number.value:g}" + (f" ({number.seeds} seeds)" if number.seeds > 1 else "")


def _mean(number: PublishedNumber, values: Mapping[int, float], runs: int) -> str:
    """Over seeds, with how many of the runs have a value if some have none."""
    words = short(_interval(number, values))
    notes = ["geometric"] if number.kind == "positive" and len(values) > 1 else []
    if len(values) < runs:
        notes.append(f"{len(values)} of {runs}")
    return f"{words} ({', '.join(notes)})" if notes else words


def _interval(number: PublishedNumber, values: Mapping[int, float]) -> Interval | None:
    if number.kind == "positive":
        return geometric_interval(values.items())
    if number.kind == "share":
        return share_by_seeds(float(np.mean(list(values.values()))), len(values))
    low, high = (0.0, 1.0) if number.kind == "fraction" else (-np.inf, np.inf)
    return mean_of(values.values(), low, high)


def _verdict(number: PublishedNumber, values: list[float]) -> str:
    if not number.same_length:
        return OTHER_LENGTH
    if len(values) < FEWEST:
        return UNDECIDED
    return _share_verdict(number, values) if number.kind == "share" else _within(number, values)


def _within(number: PublishedNumber, values: list[float]) -> str:
    count, paper, ours = len(values), number.value, np.array(values)
    half = _half_unit(paper)
    if number.kind == "positive":
        half, paper, ours = float(np.log1p(half / paper)), float(np.log(paper)), np.log(ours)
    width = float(ours.std(ddof=1)) * sqrt(1 / number.seeds + 1 / count)
    scatter = float(student.ppf(0.975, count - 1)) * width
    if abs(paper - float(ours.mean())) <= scatter + half:
        return "within"
    # What no seed changes differs by something else, such as the split of tokens; seeds cannot say.
    return "outside" if scatter > half else UNDECIDED


def _share_verdict(number: PublishedNumber, values: list[float]) -> str:
    """By Fisher's exact test; undecided where not even all against none would differ."""
    theirs, ours = number.seeds, len(values)
    they_do, we_do = round(number.value * theirs), round(sum(values))
    if _chance(theirs, theirs, 0, ours) >= LEVEL:
        return UNDECIDED
    return "within" if _chance(they_do, theirs, we_do, ours) >= LEVEL else "outside"


def _chance(they_do: int, theirs: int, we_do: int, ours: int) -> float:
    table = [[they_do, theirs - they_do], [we_do, ours - we_do]]
    return float(fisher_exact(table).pvalue)


def _half_unit(value: float) -> float:
    """Half a unit of the last digit as printed; numbers below 1 have two decimals at least."""
    exponent = int(Decimal(str(value)).as_tuple().exponent)
    return 0.5 * 10.0 ** (min(exponent, -2) if abs(value) < 1 else exponent)
