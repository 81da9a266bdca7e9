"""The published phase diagram, as published and scored fairly.

Six train fractions, six rates, L2 against low-rank decay. As published: ordered split, one seed,
best validation accuracy over time, the L2 axis ten times the label but multiplied by the learning
rate, all parameters decayed under L2. Fairly: mirror-safe split, other seeds, the same parameters
decayed, and the accuracy on the test part at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import REST
from spectraledge.experiments.low_rank_decay.phase_diagram_page import phase_diagram_page
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.report import Page
from spectraledge.training import RunSpec
from spectraledge.updates import Adam, LowRank, Update, WeightDecay

__all__ = ["FRACTIONS", "LABELS", "STUDY", "Cell", "PublishedPhaseDiagram", "grid_runs"]

FRACTIONS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
# The label of a column: the amount per step of low-rank decay; a tenth of the L2 weight decay.
LABELS = (1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2)
STEPS = 2500
PUBLISHED_LR = 1e-3
Protocol = Literal["published", "fair"]


@dataclass(frozen=True)
class Cell:
    """One cell of the diagram.

    Args:
        protocol: ``published`` or ``fair``.
        decay: ``L2`` or ``LRD``.
        fraction: Train fraction.
        label: Label of the column.
    """

    protocol: Protocol
    decay: str
    fraction: float
    label: float


@dataclass(frozen=True)
class PublishedPhaseDiagram(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/published_phase_diagram"
    title: ClassVar[str] = "The published phase diagram, as published and scored fairly"
    # Accuracy at the end and best accuracy over time are compared, so no run is stopped.
    until: ClassVar[Decision | None] = None

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """All cells under both protocols."""
        for runs in grid_runs(size_of(scale)).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Both diagrams, their difference, and the headline cells at the published size."""
        return phase_diagram_page(known, scale)


def grid_runs(size: Size) -> dict[Cell, list[RunSpec]]:
    """Runs of every cell: one seed as published, two otherwise."""
    cells = [
        Cell(protocol, decay, fraction, label)
        for protocol in ("published", "fair")
        for decay in ("L2", "LRD")
        for label in _some(LABELS, size)
        for fraction in _some(FRACTIONS, size)
    ]
    return {cell: _runs(cell, size) for cell in cells}


def _some(values: tuple[float, ...], size: Size) -> tuple[float, ...]:
    return values[2:4] if size.name == "smoke" else values


def _runs(cell: Cell, size: Size) -> list[RunSpec]:
    fair = cell.protocol == "fair"
    lr = PUBLISHED_LR if size.name == "published" else size.rates[0]
    steps = STEPS if size.name != "smoke" else size.budgets[-1]
    task = size.task(cell.fraction, "unordered" if fair else "ordered")
    chain = _fair(cell, lr) if fair else _published(cell, lr)
    seeds = size.seeds[:2] if fair else size.seeds[:1]
    return size.runs(chain, lr=lr, task=task, seeds=seeds, steps=steps)


def _published(cell: Cell, lr: float) -> tuple[Update, ...]:
    """As released; the L2 rate per step is the released one at every learning rate."""
    if cell.decay == "L2":
        return (WeightDecay(_weight_decay(cell.label, lr), on="all"), Adam())
    return (WeightDecay(REST, on="not_qk"), Adam(), _low_rank(cell.label))


def _fair(cell: Cell, lr: float) -> tuple[Update, ...]:
    """The same rates on Q and K only, everything else decayed alike, gains not at all."""
    rest = WeightDecay(REST, on="other_weights")
    if cell.decay == "L2":
        return (rest, WeightDecay(_weight_decay(cell.label, lr), on="qk"), Adam())
    return (rest, Adam(), _low_rank(cell.label))


def _weight_decay(label: float, lr: float) -> float:
    return float(f"{10 * label * PUBLISHED_LR / lr:.6g}")


def _low_rank(label: float) -> LowRank:
    return LowRank(label, scale="absolute", coupled=False, method="published")


STUDY = PublishedPhaseDiagram()
