"""Curves over training steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spectraledge.report.arms import Curve
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
    stretches,
    translucent,
)

__all__ = ["band_outline", "curves", "lowest_positive"]


def curves(
    series: Sequence[Curve],
    *,
    title: str,
    caption: str,
    colours: Mapping[str, str],
    axes: Axes,
    references: Sequence[Reference] = (),
    half: bool = False,
) -> Figure:
    """Curves over steps: seeds as thin lines, the centre as a thick line, the interval as a band.

    A seed that ends before the others of its arm is marked with a cross at its last value.

    Args:
        series: Curves; several of one arm share its colour and its legend entry.
        title: Heading of the figure.
        caption: What is drawn and how to read it; say what the band is.
        colours: From `arm_colours`, the same for all figures of a page.
        axes: Labels, scales and ranges.
        references: Labelled straight lines.
        half: Take half of the page on wide screens.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no curves.

    Example:
        >>> curve = Curve("LRD", np.array([0, 200]), np.array([[0.1, 0.9]]))
        >>> axes, colours = Axes(y_label="accuracy"), {"LRD": "#0072b2"}
        >>> len(curves([curve], title="a", caption="b", colours=colours, axes=axes).plot["data"])
        2
    """
    if not series:
        raise ValueError(f"expected at least one curve in figure {title!r}, got none")
    traces: list[Trace] = []
    floor = lowest_positive(series)
    # The legend shows the first solid line of each arm, or its first line.
    named = {c.arm: c for c in sorted(reversed(series), key=lambda c: c.dash == "solid")}
    for curve in series:
        colour = colour_of(curve.arm, colours)
        centre = _centre(curve, colour, axes) | {"showlegend": curve is named[curve.arm]}
        hidden = [
            *_band(curve, colour, axes, floor),
            _seeds(curve, colour, axes),
            *_ends(curve, colour, axes),
        ]
        traces += [of_arm(curve.arm, {"showlegend": False, **trace}) for trace in hidden]
        traces.append(of_arm(curve.arm, centre))
    layout = base_layout(_with_room(axes, series)) | reference_layout(references, axes)
    if axes.log_y and _decades(series) < 3:
        # Written out, "20" between the powers of ten; plotly would write a small "2".
        layout["yaxis"]["tickformat"] = "~g"
    return Figure(title, caption, {"data": traces, "layout": layout}, half=half)


def _with_room(axes: Axes, series: Sequence[Curve]) -> Axes:
    # Left alone, plotly ends a linear axis on the last step and drops the label there.
    steps = np.concatenate([curve.steps for curve in series])
    if axes.log_x:
        steps = steps[steps > 0]
    if axes.x_range is not None or not steps.size:
        return axes
    first, last = float(steps.min()), float(steps.max())
    if axes.log_x:
        room = max((last / first) ** 0.015, 1.01)
        return replace(axes, x_range=(first / room, last * room))
    room = 0.015 * (last - first) or 0.5
    return replace(axes, x_range=(first - room, last + room))


def _decades(series: Sequence[Curve]) -> float:
    positive = np.concatenate([curve.values[curve.values > 0] for curve in series])
    return float(np.log10(positive.max() / positive.min())) if positive.size else 0.0


def lowest_positive(series: Sequence[Curve]) -> float:
    """Smallest positive number among all lines of a figure.

    Args:
        series: Curves.

    Returns:
        The number, or 1 if there is none.
    """
    lines = [
        line
        for curve in series
        for line in (curve.values.ravel(), curve.middle, curve.lower, curve.upper)
        if line is not None
    ]
    seen = np.concatenate(lines)
    positive = seen[np.isfinite(seen) & (seen > 0)]
    return float(positive.min()) if positive.size else 1.0


def band_outline(curve: Curve, axes: Axes, floor: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Closed outlines of the interval band, one for every stretch of steps that has one.

    Args:
        curve: A curve, with or without a band.
        axes: Axes of the figure.
        floor: Where a lower end at or below 0 goes on a logarithmic vertical axis, which has no
            place for it: `lowest_positive` of the figure, so that the band leaves at the bottom.

    Yields:
        Horizontal and vertical coordinates of an outline: along the lower end and back.
    """
    if curve.lower is None or curve.upper is None:
        return
    lower, upper = curve.lower, curve.upper
    there = np.isfinite(lower) & np.isfinite(upper)
    if axes.log_x:
        there &= curve.steps > 0
    if axes.log_y:
        there &= upper > 0
        lower = np.where(lower > 0, lower, np.minimum(floor, upper))
    for part in stretches(there):
        steps = curve.steps[part]
        yield (
            np.concatenate([steps, steps[::-1]]),
            np.concatenate([lower[part], upper[part][::-1]]),
        )


