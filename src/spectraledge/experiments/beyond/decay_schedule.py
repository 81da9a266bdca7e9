"""Can decay be turned down once the edge has aligned with the weights, at no cost?

On Dyck-1 the window of the edge aligns at step 600. Decay is turned off there, at 1000 or at 2000,
or down to a tenth, or off by the run itself once |cos(v₁, θ)| exceeds 0.6, and the end is
compared with decay throughout: accuracy, and how well depth can
be read from the representation by a probe that does not mind its scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import drawn, over_seeds
from spectraledge.experiments.spectral_edge.release_arms import BASELINE, RELEASED
from spectraledge.experiments.spectral_edge.release_claims import Number, numbers_of
from spectraledge.experiments.spectral_edge.release_runs import (
    INSTRUMENTS,
    measured_rows,
    released_runs,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page, Section, Table, Verdict
from spectraledge.training import RunSpec
from spectraledge.updates import (
    Adam,
    ClipGradient,
    EdgeBasis,
    RampStrength,
    RampStrengthAtEdge,
    Update,
    WeightDecay,
)

__all__ = ["STUDY", "DecaySchedule"]

# Off at the step at which the first displacement has left a window of five, later, and a tenth.
SCHEDULES = {"off at 600": (600, 0.0), "off at 2000": (2000, 0.0), "a tenth from 600": (600, 0.1)}
ALIGNED = "off once the edge has aligned"
SHARE = (-0.03, 1.03)


def _chain(start: int, strength: float) -> tuple[Update, ...]:
    decay = RampStrength(WeightDecay(1.0, on="all"), float(start), after=strength)
    return (ClipGradient(1.0), decay, Adam(beta2=0.98))


def _once_aligned(cadence: int) -> tuple[Update, ...]:
    edge = EdgeBasis(components=1, every=cadence)
    decay = RampStrengthAtEdge(WeightDecay(1.0, on="all"), 0.6, edge)
    return (ClipGradient(1.0), decay, Adam(beta2=0.98))


def schedule_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """Runs by schedule; decay throughout and off at 1000 are those of `decay_release`."""
    released = released_runs(scale)
    regime = edge_regimes(scale)[DYCK]
    steps = released[BASELINE][0].steps
    shrink = 1 if scale != "smoke" else 25
    own = {
        name: regime.runs(_chain(start // shrink, strength), steps=steps)
        for name, (start, strength) in SCHEDULES.items()
    }
    own[ALIGNED] = regime.runs(_once_aligned(regime.record_every), steps=steps)
    return {BASELINE: released[BASELINE], RELEASED: released[RELEASED], **own}


@dataclass(frozen=True)
class DecaySchedule(Study):
    """See the module."""

    name: ClassVar[str] = "beyond/decay_schedule"
    title: ClassVar[str] = "Can decay be turned down once the edge has aligned?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every schedule and seed; depends on nothing that is known."""
        for runs in schedule_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Accuracy and readability at the end, curves, and what was run."""
        wanted = schedule_runs(scale)
        group = EdgeGroup(
            DYCK,
            edge_regimes(scale)[DYCK],
            {arm: measured_rows(known, runs) for arm, runs in wanted.items()},
        )
        verdicts = scaled_verdicts(_claims(group), scale)
        provenance = [provenance_row(known, arm, runs) for arm, runs in wanted.items()]
        return Page(
            title=self.title,
            summary=answer_words(verdicts, any(group.rows.values())),
            verdicts=verdicts,
            sections=[
                _end_section(group),
                Section("What was run", "Dyck-1 at the published size.",
                        [Table(PROVENANCE, provenance)]),
            ],
        )  # fmt: skip


def _claims(group: EdgeGroup) -> list[Verdict]:
    numbers = numbers_of(group)
    return [
        verdict
        for arm in group.rows
        if arm != BASELINE
        for verdict in (
            _no_worse(group, arm, "keeps the accuracy", numbers["accuracy"], 0.02),
            _no_worse(group, arm, "keeps depth linear", numbers["linear R², scale-free"], 0.005),
        )
    ]


def _no_worse(group: EdgeGroup, arm: str, what: str, number: Number, margin: float) -> Verdict:
    base, other = group.rows[BASELINE], group.rows[arm]
    mean = mean_of(number(other[s]) - number(base[s]) for s in base if s in other)
    own, whole = (
        share_words(mean_of(number(row) for row in rows.values())) for rows in (other, base)
    )
    return over_seeds(
        f"“{arm}” {what}", "not asked", mean, f"Minus “{BASELINE}”, by seed.",
        words=f"{own} against {whole}; difference {share_words(mean)}", above=-margin,
    )  # fmt: skip


def _end_section(group: EdgeGroup) -> Section:
    numbers = numbers_of(group)
    rows = [
        (f"{arm} ({len(own)})", *(
            share_words(mean_of(number(row) for row in own.values())) for number in numbers.values()
        ))
        for arm, own in group.rows.items()
    ]  # fmt: skip
    figures = drawn(group, group.regime.metric, "Held-out accuracy", "accuracy", shown=SHARE)
    return Section("At the end", "", [Table(("arm (seeds)", *numbers), rows), *figures])


STUDY = DecaySchedule()
