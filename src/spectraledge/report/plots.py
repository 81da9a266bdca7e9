"""Interactive figures as plain plotly dictionaries, built from the arms of an experiment.

Nothing here imports plotly: the dictionaries are drawn by the plotly.js that `html` embeds. Every
trace of an arm carries its name as ``legendgroup``, so one click on the legend toggles the arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spectraledge.report.arms import Axes, Curve, Reference, Spectra, colour_of
from spectraledge.report.page import Figure

__all__ = ["base_layout", "curves", "numbers", "reference_layout", "spectra_slider", "translucent"]

Trace = dict[str, Any]

INK = "#1d2730"
GRID = "#e6e9ec"
FRAME_MILLISECONDS = 350


def curves(
    series: Sequence[Curve],
    *,
    title: str,
    caption: str,
    colours: Mapping[str, str],
    axes: Axes = Axes(),
    references: Sequence[Reference] = (),
    half: bool = False,
) -> Figure:
    """Curves over steps: seeds as thin lines, the centre as a thick line, the interval as a band.

    A seed that ends before the others is marked with a cross at its last value.

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
        KeyError: If an arm has no colour.

    Example:
        >>> curve = Curve("LRD", np.array([0, 200]), np.array([[0.1, 0.9]]))
        >>> figure = curves([curve], title="a", caption="b", colours=arm_colours(["LRD"]))
        >>> len(figure.plot["data"])
        2
    """
    if not series:
        raise ValueError(f"expected at least one curve in figure {title!r}, got none")
    traces: list[Trace] = []
    named: set[str] = set()
    for curve in series:
        colour = colour_of(curve.arm, colours)
        arm_traces = [
            *_band(curve, colour, axes),
            _seed_lines(curve, colour, axes),
            *_early_ends(curve, colour, axes),
            _centre(curve, colour, axes) | {"showlegend": curve.arm not in named},
        ]
        named.add(curve.arm)
        traces.extend(_of_arm(curve.arm, trace) for trace in arm_traces)
    layout = base_layout(axes) | reference_layout(references, axes)
    return Figure(title, caption, {"data": traces, "layout": layout}, half=half)


def _band(curve: Curve, colour: str, axes: Axes) -> Iterable[Trace]:
    if curve.lower is None or curve.upper is None:
        return
    lower, upper = curve.lower, curve.upper
    if axes.log_y and (upper > 0).any():
        # A lower end at or below 0 has no place on a logarithmic axis: draw it at the smallest
        # positive number in sight, so that the band reaches down instead of disappearing.
        seen = np.concatenate([curve.values.ravel(), lower, upper])
        lower = np.where(lower > 0, lower, np.min(seen[seen > 0]))
    there = _drawable(curve.steps, axes.log_x) & _drawable(lower) & _drawable(upper, axes.log_y)
    x: list[float | None] = []
    y: list[float | None] = []
    for start, stop in stretches(there):
        part = slice(start, stop)
        there_and_back = [curve.steps[part], curve.steps[part][::-1], [np.nan]]
        x += numbers(np.concatenate(there_and_back))
        y += numbers(np.concatenate([lower[part], upper[part][::-1], [np.nan]]))
    if x:
        yield {
            "x": x, "y": y, "mode": "lines", "fill": "toself", "hoverinfo": "skip",
            "line": {"width": 0}, "fillcolor": translucent(colour, 0.16), "showlegend": False,
        }  # fmt: skip


def _seed_lines(curve: Curve, colour: str, axes: Axes) -> Trace:
    runs, steps = curve.values.shape
    gap = np.full((runs, 1), np.nan)
    x = np.hstack([np.tile(curve.steps, (runs, 1)), gap]).ravel()
    y = np.hstack([curve.values, gap]).ravel()
    return {
        "x": numbers(x, positive=axes.log_x), "y": numbers(y, positive=axes.log_y),
        "customdata": np.repeat(curve.seeds, steps + 1).tolist(),
        "mode": "lines" if steps > 1 else "markers",
        "line": {"width": 1, "color": colour, "dash": curve.dash}, "opacity": 0.5,
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{escape(curve.label)}, seed %{{customdata}}"
        "<br>%{x}: %{y:.4g}<extra></extra>", "showlegend": False,
    }  # fmt: skip


def _early_ends(curve: Curve, colour: str, axes: Axes) -> Iterable[Trace]:
    finite = np.isfinite(curve.values)
    last = [np.flatnonzero(row)[-1] for row in finite if row.any()]
    ends = [
        (seed, curve.steps[end], row[end])
        for seed, row, end in zip(np.array(curve.seeds)[finite.any(axis=1)],
                                  curve.values[finite.any(axis=1)], last)
        if end < max(last)
    ]  # fmt: skip
    if ends:
        seeds, x, y = zip(*ends)
        yield {
            "x": numbers(np.array(x), positive=axes.log_x),
            "y": numbers(np.array(y), positive=axes.log_y),
            "customdata": [int(seed) for seed in seeds], "mode": "markers",
            "marker": {"symbol": "x", "size": 9, "color": colour},
            "hovertemplate": f"{escape(curve.label)}, seed %{{customdata}} ends"
            "<br>%{x}: %{y:.4g}<extra></extra>", "showlegend": False,
        }  # fmt: skip


def _centre(curve: Curve, colour: str, axes: Axes) -> Trace:
    assert curve.centre is not None  # set at construction
    trace = {
        "x": numbers(curve.steps, positive=axes.log_x),
        "y": numbers(curve.centre, positive=axes.log_y),
        "name": escape(curve.arm), "mode": "lines" if curve.steps.size > 1 else "markers",
        "line": {"width": 2.8, "color": colour, "dash": curve.dash},
        "marker": {"size": 8, "color": colour},
        "hovertemplate": f"{escape(curve.label)}<br>%{{x}}: <b>%{{y:.4g}}</b><extra></extra>",
    }  # fmt: skip
    if curve.lower is not None and curve.upper is not None:
        trace["customdata"] = [
            f"{low:.4g} to {high:.4g}" if np.isfinite([low, high]).all() else "no interval"
            for low, high in zip(curve.lower, curve.upper)
        ]
        trace["hovertemplate"] = trace["hovertemplate"].replace(
            "<extra>", " (%{customdata})<extra>"
        )
    return trace


def spectra_slider(
    spectra: Sequence[Spectra],
    *,
    title: str,
    caption: str,
    colours: Mapping[str, str],
    floor: float = 1e-6,
    half: bool = False,
) -> Figure:
    """Singular values over the largest, per arm, with a slider and a play button over steps.

    Values below `floor`, exact zeros among them, are drawn at `floor`; an arm without a spectrum
    at a step, or with the zero matrix, is not drawn there. Opens at the last step.

    Args:
        spectra: At most one per arm; their steps may differ.
        title: Heading of the figure.
        caption: What is drawn and how to read it.
        colours: From `arm_colours`, the same for all figures of a page.
        floor: Lowest relative singular value shown, in (0, 1).
        half: Take half of the page on wide screens.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no spectra, an arm repeats, or the floor is outside (0, 1).
        KeyError: If an arm has no colour.
    """
    arms = [spectrum.arm for spectrum in spectra]
    if not arms or len(set(arms)) != len(arms):
        raise ValueError(f"expected one spectrum per arm in figure {title!r}, got arms {arms}")
    if not 0 < floor < 1:
        raise ValueError(f"expected floor in (0, 1), got {floor}")
    steps = [_plain(step) for step in np.unique(np.concatenate([s.steps for s in spectra]))]
    frames = [
        {"name": str(step), "data": [{"y": _heights(s, step, floor)} for s in spectra]}
        for step in steps
    ]
    traces = [
        _of_arm(
            spectrum.arm,
            _spectrum_line(spectrum, colour_of(spectrum.arm, colours)) | drawn,
        )
        for spectrum, drawn in zip(spectra, frames[-1]["data"])
    ]
    largest = max(s.values.shape[1] for s in spectra)
    # Room to the left of index 1, where the first singular values would sit on the axis.
    room = 0.02 * largest
    layout = base_layout(
        Axes("index i", "σᵢ / σ₁", log_y=True, x_range=(1 - room, largest + room),
             y_range=(floor / 1.6, 1.6))
    ) | _player([str(step) for step in steps])  # fmt: skip
    plot = {"data": traces, "layout": layout, "frames": frames}
    return Figure(title, caption, plot, height=560, half=half)


def _heights(spectrum: Spectra, step: float, floor: float) -> list[float | None]:
    found = np.flatnonzero(spectrum.steps == step)
    if not found.size:
        return [None] * spectrum.values.shape[1]
    return numbers(np.maximum(spectrum.relative[found[0]], floor))


def _spectrum_line(spectrum: Spectra, colour: str) -> Trace:
    return {
        "x": list(range(1, spectrum.values.shape[1] + 1)), "name": escape(spectrum.arm),
        "mode": "lines+markers", "line": {"width": 2, "color": colour},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{escape(spectrum.arm)}<br>i = %{{x}}: %{{y:.3g}}<extra></extra>",
    }  # fmt: skip


def _player(names: Sequence[str]) -> dict[str, Any]:
    def options(milliseconds: int, **extra: Any) -> dict[str, Any]:
        # Redrawing nothing but the lines keeps a move of the slider within a video frame.
        frame = {"duration": milliseconds, "redraw": False}
        return {"mode": "immediate", "frame": frame, "transition": {"duration": 0}} | extra

    def button(label: str, *args: Any) -> dict[str, Any]:
        return {"label": label, "method": "animate", "args": list(args)}

    slider = {
        "active": len(names) - 1, "pad": {"t": 58, "b": 6}, "x": 0.0, "len": 1.0,
        "currentvalue": {"prefix": "step ", "xanchor": "right", "font": {"size": 15}},
        "steps": [button(name, [name], options(0)) | {"value": name} for name in names],
        "bgcolor": "#d5dbe0", "bordercolor": "#d5dbe0", "activebgcolor": "#0072b2",
    }  # fmt: skip
    menu = {
        "type": "buttons", "direction": "left", "showactive": False, "x": 0.0, "y": 0.0,
        "xanchor": "left", "yanchor": "top", "pad": {"t": 50, "r": 10},
        "bgcolor": "#ffffff", "bordercolor": "#c4ccd3",
        "buttons": [
            button("▶ play", list(names), options(FRAME_MILLISECONDS)),
            button("⏸ pause", [None], options(0)),
        ],
    }  # fmt: skip
    return {"sliders": [slider], "updatemenus": [menu]}
