"""Do the findings on addition hold for other operations, and for a group that does not commute?

Multiplication, division and a² + b² modulo the same prime, and composition in symmetric groups,
which no mirror leak can touch. The arms keep the settings that were best on addition: what is
tested is whether an answer carries over, not what each task could reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.other_tasks_page import other_tasks_page
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import grid, tuned
from spectraledge.experiments.study import Known, Study
from spectraledge.report import Page
from spectraledge.tasks import GroupComposition, ModularArithmetic, Task
from spectraledge.training import RunSpec

__all__ = ["ARMS", "STUDY", "OtherTasks", "task_runs", "tasks_of"]

ARMS = ("no decay", "L2", "LRD", "LRD absolute")
RUNS = 5
OPERATIONS = {"mul": "a · b", "div": "a / b", "x2_y2": "a² + b²"}


@dataclass(frozen=True)
class OtherTasks(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/other_tasks"
    title: ClassVar[str] = "Does the answer carry over to other tasks?"

    def groundwork(self, scale: Scale) -> Iterable[RunSpec]:
        """Tuning."""
        return grid(size_of(scale), ARMS)

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every arm on every task, at its best setting on addition."""
        size = size_of(scale)
        for runs in task_runs(known, size).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Times by task and arm, differences to L2, verdicts."""
        return other_tasks_page(known, scale)


def tasks_of(size: Size) -> dict[str, Task]:
    """Tasks by title. Harder ones get a larger share, since none was tuned for."""
    modular = {
        title: ModularArithmetic(size.modulus, operation=name, train_fraction=size.fraction)
        for name, title in OPERATIONS.items()
    }
    # S4 has about as many elements as the reduced modulus; S5 has four times as many.
    groups = ("S3",) if size.name == "smoke" else ("S4", "S5")
    composition = {
        f"composition in {group}": GroupComposition(group, train_fraction=size.fraction)
        for group in groups
    }
    return {**modular, **composition}


def task_runs(known: Known, size: Size) -> dict[tuple[str, str], list[RunSpec]]:
    """Runs by (task, arm), for the arms that are tuned."""
    return {
        (title, arm): size.runs(
            chain_of(arm, setting.strength, size),
            lr=setting.lr,
            task=task,
            seeds=size.seeds[:RUNS],
        )
        for title, task in tasks_of(size).items()
        for arm, setting in tuned(known, size, ARMS).items()
    }


STUDY = OtherTasks()
