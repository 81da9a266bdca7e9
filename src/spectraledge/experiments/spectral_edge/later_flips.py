"""Whether the edge flips once more, after the window has let go of the start, and where it does."""

from __future__ import annotations

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, SHUFFLED
from spectraledge.experiments.spectral_edge.edge_runs import (
    SPLITS,
    EdgeGroup,
    counted_windows,
    flip_steps,
)
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict

__all__ = ["later_flip"]

# In more cases than not, by seed.
HALF = 0.5


def later_flip(group: EdgeGroup) -> Verdict:
    """Whether runs that generalise flip a second time, and those on shuffled labels do not."""
    claim = f"{group.name}: A second flip comes with real labels and not with shuffled ones"
    rule = (
        "Share of five windows and cadences through which a run flips again after its first flip, "
        "with real labels minus with shuffled ones of the same seed, over equal steps; of runs "
        "that generalise in them, since of others the claim says nothing. Holds if the 95 % "
        f"interval over seeds is above {HALF:g}, fails if it is below."
    )
    shared = [s for s in group.rows[DECAY] if s in group.rows[SHUFFLED]]
    if not shared:
        return Verdict(claim, "not asked", NOT_RUN, "undecided", rule)
    width, grok = group.regime.cadence(DECAY), group.grok_steps()
    pairs = {s: (group.rows[DECAY][s], group.rows[SHUFFLED][s]) for s in shared}
    ends = {s: min(_last(row, width) for row in pair) for s, pair in pairs.items()}
    every = {s: [_flips_again(row, width, ends[s]) for row in pair] for s, pair in pairs.items()}
    shares = [every[s] for s in shared if (step := grok[s]) is not None and step <= ends[s]]
    if not shares:
        alone = mean_of((own for own, _ in every.values()), 0.0, 1.0)
        words = (
            f"no run generalises within {max(ends.values()):g} steps; with real labels "
            f"{share_words(alone)} of the windows flip again all the same"
        )
        return Verdict(claim, "not asked", words, "undecided", rule)
    real, shuffled = (mean_of(column, 0.0, 1.0) for column in zip(*shares))
    apart = mean_of(own - null for own, null in shares)
    if apart is None:
        return Verdict(claim, "not asked", NOT_RUN, "undecided", rule)
    words = (
        f"{share_words(real)} of the windows with real labels, {share_words(shuffled)} with "
        f"shuffled ones: {share_words(apart)} more"
    )
    return Verdict(claim, "not asked", words, decide(apart, above=HALF), rule)


def _last(row: Row, width: int) -> float:
    ends = [steps[-1] for split in SPLITS if (steps := counted_windows(row, split, width)[0]).size]
    return float(min(ends, default=np.nan))


def _flips_again(row: Row, width: int, end: float) -> float:
    """Share of the windows and cadences with a second flip up to a step; NaN without any."""
    seen = [split for split in SPLITS if counted_windows(row, split, width)[0].size]
    again = [(flip_steps(row, split, width) <= end).sum() > 1 for split in seen]
    return float(np.mean(again)) if again else np.nan
