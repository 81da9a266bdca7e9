"""What is reported of the gap on modular arithmetic: means over six operations and three seeds.

Ours are of addition alone. The published script takes full windows of ten displacements.
"""

from __future__ import annotations

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import WIDE_EDGE
from spectraledge.experiments.spectral_edge.gap_numbers import Until, mode, of_windows
from spectraledge.experiments.spectral_edge.published_numbers import PublishedNumber

__all__ = ["MODULAR_NUMBERS"]

CADENCE, RUNS = 100, 18
UNTIL = Until(WIDE_EDGE, CADENCE)
WHOLE = Until(WIDE_EDGE, CADENCE, None)
WORDS = "W = 10"
MODULAR_NUMBERS: tuple[PublishedNumber, ...] = (
    PublishedNumber(
        f"Mean ratio at the gap until generalising, {WORDS}", 1.39,
        of_windows(UNTIL.ratio, np.nanmean), DECAY, RUNS,
    ),
    PublishedNumber(
        f"Mean ratio at the gap, {WORDS}", 2.51, of_windows(WHOLE.ratio, np.nanmean), NO_DECAY, RUNS
    ),
    PublishedNumber(
        f"Rank at the gap, most often, {WORDS}", 1, of_windows(UNTIL.rank, mode), DECAY
    ),
)  # fmt: skip
