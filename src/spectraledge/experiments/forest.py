"""Forest plots: many estimates with their intervals in rows, under several conditions each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectraledge.report import Axes, Figure, Reference
from spectraledge.report.colours import PALETTE
from spectraledge.report.plots.layout import base_layout, numbers, of_arm, plain, reference_layout
from spectraledge.series import Interval

__all__ = ["Estimate", "forest_figure"]

ROW_PIXELS, FRAME_PIXELS = 34, 120
# Vertical distance between the conditions of a row, of a height of 1.
APART = 0.24


@dataclass(frozen=True)
class Estimate:
    """One line of a forest plot.

    Args:
        row: Name of the row.
        condition: Which of the estimates of the row; all of a condition have one colour.
        interval: The estimate; ends and centre may be infinite.
    """

    row: str
    condition: str
    interval: Interval


def forest_figure(
    estimates: Sequence[Estimate],
    *,
    title: str,
    caption: str,
    label: str,
    references: Sequence[Reference] = (),
    shown: tuple[float, float] | None = None,
) -> Figure:
    """Rows from top to bottom: a dot at each estimate, a line for its interval.

    An end that is infinite runs to the edge and ends in an arrow; an estimate that is infinite or
    NaN has no dot.

    Args:
        estimates: In the order of their rows; at least one.
        title: Heading of the figure.
        caption: What is drawn; says what the interval is.
        label: Label of the horizontal axis.
        references: Labelled vertical lines.
        shown: Range of the axis that must be visible, None to fit the estimates.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no estimate.

    Example:
        >>> one = Estimate("L2", "2000 steps", Interval(0.6, 0.5, float("inf"), 8))
        >>> figure = forest_figure([one], title="a", caption="b", label="fraction")
        >>> figure.plot["layout"]["yaxis"]["ticktext"]
        ['L2']
    """
    if not estimates:
        raise ValueError(f"expected at least one estimate in figure {title!r}, got none")
    rows = list(dict.fromkeys(e.row for e in estimates))
    conditions = list(dict.fromkeys(e.condition for e in estimates))
    low, high = _limits(estimates, references, shown)
    axes = Axes(label, x_range=(low, high), y_range=(-0.6, len(rows) - 0.4))
    traces: list[Any] = []
    for number, condition in enumerate(conditions):
        offset = APART * ((len(conditions) - 1) / 2 - number)
        chosen = [e for e in estimates if e.condition == condition]
        heights = [len(rows) - 1 - rows.index(e.row) + offset for e in chosen]
        traces += _condition(chosen, heights, condition, PALETTE[number], (low, high))
    layout = base_layout(axes) | reference_layout(references, axes)
    above = {"textangle": 0, "xanchor": "center", "yanchor": "bottom"}
    layout["annotations"] = [mark | above for mark in layout["annotations"]]
    layout["yaxis"] |= {"tickvals": list(range(len(rows) - 1, -1, -1)),
                        "ticktext": [plain(row) for row in rows], "ticks": ""}  # fmt: skip
    layout["legend"] |= {"y": 1.0 + 22 / (ROW_PIXELS * len(rows)) if references else 1.02}
    layout["margin"] |= {"t": 50}
    return Figure(
        title,
        caption,
        {"data": traces, "layout": layout},
        height=ROW_PIXELS * len(rows) + FRAME_PIXELS,
    )


def _limits(
    estimates: Sequence[Estimate],
    references: Sequence[Reference],
    shown: tuple[float, float] | None,
) -> tuple[float, float]:
    ends = [x for e in estimates for x in (e.interval.centre, e.interval.lower, e.interval.upper)]
    seen = np.array([*ends, *(r.value for r in references), *(shown or ())])
    seen = seen[np.isfinite(seen)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _condition(
    estimates: Sequence[Estimate],
    heights: Sequence[float],
    name: str,
    colour: str,
    limits: tuple[float, float],
) -> list[dict[str, Any]]:
    lines: dict[str, list[Any]] = {"x": [], "y": []}
    arrows: dict[str, list[Any]] = {"x": [], "y": [], "symbol": []}
    for estimate, height in zip(estimates, heights):
        ends = (estimate.interval.lower, estimate.interval.upper)
        lines["x"] += [*numbers(np.clip(ends, *limits)), None]
        lines["y"] += [height, height, None]
        for end, limit, side in zip(ends, limits, ("left", "right")):
            if not np.isfinite(end):
                arrows["x"].append(limit)
                arrows["y"].append(height)
                arrows["symbol"].append(f"triangle-{side}")
    centres = np.array([e.interval.centre for e in estimates])
    there = np.isfinite(centres)
    dots = {
        # A condition without any dot keeps its entry in the legend.
        "x": numbers(centres[there]) or [None], "y": np.array(heights)[there].tolist() or [None],
        "mode": "markers",
        "name": plain(name), "marker": {"size": 9, "color": colour},
        "text": [f"{plain(e.row)}, {plain(name)}<br>{e.interval}"
                 for e, drawn in zip(estimates, there) if drawn],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    bar = {"mode": "lines", "line": {"width": 2.4, "color": colour}, "opacity": 0.7} | lines
    heads = {
        "x": arrows["x"], "y": arrows["y"], "mode": "markers", "cliponaxis": False,
        "marker": {"size": 10, "color": colour, "symbol": arrows["symbol"]},
    }  # fmt: skip
    quiet = {"showlegend": False, "hoverinfo": "skip"}
    return [of_arm(name, bar | quiet), of_arm(name, heads | quiet), of_arm(name, dots)]
