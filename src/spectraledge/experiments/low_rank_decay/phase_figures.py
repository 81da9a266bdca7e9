"""Figures of the phase diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from spectraledge.experiments.gather import band
from spectraledge.experiments.low_rank_decay.phase_cells import DECAYS, Diagram
from spectraledge.experiments.low_rank_decay.released_diagram import (
    LABELS,
    RELEASED,
    released_values,
)
from spectraledge.report import Axes, Curve, Figure, Grid, arm_colours, curves, heat_map

__all__ = [
    "by_step_length",
    "difference_map",
    "fair_best_map",
    "fair_map",
    "published_map",
    "released_map",
]

COLUMN = "label"
# What a column means, for every caption.
LABEL = (
    " The label is the amount of a step of low-rank decay, and a tenth of the weight decay of L2."
)


def released_map() -> Figure:
    """The diagram as it was released."""
    grids = [Grid(decay, _words(LABELS), released_values(decay), COLUMN) for decay in DECAYS]
    fractions = sorted(RELEASED["L2"], reverse=True)
    return heat_map(
        grids,
        rows=_words(fractions),
        title="As released",
        caption="Best validation accuracy within 2500 steps, one run a cell, addition modulo 113; "
        "read back through the colour map of the released picture, to within 0.004." + LABEL,
        quantity="best validation accuracy",
        row_label="train fraction",
    )


def published_map(found: Diagram) -> Figure:
    """The diagram under the published protocol, beside the mirror shares."""
    shares = np.array([[found.shares[fraction]] for fraction in found.fractions])
    return _map(
        found,
        "published",
        [Grid("mirror share", ("",), shares)],
        title="As published, at this size",
        caption="Best validation accuracy over time on the ordered split, one seed. On the right "
        "the share of validation pairs whose mirror was trained on: what a network reaches that "
        "has memorised the training set and ignores the order of the operands." + LABEL,
        quantity="best validation accuracy",
    )


def fair_map(found: Diagram) -> Figure:
    """The diagram scored fairly."""
    return _map(
        found,
        "fair",
        [],
        title="Scored fairly, at this size",
        caption="Test accuracy at the end, mean over seeds, on the mirror-safe split; the decays "
        "differ on Q and K only.",
        quantity="test accuracy at the end",
    )


def fair_best_map(found: Diagram) -> Figure:
    """The mirror-safe split with the published score: what the split alone takes away."""
    return _map(
        found,
        "fair, best",
        [],
        title="The same runs, by best accuracy over time",
        caption="Best validation accuracy over time, mean over seeds, on the mirror-safe split: "
        "what lies between this and the map above is lost again before the end.",
        quantity="best validation accuracy",
    )


def _map(
    found: Diagram,
    protocol: str,
    more: Sequence[Grid],
    *,
    title: str,
    caption: str,
    quantity: str,
) -> Figure:
    panels = [
        Grid(decay, _words(found.labels), found.means(protocol, decay), COLUMN) for decay in DECAYS
    ]
    return heat_map(
        [*panels, *more],
        rows=_words(found.fractions),
        title=title,
        caption=caption,
        quantity=quantity,
        row_label="train fraction",
    )


def difference_map(found: Diagram) -> Figure:
    """Low-rank decay minus L2 of the same label, under both protocols."""
    names = {"published": "As published", "fair": "Scored fairly"}
    panels = [
        Grid(
            words,
            _words(found.labels),
            found.means(protocol, "LRD") - found.means(protocol, "L2"),
            COLUMN,
        )
        for protocol, words in names.items()
    ]
    return heat_map(
        panels,
        rows=_words(found.fractions),
        title="Low-rank decay minus L2 of the same label",
        caption="Differences of the accuracies above; orange where low-rank decay is ahead.",
        quantity="difference in accuracy",
        row_label="train fraction",
        limits=(-1.0, 1.0),
        diverging=True,
        digits=2,
    )


def by_step_length(found: Diagram) -> list[Figure]:
    """Accuracy against the length of the decay step, a figure for every train fraction."""
    colours = arm_colours(DECAYS)
    figures = []
    for fraction in found.fractions:
        drawn = [curve for decay in DECAYS if (curve := _by_length(found, decay, fraction))]
        if drawn:
            figures.append(_length_figure(drawn, fraction, colours))
    return figures


def _length_figure(drawn: Sequence[Curve], fraction: float, colours: Mapping[str, str]) -> Figure:
    return curves(
        drawn,
        title=f"Train fraction {fraction:g}",
        caption="Test accuracy at the end on the mirror-safe split, over the length of the first "
        "decay step. Thin lines are seeds, the "
        "thick line is their mean, the band its 95 % interval.",
        colours=colours,
        axes=Axes(
            x_label="length of a decay step over ‖W‖_F",
            y_label="test accuracy",
            log_x=True,
            y_range=(-0.03, 1.03),
        ),
        half=True,
    )


def _by_length(found: Diagram, decay: str, fraction: float) -> Curve | None:
    cells = [found.of("fair", decay, fraction, label) for label in found.labels]
    seeds = sorted({seed for cell in cells for seed in cell})
    if not seeds:
        return None
    values: Float[np.ndarray, "S L"] = np.array(
        [[cell.get(seed, np.nan) for cell in cells] for seed in seeds]
    )
    lengths = np.array([found.lengths[decay, label] for label in found.labels])
    return band(decay, (), lengths, values, (0.0, 1.0))


def _words(numbers: Sequence[float]) -> list[str]:
    return [f"{number:g}" for number in numbers]
