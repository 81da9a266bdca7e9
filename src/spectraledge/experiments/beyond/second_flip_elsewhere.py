"""Does the edge flip a second time on other tasks that are memorised long before they generalise?

On modular addition the edge turns to decay once when the window lets go of the start, whatever the
labels, and once more when a run generalises, which shuffled labels never show. That is one task.
Here are others, none of them looked at before the rule was fixed. Multiplication repeats the first:
non-zero residues modulo 97 multiply as numbers modulo 96 add, under other names. Addition and
multiplication at once, in one trunk with a head for each, are no other task renamed; nor are the
symmetries of a polygon, whose order of composition matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    MODULAR,
    SHUFFLED,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    COARSE_EDGE,
    EDGE,
    NARROW_EDGE,
    SPLITS,
    WIDE_EDGE,
    EdgeGroup,
    curve_name,
    measured_group,
)
from spectraledge.experiments.spectral_edge.edge_study import drawn, regime_words
from spectraledge.experiments.spectral_edge.flip_claims import (
    any_flip,
    first_flip_with_generalising,
    first_flip_with_window,
)
from spectraledge.experiments.spectral_edge.later_flips import later_flip
from spectraledge.experiments.spectral_edge.lifecycle_claims import GRADIENT_SHARE
from spectraledge.experiments.spectral_edge.lifecycle_timing import timing_section
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.models import MultiTaskEncoderSpec, PreNormEncoderSpec
from spectraledge.report import Page, Reference, Section, Table, Verdict
from spectraledge.tasks import GroupComposition, ModularArithmetic, SeveralOperations, answers_of
from spectraledge.training import Every, RunSpec

__all__ = ["STUDY", "SecondFlipElsewhere", "delayed_regimes", "flip_groups"]

PRODUCT, BOTH = "modular multiplication", "addition and multiplication at once"
POLYGON = "symmetries of a 49-gon"
SHARE = (-0.03, 1.03)
HALF = Reference(0.5, "one half", axis="y")


def delayed_regimes(scale: Scale) -> dict[str, EdgeRegime]:
    """Multiplication, both operations in one trunk, a group; otherwise as modular addition."""
    first = edge_regimes("demo")[MODULAR]
    modulus, width, polygon = 97, 128, "D49"
    if scale == "smoke":
        modulus, width, polygon = 7, 16, "D4"
        first = replace(
            first, batch_size=16, steps=80, control_steps=80, record_every=8, seeds=(0, 1)
        )
    sizes = {"width": width, "mlp_width": 2 * width}
    return {
        PRODUCT: replace(
            first,
            task=ModularArithmetic(modulus, "mul", form="two_token", split="ordered"),
            model=PreNormEncoderSpec(**sizes),
        ),
        BOTH: replace(
            first,
            task=SeveralOperations(modulus, ("add", "mul"), split="ordered"),
            model=MultiTaskEncoderSpec(**sizes),
            metric="validation_sequence_accuracy",
        ),
        POLYGON: replace(
            first,
            task=GroupComposition(polygon, form="two_token", train_fraction=0.5, split="ordered"),
            model=PreNormEncoderSpec(**sizes),
            # Shuffled labels as long as real ones: it takes longer than the others.
            control_steps=first.steps,
        ),
    }


def flip_runs(scale: Scale) -> dict[str, dict[str, list[RunSpec]]]:
    """Runs with decay on the labels as they are and shuffled, by task."""
    return {
        name: {condition: regime.conditions()[condition] for condition in (DECAY, SHUFFLED)}
        for name, regime in delayed_regimes(scale).items()
    }


def flip_groups(known: Known, scale: Scale) -> dict[str, EdgeGroup]:
    """The runs that are known and were measured, by task."""
    needed, regimes = curve_name(EDGE, "gap23"), delayed_regimes(scale)
    return {
        name: measured_group(known, name, regimes[name], conditions, needed)
        for name, conditions in flip_runs(scale).items()
    }


@dataclass(frozen=True)
class SecondFlipElsewhere(Study):
    """See the module."""

    name: ClassVar[str] = "beyond/second_flip_elsewhere"
    title: ClassVar[str] = "Does the edge flip a second time on other tasks with a delay?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = tuple(
        (instrument, Every(1))
        for instrument in (EDGE, NARROW_EDGE, WIDE_EDGE, COARSE_EDGE, *SPLITS)
    )

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every task and condition; depends on nothing that is known."""
        for conditions in flip_runs(scale).values():
            for runs in conditions.values():
                yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Flips beside generalising, curves, and what was run."""
        groups = flip_groups(known, scale)
        verdicts = scaled_verdicts(_claims(groups), scale)
        there = {name: group for name, group in groups.items() if group.known()}
        rows = [
            provenance_row(known, f"{name}, {condition}", runs)
            for name, conditions in flip_runs(scale).items()
            for condition, runs in conditions.items()
        ]
        measured = [*(_task_section(g) for g in there.values()), timing_section(there)]
        return Page(
            title=self.title,
            summary=answer_words(verdicts, bool(there)),
            verdicts=verdicts,
            sections=[
                *(measured if there else ()),
                Section("What was run", regime_words(groups), [Table(PROVENANCE, rows)]),
            ],
        )


def _claims(groups: Mapping[str, EdgeGroup]) -> list[Verdict]:
    rules = (first_flip_with_window, first_flip_with_generalising, any_flip, later_flip)
    return [rule(group) for group in groups.values() for rule in rules]


def _task_section(group: EdgeGroup) -> Section:
    metrics = {group.regime.metric: "Held-out accuracy"} | {
        f"validation_accuracy_{answer}": f"Held-out accuracy of {answer}"
        for answer in answers_of(group.regime.task)
    }
    figures = [
        *(
            figure
            for metric, title in metrics.items()
            for figure in drawn(group, metric, title, "accuracy", shown=SHARE)
        ),
        *drawn(
            group, GRADIENT_SHARE, "Share of the gradient along v₁", "share of energy",
            shown=SHARE, references=(HALF,),
        ),
    ]  # fmt: skip
    return Section(group.name, "", figures)


STUDY = SecondFlipElsewhere()
