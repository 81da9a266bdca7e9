"""How far can weights move along the edge before anything is lost?

The published curves reach 0.03 of weight, 0.1 to 0.4 % of the attention weights, where every
direction is flat. Here displacements go from a thousandth of the weights to all of their length,
along the edge, along the weights themselves and at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.displacement_reach import (
    CURVES,
    LEARNED,
    LOST,
    at_random,
    displacement_curve,
    displacement_figures,
    exponent,
    reach,
    reach_table,
    rising,
)
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    NO_DECAY,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, measured_group
from spectraledge.experiments.spectral_edge.edge_study import Groups, over_seeds, regime_words
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    numbers_section,
    sign_at,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.instruments import UpdateDecomposition
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.report import Page, Section, Table, Verdict
from spectraledge.series import Interval
from spectraledge.training import At, Every, RunSpec

__all__ = ["FOURTH_NUMBERS", "STUDY", "DisplacementCurves", "displacement_groups"]

SPLIT = UpdateDecomposition(window=5, components=4)
# The first two are smoke's, the others those of removals in the two tasks.
STEPS = (24, 80, 200, 500, 1400, 3000, 3900)
CONDITIONS = {DECAY: 1.0, NO_DECAY: 0.0}
FOURTH_NUMBERS = (
    PublishedNumber(
        "Sign of the alignment of gradient and decay along v4, step 600",
        -1,
        sign_at("update_decomposition/alignment:v4", 600),
        DECAY,
    ),
)


def displacement_runs(scale: Scale) -> dict[str, dict[str, list[RunSpec]]]:
    """One run a seed by task and condition, two records longer than the last curve needs."""
    regimes = edge_regimes(scale)
    return {
        task: {
            condition: regime.runs(
                regime.chain(strength),
                # A length of their own: rows of other studies lack the curves.
                steps=regime.functional_steps["late"] + 2 * regime.record_every,
            )
            for condition, strength in CONDITIONS.items()
        }
        for task in (DYCK, MODULAR)
        if (regime := regimes.get(task)) is not None
    }


def displacement_groups(known: Known, scale: Scale) -> dict[str, EdgeGroup]:
    """The runs that are known and were measured, by task."""
    needed = displacement_curve(CURVES, "step")
    return {
        task: measured_group(known, task, edge_regimes(scale)[task], conditions, needed)
        for task, conditions in displacement_runs(scale).items()
    }


@dataclass(frozen=True)
class DisplacementCurves(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/displacement_curves"
    title: ClassVar[str] = "How far can weights move along the edge before anything is lost?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = ((SPLIT, Every(1)), (CURVES, At(STEPS)))

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every task and condition; depends on nothing that is known."""
        for conditions in displacement_runs(scale).values():
            for runs in conditions.values():
                yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """How far, curves over displacements, and what was run."""
        groups = displacement_groups(known, scale)
        verdicts = scaled_verdicts(_claims(groups), scale)
        there = {task: group for task, group in groups.items() if any(group.rows.values())}
        table = Table(
            PROVENANCE,
            [
                provenance_row(known, f"{task}, {condition}", runs)
                for task, conditions in displacement_runs(scale).items()
                for condition, runs in conditions.items()
            ],
        )
        text = (
            f"Reach is the displacement, over the length of the attention weights, at which "
            f"{LOST:g} of held-out accuracy is lost, mean of both signs; 1 where it never is, so "
            "that a mean with such runs in it is a lower bound; none where accuracy is below "
            f"{LEARNED:g} to begin with. A random direction is the mean of three, not matched for "
            "its share of the weights."
        )
        numbers = [s for g in there.values() if g.name == DYCK
                   for s in numbers_section(FOURTH_NUMBERS, g)]  # fmt: skip
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, bool(there))}\n\n{text}",
            verdicts=verdicts,
            sections=[
                *(_task_section(group) for group in there.values()),
                *numbers,
                Section("What was run", regime_words(groups), [table]),
            ],
        )


