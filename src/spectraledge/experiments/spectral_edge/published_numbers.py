"""Published numbers of Dyck-1 and ours beside them, each with what another seed may show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, sqrt

import numpy as np
from scipy.stats import t as student

from spectraledge.experiments.row_values import mean_of, short, value_at
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, finite_curve
from spectraledge.lab.rows import Row
from spectraledge.report import Section, Table

__all__ = [
    "COLUMNS",
    "PublishedNumber",
    "Read",
    "at",
    "at_end",
    "mean_over_run",
    "number_rows",
    "numbers_section",
]

Read = Callable[[Row], float]
COLUMNS = ("quantity", "paper", "ours, its seed", "ours, mean over seeds", "verdict")
FEWEST = 3
# Shorter runs are smoke tests, in which no published number means anything.
LEAST_STEPS = 1000
OTHER_SIZE = "other size"
CAPTION = (
    "Mean over seeds with 95 % t intervals. Verdict: whether the published number lies in the 95 % "
    "interval for as many further seeds as it is of, t s √(1/k + 1/n), and half a unit of its "
    "last digit; three seeds of ours at least. What follows from the rows alone has no scatter, "
    "and differs by the split of their tokens. One snapshot scatters much between seeds, so that "
    "this interval is wide for some."
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
    """

    quantity: str
    value: float
    read: Read
    condition: str
    seeds: int = 1
    seed: int | None = None


def at(name: str, step: float) -> Read:
    """A curve at a step, or the last record before it."""
    return lambda row: value_at(row, name, step)


def at_end(name: str) -> Read:
    """The last record of a curve."""
    return lambda row: value_at(row, name, np.inf)


def mean_over_run(name: str) -> Read:
    """The mean of a curve over a run, as published angles are."""
    return lambda row: float(v.mean()) if (v := finite_curve(row, name)[1]).size else np.nan


def number_rows(
    numbers: Iterable[PublishedNumber],
    rows: Mapping[str, Mapping[int, Row]],
    seed: int,
    *,
    same_size: bool = True,
) -> list[tuple[str, ...]]:
    """A line a number that some run has.

    Args:
        numbers: What was published.
        rows: By condition and seed.
        seed: The one that the paper gives numbers of.
        same_size: Whether model and task are the published ones; else there is no verdict.

    Returns:
        Cells under `COLUMNS`.
    """
    lines: list[tuple[str, ...]] = []
    for number in numbers:
        values = {s: number.read(row) for s, row in rows.get(number.condition, {}).items()}
        there = {s: value for s, value in values.items() if isfinite(value)}
        if there:
            which = seed if number.seed is None else number.seed
            own = _figure(there[which]) if which in there else "–"
            lines.append((
                f"{number.quantity}, {number.condition}", _paper(number), own,
                short(mean_of(there.values())),
                _verdict(number, list(there.values())) if same_size else OTHER_SIZE,
            ))  # fmt: skip
    return lines


def numbers_section(
    numbers: Sequence[PublishedNumber], group: EdgeGroup, *, same_size: bool = True
) -> list[Section]:
    """The table as a section; nothing of smoke runs, or if no number is known.

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
    return [Section(title, "", [Table(COLUMNS, lines, CAPTION)])] if lines else []


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _paper(number: PublishedNumber) -> str:
    return f"{number.value:g}" + (f" ({number.seeds} seeds)" if number.seeds > 1 else "")


def _verdict(number: PublishedNumber, values: list[float]) -> str:
    count = len(values)
    if count < FEWEST:
        return "–"
    width = np.std(values, ddof=1) * sqrt(1 / number.seeds + 1 / count)
    reach = float(student.ppf(0.975, count - 1)) * float(width) + _half_unit(number.value)
    return "within" if abs(number.value - float(np.mean(values))) <= reach else "outside"


def _half_unit(value: float) -> float:
    """Half a unit of the last digit as printed; numbers below 1 have two decimals at least."""
    exponent = int(Decimal(str(value)).as_tuple().exponent)
    return 0.5 * 10.0 ** (min(exponent, -2) if abs(value) < 1 else exponent)
