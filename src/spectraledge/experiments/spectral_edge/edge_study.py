"""A study of the shared spectral-edge runs: one page from claims and sections."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.curves_over_steps import over_steps
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import short
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
    NOT_RUN,
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Figure, Page, Reference, Section, Table, Verdict, arm_colours
from spectraledge.series import Interval
from spectraledge.training import RunSpec

__all__ = ["NOT_RUN", "EdgeStudy", "Groups", "drawn", "over_seeds", "regime_words"]

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
        there = {name: group for name, group in groups.items() if group.known()}
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, bool(there))}\n\n{self.explained}",
            verdicts=verdicts,
            sections=[*self.sections(there), _provenance(known, scale)],
        )

    @abstractmethod
    def claims(self, groups: Groups) -> list[Verdict]:
        """One verdict a claim; of what was not run yet, undecided."""

    @abstractmethod
    def sections(self, groups: Groups) -> list[Section]:
        """Figures and tables of tasks of which runs are known."""


def over_seeds(
    claim: str,
    paper: str,
    mean: Interval | None,
    rule: str,
    *,
    words: str | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Verdict:
    """A claim about a mean over seeds: that it is above a threshold, or below one.

    Args:
        claim: In words.
        paper: What the paper reports.
        mean: With its 95 % interval; None if nothing is known.
        rule: How it is decided; what holds and fails is added.
        words: What was observed, if more than the mean.
        above: Threshold that the whole interval must exceed.
        below: Threshold that it must stay below.

    Returns:
        The verdict.
    """
    side = f"above {above:g}" if above is not None else f"below {below:g}"
    told = f"{rule} Holds if the 95 % interval over seeds is {side}, fails if on the other side."
    if mean is None:
        return Verdict(claim, paper, NOT_RUN, "undecided", told)
    status = decide(mean, above=above, below=below)
    return Verdict(claim, paper, words or short(mean), status, told)


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
