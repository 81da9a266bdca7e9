"""From data to pixels along one axis, with round ticks."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """Map from data to pixels along one axis; NaN where a logarithm has no value."""

    low: float
    high: float
    log: bool
    start: float
    length: float

    @classmethod
    def fit(
        cls, data: np.ndarray, limits: tuple[float, float] | None, log: bool, start: float,
        length: float, room: float,
    ) -> Scale:  # fmt: skip
        """Scale that shows `limits`, or all finite data with some room at both ends."""
        if limits is None:
            seen = data[np.isfinite(data) & ((data > 0) | (not log))]
            ends = (seen.min(), seen.max()) if seen.size else (1.0, 10.0)
            low, high = np.log10(ends) if log else ends
            margin = room * (high - low)
            if not margin:  # all data equal: half a decade, or a tenth of the value
                margin = 0.5 if log else 0.1 * abs(high) or 0.5
            limits = (low - margin, high + margin)
        elif log:
            limits = (log10(limits[0]), log10(limits[1]))
        return cls(float(limits[0]), float(limits[1]), log, start, length)

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """Pixels of data."""
        if self.log:
            data = np.log10(data, out=np.full_like(data, np.nan), where=data > 0)
        return self.start + self.length * (data - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and labels of round numbers, about five of them."""
        span = self.high - self.low
        if self.log and span > 2:
            every = ceil(span / 6)
            powers = range(every * ceil(self.low / every), floor(self.high + 1e-9) + 1, every)
            return [(10.0**p, _power(p)) for p in powers]
        if self.log and span > 0.8:
            powers = range(floor(self.low), ceil(self.high))
            values = [digit * 10.0**p for p in powers for digit in (1, 2, 5)]
            return [(v, f"{v:.6g}") for v in values if self.low <= log10(v) <= self.high]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        size = 10.0 ** floor(log10((high - low) / 4))
        step = next(size * m for m in (1, 2, 2.5, 5, 10) if (high - low) / (size * m) <= 5.5)
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        return [(k * step, f"{k * step:.6g}") for k in range(first, last + 1)]


def _power(exponent: int) -> str:
    if 0 <= exponent <= 4:
        return str(10**exponent)
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
