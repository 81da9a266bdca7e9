"""Does the collapse of Q and K cause generalisation, or only come with it?

Three interventions. Shortly after a low-rank-decay run has generalised, the tail that was removed
is put back, at the size of the whole matrix, and for comparison a random tail: if the collapse
carries the solution, accuracy falls. In an L2 run, Q and K are projected to their leading k
directions, once or for good: if collapse causes generalisation, it comes sooner. And low-rank decay
is released early, with L2 in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.collapse_page import collapse_page
from spectraledge.experiments.low_rank_decay.contenders import MORE
from spectraledge.experiments.low_rank_decay.decay_arms import REST
from spectraledge.experiments.low_rank_decay.outcomes import generalised_at
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import grid, tuned
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.report import Page
from spectraledge.training import RunSpec
from spectraledge.updates import (
    Adam,
    During,
    InjectTail,
    LowRank,
    TruncateRank,
    Update,
    WeightDecay,
)
from spectraledge.updates.inject_tail import TailSource

__all__ = ["KEPT", "RANKS", "STUDY", "IsCollapseCausal", "Moments", "intervention_runs", "moments"]

# Leading directions that an injection leaves alone: the collapsed runs have no more.
KEPT = 4
RANKS = (1, 2, 4, 8)
# What is seen of a run after an injection, in units of `Moments.settled`.
AFTER_INJECTION = 3


@dataclass(frozen=True)
class Moments:
    """When interventions happen, as steps.

    Args:
        early: Projection and release.
        settled: How long after its generalisation a run has its tail put in. Later many have lost
            their solution again by themselves, to a loss spike.
    """

    early: int
    settled: int


@dataclass(frozen=True)
class IsCollapseCausal(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/is_collapse_causal"
    title: ClassVar[str] = "Does rank collapse cause generalisation?"
    # What happens after generalisation is the point, so no run is stopped.
    until: ClassVar[Decision | None] = None

    def groundwork(self, scale: Scale) -> Iterable[RunSpec]:
        """Tuning."""
        return grid(size_of(scale), ("L2", "LRD"))

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """All interventions, at the best settings of L2 and of low-rank decay."""
        size = size_of(scale)
        for runs in intervention_runs(known, size).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Accuracy around the injection, times under projection and release, verdicts."""
        return collapse_page(known, scale)


def moments(size: Size) -> Moments:
    """Early and late at a size."""
    return Moments(early=size.budgets[-1] // 10, settled=size.budgets[-1] // 20)


def intervention_runs(known: Known, size: Size) -> dict[str, list[RunSpec]]:
    """Runs by condition, once L2 and low-rank decay are tuned."""
    found = tuned(known, size, ("L2", "LRD"))
    if len(found) < 2:
        return {}
    when = moments(size)
    l2, lrd = found["L2"], found["LRD"]
    decay, low_rank = WeightDecay(l2.strength, on="qk"), LowRank(lrd.strength)

    def low_rank_runs(*links: Update, seeds: Sequence[int] = size.seeds) -> list[RunSpec]:
        return size.runs(_chain((), links), lr=lrd.lr, seeds=seeds)

    plain = low_rank_runs(low_rank, seeds=size.more_seeds[: MORE * len(size.seeds)])
    late = _injection_moments(known, plain, when)

    def injections(source: TailSource) -> list[RunSpec]:
        return [
            run
            for seed, at in late.items()
            for run in low_rank_runs(low_rank, InjectTail(KEPT, at, 1.0, source), seeds=(seed,))
        ]

    def l2_runs(*links: Update) -> list[RunSpec]:
        return size.runs(_chain((decay,), links), lr=l2.lr)

    released = (
        During(low_rank, 1, when.early),
        During(WeightDecay(lrd.strength, on="qk"), when.early, None),
    )
    return {
        "LRD": plain,
        "LRD, tail put back": injections("initial"),
        "LRD, random tail": injections("random"),
        "LRD, released early": low_rank_runs(*released),
        "L2": l2_runs(),
        **{f"L2, rank {k} once": l2_runs(TruncateRank(k, when.early)) for k in RANKS},
        **{
            f"L2, rank {k} kept": l2_runs(TruncateRank(k, when.early, size.budgets[-1] + 1))
            for k in RANKS
        },
    }


def _injection_moments(known: Known, runs: list[RunSpec], when: Moments) -> dict[int, int]:
    """Steps of injection by seed, of the runs that generalised early enough to see what follows."""
    moments = {}
    for spec, row in known.rows(runs):
        generalised = None if row.state == "failed" else generalised_at(row)
        # Runs that share a moment share a batch.
        step = when.settled * (ceil((generalised or 0) / when.settled) + 1)
        if generalised is not None and step + AFTER_INJECTION * when.settled <= spec.steps:
            moments[spec.seed] = step
    return moments


def _chain(before: tuple[Update, ...], after: tuple[Update, ...]) -> tuple[Update, ...]:
    return (WeightDecay(REST, on="other_weights"), *before, Adam(), *after)


STUDY = IsCollapseCausal()
