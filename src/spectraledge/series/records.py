"""A measured quantity over steps, with its rounding floor where it has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Real

__all__ = ["Records"]


@dataclass(frozen=True, eq=False)
class Records:
    """Values of one run at ascending steps.

    Args:
        steps: ``(T,)`` strictly ascending steps.
        values: ``(T,)`` values; NaN where nothing could be measured.
        floor: ``(T,)`` size below which a value is rounding, where the instrument reports one.

    Raises:
        ValueError: For unequal lengths or steps that do not ascend.
    """

    steps: Integer[np.ndarray, " T"]
    values: Real[np.ndarray, " _"]  # not " T": unequal lengths are refused below, by number
    floor: Real[np.ndarray, " _"] | None = None

    def __post_init__(self) -> None:
        sizes = [len(self.steps), len(self.values)]
        sizes += [] if self.floor is None else [len(self.floor)]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"expected one value (and floor) per step, got {sizes[0]} steps and "
                f"{' and '.join(map(str, sizes[1:]))} values"
            )
        if (np.diff(self.steps) <= 0).any():
            raise ValueError(
                f"expected strictly ascending steps, got {np.asarray(self.steps).tolist()}"
            )

    def until(self, step: int | float) -> Records:
        """What was known at a step: the records at it and before."""
        return self._kept(slice(0, int(np.searchsorted(self.steps, step, side="right"))))

    def since(self, step: int | float) -> Records:
        """The records at a step and after it."""
        return self._kept(slice(int(np.searchsorted(self.steps, step, side="left")), None))

    def at(self, step: int | float) -> float:
        """Value of the last record at or before a step that is not NaN; NaN if there is none."""
        known = np.asarray(self.until(step).values, dtype=np.float64)
        known = known[~np.isnan(known)]
        return float(known[-1]) if known.size else float("nan")

    def smoothed(self, width: int, *, centred: bool) -> Float[np.ndarray, " T"]:
        """Running median over `width` records, NaNs left out and shorter at the ends.

        Args:
            width: Number of records, >= 1; odd if centred.
            centred: Whether the window reaches (width − 1)/2 records into the future, as published
                curves do; else it ends at its record.

        Returns:
            ``(T,)`` medians, NaN where the whole window is.

        Raises:
            ValueError: For a width below 1, or an even one if centred.
        """
        if width < 1 or (centred and width % 2 == 0):
            raise ValueError(f"expected width >= 1, odd if centred, got {width}")
        ahead = (width - 1) // 2 if centred else 0
        padded = np.concatenate([
            np.full(width - 1 - ahead, np.nan), self.values, np.full(ahead, np.nan)
        ])  # fmt: skip
        if not len(self.steps):
            return np.zeros(0)
        windows = np.lib.stride_tricks.sliding_window_view(padded, width)
        known = ~np.isnan(windows).all(axis=1)
        medians = np.full(len(windows), np.nan)
        medians[known] = np.nanmedian(windows[known], axis=1)
        return medians

    def _kept(self, part: slice) -> Records:
        floor = None if self.floor is None else self.floor[part]
        return Records(self.steps[part], self.values[part], floor)
