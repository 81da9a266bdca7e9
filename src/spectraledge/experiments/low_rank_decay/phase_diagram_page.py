"""Page of `published_phase_diagram`: the diagram as released, as published here, and fairly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.outcomes import best_accuracy
from spectraledge.experiments.low_rank_decay.phase_cells import (
    DECAYS,
    SUCCESS,
    Diagram,
    diagram,
)
from spectraledge.experiments.low_rank_decay.phase_claims import deviations, verdicts
from spectraledge.experiments.low_rank_decay.phase_figures import (
    by_step_length,
    difference_map,
    fair_best_map,
    fair_map,
    published_map,
    released_map,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.released_diagram import released_value
from spectraledge.experiments.low_rank_decay.sizes import PUBLISHED, size_of
from spectraledge.experiments.row_values import last_value, mean_of, share_words
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed, scaled_verdicts
from spectraledge.report import Page, Section, Table, Verdict
from spectraledge.training import RunSpec

if TYPE_CHECKING:
    from spectraledge.experiments.low_rank_decay.published_phase_diagram import Cell

__all__ = ["phase_diagram_page"]

FULLER = (
    "A larger budget would add seeds to every cell of the fair diagram, L2 columns up to the step "
    "lengths of low-rank decay, and the published size (`--scale full`, hours of a GPU)."
)


def phase_diagram_page(known: Known, scale: Scale) -> Page:
    """The page; see `published_phase_diagram`."""
    # The study imports its page.
    from spectraledge.experiments.low_rank_decay import published_phase_diagram as study

    size = size_of(scale)
    runs = study.grid_runs(size)
    found = diagram(known, runs, size)
    claims = scaled_verdicts(verdicts(found), scale)
    titles = {
        f"{protocol} protocol, {decay}": [
            spec
            for cell, of_cell in runs.items()
            if (cell.protocol, cell.decay) == (protocol, decay)
            for spec in of_cell
        ]
        for protocol in ("published", "fair")
        for decay in DECAYS
    }
    return Page(
        title=study.PublishedPhaseDiagram.title,
        summary=_summary(found, claims),
        verdicts=claims,
        sections=[
            _published_section(found, fewer=scale == "smoke"),
            _fair_section(found),
            _steps_section(found),
            _headline_section(known, study.grid_runs(PUBLISHED)),
            provenance_section(known, titles, size, FULLER),
        ],
    )


def _summary(found: Diagram, claims: Sequence[Verdict]) -> str:
    return f"{_answer(found, claims)}\n\n{_WHAT}"


def _answer(found: Diagram, claims: Sequence[Verdict]) -> str:
    if not any(found.scores.values()):
        return "Nothing is known yet."
    published, won, fair, equal, leak = claims
    return (
        f"Cells that reach {SUCCESS:g} as published: {published.observed}. Of those that only "
        f"low-rank decay wins, won when scored fairly: {won.observed}. At equal labels low-rank "
        f"decay is then {fair.observed}; at equal step length it is {equal.observed}. Where L2 "
        "fails as published, its accuracy beside the share of validation pairs with a trained "
        f"mirror: {leak.observed}."
    )


_WHAT = (
    "The released diagram scores each cell by the best accuracy over time on a split in which "
    "held-out pairs have trained mirrors, takes one seed, and gives both decays one axis though a "
    "label stands for steps of very different length. Here the same grid is run as published, and "
    "once more with each of these undone."
)


def _published_section(found: Diagram, *, fewer: bool) -> Section:
    maps = [published_map(found)] if fewer else [released_map(), published_map(found)]
    rows = [
        (
            f"{fraction:g}",
            found.shares[fraction],
            len(gaps),
            min(gaps) + found.shares[fraction],
            max(gaps) + found.shares[fraction],
        )
        for fraction, gaps in deviations(found).items()
    ]
    table = Table(
        ("train fraction", "mirror share", "failed cells", "lowest accuracy", "highest accuracy"),
        rows,
        f"L2 cells below {SUCCESS:g} under the published protocol, beside the share of their "
        "validation pairs whose mirror was trained on.",
    )
    return Section(
        "The published protocol",
        "The task is commutative and the split ordered: whoever has learnt the training pairs "
        "and that the order does not matter answers the mirrored part of the validation set, and "
        "nothing else.",
        [*maps, table],
    )


def _fair_section(found: Diagram) -> Section:
    return Section(
        "Scored fairly",
        "Both orders of a pair on the same side of the split, the test part looked at once, at "
        "the end, the same weights decayed in the same way except for Q and K, more seeds.\n\n"
        "The split also makes the task harder. At train fraction f the ordered one shows a share "
        "1 − (1 − f)² of the pairs in one order or the other, so that 0.4 there gives away as much "
        "as 0.64 here: rows are to be compared between L2 and low-rank decay, not between the two "
        "protocols.",
        [fair_map(found), fair_best_map(found), difference_map(found)],
    )


def _steps_section(found: Diagram) -> Section:
    text = (
        f"A label stands for a step that is {found.ratio:.0f} times longer under low-rank decay "
        "than under L2: its rate is not multiplied by the learning rate. Drawn over the length of "
        "the step, the two grids hardly overlap; a comparison of their forms is possible only "
        "where they do."
    )
    return Section("At equal step length", text, by_step_length(found))


def _headline_section(known: Known, runs: Mapping[Cell, Sequence[RunSpec]]) -> Section:
    rows = []
    for cell, of_cell in runs.items():
        found = by_seed(known, of_cell)
        if not found:
            continue
        fair = cell.protocol == "fair"
        scores = [last_value(r, "test_accuracy") if fair else best_accuracy(r)
                  for r in found.values()]  # fmt: skip
        rows.append((
            cell.protocol, cell.decay, f"{cell.fraction:g}", f"{cell.label:g}",
            released_value(cell.decay, cell.fraction, cell.label),
            share_words(mean_of(scores, 0.0, 1.0)), len(scores),
        ))  # fmt: skip
    columns = ("protocol", "decay", "train fraction", "label", "released", "ours", "seeds")
    caption = (
        "Released: best validation accuracy on the ordered split, one run. Ours: the same under "
        "the published protocol, test accuracy at the end under the fair one."
    )
    text = "The cells that were run at the published size."
    if not rows:
        text = "No cell was run at the published size yet."
    return Section("Headline cells at the published size", text, [Table(columns, rows, caption)])
