"""What all interactive figures share: numbers as JSON, axes, colours, reference lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import log10
from typing import Any

import numpy as np
from jaxtyping import Bool, Real

from spectraledge.report.axes import Axes, Reference

__all__ = [
    "Trace",
    "base_layout",
    "numbers",
    "of_arm",
    "plain",
    "reference_layout",
    "stretches",
    "translucent",
]

Trace = Mapping[str, Any]

INK = "#1d2730"
QUIET = "#5a6670"
GRID = "#e6e9ec"


def numbers(values: Real[np.ndarray, " N"], *, positive: bool = False) -> list[float | None]:
    """Numbers as JSON has them: six digits, whole numbers exact, None where there is no value.

    Args:
        values: Any numbers; NaN and infinities become None.
        positive: Also turn numbers at or below 0 into None, for a logarithmic axis.

    Returns:
        A list of the same length.

    Example:
        >>> numbers(np.array([200.0, 1 / 3, np.nan]))
        [200, 0.333333, None]
    """
    drawn = np.isfinite(values) & (~np.asarray(positive) | (values > 0))
    return [
        None if not there else int(value) if value == int(value) else float(f"{value:.6g}")
        for value, there in zip(np.asarray(values).tolist(), drawn.tolist())
    ]


def stretches(there: Bool[np.ndarray, " T"]) -> Iterator[slice]:
    """Slices of the unbroken stretches of True.

    Args:
        there: Which entries have a value.

    Yields:
        One slice per stretch, in order.

    Example:
        >>> list(stretches(np.array([True, True, False, True])))
        [slice(0, 2, None), slice(3, 4, None)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]])))
    for start, stop in edges.reshape(-1, 2).tolist():
        yield slice(start, stop)


def translucent(colour: str, opacity: float) -> str:
    """``#rrggbb`` as an ``rgba(...)`` string.

    Args:
        colour: Colour as ``#rrggbb``.
        opacity: Between 0 (invisible) and 1.

    Returns:
        The colour as CSS writes it.

    Example:
        >>> translucent("#0072b2", 0.5)
        'rgba(0,114,178,0.5)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def plain(text: str) -> str:
    """Text that plotly, which reads a subset of HTML, shows as it is.

    Args:
        text: Any text.

    Returns:
        The text with ``&``, ``<`` and ``>`` replaced; plotly knows no other entities.
    """
    return escape(text, quote=False)


def of_arm(arm: str, trace: Trace) -> dict[str, Any]:
    """A trace marked as belonging to an arm, so that the legend toggles the arm as a whole.

    Args:
        arm: Arm name.
        trace: A plotly scatter trace without its type and group.

    Returns:
        The complete trace.
    """
    return {"type": "scatter", "legendgroup": arm, "meta": arm} | dict(trace)


def base_layout(axes: Axes) -> dict[str, Any]:
    """Layout of a figure: white, thin grid, legend above the plot, room for the axis titles.

    Args:
        axes: Labels, scales and ranges.

    Returns:
        A plotly layout.
    """
    return {
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', "
                           "'Liberation Sans', Arial, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff",
        "margin": {"l": 62, "r": 20, "t": 12, "b": 48},
        "hovermode": "closest", "hoverlabel": {"font": {"size": 13}},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom",
                   "groupclick": "togglegroup", "traceorder": "normal", "font": {"size": 13}},
        "xaxis": _axis(axes.x_label, axes.log_x, axes.x_range),
        "yaxis": _axis(axes.y_label, axes.log_y, axes.y_range),
    }  # fmt: skip


def _axis(label: str, log: bool, limits: tuple[float, float] | None) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "title": {"text": plain(label), "standoff": 8}, "type": "log" if log else "linear",
        "gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": "#aab4bc",
        "ticks": "outside", "ticklen": 4, "tickcolor": "#aab4bc", "automargin": True,
    }  # fmt: skip
    if log:
        axis |= {"exponentformat": "power", "tickfont": {"size": 12}}
    if log and limits is not None and limits[1] < 1000 * limits[0]:
        # Written out, "2k" between the powers of ten; plotly would write a small "2".
        axis |= {"dtick": "D2", "tickformat": "~s" if limits[0] >= 1 else "~g"}
    if limits is not None:
        axis["range"] = [log10(end) for end in limits] if log else list(limits)
    return axis


def reference_layout(references: Sequence[Reference], axes: Axes) -> dict[str, Any]:
    """Dashed lines with their labels, as plotly shapes and annotations.

    Args:
        references: Labelled straight lines.
        axes: Needed because annotations on logarithmic axes are placed by the logarithm.

    Returns:
        A part of a plotly layout.
    """
    line = {"width": 1.2, "color": QUIET, "dash": "dash"}
    placed = {
        "x": {"textangle": -90, "xanchor": "right", "yanchor": "top"},
        "y": {"textangle": 0, "xanchor": "right", "yanchor": "bottom"},
    }
    shapes, annotations = [], []
    for reference in references:
        value = reference.value
        along, across = ("x", "y") if reference.axis == "x" else ("y", "x")
        log = axes.log_x if reference.axis == "x" else axes.log_y
        shapes.append({
            "type": "line", "line": line, f"{along}0": value, f"{along}1": value,
            f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1,
        })  # fmt: skip
        annotations.append({
            "text": plain(reference.label), "showarrow": False, f"{across}ref": "paper",
            along: log10(value) if log else value, across: 1,
            "font": {"size": 12, "color": QUIET},
        } | placed[along])  # fmt: skip
    return {"shapes": shapes, "annotations": annotations}
