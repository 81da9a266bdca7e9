"""Is it the rank that low-rank decay lowers, or the norm?

In a scale-invariant block a smaller norm means a larger effective learning rate, and low-rank decay
lowers norm and rank together. Controls take them apart at one train fraction, over paired seeds:
the norm of the low-rank-decay run without its spectral pressure (``norm clamp``), its pressure
without its norm (``LRD on sphere``, and with the norm held where holding it alone does best),
the opposite pressure, and steps of the same length in random directions (at constant norm). The
last control freezes Q and K at their initial values: whatever they could learn, they cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import REST, chain_of
from spectraledge.experiments.low_rank_decay.norm_or_rank_page import norm_or_rank_page
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import grid, tuned
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.rows import Row
from spectraledge.report import Page
from spectraledge.training import RunSpec
from spectraledge.updates import Adam, LowRank, NormClamp, Update, WeightDecay

__all__ = ["ARMS", "CLAMP", "FROZEN", "HELD", "HELD_LRD", "STUDY", "NormOrRank", "paired_runs"]

FROZEN = "Q and K frozen"
TUNED = (
    "no decay", "L2", "LRD", "LRD on sphere", "norm held", "anti-LRD", "random direction", FROZEN,
)  # fmt: skip
CLAMP, HELD, HELD_LRD = "norm clamp", "norm held", "LRD, norm held"
ARMS = (*TUNED, CLAMP, HELD_LRD)
NORM = "weight_spectrum/frobenius_norm"
TABLE_EVERY = 100


@dataclass(frozen=True)
class NormOrRank(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/norm_or_rank"
    title: ClassVar[str] = "Is it rank pressure or the effective learning rate?"

    def groundwork(self, scale: Scale) -> Iterable[RunSpec]:
        """Tuning."""
        return grid(size_of(scale), TUNED)

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """The tuned arms, then the controls that need their norms."""
        size = size_of(scale)
        for runs in paired_runs(known, size).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Survival curves, norms and ranks, paired differences and verdicts."""
        return norm_or_rank_page(known, scale)


def paired_runs(known: Known, size: Size) -> dict[str, list[RunSpec]]:
    """Runs by arm at the size's fraction, as far as they can be named yet.

    Args:
        known: Settings and the norms of the low-rank-decay runs.
        size: Fraction, seeds and steps.

    Returns:
        All arms once tuning and the low-rank-decay runs are known.
    """
    found = tuned(known, size, TUNED)
    runs = {
        arm: size.runs(chain_of(arm, setting.strength, size), lr=setting.lr, seeds=size.more_seeds)
        for arm, setting in found.items()
    }
    if "LRD" not in found:
        return runs
    lr = found["LRD"].lr
    rows = [known.row(spec) for spec in runs["LRD"]]
    clamped = [
        size.runs(_clamped(row, size), lr=lr, seeds=[spec.seed])[0]
        for spec, row in zip(runs["LRD"], rows)
        if row is not None and row.state != "failed"
    ]
    if all(row is not None for row in rows):
        runs[CLAMP] = clamped
    if HELD in found:
        factor = found[HELD].strength
        held = (LowRank(found["LRD"].strength), NormClamp((0,), (factor,)))
        runs[HELD_LRD] = size.runs(_chain(*held), lr=found[HELD].lr, seeds=size.more_seeds)
    return runs


def _chain(*after: Update) -> tuple[Update, ...]:
    return (WeightDecay(REST, on="other_weights"), Adam(), *after)


def _clamped(row: Row, size: Size) -> tuple[Update, ...]:
    """The chain that repeats the mean norm of Q and K of a run, without its decay."""
    steps, norm = row.curve(NORM)
    factors = np.round(norm / norm[0], 5)
    # Runs that stop at their decision have shorter tables, and keep the last norm from there on;
    # one length lets them share a batch.
    padded = np.arange(0, size.budgets[-1] + 1, TABLE_EVERY)
    table = np.interp(padded, steps, factors)
    return _chain(NormClamp(tuple(map(int, padded)), tuple(map(float, table))))


STUDY = NormOrRank()
