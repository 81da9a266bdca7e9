"""Figures of laws between steps of runs: one dot per run, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from spectraledge.experiments.execution_subspace.learning_rate_leads import RateLeads
from spectraledge.report import Axes, Figure, Reference
from spectraledge.report.colours import PALETTE
from spectraledge.report.plots.layout import base_layout, numbers, of_arm, plain, reference_layout
from spectraledge.series import PowerLaw, ShuffledOnsets

__all__ = ["Law", "scatter_figure", "shuffled_figure"]


@dataclass(frozen=True)
class Law:
    """A fitted line.

    Args:
        name: In the legend.
        fit: Its exponent and coefficient.
        dash: Style of the line.
    """

    name: str
    fit: PowerLaw
    dash: str = "solid"


def scatter_figure(
    found: RateLeads,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    *,
    title: str,
    caption: str,
    labels: tuple[str, str],
    laws: Sequence[Law] = (),
) -> Figure | None:
    """A dot per run, coloured by learning rate, with fitted lines.

    Args:
        found: The runs.
        x: ``(n,)`` horizontal values; runs without positive ones are left out.
        y: ``(n,)`` vertical values, likewise.
        title: Heading of the figure.
        caption: What is drawn.
        labels: Of the axes.
        laws: Lines; ``1:1`` is one with exponent and coefficient 1.

    Returns:
        The figure; None without a run to draw.
    """
    with np.errstate(invalid="ignore"):
        kept = (x > 0) & (y > 0)
    if not kept.any():
        return None
    traces: list[Mapping[str, Any]] = [
        _dots(found, x, y, kept & (found.lr == rate), rate, PALETTE[number])
        for number, rate in enumerate(found.rates)
    ]
    ends = np.array([x[kept].min() / 1.1, x[kept].max() * 1.1])
    traces += [_line(law, ends) for law in laws if np.isfinite(law.fit.exponent)]
    axes = Axes(*labels, log_x=True, log_y=True)
    return Figure(title, caption, {"data": traces, "layout": base_layout(axes)}, half=True)


def _dots(
    found: RateLeads,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    own: np.ndarray,
    rate: float,
    colour: str,
) -> dict[str, Any]:
    name = f"lr {rate:g}"
    return of_arm(name, {
        "x": numbers(x[own]), "y": numbers(y[own]), "customdata": found.seeds[own].tolist(),
        "mode": "markers", "name": name, "marker": {"size": 8, "color": colour, "opacity": 0.75},
        "hovertemplate": f"{plain(name)}, seed %{{customdata}}<br>%{{x}}: %{{y}}<extra></extra>",
    })  # fmt: skip


def _line(law: Law, ends: Float[np.ndarray, " 2"]) -> dict[str, Any]:
    return of_arm(law.name, {
        "x": numbers(ends), "y": numbers(law.fit.coefficient * ends**law.fit.exponent),
        "mode": "lines", "name": plain(law.name), "hoverinfo": "skip",
        "line": {"width": 2, "color": "#1d2730", "dash": law.dash},
    })  # fmt: skip


def shuffled_figure(drawn: ShuffledOnsets) -> Figure:
    """Exponent and R² of shuffled onsets, with those of the runs' own."""
    known = np.flatnonzero(np.isfinite(drawn.exponents) & np.isfinite(drawn.r_squareds))[:500]
    name, own = "onsets of other runs", "each run's own onset"
    traces = [
        of_arm(name, {
            "x": numbers(drawn.exponents[known]), "y": numbers(drawn.r_squareds[known]),
            "mode": "markers", "name": name,
            "marker": {"size": 4, "color": PALETTE[0], "opacity": 0.4}, "hoverinfo": "skip",
        }),
        of_arm(own, {
            "x": numbers(np.array([drawn.observed.exponent])),
            "y": numbers(np.array([drawn.observed.r_squared])),
            "mode": "markers", "name": own,
            "marker": {"size": 13, "color": PALETTE[1], "symbol": "diamond"},
            "hovertemplate": "%{x}, %{y}<extra></extra>",
        }),
    ]  # fmt: skip
    axes = Axes("exponent", "R²")
    reference = Reference(1.27, "published 1.27")
    layout = base_layout(axes) | reference_layout([reference], axes)
    layout["margin"] |= {"t": 50}
    return Figure(
        "The law with shuffled onsets",
        "Fits of lead over grok with onsets permuted among the runs of a learning rate, 500 of "
        "the draws: what the arithmetic of lead = grok − onset gives by itself.",
        {"data": traces, "layout": layout},
        half=True,
    )
