"""Pairs of arms that differ in the norm of Q and K, or in the pressure on their rank, alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spectraledge.experiments.low_rank_decay.outcomes import times_of
from spectraledge.experiments.low_rank_decay.paired_comparisons import Comparison, compare_pairs
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import Rows, by_seed
from spectraledge.series import Interval, mean_interval, restricted_mean
from spectraledge.training import RunSpec

__all__ = ["CONTRASTS", "FREE", "Contrast", "Measured", "Square", "measured", "square_of"]

FREE, LRD, L2, SPHERE = "no decay", "LRD", "L2", "LRD on sphere"
CLAMP, HELD, HELD_LRD = "norm clamp", "norm held", "LRD, norm held"
ANTI, RANDOM, FROZEN = "anti-LRD", "random direction", "Q and K frozen"
# "As well" allows this share of the budget more.
MARGIN = 0.1


@dataclass(frozen=True)
class Contrast:
    """A claim about the times of two arms.

    Args:
        claim: The claim.
        first: An arm.
        second: What it is compared with.
        relation: The claim is that the first generalises ``sooner`` or ``later`` than the second,
            or ``as well``: later by less than a tenth of the budget.
        published: What was published, in words.
        note: What else differs between the two, if anything.
    """

    claim: str
    first: str
    second: str
    relation: Literal["sooner", "later", "as well"]
    published: str = "not examined"
    note: str = ""

    @property
    def name(self) -> str:
        """The difference that it is about."""
        return f"{self.first} − {self.second}"


CONTRASTS = (
    Contrast(
        "Rank pressure without a change of the norm is enough: it does as well as low-rank decay",
        SPHERE, LRD, "as well", "implied: rank collapse is read as the cause",
        "The norm is held at its initial value after every step.",
    ),
    Contrast(
        "Rank pressure without a change of the norm helps at all",
        SPHERE, FREE, "sooner", "implied",
        "Without decay the norm grows; on the sphere it cannot.",
    ),
    Contrast(
        "On the sphere low-rank decay does better than its opposite, spectral flattening",
        SPHERE, ANTI, "sooner", "implied",
    ),
    Contrast(
        "Pushing the rank up instead (anti-LRD, norm held) hurts",
        ANTI, FREE, "later", "implied",
    ),
    Contrast(
        "The norm path of low-rank decay without its rank pressure is enough: it does as well",
        CLAMP, LRD, "as well", "not controlled for",
        "One factor for all Q and K, that of their mean norm in the run of the same seed; after "
        "that run's end its last value.",
    ),
    Contrast(
        "Low-rank decay adds something beyond its norm path",
        CLAMP, LRD, "later", "implied",
        "The same runs as for the claim before.",
    ),
    Contrast(
        "With the norm held at its best value, rank pressure still adds something",
        HELD_LRD, HELD, "sooner", "implied",
    ),
    Contrast(
        "Holding the norm at its best value, without any decay, does as well as low-rank decay",
        HELD, LRD, "as well",
    ),
    Contrast(
        "Steps of the same kind of length in random directions do as well as low-rank decay",
        RANDOM, LRD, "as well", "not examined", "The norm is held at its initial value.",
    ),
    Contrast(
        "Q and K need not be trained: frozen at their initial values the network does as well as "
        "under low-rank decay",
        FROZEN, LRD, "as well",
    ),
    Contrast(
        "Training Q and K without decay is worse than not training them",
        FREE, FROZEN, "later",
    ),
    Contrast(
        "Low-rank decay helps: it generalises sooner than no decay",
        LRD, FREE, "sooner", "yes, against weak L2",
    ),
    Contrast(
        "Low-rank decay generalises sooner than L2, each at its own best setting",
        LRD, L2, "sooner", "yes, against a 54 times weaker L2",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """All arms of the study with their rows.

    Args:
        runs: Runs that are wanted so far, by arm.
        rows: Rows that are known, by arm and seed; arms without any are left out.
        missing: How many runs of an arm are not known.
        budget: Steps up to which times are compared.
        contrasts: Comparisons by the name of their contrast, one family.
    """

    runs: Mapping[str, Sequence[RunSpec]]
    rows: Mapping[str, Rows]
    missing: Mapping[str, int]
    budget: int
    contrasts: Mapping[str, Comparison]

    def whole(self, *arms: str) -> bool:
        """Whether all runs of these arms are known: those that generalise are known first."""
        return all(arm in self.rows and self.missing[arm] == 0 for arm in arms)


def measured(known: Known, runs: Mapping[str, Sequence[RunSpec]], budget: int) -> Measured:
    """What is known of the study.

    Args:
        known: What is known.
        runs: Runs by arm.
        budget: Steps up to which times are compared.

    Returns:
        Rows and comparisons, as far as there are any.
    """
    found = {arm: by_seed(known, of_arm) for arm, of_arm in runs.items()}
    rows = {arm: of_arm for arm, of_arm in found.items() if of_arm}
    pairs = {
        contrast.name: (rows[contrast.first], rows[contrast.second])
        for contrast in CONTRASTS
        if contrast.first in rows and contrast.second in rows
    }
    missing = {arm: sum(known.row(run) is None for run in of_arm) for arm, of_arm in runs.items()}
    contrasts = {c.arm: c for c in compare_pairs(pairs, budget)}
    return Measured(runs, rows, missing, budget, contrasts)


@dataclass(frozen=True)
class Square:
    """Four arms, with the norm free or held and with or without rank pressure, on shared seeds.

    Args:
        cells: Restricted mean by (norm held, rank pressure).
        effects: What rank pressure changes where the norm is free and where it is held, and the
            difference of the two, in steps; together 95 %.
    """

    cells: Mapping[tuple[bool, bool], Interval]
    effects: Mapping[str, Interval]


def square_of(found: Measured) -> Square | None:
    """The square, None while an arm of it has no row in common with the others."""
    arms = {(False, False): FREE, (False, True): LRD, (True, False): HELD, (True, True): HELD_LRD}
    if not set(arms.values()) <= set(found.rows):
        return None
    seeds = sorted(set.intersection(*(set(found.rows[arm]) for arm in arms.values())))
    if not seeds:
        return None
    times = {
        key: times_of([found.rows[arm][seed] for seed in seeds], found.budget)
        for key, arm in arms.items()
    }
    cells = {key: restricted_mean(t, float(found.budget)) for key, t in times.items()}
    # All runs were watched until the budget, so the restricted mean is the plain mean of these.
    steps = {key: t.steps for key, t in times.items()}
    free = steps[False, True] - steps[False, False]
    held = steps[True, True] - steps[True, False]
    parts = {"norm free": free, "norm held": held, "held minus free": held - free}
    return Square(cells, {name: _mean(values) for name, values in parts.items()})


def _mean(values: np.ndarray) -> Interval:
    return mean_interval(values.tolist(), 1 - 0.05 / 3)