def _band(curve: Curve, colour: str, axes: Axes, floor: float) -> Iterator[Trace]:
    outlines = list(band_outline(curve, axes, floor))
    if outlines:
        yield {
            "x": [number for x, _ in outlines for number in [*numbers(x), None]],
            "y": [number for _, y in outlines for number in [*numbers(y), None]],
            "mode": "lines", "fill": "toself", "hoverinfo": "skip",
            "line": {"width": 0}, "fillcolor": translucent(colour, 0.16),
        }  # fmt: skip


def _seeds(curve: Curve, colour: str, axes: Axes) -> Trace:
    # One trace for all seeds, with gaps between them: far fewer traces, so faster pages.
    runs, steps = curve.values.shape
    gap = np.full((runs, 1), np.nan)
    x = np.hstack([np.tile(curve.steps, (runs, 1)), gap]).ravel()
    y = np.hstack([curve.values, gap]).ravel()
    return {
        "x": numbers(x, positive=axes.log_x), "y": numbers(y, positive=axes.log_y),
        "customdata": np.repeat(curve.seeds, steps + 1).tolist(),
        "mode": "lines" if steps > 1 else "markers", "opacity": 0.5,
        "line": {"width": 1, "color": colour, "dash": curve.dash},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{plain(curve.label)}, seed %{{customdata}}"
                         "<br>%{x}: %{y:.4g}<extra></extra>",
    }  # fmt: skip


def _ends(curve: Curve, colour: str, axes: Axes) -> Iterator[Trace]:
    if not curve.early_ends:
        return
    rows, ends = (list(column) for column in zip(*curve.early_ends))
    yield {
        "x": numbers(curve.steps[ends], positive=axes.log_x),
        "y": numbers(curve.values[rows, ends], positive=axes.log_y),
        "customdata": [curve.seeds[row] for row in rows], "mode": "markers",
        "marker": {"symbol": "x", "size": 9, "color": colour},
        "hovertemplate": f"{plain(curve.label)}, seed %{{customdata}} ends"
                         "<br>%{x}: %{y:.4g}<extra></extra>",
    }  # fmt: skip


def _centre(curve: Curve, colour: str, axes: Axes) -> dict[str, Any]:
    interval = ""
    trace: dict[str, Any] = {}
    if curve.lower is not None and curve.upper is not None:
        interval = " (%{customdata})"
        trace["customdata"] = [
            f"{low:.4g} to {high:.4g}" if np.isfinite([low, high]).all() else "no interval"
            for low, high in zip(curve.lower, curve.upper)
        ]
    return trace | {
        "x": numbers(curve.steps, positive=axes.log_x),
        "y": numbers(curve.middle, positive=axes.log_y),
        "name": plain(curve.arm), "mode": "lines" if curve.steps.size > 1 else "markers",
        "line": {"width": 2.8, "color": colour, "dash": curve.dash},
        "marker": {"size": 8, "color": colour},
        "hovertemplate": f"{plain(curve.label)}<br>%{{x}}: <b>%{{y:.4g}}</b>{interval}"
                         "<extra></extra>",
    }  # fmt: skip
