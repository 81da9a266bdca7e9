"""Singular-value spectra with a slider over training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectraledge.report.arms import Spectra
from spectraledge.report.axes import Axes
from spectraledge.report.colours import colour_of
from spectraledge.report.page import Figure
from spectraledge.report.plots.layout import Trace, base_layout, numbers, of_arm, plain

__all__ = ["spectra_slider"]

FRAME_MILLISECONDS = 200


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
    at a step, or with the zero matrix there, is not drawn. Opens at the last step.

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

    Example:
        >>> spectrum = Spectra("LRD", np.array([0, 200]), np.array([[2.0, 1.0], [2.0, 0.0]]))
        >>> colours = {"LRD": "#0072b2"}
        >>> plot = spectra_slider([spectrum], title="a", caption="b", colours=colours).plot
        >>> [frame["data"][0]["y"] for frame in plot["frames"]]
        [[1, 0.5], [1, 1e-06]]
    """
    arms = [spectrum.arm for spectrum in spectra]
    if not arms or len(set(arms)) != len(arms):
        raise ValueError(f"expected one spectrum per arm in figure {title!r}, got arms {arms}")
    if not 0 < floor < 1:
        raise ValueError(f"expected floor in (0, 1), got {floor}")
    steps = np.unique(np.concatenate([spectrum.steps for spectrum in spectra]))
    names = [f"{step:.12g}" for step in steps]
    heights = [[_heights(spectrum, step, floor) for spectrum in spectra] for step in steps]
    traces = [
        of_arm(spectrum.arm, _line(spectrum, colour_of(spectrum.arm, colours), last))
        for spectrum, last in zip(spectra, heights[-1])
    ]
    frames = [
        {"name": name, "data": [{"y": line} for line in lines]}
        for name, lines in zip(names, heights)
    ]
    layout = base_layout(_axes(spectra, floor)) | _player(names)
    layout["yaxis"]["dtick"] = 1
    plot = {"data": traces, "layout": layout, "frames": frames}
    return Figure(title, caption, plot, height=560, half=half)


def _axes(spectra: Sequence[Spectra], floor: float) -> Axes:
    largest = max(spectrum.values.shape[1] for spectrum in spectra)
    # Room at both ends, so that the first singular value does not sit on the axis.
    room = max(0.5, 0.015 * largest)
    return Axes(
        x_label="index i of the singular value",
        y_label="σᵢ / σ₁",
        log_y=True,
        x_range=(1 - room, largest + room),
        y_range=(floor / 1.6, 1.6),
    )


def _heights(spectrum: Spectra, step: float, floor: float) -> list[float | None]:
    found = np.flatnonzero(spectrum.steps == step)
    if not found.size:
        return [None] * spectrum.values.shape[1]
    return numbers(np.maximum(spectrum.relative[found[0]], floor))


def _line(spectrum: Spectra, colour: str, heights: list[float | None]) -> Trace:
    return {
        "x": list(range(1, len(heights) + 1)), "y": heights, "name": plain(spectrum.arm),
        "mode": "lines+markers", "line": {"width": 2, "color": colour},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{plain(spectrum.arm)}<br>i = %{{x}}: %{{y:.3g}}<extra></extra>",
    }  # fmt: skip


def _player(names: Sequence[str]) -> dict[str, Any]:
    def button(label: str, frames: Sequence[str | None], milliseconds: int) -> dict[str, Any]:
        # Redrawing nothing but the lines keeps a move of the slider within a video frame.
        frame = {"duration": milliseconds, "redraw": False}
        options = {"mode": "immediate", "frame": frame, "transition": {"duration": 0}}
        return {"label": label, "method": "animate", "args": [list(frames), options]}

    slider = {
        "active": len(names) - 1, "x": 0.0, "len": 1.0, "pad": {"t": 100, "b": 6},
        "currentvalue": {"prefix": "step ", "xanchor": "right", "font": {"size": 15}},
        "steps": [button(name, [name], 0) for name in names],
        "bgcolor": "#0072b2", "bordercolor": "#0072b2", "tickcolor": "#aab4bc",
    }  # fmt: skip
    play = {
        "type": "buttons", "direction": "right", "showactive": False,
        "x": 0.0, "xanchor": "left", "y": 0.0, "yanchor": "top", "pad": {"t": 62},
        "bgcolor": "#ffffff", "bordercolor": "#c4ccd3",
        "buttons": [button("▶ play", names, FRAME_MILLISECONDS), button("❚❚ pause", [None], 0)],
    }  # fmt: skip
    return {"sliders": [slider], "updatemenus": [play]}
