"""What is reported of the gap on modular arithmetic: means over six operations and three seeds.

Ours are of addition alone. The published script takes full windows of ten displacements.
"""

from __future__ import annotations

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import WIDE_EDGE
from spectraledge.experiments.spectral_edge.gap_numbers import (
    Until,
    fall,
    generalises,
    mode,
    of_windows,
)
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    Read,
    whether,
)

__all__ = ["MODULAR_NUMBERS"]

CADENCE, RUNS = 100, 18
UNTIL = Until(WIDE_EDGE, CADENCE, least=WIDE_EDGE.window)
WHOLE = Until(WIDE_EDGE, CADENCE, None, least=WIDE_EDGE.window)
WORDS = "full windows of 10"
# From how many times on the published table calls a change of the gap a decline.
DECLINE = 1.5


def _share(quantity: str, runs: int, read: Read, condition: str) -> PublishedNumber:
    words = f"Runs {quantity}"
    return PublishedNumber(words, runs / RUNS, read, condition, RUNS, kind="share")


MODULAR_NUMBERS: tuple[PublishedNumber, ...] = (
    _share("that generalise", 18, generalises, DECAY),
    _share("that generalise", 0, generalises, NO_DECAY),
    _share(
        f"whose gap declines until then, {WORDS}", 18,
        whether(of_windows(UNTIL.gap, fall), lambda times: times > DECLINE), DECAY,
    ),
    _share(
        f"whose gap declines 8 to 111 times, {WORDS}", 18,
        whether(of_windows(UNTIL.gap, fall), lambda times: 8 <= times <= 111), DECAY,
    ),
    _share(
        f"whose gap declines, {WORDS}", 1,
        whether(of_windows(WHOLE.gap, fall), lambda times: times > DECLINE), NO_DECAY,
    ),
    PublishedNumber(
        f"Mean ratio at the gap until generalising, {WORDS}", 1.39,
        of_windows(UNTIL.ratio, np.nanmean), DECAY, RUNS,
    ),
    PublishedNumber(
        f"Mean ratio at the gap, {WORDS}", 2.51, of_windows(WHOLE.ratio, np.nanmean), NO_DECAY, RUNS
    ),
    _share(
        f"whose rank at the gap is mostly 1, {WORDS}", 15,
        whether(of_windows(WHOLE.rank, mode), lambda rank: rank == 1), DECAY,
    ),
    # How many of the controls is not said: of some the rank is 1, of some up to 9.
    PublishedNumber(
        f"Some runs have a rank at the gap that is mostly above 1, {WORDS}", 1,
        whether(of_windows(WHOLE.rank, mode), lambda rank: rank > 1), NO_DECAY, kind="share",
    ),
)  # fmt: skip
