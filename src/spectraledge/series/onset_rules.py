"""The rules by which the onset of a signal is found, published and corrected, none the default.

A rule sees one run's `Records`. It says where the signal begins, at which record that was known
(later, where persistence or a centred window is asked for), and the earliest onset that it could
have reported on these records: an onset there is the cadence's, not the run's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from spectraledge.names import check_name
from spectraledge.series.records import Records

__all__ = ["PUBLISHED_ONSETS", "AboveFloor", "BaselineOnset", "Onset", "RelativeRise"]


@dataclass(frozen=True)
class Onset:
    """What an onset rule found.

    Args:
        step: Where the signal begins; None if it does not (right-censored at the last record).
        alarm: Record at which the rule had seen enough to say so; leads of an early warning count
            from here.
        earliest: Earliest step that the rule can report on these records; None if it can report
            none.
        level: What the value at the onset had to exceed; the last such level if there is none.
    """

    step: int | None
    alarm: int | None
    earliest: int | None
    level: float

    @property
    def cadence_limited(self) -> bool:
        """Whether the onset sits on the earliest step possible: it may lie anywhere before."""
        return self.step is not None and self.step == self.earliest


def check_numbers(**numbers: int | float) -> None:
    """Refuses NaN: nothing is above it, which would read as a run without an onset."""
    for name, number in numbers.items():
        if np.isnan(number):
            raise ValueError(f"expected a number as {name}, got nan")


@dataclass(frozen=True)
class BaselineOnset:
    """First record above a multiple of the first records and above a fixed level, as published.

    Onset = first record i >= first_record with D_i > factor · max(least_baseline, median of the
    first baseline_records) and D_i > floor, both strict. One record is enough.

    Args:
        factor: Multiple of the baseline.
        floor: Fixed level, in the unit of D, so the rule is not invariant to its scale.
        baseline_records: How many records make the baseline, >= 1. NaNs among them are left out;
            if all are, there is no onset.
        least_baseline: Smallest baseline.
        first_record: First record that may be an onset.
        window: Width of a running median over D before the rule, >= 1, odd if centred; 1 for none.
        centred: Whether that window looks ahead; the alarm is then later by half of it.

    Raises:
        ValueError: For less than one baseline record, a negative first record, a window out of
            range, or a NaN.

    Source:
        arXiv 2602.16746 and 2602.16967, from their scripts.

    Example:
        >>> records = Records(np.arange(0, 500, 100), np.array([2.4, 1.4, 2.0, 30.0, 40.0]))
        >>> PUBLISHED_ONSETS["published"].find(records).step
        300
    """

    factor: int | float
    floor: int | float
    baseline_records: int
    least_baseline: float
    first_record: int
    window: int
    centred: bool

    def __post_init__(self) -> None:
        if self.baseline_records < 1 or self.first_record < 0:
            raise ValueError(
                "expected baseline_records >= 1 and first_record >= 0, got "
                f"{self.baseline_records} and {self.first_record}"
            )
        if self.window < 1 or (self.centred and self.window % 2 == 0):
            raise ValueError(f"expected window >= 1, odd if centred, got {self.window}")
        check_numbers(factor=self.factor, floor=self.floor, least_baseline=self.least_baseline)

    def find(self, records: Records) -> Onset:
        """The onset in a run's records."""
        values = records.smoothed(self.window, centred=self.centred)
        first = values[: self.baseline_records]
        first = first[~np.isnan(first)]
        if not first.size:
            return Onset(None, None, None, float("nan"))
        baseline = max(self.least_baseline, float(np.median(first)))
        level = float(max(self.factor * baseline, self.floor))
        with np.errstate(invalid="ignore"):
            reached = values > level
        levels = np.full(len(values), level)
        ahead = (self.window - 1) // 2 if self.centred else 0
        return _first_stretch(records, reached, levels, self.first_record, 1, ahead)


PUBLISHED_ONSETS: Mapping[str, BaselineOnset] = MappingProxyType({
    "published": BaselineOnset(10, 20, 3, 0.1, 2, window=1, centred=False),
    "published_slow": BaselineOnset(10, 5, 3, 0.1, 2, window=1, centred=False),
    # Needed to arrive at the published slow-regime onset; no released script holds it.
    "published_smoothed": BaselineOnset(10, 20, 3, 0.1, 2, window=5, centred=True),
})  # fmt: skip

Reference = Literal["first_median", "running_minimum"]


