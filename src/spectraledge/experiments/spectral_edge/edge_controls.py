"""Does the edge stand out of noise, and is it worth more than leading singular directions?

Two stricter controls than the published ones. A threshold for singular values that is not made of
them: what they are when blocks of the updates change sign at random. And late, where the edge
holds half of the attention weights, a removal that is as long and has a reason to matter: of the
leading singular directions of every matrix, which need no trajectory to be found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import share_words, short
from spectraledge.experiments.spectral_edge.edge_control_claims import (
    NOISE,
    change,
    control_claims,
    control_curve,
    control_groups,
    control_runs,
)
from spectraledge.experiments.spectral_edge.edge_runs import ABLATION, EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import drawn, regime_words
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Figure, Page, Reference, Section, Table
from spectraledge.training import At, Every, RunSpec

__all__ = ["STUDY", "EdgeControls"]

# The first four are smoke's, the others the published steps of removals in both tasks.
STEPS = (24, 48, 64, 80, 200, 500, 1400, 3000, 3900)
REMOVALS = ("edge", "singular_matched", "matched", "additive", "singular")
COMPONENTS = ("v1", "v2", "v3", "v4", "v5")
NOISE_TEXT = (
    "Signs of blocks of every update are drawn at random, which keeps how long it is and where it "
    "acts, and takes away what updates have in common. A singular value stands out if it is above "
    "the quantile of its like under these signs, and so do all before it."
)
REMOVAL_TEXT = (
    "Without the edge stands beside: without the leading singular directions of every attention "
    "matrix, from each as many as are together as long as what the edge takes away; without a "
    "random direction that holds as much of the weights; with a random displacement of that "
    "length; and without the first singular direction of every matrix, whatever its length."
)


@dataclass(frozen=True)
class EdgeControls(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/edge_controls"
    title: ClassVar[str] = (
        "Does the edge stand out of noise, and is it worth more than leading singular directions?"
    )
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = ((NOISE, Every(1)), (ABLATION, At(STEPS)))

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every task; depends on nothing that is known."""
        for runs in control_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Noise and removals by task, and what was run."""
        groups = control_groups(known, scale)
        verdicts = scaled_verdicts(control_claims(groups), scale)
        there = {task: group for task, group in groups.items() if group.known()}
        rows = [provenance_row(known, task, runs) for task, runs in control_runs(scale).items()]
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, bool(there))}\n\n{NOISE_TEXT}\n\n{REMOVAL_TEXT}",
            verdicts=verdicts,
            sections=[
                *(_task_section(group) for group in there.values()),
                Section("What was run", regime_words(groups), [Table(PROVENANCE, rows)]),
            ],
        )


def _task_section(group: EdgeGroup) -> Section:
    tables = [_noise_table(group), *_removal_tables(group)]
    return Section(group.name, "", [*_noise_figures(group), *tables])


def _noise_figures(group: EdgeGroup) -> list[Figure]:
    threshold = Reference(1.0, "threshold", axis="y")
    return [
        *drawn(
            group, control_curve(NOISE, "excess", "v1"), "First singular value over its threshold",
            "ratio", references=(threshold,),
        ),
        *drawn(
            group, control_curve(NOISE, "above"), "Singular values above them", "number",
            shown=(-0.2, NOISE.window + 0.2),
        ),
    ]  # fmt: skip


def _noise_table(group: EdgeGroup) -> Table:
    lines = [
        (
            f"{phase}, {step}",
            *(short(group.at(control_curve(NOISE, "excess", name), step)) for name in COMPONENTS),
            short(group.at(control_curve(NOISE, "above"), step)),
        )
        for phase, step in group.regime.functional_steps.items()
    ]
    caption = "Singular values over their thresholds; means over seeds, 95 % t intervals."
    return Table(("step", *COMPONENTS, "above"), lines, caption)


def _removal_tables(group: EdgeGroup) -> list[Table]:
    columns = ("accuracy", *REMOVALS, "share of the edge", "share of the first directions")
    return [
        Table(
            ("step", *columns),
            [
                (f"{phase}, {step}", *_removals(group, step, output))
                for phase, step in group.regime.functional_steps.items()
            ],
            f"Change of {words}; means over seeds, 95 % t intervals. Shares are of the length of "
            "the attention weights.",
        )
        for output, words in (("accuracy_change", "accuracy"), ("loss_change", "the loss"))
    ]


def _removals(group: EdgeGroup, step: int, output: str) -> tuple[str, ...]:
    return (
        short(group.at(control_curve(ABLATION, "accuracy"), step)),
        *(short(change(group, what, step, output)) for what in REMOVALS),
        *(share_words(change(group, what, step, "removed")) for what in ("edge", "singular")),
    )


STUDY = EdgeControls()
