"""Is the edge worth more to the network than the leading singular directions of its matrices?

Late, the edge holds half of the attention weights, and the control that holds as much of them is
random beyond that. A stricter one takes away what is as long and has a reason to matter: the
leading singular directions of every matrix, which need no trajectory to be found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import ABLATION, EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import Groups, over_seeds, regime_words
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    by_seed,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.report import Page, Section, Table, Verdict
from spectraledge.series import Interval
from spectraledge.training import At, RunSpec

__all__ = ["STUDY", "SingularDirections", "singular_groups"]

# The first two are smoke's, the others the published steps of removals in both tasks.
STEPS = (24, 48, 64, 80, 200, 500, 1400, 3000, 3900)
REMOVALS = ("edge", "singular_matched", "matched", "additive", "singular")
EXPLAINED = (
    "Without the edge stands beside: without the leading singular directions of every attention "
    "matrix, from each as many as are together as long as what the edge takes away; a random "
    "direction that holds as much of the weights; a random displacement of that length; and "
    "without the first singular direction of every matrix, whatever its length."
)
removal_curve = CurveNames([ABLATION])


def singular_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """One run a seed by task, three records longer than the last removal needs."""
    regimes = edge_regimes(scale)
    return {
        # A length of their own: rows of other studies lack these removals.
        task: regime.runs(steps=regime.functional_steps["late"] + 3 * regime.record_every)
        for task in (DYCK, MODULAR)
        if (regime := regimes.get(task)) is not None
    }


def singular_groups(known: Known, scale: Scale) -> dict[str, EdgeGroup]:
    """The runs that are known and were measured, by task."""
    needed = removal_curve(ABLATION, "accuracy_change", "singular_matched")
    return {
        task: EdgeGroup(
            task,
            edge_regimes(scale)[task],
            {DECAY: {s: r for s, r in by_seed(known, runs).items() if needed in r.curves}},
        )
        for task, runs in singular_runs(scale).items()
    }


@dataclass(frozen=True)
class SingularDirections(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/singular_directions"
    title: ClassVar[str] = "Is the edge worth more than the leading singular directions?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = ((ABLATION, At(STEPS)),)

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every task; depends on nothing that is known."""
        for runs in singular_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Removals by phase, and what was run."""
        groups = singular_groups(known, scale)
        verdicts = scaled_verdicts(_claims(groups), scale)
        there = {task: group for task, group in groups.items() if group.known()}
        rows = [provenance_row(known, task, runs) for task, runs in singular_runs(scale).items()]
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, bool(there))}\n\n{EXPLAINED}",
            verdicts=verdicts,
            sections=[
                *(Section(task, "", _tables(group)) for task, group in there.items()),
                Section("What was run", regime_words(groups), [Table(PROVENANCE, rows)]),
            ],
        )


def _claims(groups: Groups) -> list[Verdict]:
    return [
        _more_than_singular(group, phase, step)
        for group in groups.values()
        for phase, step in group.regime.functional_steps.items()
    ]


def _more_than_singular(group: EdgeGroup, phase: str, step: int) -> Verdict:
    edge, singular = (
        _change(group, what, step, "accuracy_change") for what in ("edge", "singular_matched")
    )
    more = mean_of(
        _at(group, seed, "singular_matched", step) - _at(group, seed, "edge", step)
        for seed in group.rows[DECAY]
    )
    share = _change(group, "edge", step, "removed")
    return over_seeds(
        f"{group.name}: At step {step} ({phase}) the edge matters more than as much along the "
        "leading singular directions",
        "not tested",
        more,
        "Accuracy lost without the edge minus that lost without them, by seed.",
        words=f"{short(edge)} against {short(singular)}, each {share_words(share)} of the weights; "
        f"{short(more)} more",
        above=0.0,
    )


def _at(
    group: EdgeGroup, seed: int, what: str, step: int, output: str = "accuracy_change"
) -> float:
    return value_at(group.rows[DECAY][seed], removal_curve(ABLATION, output, what), step)


def _change(group: EdgeGroup, what: str, step: int, output: str) -> Interval | None:
    return group.at(removal_curve(ABLATION, output, what), step)


def _tables(group: EdgeGroup) -> list[Table]:
    return [
        Table(
            ("step", "accuracy", *REMOVALS, "share of the edge", "share of the first directions"),
            [
                (
                    f"{phase}, {step}",
                    short(group.at(removal_curve(ABLATION, "accuracy"), step)),
                    *(short(_change(group, what, step, output)) for what in REMOVALS),
                    *(share_words(_change(group, what, step, "removed"))
                      for what in ("edge", "singular")),
                )
                for phase, step in group.regime.functional_steps.items()
            ],
            f"Change of {words}; means over seeds, 95 % t intervals. Shares are of the length of "
            "the attention weights.",
        )
        for output, words in (("accuracy_change", "accuracy"), ("loss_change", "the loss"))
    ]  # fmt: skip


STUDY = SingularDirections()
