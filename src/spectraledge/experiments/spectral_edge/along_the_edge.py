"""Does anything that is computed at a direction say what its removal costs, and what else moves?

Diagnostics that the published scripts compute and the paper gives no number of: the importance
that gradients predict for each direction, entropy of attention and commutators of its matrices
along the curves, and the spectrum of the response over positions. Each stands beside what predicts
or bounds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.along_claims import (
    IMPORTANCE,
    LEVELS,
    PREDICTIONS,
    RESPONSE,
    STRUCTURE,
    along_claims,
    along_curve,
    along_group,
    along_phases,
    along_runs,
    concordance,
    moved,
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
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Figure, Page, Section, Table
from spectraledge.training import At, Every, RunSpec

__all__ = ["STUDY", "AlongTheEdge"]

# The first two are smoke's, the others those of removals.
STEPS = (24, 80, 200, 500, 1400, 3900)
DIRECTIONS = ("v1", "v2", "theta", "random1")
IMPORTANCE_TEXT = (
    "The published importance of a direction is α_k ⟨v_k, ∇L_train⟩ ⟨v_k, ∇L_held-out⟩. It says "
    "how much a small step of gradient descent along v_k would help; removal is not small, and is "
    "a step along the weights. Half windows give α for two of five directions. Taylor's series to "
    "second order is about removal itself, and exact where the loss is a parabola on the way."
)
STRUCTURE_TEXT = (
    "Changes at displacements of both signs, mean of their sizes. “Even” attention cannot become "
    "more even: what compresses attention leaves its entropy only downwards to go."
)
POSITION_TEXT = (
    "Spectrum over positions of the mean squared response. A response is never negative, so that "
    "frequency 0 always has most: the published peak is 0 by construction."
)


@dataclass(frozen=True)
class AlongTheEdge(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/along_the_edge"
    title: ClassVar[str] = "Does anything computed at a direction say what its removal costs?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = (
        (IMPORTANCE, Every(200)),
        (STRUCTURE, At(STEPS)),
        (RESPONSE, At(STEPS)),
    )

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Both conditions; depends on nothing that is known."""
        for runs in along_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Predictions, curves and spectra, and what was run."""
        group = along_group(known, scale)
        verdicts = scaled_verdicts(along_claims(group, scale), scale)
        rows = [
            provenance_row(known, f"{DYCK}, {condition}", runs)
            for condition, runs in along_runs(scale).items()
        ]
        run = Section("What was run", regime_words({DYCK: group}), [Table(PROVENANCE, rows)])
        measured = (_importance(group), _structure(group, scale), _positions(group, scale))
        return Page(
            title=self.title,
            summary=answer_words(verdicts, group.known()),
            verdicts=verdicts,
            sections=[*(measured if group.known() else ()), run],
        )


def _importance(group: EdgeGroup) -> Section:
    lines = [
        (
            name,
            *(
                share_words(mean_of((concordance(row, output) for row in rows.values()), 0.0, 1.0))
                for rows in group.rows.values()
            ),
        )
        for name, output in PREDICTIONS.items()
    ]
    caption = (
        "Share of pairs of directions that each orders as their cost does; one half is chance. "
        "Means over seeds, 95 % t intervals."
    )
    figures = _costs(group)
    return Section(
        "Predicted and true cost",
        IMPORTANCE_TEXT,
        [Table(("prediction", *group.rows), lines, caption), *figures],
    )


def _costs(group: EdgeGroup) -> list[Figure]:
    return [
        figure
        for output, words in (
            ("loss_change", "Change of the held-out loss without v₁"),
            ("second_order", "The same, predicted to second order"),
        )
        for figure in drawn(group, along_curve(IMPORTANCE, output, "v1"), words, "loss")
    ]


def _structure(group: EdgeGroup, scale: Scale) -> Section:
    positive = LEVELS[len(LEVELS) // 2 + 1 :]
    tables = [
        Table(
            ("runs", "direction", *(f"{level} ‖θ‖" for level in positive)),
            [
                (
                    f"{condition}, step {step}",
                    direction,
                    *(
                        short(mean_of(moved(r, output, direction, x, step) for r in rows.values()))
                        for x in positive
                    ),
                )
                for condition, rows in group.rows.items()
                if rows
                for step in along_phases(group.regime, scale).values()
                for direction in DIRECTIONS
            ],
            f"{words} Means over seeds, 95 % t intervals.",
        )
        for output, words in (
            ("entropy", "Change of the entropy of attention, nat, labelled queries."),
            ("relative_commutator", "Change of ‖W_Q W_K − W_K W_Q‖ over √2 ‖W_Q‖ ‖W_K‖."),
        )
    ]
    return Section("Attention and its matrices along the curves", STRUCTURE_TEXT, tables)


def _positions(group: EdgeGroup, scale: Scale) -> Section:
    outputs = ("position_mean_share", "position_concentration", "position_peak")
    lines = [
        (
            f"{condition}, step {step}",
            direction,
            *(
                share_words(
                    mean_of(
                        value_at(row, along_curve(RESPONSE, output, direction), step)
                        for row in rows.values()
                    )
                )
                for output in outputs
            ),
        )
        for condition, rows in group.rows.items()
        if rows
        for step in along_phases(group.regime, scale).values()
        for direction in ("v1", "v2", "random", "weights")
    ]
    columns = ("runs", "direction", "share of frequency 0", "largest share of the rest", "which")
    return Section("The response over positions", POSITION_TEXT, [Table(columns, lines)])


STUDY = AlongTheEdge()
