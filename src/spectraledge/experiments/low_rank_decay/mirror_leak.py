"""The plateau at one half: a commutative task on the ordered split gives half of it away.

A held-out pair (a, b) whose mirror (b, a) was trained on is answered by any model that learnt a
symmetric function of its operands. On the published split a share f of the held-out pairs has its
mirror in training, and validation accuracy of a run that only memorised is f, not 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.mirror_leak_page import mirror_leak_page
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.report import Page
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import RunSpec

__all__ = ["ARMS", "FRACTIONS", "STUDY", "MirrorLeak", "leak_runs"]

FRACTIONS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
ARMS = ("no decay", "L2", "LRD")
OPERATIONS = ("add", "sub")
STRENGTH = 0.3
RUNS = 4


@dataclass(frozen=True)
class MirrorLeak(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/mirror_leak"
    title: ClassVar[str] = "Why does the L2 baseline stop at one half?"
    until: ClassVar[Decision | None] = None

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Both splits of a commutative and a non-commutative operation, weak decays."""
        for runs in leak_runs(size_of(scale)).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Accuracy on mirror and other pairs, plateau against fraction, verdicts."""
        return mirror_leak_page(known, scale)


def leak_runs(size: Size) -> dict[tuple[str, str, str, float], list[RunSpec]]:
    """Runs by (arm, operation, split, fraction), long enough to memorise and stay there."""
    lr = size.rates[0]
    return {
        (arm, operation, split, fraction): size.runs(
            chain_of(arm, STRENGTH if arm != "no decay" else 0.0, size),
            lr=lr,
            task=ModularArithmetic(
                size.modulus, operation=operation, train_fraction=fraction, split=split
            ),
            seeds=size.seeds[:RUNS],
            steps=size.budgets[0] // 2,
        )
        for arm in ARMS
        for operation in OPERATIONS
        for split in ("ordered", "unordered")
        for fraction in (FRACTIONS[2:4] if size.name == "smoke" else FRACTIONS)
        # The other operation and the mirror-safe split are controls: one arm shows them.
        if arm == "L2" or (operation == "add" and split == "ordered")
    }


STUDY = MirrorLeak()
