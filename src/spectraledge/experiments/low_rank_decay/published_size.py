"""The headline cells at the published size: does the reduced model tell the truth about it?

The published network on addition modulo 113, mirror-safe, at large train fractions: no decay of Q
and K; L2 and low-rank decay at the strength of the published step (5.4 per unit learning rate); and
without any decay, the norm merely held at a twentieth of its initial value, or Q and K frozen. Few
seeds: a run takes minutes, and these answer only whether the reduced model is contradicted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.published_size_page import published_size_page
from spectraledge.experiments.low_rank_decay.sizes import PUBLISHED, SMOKE, Size
from spectraledge.experiments.study import Known, Study
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["ARMS", "STUDY", "PublishedSize", "headline_runs", "headline_size"]

# The published step of 0.005 is at initialisation as long as L2 of this strength at lr 1e-3.
STRENGTH = 5.4
ARMS = {"no decay": 0.0, "L2": STRENGTH, "LRD": STRENGTH, "norm held": 0.05, "Q and K frozen": 0.0}
LR = 1e-3
FRACTIONS: dict[str, tuple[float, ...]] = {"smoke": (0.6,), "demo": (0.8,), "full": (0.6, 0.8)}


@dataclass(frozen=True)
class PublishedSize(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/published_size"
    title: ClassVar[str] = "Does the published size rank the arms as the reduced model does?"

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """All cells; at full scale with more seeds and steps."""
        for runs in headline_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Accuracies, times and verdicts."""
        return published_size_page(known, scale)


def headline_size(scale: Scale) -> Size:
    """The published size with the seeds and steps of a scale."""
    if scale == "smoke":
        return SMOKE
    if scale == "demo":
        return replace(PUBLISHED, seeds=(0, 1), budgets=(2000, 4000))
    return PUBLISHED


def headline_runs(scale: Scale) -> dict[tuple[str, float], list[RunSpec]]:
    """Runs by (arm, train fraction)."""
    size = headline_size(scale)
    return {
        (arm, fraction): size.runs(chain_of(arm, strength, size), lr=LR, task=size.task(fraction))
        for fraction in FRACTIONS[scale]
        for arm, strength in ARMS.items()
    }


STUDY = PublishedSize()
