"""A study of the shared spectral-edge runs: one page from claims and sections."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.operation_curves import over_steps
from spectraledge.experiments.execution_subspace.regime_provenance import answer_words
from spectraledge.experiments.spectral_edge.edge_regimes import edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import (
    INSTRUMENTS,
    EdgeGroup,
    edge_groups,
    wanted_runs,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    BAND,
    PROVENANCE,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Figure, Page, Reference, Section, Table, Verdict, arm_colours
from spectraledge.training import RunSpec

__all__ = ["EdgeStudy", "Groups", "drawn", "regime_words"]

Groups = Mapping[str, EdgeGroup]


class EdgeStudy(Study):
    """A study of the shared runs; concrete ones are frozen dataclasses with claims and sections."""

    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS
    explained: ClassVar[str]

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every condition of every task; depends on nothing that is known."""
        return wanted_runs(scale)

    def page(self, known: Known, scale: Scale) -> Page:
        """Claims, figures and tables, and what was run."""
        groups = edge_groups(known, scale)
        verdicts = scaled_verdicts(self.claims(groups), scale)
        anything = any(group.known() for group in groups.values())
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, anything)}\n\n{self.explained}",
            verdicts=verdicts,
            sections=[*self.sections(groups), _provenance(known, scale)],
        )

    @abstractmethod
    def claims(self, groups: Groups) -> list[Verdict]:
        """One verdict a claim; of what was not run yet, undecided."""

    @abstractmethod
    def sections(self, groups: Groups) -> list[Section]:
        """Figures and tables."""


def drawn(
    group: EdgeGroup,
    name: str,
    title: str,
    label: str,
    *,
    log: bool = False,
    shown: tuple[float, float] | None = None,
    references: Sequence[Reference] = (),
) -> list[Figure]:
    """A curve of every condition of a task; nothing if no run has it."""
    return over_steps(
        group.rows,
        name,
        arm_colours(tuple(group.rows)),
        title=f"{title}, {group.name}",
        caption=BAND,
        label=label,
        references=tuple(references),
        log=log,
        shown=shown,
    )


def regime_words(groups: Groups) -> str:
    """Model and training of every task, a sentence each."""
    return " ".join(
        f"{name}: {type(g.regime.model).__name__.removesuffix('Spec')} of width "
        f"{getattr(g.regime.model, 'width', '?')}, lr {g.regime.lr:g}, batches of "
        f"{g.regime.batch_size}, decay 1 of every parameter, "
        f"{g.regime.record_every} steps between snapshots."
        for name, g in groups.items()
    )


def _provenance(known: Known, scale: Scale) -> Section:
    rows = [
        provenance_row(known, f"{name}, {condition}", runs)
        for name, regime in edge_regimes(scale).items()
        for condition, runs in regime.conditions().items()
    ]
    text = regime_words(edge_groups(known, scale)) + (
        " Accuracies are those of half of the held-out rows. Dyck-1 has the published data, the "
        "same for all seeds; its held-out rows repeat training rows in a quarter of the cases."
    )
    caption = "Hours: of computing, with batch-mates sharing theirs."
    return Section("What was run", text, [Table(PROVENANCE, rows, caption)])
