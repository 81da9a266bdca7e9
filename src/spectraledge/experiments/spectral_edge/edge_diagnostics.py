"""What single matrices and single parts of an update have to do with the edge.

Diagnostics that the published scripts compute and the paper gives no number of: what the singular
directions of query and key matrices read, which matrices the response along v₁ comes from, and what
a step along v₁ does in the sense of the gradient's part or of decay's. Each stands beside the
control that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import share_words, short
from spectraledge.experiments.spectral_edge.edge_diagnostic_claims import (
    BLOCKS,
    EFFECT,
    KINDS,
    OUTPUT,
    READ,
    attention_share,
    diagnostic_claims,
    diagnostic_curve,
    diagnostic_group,
    diagnostic_runs,
    matrix_of,
    measured_steps,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import drawn, regime_words
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.instruments import SingularProbe
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page, Reference, Section, Table
from spectraledge.training import At, Every, RunSpec

__all__ = ["STUDY", "EdgeDiagnostics"]

# The first four are smoke's, the others the published steps of singular directions.
STEPS = (24, 48, 64, 80, 200, 600, 2000, 5000)
GROUPS = ("v1", "v2 and v3", "v1 to v5")
PROBE_TEXT = (
    "R² of depth from the last block's representation along leading right singular directions of "
    "its query and key matrices: by the scale-free probe, of as many random directions, and by the "
    "published probe, whose penalty is fixed. The matrices do not read the block's output, where "
    "the published script takes it, but its input."
)
BLOCK_TEXT = (
    "Entries of v₁ in one kind of matrix, moved by 0.005 ‖θ‖ of the whole and not scaled up: root "
    "mean square change of the last norm's output at each token."
)
EFFECT_TEXT = (
    "A step of 0.005 ‖θ‖ along v₁ in the sense of the gradient's part of the last update, and in "
    "the sense of decay's. Where both parts point the same way along v₁ the effects are equal "
    "whatever the parts are."
)


@dataclass(frozen=True)
class EdgeDiagnostics(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/edge_diagnostics"
    title: ClassVar[str] = "What have single matrices and parts of updates to do with the edge?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = (
        *((instrument, At(STEPS)) for instrument in (OUTPUT, READ, BLOCKS)),
        (EFFECT, Every(1)),
    )

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Both conditions; depends on nothing that is known."""
        for runs in diagnostic_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Probes, parts and effects, and what was run."""
        group = diagnostic_group(known, scale)
        verdicts = scaled_verdicts(diagnostic_claims(group, scale), scale)
        rows = [
            provenance_row(known, f"{DYCK}, {condition}", runs)
            for condition, runs in diagnostic_runs(scale).items()
        ]
        run = Section("What was run", regime_words({DYCK: group}), [Table(PROVENANCE, rows)])
        measured = [*_probes(group, scale), _blocks(group, scale), _effects(group)]
        return Page(
            title=self.title,
            summary=answer_words(verdicts, group.known()),
            verdicts=verdicts,
            sections=[*(measured if group.known() else ()), run],
        )


def _probes(group: EdgeGroup, scale: Scale) -> list[Section]:
    tables = [
        _probe_table(group, scale, condition, instrument)
        for condition in group.rows
        for instrument in (OUTPUT, READ)
        if group.rows[condition]
    ]
    common = [_overlap_table(group, scale)]
    return [Section("Singular directions of queries and keys", PROBE_TEXT, [*tables, *common])]


def _probe_table(
    group: EdgeGroup, scale: Scale, condition: str, instrument: SingularProbe
) -> Table:
    lines = []
    for step in measured_steps(group, scale, condition):
        for kind in ("query", "key"):
            label = matrix_of(group, kind)
            scores = [
                short(
                    group.at(diagnostic_curve(instrument, output, f"{label},{g}"), step, condition)
                )
                for g in GROUPS
                for output in ("score", "random_score", "published_score")
            ]
            lines.append((str(step), kind, *scores))
    columns = [f"{g}{what}" for g in GROUPS for what in ("", ", random", ", published")]
    caption = (
        f"{condition}, {instrument.place} of the last block. Means over seeds, 95 % t intervals."
    )
    return Table(("step", "matrix", *columns), lines, caption)


def _overlap_table(group: EdgeGroup, scale: Scale) -> Table:
    outputs = ("alignment", "span_overlap", "chance_overlap", "separation")
    label = matrix_of(group, "query")
    lines = [
        (
            condition,
            str(step),
            *(
                short(group.at(diagnostic_curve(OUTPUT, o, label), step, condition))
                for o in outputs
            ),
        )
        for condition in group.rows
        for step in measured_steps(group, scale, condition)
    ]
    columns = (
        "condition", "step", "|cos| of the first", "overlap of five", "by chance",
        "Cohen's d of brackets along v1",
    )  # fmt: skip
    caption = "Query and key matrix of the last layer, and the block's output along v1 of W_Q."
    return Table(columns, lines, caption)


def _blocks(group: EdgeGroup, scale: Scale) -> Section:
    lines = []
    for condition in group.rows:
        for step in measured_steps(group, scale, condition):
            for direction in ("v1", "random", "weights"):
                labels = (direction, *(f"{direction} {kind}" for kind in KINDS))
                names = [diagnostic_curve(BLOCKS, "size", label) for label in labels]
                sizes = [short(group.at(name, step, condition)) for name in names]
                share = attention_share(group, condition, step, direction)
                lines.append((condition, str(step), direction, *sizes, share_words(share)))
    columns = ("condition", "step", "direction", "whole", *KINDS, "share of query and key")
    caption = "Means over seeds, 95 % t intervals; the share is of the squares of the four parts."
    return Section("Where the response comes from", BLOCK_TEXT, [Table(columns, lines, caption)])


def _effects(group: EdgeGroup) -> Section:
    zero = Reference(0.0, "no change", axis="y")
    figures = [
        figure
        for part, words in (("gradient", "the gradient's"), ("weight_decay", "decay's"))
        for figure in drawn(
            group, diagnostic_curve(EFFECT, "loss_change", f"v1,{part}"),
            f"Change of the held-out loss in the sense of {words} part", "loss",
            references=(zero,),
        )
    ]  # fmt: skip
    return Section("Effects by part of the update", EFFECT_TEXT, figures)


STUDY = EdgeDiagnostics()
