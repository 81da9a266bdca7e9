"""One-dimensional arrays over steps: onsets and intervals."""

from spectraledge.series.intervals import Interval, mean_interval, proportion_interval
from spectraledge.series.onset import first_held

__all__ = ["Interval", "first_held", "mean_interval", "proportion_interval"]
