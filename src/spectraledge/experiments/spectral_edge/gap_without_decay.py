"""Does the gap behind the edge close without decay too, over the length of the published controls?

The published controls on Dyck-1 run 10,000 steps with snapshots every 500, twice as long as what
they are compared with, and none generalises. Their gap falls more than that of the runs that do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.curves_over_steps import over_steps
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DYCK,
    NO_DECAY,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, finite_curve, measured_group
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.experiments.spectral_edge.gap_numbers import (
    Until,
    fall,
    largest,
    last,
    of_windows,
)
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    numbers_section,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    BAND,
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.instruments import SpectralEdge
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.report import Page, Section, Table, Verdict, arm_colours
from spectraledge.series import Interval
from spectraledge.training import Every, RunSpec

__all__ = ["GAP_CONTROL_NUMBERS", "STUDY", "GapWithoutDecay", "control_group"]

EDGE = SpectralEdge(window=3)
STEPS, CADENCE = 10_000, 500
control_curve = CurveNames([EDGE])


def _until(regime: EdgeRegime) -> Until:
    return Until(EDGE, regime.record_every, None, control_curve)


def control_regime(scale: Scale) -> EdgeRegime:
    """Dyck-1 with the length and cadence of the published controls."""
    regime = edge_regimes(scale)[DYCK]
    return regime if scale == "smoke" else replace(regime, steps=STEPS, record_every=CADENCE)


def control_runs(scale: Scale) -> list[RunSpec]:
    """One run a seed without decay."""
    regime = control_regime(scale)
    # Longer than the runs of other studies, whose rows lack what is measured here.
    steps = regime.steps + (regime.record_every if scale == "smoke" else 0)
    return regime.runs(regime.chain(0.0), steps=steps)


def control_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known and were measured."""
    runs, needed = {NO_DECAY: control_runs(scale)}, control_curve(EDGE, "gap23")
    return measured_group(known, DYCK, control_regime(scale), runs, needed)


WHOLE = Until(EDGE, CADENCE, None, control_curve)
_LINES = (
    ("Largest gap", of_windows(WHOLE.gap, largest), (5.03, 3.87, 3.88)),
    ("Gap at the end", of_windows(WHOLE.gap, last), (0.0262, 0.0257, 0.178)),
    ("Fall of the gap, times", of_windows(WHOLE.gap, fall), (192.0, 151.0, 21.8)),
    ("Mean ratio at the gap", of_windows(WHOLE.ratio, np.nanmean), (3.24, 3.13, 2.92)),
    ("Ratio at the gap, end", of_windows(WHOLE.ratio, last), (11.28, 1.74, 1.54)),
)
GAP_CONTROL_NUMBERS = tuple(
    PublishedNumber(f"{quantity}, seed {seed}", value, read, NO_DECAY, seed=seed, kind="positive")
    for quantity, read, values in _LINES
    for seed, value in zip((42, 137, 2024), values)
)


def _falls(rows: Iterable[tuple[int, Row]], until: Until, *, relative: bool) -> Interval | None:
    """Geometric mean over seeds of the largest gap over the last one, also per σ₁²."""
    found = []
    for seed, row in rows:
        gaps = until.gap(row)
        if relative:
            gaps = gaps / until.first(row) ** 2
        seen = gaps[np.isfinite(gaps) & (gaps > 0)]
        if seen.size > 1:
            found.append((seed, float(seen.max() / seen[-1])))
    return geometric_interval(found)


@dataclass(frozen=True)
class GapWithoutDecay(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/gap_without_decay"
    title: ClassVar[str] = "Does the gap behind the edge close without decay, where nothing groks?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = ((EDGE, Every(1)),)

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """One run a seed."""
        return control_runs(scale)

    def page(self, known: Known, scale: Scale) -> Page:
        """How far the gap falls, also beside σ₁, and the published numbers."""
        group = control_group(known, scale)
        verdicts = scaled_verdicts(_claims(group), scale)
        there = bool(group.rows[NO_DECAY])
        table = Table(PROVENANCE, [provenance_row(known, NO_DECAY, control_runs(scale))])
        text = "The gap σ₂² − σ₃² of three displacements of the attention weights, without decay."
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, there)}\n\n{text}",
            verdicts=verdicts,
            sections=[
                *_curves(group),
                *numbers_section(GAP_CONTROL_NUMBERS, group),
                Section("What was run", "Dyck-1 at the published size.", [table]),
            ],
        )


def _claims(group: EdgeGroup) -> list[Verdict]:
    rows, until = group.rows[NO_DECAY].items(), _until(group.regime)
    whole, beside = (_falls(rows, until, relative=r) for r in (False, True))
    return [
        over_seeds(
            "The gap closes without decay too, in runs that do not generalise",
            "192, 151 and 22 times; runs with decay 48, 47 and 4.5 times", whole,
            "Largest σ₂² − σ₃² over the last one, geometric mean over seeds.",
            words=f"{short(whole)} times", above=1.5,
        ),
        over_seeds(
            "It closes beside σ₁² too, and not because all displacements become short",
            "not tested", beside, "The same of (σ₂² − σ₃²) / σ₁².",
            words=f"{short(beside)} times", above=1.5,
        ),
        over_seeds(
            "Accuracy stays below that of generalising",
            "0 of 3 generalise", _accuracy(group), "Largest accuracy of a run.",
            below=group.regime.grokked,
        ),
    ]  # fmt: skip


def _accuracy(group: EdgeGroup) -> Interval | None:
    rows = group.rows[NO_DECAY].values()
    return mean_of(float(finite_curve(row, group.regime.metric)[1].max()) for row in rows)


def _curves(group: EdgeGroup) -> list[Section]:
    if not group.rows[NO_DECAY]:
        return []
    figures = [
        figure
        for curve, title, label in (
            (control_curve(EDGE, "gap23"), "Gap σ₂² − σ₃²", "weight²"),
            (control_curve(EDGE, "singular_values", "v1"), "σ₁", "weight"),
            (group.regime.metric, "Held-out accuracy", "accuracy"),
        )
        for figure in over_steps(
            group.rows,
            curve,
            arm_colours((NO_DECAY,)),
            title=title,
            caption=BAND,
            label=label,
            log=curve != group.regime.metric,
        )
    ]
    return [Section("Over training", "", figures)]


STUDY = GapWithoutDecay()
