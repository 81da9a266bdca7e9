"""Does the accuracy of the polar factor matter?

Five ways to compute the step, at equal step length and everything else alike: the released five
cubic iterations (not a polar factor), the exact polar factor (which overshoots), the floored
polynomial and the exact proximal step, and the Huber form between them. At the setting of L2 and
at the one where low-rank decay does best.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.decay.amount import DecayMethod
from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import REST
from spectraledge.experiments.low_rank_decay.polar_accuracy_page import polar_accuracy_page
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import Setting, grid, tuned
from spectraledge.experiments.study import Known, Study
from spectraledge.report import Page
from spectraledge.training import RunSpec
from spectraledge.updates import Adam, LowRank, WeightDecay

__all__ = ["METHODS", "STUDY", "PolarAccuracy", "method_runs"]

METHODS: dict[str, DecayMethod] = {
    "five cubic steps": "published",
    "exact polar factor": "subgradient",
    "floored polynomial": "floored",
    "Huber": "huber",
    "exact proximal": "svd",
}


@dataclass(frozen=True)
class PolarAccuracy(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/polar_accuracy"
    title: ClassVar[str] = "Does the accuracy of the polar factor matter?"

    def groundwork(self, scale: Scale) -> Iterable[RunSpec]:
        """Tuning."""
        return grid(size_of(scale), ("L2", "LRD"))

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every method at the best settings of L2 and of low-rank decay."""
        size = size_of(scale)
        for runs in method_runs(known, size).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Times, ranks, and the largest difference between methods."""
        return polar_accuracy_page(known, scale)


def method_runs(known: Known, size: Size) -> dict[tuple[str, str], list[RunSpec]]:
    """Runs by (setting, method); the settings are called after the arm they are best for."""
    return {
        (arm, label): _runs(method, setting, size)
        for arm, setting in tuned(known, size, ("L2", "LRD")).items()
        for label, method in METHODS.items()
    }


def _runs(method: DecayMethod, setting: Setting, size: Size) -> list[RunSpec]:
    # The adaptive scale gives every method the step length of L2 at every step.
    decay = LowRank(setting.strength, method=method)
    chain = (WeightDecay(REST, on="other_weights"), Adam(), decay)
    return size.runs(chain, lr=setting.lr)


STUDY = PolarAccuracy()