@dataclass(frozen=True)
class RelativeRise:
    """First of several records in a row above a multiple of the run's own earlier level.

    Depends on ratios of values alone, so it is the same for a quantity and its multiples; use it
    on the unnormalised bracket, whose rise is no division by a vanishing gradient.

    Args:
        factor: Multiple of the reference, > 1.
        reference: ``first_median``: the median of the first records; ``running_minimum``: the
            smallest running median so far, for signals that fall before they rise.
        reference_records: How many records the median is over, >= 1.
        persistence: How many records in a row must be above, >= 1.
        after: Step before which nothing counts: the memorisation step, say, or 0.
        floor_factor: Multiple of the records' rounding floor that must be exceeded too; 0 for
            none.

    Raises:
        ValueError: For a factor <= 1, an unknown reference, no reference record, no persistence,
            a negative floor factor, or a NaN.

    Example:
        >>> rise = RelativeRise(3, "running_minimum", 2, persistence=2, after=0, floor_factor=0)
        >>> values = np.array([9.0, 4.0, 2.0, 2.0, 7.0, 8.0, 9.0])
        >>> found = rise.find(Records(np.arange(0, 70, 10), values))
        >>> found.step, found.alarm
        (40, 50)
    """

    factor: int | float
    reference: Reference
    reference_records: int
    persistence: int
    after: int | float
    floor_factor: int | float

    def __post_init__(self) -> None:
        check_numbers(factor=self.factor, after=self.after, floor_factor=self.floor_factor)
        if self.factor <= 1 or self.floor_factor < 0:
            raise ValueError(
                f"expected factor > 1 and floor_factor >= 0, got {self.factor} and "
                f"{self.floor_factor}"
            )
        check_name("reference", self.reference, get_args(Reference))
        _check_counts(reference_records=self.reference_records, persistence=self.persistence)

    def find(self, records: Records) -> Onset:
        """The onset in a run's records.

        Args:
            records: The run; with a floor if the rule uses one.

        Returns:
            The onset.

        Raises:
            ValueError: If the rule uses a floor and the records have none.
        """
        records = records.since(self.after)
        levels = self.factor * self._references(records)
        if self.floor_factor > 0:
            levels = np.maximum(levels, self.floor_factor * _floor(records))
        with np.errstate(invalid="ignore"):
            reached = np.asarray(records.values > levels)
        return _first_stretch(records, reached, levels, self.reference_records, self.persistence, 0)

    def _references(self, records: Records) -> Float[np.ndarray, " T"]:
        """What each record is compared to; NaN for those that make the first reference."""
        medians = records.smoothed(self.reference_records, centred=False)
        full = medians[self.reference_records - 1 : -1]
        if self.reference == "running_minimum":
            past = np.fmin.accumulate(full) if full.size else full
        else:
            past = np.full(len(full), full[0] if full.size else np.nan)
        return np.concatenate([np.full(min(self.reference_records, len(medians)), np.nan), past])


@dataclass(frozen=True)
class AboveFloor:
    """First of several records in a row above a multiple of their rounding floor.

    Says that there is a signal at all. Before it, ratios of the values mean nothing.

    Args:
        factor: Multiple of the floor, >= 1.
        persistence: How many records in a row must be above, >= 1.
        after: Step before which nothing counts.

    Raises:
        ValueError: For a factor below 1, no persistence, or a NaN.

    Example:
        >>> floor = np.full(3, 1e-6)
        >>> records = Records(np.arange(3), np.array([1e-7, 5e-6, 9e-5]), floor)
        >>> AboveFloor(10, persistence=1, after=0).find(records).step
        2
    """

    factor: int | float
    persistence: int
    after: int | float

    def __post_init__(self) -> None:
        check_numbers(factor=self.factor, after=self.after)
        if self.factor < 1:
            raise ValueError(f"expected factor >= 1, got {self.factor}")
        _check_counts(persistence=self.persistence)

    def find(self, records: Records) -> Onset:
        """The onset in a run's records.

        Args:
            records: The run, with its floor.

        Returns:
            The onset.

        Raises:
            ValueError: If the records have no floor.
        """
        records = records.since(self.after)
        levels = self.factor * _floor(records)
        with np.errstate(invalid="ignore"):
            reached = np.asarray(records.values > levels)
        return _first_stretch(records, reached, levels, 0, self.persistence, 0)


def _first_stretch(
    records: Records,
    reached: Bool[np.ndarray, " T"],
    levels: Float[np.ndarray, " T"],
    first_record: int,
    persistence: int,
    ahead: int,
) -> Onset:
    """The first stretch of records that reached, and when it was known."""
    last = len(reached) - 1
    earliest = int(records.steps[first_record]) if first_record <= last else None
    run = 0
    for index in range(first_record, len(reached)):
        run = run + 1 if reached[index] else 0
        if run == persistence:
            start = index - persistence + 1
            alarm = int(records.steps[min(index + ahead, last)])
            return Onset(int(records.steps[start]), alarm, earliest, float(levels[start]))
    return Onset(None, None, earliest, float(levels[-1]) if len(levels) else float("nan"))


def _floor(records: Records) -> Float[np.ndarray, " T"]:
    if records.floor is None:
        raise ValueError(
            "expected records with a rounding floor, got none; pass Records(steps, values, floor)"
        )
    return np.asarray(records.floor, dtype=np.float64)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"expected {name} >= 1, got {count}")
