"""Page of `fourier_sparsity`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from spectraledge.experiments.base import Scale
from spectraledge.experiments.curves_over_steps import over_steps
from spectraledge.experiments.execution_subspace.fourier_sparsity_claims import (
    circuit_ratio,
    fourier_leads,
    fourier_verdicts,
    ratio_over_seeds,
)
from spectraledge.experiments.execution_subspace.fourier_sparsity_runs import (
    ADD,
    EMBEDDING,
    HARD_OPERATION,
    MULTIPLICATIVE,
    NATURAL,
    ONSETS,
    PLAIN,
    FourierRun,
    circuits,
    curve_name,
    fourier_regime,
    fourier_runs,
    runs_by_condition,
)
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, answer_words, scaled_verdicts
from spectraledge.instruments import FourierStructure
from spectraledge.report import Figure, Page, Reference, Section, Table, arm_colours

__all__ = ["TITLE", "fourier_sparsity_page"]

TITLE = "Do embeddings become Fourier-sparse where a network generalises, and before it does?"
CONDITIONS = (ADD, HARD_OPERATION, PLAIN)
COLOURS = arm_colours(CONDITIONS)
EXPLAINED = (
    "Addition modulo p is solved by representing token a by cos and sin of 2πka/p for few k. The "
    "embedding and the attention circuits are projected on these modes along the axis of tokens; "
    "the mean over tokens is left out. Beside each number stands what chance gives: a random "
    "matrix of the same shape, and the same matrix with its token axis turned at random."
)
FULLER = (
    "The published size has three seeds of its own; a later horizon would follow the runs that "
    "do not generalise further. Principal directions, to which the published control was applied, "
    "are not measured: along hidden axes there is nothing to find."
)
Groups = Mapping[str, Sequence[FourierRun]]


def fourier_sparsity_page(known: Known, scale: Scale) -> Page:
    """The page; see `fourier_sparsity`."""
    regime = fourier_regime(scale)
    wanted = fourier_runs(regime)
    groups, axes = runs_by_condition(known, wanted), circuits(regime)
    verdicts = scaled_verdicts(fourier_verdicts(groups, axes), scale)
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, any(groups.values()))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            _training_section(groups),
            _embedding_section(groups),
            _circuit_section(groups, axes),
            _end_section(groups, axes),
            _order_section(groups),
            regime_section(known, wanted, regime, FULLER),
        ],
    )


def _drawn(
    groups: Groups,
    name: str,
    title: str,
    label: str,
    references: tuple[Reference, ...] = (),
    shown: tuple[float, float] | None = None,
) -> list[Figure]:
    rows = {condition: {run.seed: run.row for run in runs} for condition, runs in groups.items()}
    return over_steps(
        rows, name, COLOURS, title=title, caption=BAND, label=label, references=references,
        log=False, shown=shown,
    )  # fmt: skip


def _training_section(groups: Groups) -> Section:
    figures = [
        figure
        for metric, pairs in (("train_accuracy", "train"), ("validation_accuracy", "held-out"))
        for figure in _drawn(
            groups, metric, f"Accuracy, {pairs} pairs", "accuracy", shown=(-0.03, 1.03)
        )
    ]
    return Section("Training", "Memorisation and generalisation, step by step.", figures)


def _counted(
    groups: Groups,
    output: str,
    title: str,
    axis: str = EMBEDDING,
    order: FourierStructure = NATURAL,
) -> list[Figure]:
    """A number of frequencies, with what a random matrix of the same shape gives."""
    expected = mean_of(
        run.last(f"isotropic_{output}", axis, order) for runs in groups.values() for run in runs
    )
    chance = () if expected is None else (Reference(expected.centre, "random matrix", axis="y"),)
    top = None if expected is None else (0.0, 1.15 * expected.centre)
    return _drawn(groups, curve_name(output, axis, order), title, "frequencies", chance, top)


def _embedding_section(groups: Groups) -> Section:
    figures = [
        *_counted(groups, "frequencies", "Frequencies that hold 80 % of the embedding"),
        *_counted(groups, "effective_frequencies", "Effective number of frequencies"),
        *_drawn(
            groups, curve_name("largest_share"), "Share of the largest frequency", "share",
            shown=(-0.03, 1.03),
        ),
        *_counted(
            groups, "frequencies", "Frequencies for 80 %, order of multiplication",
            order=MULTIPLICATIVE,
        ),
    ]  # fmt: skip
    text = (
        "The effective number is the exponential of the entropy of the shares. In the order of "
        "multiplication, tokens stand in the order of their discrete logarithms."
    )
    return Section("The token embedding", text, figures)


def _circuit_section(groups: Groups, axes: Sequence[str]) -> Section:
    chosen = [axis for axis in axes if not axis.endswith("query_tokens")]
    figures = [
        figure
        for axis in chosen
        for figure in _counted(groups, "frequencies", f"Frequencies for 80 %, {axis}", axis)
    ]
    text = (
        "Summed over heads, from the embedding directly, without norms and positions. A product "
        "of matrices has fewer directions, so that chance needs fewer frequencies than the line."
    )
    return Section("Attention circuits", text, figures)


def _end_section(groups: Groups, axes: Sequence[str]) -> Section:
    columns = (
        "runs", "known, generalise", "frequencies for 80 %", "of a random matrix's",
        "of the turned matrix's", "circuits, of the turned one's", "largest share",
        "largest frequency of each seed", "constant share",
    )  # fmt: skip
    rows = [(condition, *_end_cells(runs, axes)) for condition, runs in groups.items()]
    caption = (
        "At the end of each run; means over seeds with 95 % t intervals, ratios as geometric means."
    )
    return Section("At the end", "", [Table(columns, rows, caption)])


def _end_cells(runs: Sequence[FourierRun], axes: Sequence[str]) -> tuple[str, ...]:
    largest = [f"{value:.0f}" for run in runs if (value := run.last("largest_frequency")) > 0]
    return (
        f"{len(runs)}, {sum(run.generalises for run in runs)}",
        short(mean_of(run.last("frequencies") for run in runs)),
        short(ratio_over_seeds(runs, lambda run: run.of_chance("isotropic"))),
        short(ratio_over_seeds(runs, lambda run: run.of_chance("rotated"))),
        short(ratio_over_seeds(runs, lambda run: circuit_ratio(run, axes))),
        share_words(mean_of((run.last("largest_share") for run in runs), 0.0, 1.0)),
        ", ".join(largest) or "–",
        share_words(mean_of((run.last("constant_share") for run in runs), 0.0, 1.0)),
    )


def _order_section(groups: Groups) -> Section:
    columns = ("runs and rule", "found in", "step", "before grok_50", "before grok_90",
               "before grok_stop")  # fmt: skip
    rows = [
        (f"{condition}: {onset}", *_order_cells(runs, onset))
        for condition, runs in groups.items()
        for onset in ONSETS
    ]
    caption = (
        "Departs: effective number 5 % below that of a random embedding. Half way: between its "
        "first and its last value, where it falls by a quarter at least. Half of chance: half of "
        "that of a random embedding. Each for two records; steps, means over seeds, leads of the "
        "runs that have both, negative where sparsity came later."
    )
    return Section("What comes first", "", [Table(columns, rows, caption)])


def _order_cells(runs: Sequence[FourierRun], onset: str) -> tuple[str, ...]:
    steps = [ONSETS[onset](run) for run in runs]
    found = [nan if step is None else float(step) for step in steps]
    leads = fourier_leads(runs, onset).values() if runs else ()
    cells = tuple(short(mean_of(lead.leads.tolist())) for lead in leads)
    seen = sum(step is not None for step in steps)
    return f"{seen} of {len(runs)}", short(mean_of(found)), *(cells or ("–", "–", "–"))
