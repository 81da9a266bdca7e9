"""Figures and tables of the rank-collapse experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectraledge.experiments.base import Results, Scale
from spectraledge.experiments.gather import at_step, band, metric, reading
from spectraledge.experiments.low_rank_decay.groups import (
    GENERALISED,
    MEMORISED,
    finished,
    first_steps,
    of_split,
    splits_of,
)
from spectraledge.experiments.low_rank_decay.rank_collapse_claims import SPECTRUM, verdicts
from spectraledge.experiments.low_rank_decay.rank_collapse_sections import (
    BAND,
    accuracy_curves,
    geometry_section,
    invariance_section,
    mean_over_matrices,
    mirror_section,
    spectra_section,
    split_words,
)
from spectraledge.lab import RunResult
from spectraledge.report import (
    Axes,
    Curve,
    Figure,
    Outcome,
    Page,
    Section,
    Table,
    arm_colours,
    curves,
    dots_with_intervals,
)
from spectraledge.series import mean_interval
from spectraledge.tasks import ModularArithmetic

__all__ = ["grok_figure", "make_page", "rank_curves"]

RANKS = {
    "stable_rank": ("Stable rank of Q and K", "mean F²/σ₁² over the query and key matrices"),
    "entropy_rank": ("Entropy rank of Q and K", "mean exp(entropy of σ/Σσ)"),
    "frobenius_norm": ("Norm of Q and K", "mean ‖W‖_F"),
}
Array = NDArray[Any]


def make_page(results: Results, scale: Scale) -> Page:
    """Page of the experiment.

    Args:
        results: Finished runs by arm.
        scale: Which size they are.

    Returns:
        The page, without environment and links.

    Raises:
        ValueError: If no run finished.
    """
    results = finished(results)
    if not results:
        raise ValueError("expected at least one finished run, got none; see `spectraledge list`")
    colours = arm_colours(list(results))
    sections = [_run_section(results, split, colours) for split in splits_of(results)]
    if "ordered" in splits_of(results):
        sections.append(mirror_section(results, colours))
    sections += [spectra_section(results, colours), geometry_section(results, colours)]
    sections += [invariance_section(results), _outcome_section(results, colours)]
    return Page(
        "Rank collapse and grokking under low-rank decay",
        summary=_summary(results, scale),
        verdicts=verdicts(results, scale),
        sections=sections,
    )


def _summary(results: Results, scale: Scale) -> str:
    spec = next(iter(results.values()))[0].spec
    runs = sum(len(of_arm) for of_arm in results.values())
    steps = max(r.spec.steps for of_arm in results.values() for r in of_arm)
    size = {
        "full": "This is the published size; the arms that sit on a plateau ran for fewer steps.",
        "demo": "This is a small variant that shows the phases in minutes; claims about numbers "
        "belong to the full size.",
        "smoke": "This is a smoke run: it shows that everything works and nothing else.",
    }[scale]
    return (
        f"{runs} transformers with QK-norm learn {_task_words(spec.task)} for up to "
        f"{steps} steps, in {len(results)} arms that differ in what decays the query and key "
        f"matrices. {size}\n\n"
        "The verdicts compare with the paper (arXiv 2606.04405) and with the code and preprint it "
        "builds on. A claim holds or fails only if the whole 95 % interval over seeds lies on one "
        "side of its threshold; otherwise it is undecided."
    )


def _task_words(task: object) -> str:
    if isinstance(task, ModularArithmetic):
        return f"{task.operation} modulo {task.modulus} from {task.train_fraction:.0%} of all pairs"
    return str(task)


def rank_curves(results: Results, split: str, output: str) -> list[Curve]:
    """Mean of a spectrum output over the query and key matrices, by arm.

    Args:
        results: Finished runs by arm.
        split: Which data split.
        output: Output of `WeightSpectrum`.

    Returns:
        One curve per arm.
    """
    return [
        band(arm, runs, *reading(runs, SPECTRUM, output, mean_over_matrices), log=True)
        for arm, runs in of_split(results, split).items()
    ]


def _run_section(results: Results, split: str, colours: dict[str, str]) -> Section:
    accuracy = Axes(y_label="accuracy", y_range=(-0.03, 1.03))
    items = [
        curves(
            accuracy_curves(results, split, f"{part}_accuracy"),
            title=title,
            caption=caption + BAND,
            colours=colours,
            axes=accuracy,
            half=True,
        )
        for part, title, caption in (
            ("train", "Memorisation: training accuracy", "All training pairs. "),
            ("validation", "Generalisation: validation accuracy", "Pairs never trained on. "),
        )
    ]
    items += [
        curves(
            rank_curves(results, split, output),
            title=title,
            caption=f"{what}. {BAND}",
            colours=colours,
            axes=Axes(y_label=what.split(" over")[0], log_y=True),
            half=True,
        )
        for output, (title, what) in RANKS.items()
    ]
    return Section(f"Memorise, collapse, generalise: {split_words(split)}", _SPLIT[split], items)


_SPLIT = {
    "unordered": "Both orders of a pair are on the same side of the split, so that knowing "
    "a + b = b + a answers no held-out question.",
    "ordered": "As published: pairs are split as ordered pairs, so a held-out (a, b) often has its "
    "mirror (b, a) in the training set, and a network that has only learned to ignore the order "
    "answers it.",
}


def _outcome_section(results: Results, colours: dict[str, str]) -> Section:
    items: list[Figure | Table] = [
        grok_figure(results, split, colours) for split in splits_of(results)
    ]
    rows = [
        _outcome_row(arm, split, runs)
        for split in splits_of(results)
        for arm, runs in of_split(results, split).items()
    ]
    columns = ("arm", "split", "memorised at", "generalised at", "validation", "test",
               "stable rank", "entropy rank", "σ > 0.01 σ₁", "‖W‖_F", "diverged")  # fmt: skip
    caption = (
        f"Means over seeds with 95 % t intervals at the last step. Memorised: {MEMORISED}. "
        f"Generalised: {GENERALISED}; runs that never do are counted, not averaged."
    )
    return Section("Outcomes", "", [*items, Table(columns, rows, caption)])


def grok_figure(results: Results, split: str, colours: dict[str, str]) -> Figure:
    """Step of generalisation of every run, by arm; censored where it is not within the budget.

    Args:
        results: Finished runs by arm.
        split: Which data split.
        colours: Colour of each arm.

    Returns:
        The figure.
    """
    outcomes = []
    for arm, runs in of_split(results, split).items():
        steps = first_steps(runs, "validation_accuracy")
        last = runs[0].spec.steps
        values = np.array([float(last if s is None else s) for s in steps])
        outcomes.append(Outcome(arm, values, np.array([s is None for s in steps]),
                                seeds=tuple(r.spec.seed for r in runs)))  # fmt: skip
    return dots_with_intervals(
        outcomes,
        title=f"Step of generalisation, {split_words(split)}",
        colours=colours,
        caption=f"{GENERALISED}. Hollow marks: not within the budget.",
        label="step",
        censored_as="not within the budget",
        half=True,
    )


def _outcome_row(arm: str, split: str, runs: Sequence[RunResult]) -> tuple[str, ...]:
    last = runs[0].spec.steps

    def final(steps: Array, values: Array, high: float = np.inf) -> str:
        sample = at_step(steps, values, last)
        found = mean_interval(sample).within(0.0, high) if sample else "–"
        return str(found).partition(" (")[0]

    spectrum = [
        final(*reading(runs, SPECTRUM, output, mean_over_matrices))
        for output in ("stable_rank", "entropy_rank", "threshold_rank", "frobenius_norm")
    ]
    return (
        arm, split_words(split),
        _counted(first_steps(runs, "train_accuracy")),
        _counted(first_steps(runs, "validation_accuracy")),
        final(*metric(runs, "validation_accuracy"), high=1.0),
        final(*metric(runs, "test_accuracy"), high=1.0),
        *spectrum,
        str(sum(run.diverged_at is not None for run in runs)),
    )  # fmt: skip


def _counted(steps: Sequence[int | None]) -> str:
    reached = [str(step) for step in steps if step is not None]
    return f"{len(reached)} of {len(steps)}" + (f": {', '.join(reached)}" if reached else "")
