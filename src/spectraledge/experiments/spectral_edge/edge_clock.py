"""Does the edge follow the task, the step, or the clock s = Σηω and the window?

Tasks that the paper compares differ in learning rate, snapshots and length, and so in how much of
the weights decay takes within a window and within a run. Here one task is trained with other
learning rates, decays, widths and cadences, each to the same clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.curves_over_steps import over_steps
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.spectral_edge.clock_claims import (
    QUANTITIES,
    classes_at,
    clock_claims,
    mean_share,
)
from spectraledge.experiments.spectral_edge.clock_runs import (
    BASE,
    CHECKS,
    INSTRUMENTS,
    SETTINGS,
    TICK,
    clock_groups,
    clock_runs,
)
from spectraledge.experiments.spectral_edge.edge_class import run_class
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, edge_groups
from spectraledge.experiments.spectral_edge.edge_study import Groups, regime_words
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    BAND,
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.report import Figure, Page, Reference, Section, Table, arm_colours
from spectraledge.series import CLASS_RULE, Interval
from spectraledge.training import RunSpec

__all__ = ["STUDY", "EdgeClock"]

BOUNDS = (-0.03, 1.03)
HALF = Reference(0.5, "one half", axis="y")
# Lengths at which tasks are compared; SCAN of the published size is trained to the first.
CLOCKS = (0.3, 0.8, 1.2, 2.0)
STEPS = "Steps of the published settings at the same clock."
TEXT = (
    "The clock is s = lr × decay × step. Settings with another clock have their snapshots as far "
    "apart by it: “twice the decay” is half as long in steps."
)


@dataclass(frozen=True)
class EdgeClock(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/edge_clock"
    title: ClassVar[str] = "Does the edge follow the task, or the clock of decay and the window?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every setting; depends on nothing that is known."""
        for runs in clock_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Claims, curves, classes by clock here and in the other tasks, and what was run."""
        groups = clock_groups(known, scale)
        verdicts = scaled_verdicts(clock_claims(groups, scale), scale)
        there = {name: group for name, group in groups.items() if group.known()}
        rows = [provenance_row(known, name, runs) for name, runs in clock_runs(scale).items()]
        words = regime_words({DYCK: groups[BASE]}) + " Settings change what their names say."
        sections = (
            Section("Curves", TEXT, _figures(there)),
            Section("Means and classes", "", [_means(there), _classes(there, scale)]),
            *_tasks(edge_groups(known, scale)),
        )
        return Page(
            title=self.title,
            summary=answer_words(verdicts, bool(there)),
            verdicts=verdicts,
            sections=[
                *(sections if there else ()),
                Section("What was run", words, [Table(PROVENANCE, rows)]),
            ],
        )


def _figures(groups: Groups) -> list[Figure]:
    """Every quantity by the clock, with two settings at a time beside the published ones."""
    rows = {
        name: {seed: _by_clock(row, SETTINGS[name].rate) for seed, row in g.rows[DECAY].items()}
        for name, g in groups.items()
    }
    others = [name for name in SETTINGS if name != BASE]
    pairs = [(BASE, *others[i : i + 2]) for i in range(0, len(others), 2)]
    return [
        figure
        for words, name in QUANTITIES.items()
        for pair in pairs
        for shown in [{arm: rows[arm] for arm in pair if arm in rows}]
        for figure in over_steps(
            shown, name, arm_colours(tuple(shown)), title=words, caption=f"{STEPS} {BAND}",
            label=words, references=(HALF,), log=False, shown=BOUNDS,
        )
    ]  # fmt: skip


def _by_clock(row: Row, rate: float) -> Row:
    """The run with steps as if it had the published rate of the clock."""
    curves = {
        name: values * rate if name.rpartition("/")[2] == "step" else values
        for name, values in row.curves.items()
    }
    return replace(row, curves=curves)


def _means(groups: Groups) -> Table:
    lines = [
        (name, *(short(_mean(group, curve)) for curve in QUANTITIES.values()))
        for name, group in groups.items()
    ]
    caption = "From the window's end to s = 2; means over seeds, 95 % t intervals."
    return Table(("setting", *QUANTITIES), lines, caption)


def _mean(group: EdgeGroup, name: str) -> Interval | None:
    return mean_of(mean_share(group, row, name) for row in group.rows[DECAY].values())


def _classes(groups: Groups, scale: Scale) -> Table:
    lines = [
        (name, *(_counted(at) for at in zip(*classes_at(group, scale, SETTINGS[name]).values())))
        for name, group in groups.items()
    ]
    return Table(("setting", *(f"s = {check * TICK:g}" for check in CHECKS)), lines, CLASS_RULE)


def _tasks(groups: Groups) -> Iterator[Section]:
    """Classes of the shared runs, as if they had ended at one clock."""
    there = {name: group for name, group in groups.items() if group.known()}
    lines = [
        (name, *(_counted(_ended(group, clock)) for clock in CLOCKS))
        for name, group in there.items()
    ]
    text = "Runs with decay of the other studies, as if each had ended there; s = lr × step."
    if lines:
        columns = ("task", *(f"s = {clock:g}" for clock in CLOCKS))
        yield Section("Tasks at the same clock", text, [Table(columns, lines)])


def _ended(group: EdgeGroup, clock: float) -> list[str]:
    step = clock / group.regime.lr
    rows = group.rows[DECAY].values()
    return [run_class(group, row, step)[1] for row in rows if row.steps_taken >= step]


def _counted(names: Iterable[str]) -> str:
    counts = Counter(name or "not told" for name in names)
    return ", ".join(f"{number} {name}" for name, number in counts.most_common()) or "–"


STUDY = EdgeClock()
