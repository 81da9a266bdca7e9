"""Can decay be turned down once the edge has aligned with the weights, at no cost?

On Dyck-1 the window of the edge aligns at step 600. Decay is turned off there, at 1000 or at 2000,
or down to a tenth, or off by the run itself once |cos(v₁, θ)| exceeds 0.6, or at the step at which
the same run with decay generalised. The end is compared with decay throughout, in accuracy and in
how well a probe that does not mind its scale reads depth from the representation; and off at the
edge's event is compared with off at fixed steps and with off at generalising.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import nan
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, finite_curve
from spectraledge.experiments.spectral_edge.edge_study import drawn, over_seeds
from spectraledge.experiments.spectral_edge.release_arms import BASELINE, RELEASED
from spectraledge.experiments.spectral_edge.release_claims import Number, numbers_of
from spectraledge.experiments.spectral_edge.release_runs import (
    INSTRUMENTS,
    SPLIT,
    release_curve,
    released_group,
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
from spectraledge.lab.rows import Row
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

__all__ = ["STUDY", "DecaySchedule", "schedule_claims"]

# Off at the step at which the first displacement has left a window of five, later, and a tenth.
SCHEDULES = {"off at 600": (600, 0.0), "off at 2000": (2000, 0.0), "a tenth from 600": (600, 0.1)}
ALIGNED, GENERALISED = "off once the edge has aligned", "off once generalised"
FIXED = ("off at 600", "off at 1000", "off at 2000")
SHARE = (-0.03, 1.03)


def _chain(start: int, strength: float) -> tuple[Update, ...]:
    decay = RampStrength(WeightDecay(1.0, on="all"), float(start), after=strength)
    return (ClipGradient(1.0), decay, Adam(beta2=0.98))


def _once_aligned(cadence: int) -> tuple[Update, ...]:
    edge = EdgeBasis(components=1, every=cadence)
    decay = RampStrengthAtEdge(WeightDecay(1.0, on="all"), 0.6, edge)
    return (ClipGradient(1.0), decay, Adam(beta2=0.98))


def schedule_runs(known: Known, scale: Scale) -> dict[str, list[RunSpec]]:
    """Runs by schedule.

    Args:
        known: Rows; runs whose decay goes off at generalising follow those with decay in it.
        scale: Of the study.

    Returns:
        By schedule; decay throughout and off at 1000 are runs of `decay_release`.
    """
    released = released_runs(scale)
    regime = edge_regimes(scale)[DYCK]
    steps = released[BASELINE][0].steps
    shrink = 1 if scale != "smoke" else 25
    own = {
        name: regime.runs(_chain(start // shrink, strength), steps=steps)
        for name, (start, strength) in SCHEDULES.items()
    }
    own[ALIGNED] = regime.runs(_once_aligned(regime.record_every), steps=steps)
    own[GENERALISED] = [
        replace(run, updates=_chain(step, 0.0))
        for run, step in _generalising(known, released[BASELINE], scale)
    ]
    return {BASELINE: released[BASELINE], "off at 1000": released[RELEASED], **own}


def _generalising(known: Known, runs: list[RunSpec], scale: Scale) -> Iterator[tuple[RunSpec, int]]:
    """Runs that are known and generalised, each with the step at which it did."""
    steps = released_group(known, {BASELINE: runs}, scale).grok_steps(BASELINE)
    for run in runs:
        if step := steps.get(run.seed):
            yield run, step


@dataclass(frozen=True)
class DecaySchedule(Study):
    """See the module."""

    name: ClassVar[str] = "beyond/decay_schedule"
    title: ClassVar[str] = "Can decay be turned down once the edge has aligned?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every schedule and seed; one schedule follows those that are known."""
        for runs in schedule_runs(known, scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Accuracy and readability at the end, curves, and what was run."""
        wanted = schedule_runs(known, scale)
        group = released_group(known, wanted, scale)
        verdicts = scaled_verdicts(schedule_claims(group), scale)
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


def schedule_claims(group: EdgeGroup) -> list[Verdict]:
    """What each schedule costs, and whether it matters that the edge says when."""
    numbers = numbers_of(group)
    accuracy, free = numbers["accuracy"], numbers["linear R², scale-free"]
    costs = [
        verdict
        for arm in group.rows
        if arm != BASELINE
        for verdict in (
            _costs(group, arm, "of accuracy", accuracy, 0.02),
            _costs(group, arm, "of scale-free R² of depth", free, 0.005),
        )
    ]
    return [*costs, _event_matters(group, accuracy), _which_event_matters(group, accuracy)]


def _costs(group: EdgeGroup, arm: str, what: str, number: Number, margin: float) -> Verdict:
    base, other = group.rows[BASELINE], group.rows[arm]
    mean = mean_of(number(other[s]) - number(base[s]) for s in base if s in other)
    own, whole = (
        share_words(mean_of(number(row) for row in rows.values())) for rows in (other, base)
    )
    return over_seeds(
        f"“{arm}” costs less than {margin:g} {what}", "not asked", mean,
        f"Minus “{BASELINE}”, by seed.",
        words=f"{own} against {whole}; difference {share_words(mean)}", above=-margin,
    )  # fmt: skip


def _event_matters(group: EdgeGroup, accuracy: Number) -> Verdict:
    own, fixed = group.rows[ALIGNED], [group.rows[arm] for arm in FIXED]
    mean = mean_of(
        accuracy(own[seed]) - sum(accuracy(rows[seed]) for rows in fixed) / len(fixed)
        for seed in own
        if all(seed in rows for rows in fixed)
    )
    off = sorted({_last_decayed(row) for row in own.values()})
    told = ", ".join(
        f"“{arm}” {share_words(mean_of(accuracy(row) for row in group.rows[arm].values()))}"
        for arm in (ALIGNED, *FIXED)
    )
    return over_seeds(
        "Decay that goes off with the edge ends better than decay that goes off at a fixed step",
        "not asked", mean, f"Accuracy minus the mean of {len(FIXED)} fixed steps, by seed.",
        words=f"{told}; difference {share_words(mean)}; by itself it goes off after step "
        f"{', '.join(f'{step:g}' for step in off)}",
        above=0.0,
    )  # fmt: skip


def _which_event_matters(group: EdgeGroup, accuracy: Number) -> Verdict:
    own, other = group.rows[ALIGNED], group.rows[GENERALISED]
    mean = mean_of(accuracy(own[seed]) - accuracy(other[seed]) for seed in own if seed in other)
    told = ", ".join(
        f"“{arm}” {share_words(mean_of(accuracy(row) for row in group.rows[arm].values()))}"
        for arm in (ALIGNED, GENERALISED)
    )
    return over_seeds(
        "Decay that goes off with the edge ends better than decay that goes off at generalising",
        "not asked", mean, "Accuracy at the end, by seed.",
        words=f"{told}; difference {share_words(mean)}", above=0.0,
    )  # fmt: skip


def _last_decayed(row: Row) -> float:
    """The last record until which decay moved the weights; NaN if none."""
    steps, decayed = finite_curve(row, release_curve(SPLIT, "part_norm", "weight_decay"))
    moved = steps[decayed > 0]
    return float(moved[-1]) if moved.size else nan


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