def _claims(groups: Groups) -> list[Verdict]:
    return [
        claim
        for group in groups.values()
        for claim in (
            _as_far(group, "late", DECAY, "“flat”: KL ≤ 5e-5 within 0.03 of weight"),
            _as_far(group, "pre", DECAY, "not tested"),
            _as_far(group, "late", NO_DECAY, "18 times steeper than with decay"),
            _further_with_decay(group),
            _one_curve(group),
        )
    ]


def _as_far(group: EdgeGroup, phase: str, condition: str, paper: str) -> Verdict:
    """Whether the edge lets the weights move as far as a random direction does."""
    step, rows = group.regime.functional_steps[phase], group.rows[condition]
    edge, random = (
        {seed: read(row, step) for seed, row in rows.items()}
        for read in (partial(reach, direction="v1"), at_random)
    )
    # Where both reach the end nothing is compared.
    compared = [(s, edge[s] / random[s]) for s in rows if min(edge[s], random[s]) < 1]
    ratio = geometric_interval(compared)
    own, chance = (geometric_interval(found.items()) for found in (edge, random))
    verdict = over_seeds(
        f"{group.name}: With {condition}, at step {step}, weights move along the edge further "
        "than at random", paper, ratio,
        "Reach along v₁ over that at random, geometric mean by seed.",
        words=f"{short(own)} against {short(chance)} of the weights; ratio {short(ratio)}",
        above=1.0,
    )  # fmt: skip
    return _said_why(verdict, rows, ratio)


def _said_why(verdict: Verdict, rows: Mapping[int, Row], found: Interval | None) -> Verdict:
    """A verdict on runs that are known and have nothing to lose says so."""
    if found is not None or not rows:
        return verdict
    return replace(verdict, observed=f"no run has an accuracy of {LEARNED:g} to lose")


def _further_with_decay(group: EdgeGroup) -> Verdict:
    step = group.regime.functional_steps["late"]
    with_decay, without = (group.rows[condition] for condition in (DECAY, NO_DECAY))
    ratio = geometric_interval(
        (seed, reach(row, step, "v1") / reach(without[seed], step, "v1"))
        for seed, row in with_decay.items()
        if seed in without
    )
    verdict = over_seeds(
        f"{group.name}: At step {step} decay makes the edge flatter", "curvature 0.078 against 1.8",
        ratio, "Reach along v₁ with decay over that without, geometric mean by seed.", above=1.0,
    )  # fmt: skip
    return _said_why(verdict, without, ratio)


def _one_curve(group: EdgeGroup) -> Verdict:
    """Whether “flat” and “fatal” are the near and the far end of one curve."""
    step, rows = group.regime.functional_steps["late"], group.rows[DECAY]
    share = mean_of((rising(row, step, "v1") for row in rows.values()), 0.0, 1.0)
    power = mean_of(exponent(row, step, "v1") for row in rows.values())
    return over_seeds(
        f"{group.name}: At step {step} one rising curve leads from flat to fatal along the edge",
        "“flat under perturbation, fatal when ablated”: steps of 0.3 % and of 40 to 83 %",
        share,
        "Share of the steps from one displacement to the next, 0.1 % of the weights to all of "
        "them and of both signs, that change the output more (KL along v₁).",
        words=f"{share_words(share)} of the steps; up to a tenth of the weights the change grows "
        f"with the displacement to the power {short(power)}",
        above=0.9,
    )


def _task_section(group: EdgeGroup) -> Section:
    phases = {phase: group.regime.functional_steps[phase] for phase in ("pre", "late")}
    figures = [
        figure
        for condition, rows in group.rows.items()
        for step in phases.values()
        for figure in displacement_figures(rows, step, f"{group.name}, {condition}")
    ]
    return Section(group.name, "", [reach_table(group), *figures])


STUDY = DisplacementCurves()
