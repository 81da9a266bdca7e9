"""One number per run: dots, intervals, and arrows for runs that had not got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectraledge.report.arms import Outcome
from spectraledge.report.axes import Axes, Reference
from spectraledge.report.colours import colour_of
from spectraledge.report.page import Figure
from spectraledge.report.plots.layout import (
    Trace,
    base_layout,
    numbers,
    of_arm,
    plain,
    reference_layout,
)

__all__ = ["dots_with_intervals"]

ROW_PIXELS = 70
# Within a row: the label on top, then the runs, then the estimate with its interval.
LABEL, RUNS, INTERVAL = 0.42, 0.1, -0.2
FRAME_PIXELS = 84


def dots_with_intervals(
    outcomes: Sequence[Outcome],
    *,
    title: str,
    caption: str,
    colours: Mapping[str, str],
    label: str,
    log: bool = False,
    censored_as: str = "not reached",
    references: Sequence[Reference] = (),
    half: bool = False,
) -> Figure:
    """One row per arm: a dot per run, below them the estimate and its interval.

    A censored run is a hollow triangle pointing to where its value must lie; an interval that is
    open to the right ends in one. The row says how many runs are censored or without a value.

    Args:
        outcomes: One per arm, drawn from top to bottom.
        title: Heading of the figure.
        caption: What is drawn and how to read it; say what the interval is.
        colours: From `arm_colours`, the same for all figures of a page.
        label: Label of the horizontal axis, with its unit.
        log: Logarithmic horizontal axis; values at or below 0 are left out.
        censored_as: What a censored run is called.
        references: Labelled vertical lines.
        half: Take half of the page on wide screens.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no outcomes or an arm repeats.

    Example:
        >>> outcome = Outcome("L2", np.array([800.0, 4000.0]), np.array([False, True]))
        >>> colours = {"L2": "#0072b2"}
        >>> plot = dots_with_intervals(
        ...     [outcome], title="a", caption="b", colours=colours, label="step"
        ... ).plot
        >>> plot["layout"]["annotations"][0]["text"]
        '<b>L2</b>  1 of 2 not reached'
    """
    arms = [outcome.arm for outcome in outcomes]
    if not arms or len(set(arms)) != len(arms):
        raise ValueError(f"expected one outcome per arm in figure {title!r}, got arms {arms}")
    low, high = _limits(outcomes, references, log)
    rows = len(outcomes)
    axes = Axes(label, log_x=log, x_range=(low, high), y_range=(-0.5, rows - 0.4))
    traces: list[Trace] = []
    labels = []
    for row, outcome in zip(range(rows - 1, -1, -1), outcomes):
        colour = colour_of(outcome.arm, colours)
        drawn = [*_interval(outcome, row, colour, high), *_dots(outcome, row, colour, censored_as)]
        traces += [of_arm(outcome.arm, {"showlegend": False, **trace}) for trace in drawn]
        labels.append(_row_label(outcome, row, censored_as))
    layout = base_layout(axes) | reference_layout(references, axes)
    # Reference labels go above the plot: inside it they would meet the labels of the rows.
    above = {"textangle": 0, "xanchor": "center", "yanchor": "bottom"}
    layout["annotations"] = labels + [mark | above for mark in layout["annotations"]]
    layout["yaxis"] |= {"showticklabels": False, "showgrid": False, "ticks": "", "showline": False}
    layout["margin"] |= {"l": 14, "t": 26 if references else 12}
    height = ROW_PIXELS * rows + FRAME_PIXELS
    return Figure(title, caption, {"data": traces, "layout": layout}, height=height, half=half)


def _limits(
    outcomes: Sequence[Outcome], references: Sequence[Reference], log: bool
) -> tuple[float, float]:
    numbers_seen = [reference.value for reference in references if reference.axis == "x"]
    for outcome in outcomes:
        ends = (outcome.centre, outcome.lower, outcome.upper)
        numbers_seen += [*outcome.values.tolist(), *(end for end in ends if end is not None)]
    seen = np.array([x for x in numbers_seen if np.isfinite(x) and (x > 0 or not log)])
    if not seen.size:
        return (1.0, 10.0)
    low, high = float(seen.min()), float(seen.max())
    if log:
        room = max((high / low) ** 0.06, 1.1)
        return low / room, high * room
    room = 0.06 * (high - low) or max(abs(high) * 0.1, 1.0)
    # Counts and steps start at 0: showing it keeps distances comparable between arms.
    return (-room if 0 <= low < high / 2 else low - room), high + room


def _interval(outcome: Outcome, row: int, colour: str, edge: float) -> list[Trace]:
    if outcome.lower is None or outcome.upper is None:
        return []
    open_end = not np.isfinite(outcome.upper)
    upper = edge if open_end else outcome.upper
    words = f"{outcome.lower:.4g} to " + ("beyond" if open_end else f"{outcome.upper:.4g}")
    return [{
        "x": numbers(np.array([outcome.lower, upper])), "y": [row + INTERVAL] * 2,
        "mode": "lines+markers", "opacity": 0.35, "cliponaxis": False,
        "line": {"width": 5, "color": colour},
        "marker": {"size": [1, 15 if open_end else 1], "symbol": "triangle-right",
                   "color": colour, "opacity": 1},
        "hovertemplate": f"{plain(outcome.arm)}<br>interval {words}<extra></extra>",
    }]  # fmt: skip


def _dots(outcome: Outcome, row: int, colour: str, censored_as: str) -> list[Trace]:
    censored = outcome.marks
    there = np.isfinite(outcome.values)
    words = [f"{censored_as} by " if mark else "" for mark in censored]
    dots: dict[str, Any] = {
        "x": numbers(outcome.values[there]), "mode": "markers",
        # Equal values of different seeds stay visible side by side.
        "y": (row + RUNS + np.linspace(0.15, -0.15, there.size + 2)[1:-1])[there].tolist(),
        "customdata": [
            [seed, word] for seed, word, drawn in zip(outcome.seeds, words, there) if drawn
        ],
        "marker": {"size": 10, "color": colour, "line": {"width": 1.5, "color": "#ffffff"},
                   "symbol": ["triangle-right-open" if m else "circle" for m in censored[there]]},
        "hovertemplate": f"{plain(outcome.arm)}, seed %{{customdata[0]}}"
                         "<br>%{customdata[1]}%{x}<extra></extra>",
    }  # fmt: skip
    if outcome.centre is None or not np.isfinite(outcome.centre):
        return [dots]
    estimate = {
        "x": [outcome.centre], "y": [row + INTERVAL], "mode": "markers",
        "marker": {"size": 12, "symbol": "diamond", "color": colour},
        "hovertemplate": f"{plain(outcome.arm)}<br><b>%{{x}}</b><extra></extra>",
    }  # fmt: skip
    return [estimate, dots]


def _row_label(outcome: Outcome, row: int, censored_as: str) -> dict[str, Any]:
    counts = ((outcome.marks, censored_as), (np.isnan(outcome.values), "without a value"))
    notes = [
        f"{int(np.sum(marks))} of {outcome.values.size} {plain(name)}"
        for marks, name in counts
        if np.any(marks)
    ]
    return {
        "text": f"<b>{plain(outcome.arm)}</b>  {', '.join(notes)}".rstrip(),
        "x": 0, "xref": "paper", "xanchor": "left", "y": row + LABEL, "showarrow": False,
        "font": {"size": 13}, "bgcolor": "rgba(255,255,255,0.8)",
    }  # fmt: skip
