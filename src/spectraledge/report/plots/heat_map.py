"""Tables of numbers as coloured cells: panels side by side that share rows and a colour scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from spectraledge.report.axes import Axes
from spectraledge.report.page import Figure
from spectraledge.report.plots.layout import QUIET, Trace, base_layout, numbers, plain

__all__ = ["Grid", "heat_map"]

# Both run evenly from dark to light for every eye; the text on a cell takes the other end. The
# first is van der Walt and Smith's viridis (2015), the second two colours of `colours.PALETTE`.
SEQUENTIAL = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
DIVERGING = ("#0072b2", "#7fb4d4", "#f7f7f7", "#e8ab7b", "#d55e00")
ABSENT = "#eef0f2"
ROW_PIXELS, FRAME_PIXELS = 46, 130
# Between two panels, in columns.
GAP = 0.45


@dataclass(frozen=True)
class Grid:
    """One panel of a heat map.

    Args:
        title: Heading above the panel.
        columns: Labels of the columns, from left to right.
        values: ``(rows, columns)``, the first row on top; NaN where nothing was run.
        label: What the columns are.

    Raises:
        ValueError: If the values are no table with one column per label, or infinite.

    Example:
        >>> Grid("L2", ("0.1", "1"), np.array([[0.5, 0.9]])).values.shape
        (1, 2)
    """

    title: str
    columns: Sequence[str]
    values: Float[np.ndarray, "rows columns"]
    label: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.columns) or values.size == 0:
            raise ValueError(
                f"expected values of panel {self.title!r} with shape (rows, {len(self.columns)}), "
                f"got {values.shape}"
            )
        if np.isinf(values).any():
            raise ValueError(f"expected finite values or NaN in panel {self.title!r}, got infinity")
        object.__setattr__(self, "values", values)


def heat_map(
    grids: Sequence[Grid],
    *,
    rows: Sequence[str],
    title: str,
    caption: str,
    quantity: str,
    row_label: str,
    limits: tuple[float, float] = (0.0, 1.0),
    diverging: bool = False,
    digits: int = 3,
    absent: str = "not run",
    half: bool = False,
) -> Figure:
    """Panels of coloured cells with their numbers written in them.

    Args:
        grids: Panels, from left to right; each is as wide as it has columns.
        rows: Labels of the rows, shared by all panels, from top to bottom.
        title: Heading of the figure.
        caption: What is drawn and how to read it.
        quantity: What the numbers are; stands at the colour scale.
        row_label: What the rows are.
        limits: Numbers at the ends of the colour scale; those beyond take its last colour.
        diverging: Colour away from zero in both directions and write signs; for differences.
        digits: Decimals in a cell.
        absent: What stands in a cell that is NaN.
        half: Take half of the page on wide screens.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no panels, one has another number of rows, limits do not increase,
            or those of a diverging scale are not symmetric about zero.

    Example:
        >>> grid = Grid("L2", ("0.1", "1"), np.array([[0.5, np.nan]]))
        >>> words = {"title": "a", "caption": "b", "quantity": "accuracy", "row_label": "f"}
        >>> heat_map([grid], rows=["0.3"], **words).plot["data"][-1]["text"]
        ['0.500', 'not run']
    """
    _check(grids, rows, title, limits, diverging)
    form = f"{'+' if diverging else ''}z.{digits}f"
    colours = DIVERGING if diverging else SEQUENTIAL
    traces = [
        trace | _place(number)
        for number, grid in enumerate(grids)
        for trace in _cells(grid, rows, limits, colours, form, absent)
    ]
    layout = base_layout(Axes()) | _axes(grids, rows, row_label)
    layout["annotations"] = list(_titles(grids))
    layout["coloraxis"] = _colours(quantity, limits, colours)
    # Room for the titles below plotly's buttons.
    layout["margin"] |= {"t": 54, "b": 52}
    height = ROW_PIXELS * len(rows) + FRAME_PIXELS
    plot = {"data": traces, "layout": layout}
    return Figure(title, caption, plot, height=max(height, 240), half=half)


def _check(
    grids: Sequence[Grid],
    rows: Sequence[str],
    title: str,
    limits: tuple[float, float],
    diverging: bool,
) -> None:
    if not grids:
        raise ValueError(f"expected at least one panel in figure {title!r}, got none")
    for grid in grids:
        if len(grid.values) != len(rows):
            raise ValueError(
                f"expected {len(rows)} rows in panel {grid.title!r} of figure {title!r}, "
                f"got {len(grid.values)}"
            )
    if not limits[0] < limits[1]:
        raise ValueError(f"expected limits of figure {title!r} to increase, got {limits}")
    if diverging and limits[0] != -limits[1]:
        raise ValueError(
            f"expected limits of figure {title!r} symmetric about zero, where the diverging scale "
            f"is white, got {limits}"
        )


def _cells(
    grid: Grid,
    rows: Sequence[str],
    limits: tuple[float, float],
    colours: Sequence[str],
    form: str,
    absent: str,
) -> Iterator[dict[str, Any]]:
    there = np.isfinite(grid.values)
    shared: Trace = {
        "type": "heatmap", "meta": grid.title, "xgap": 2, "ygap": 2, "hoverongaps": False,
    }  # fmt: skip
    yield {
        **shared,
        "z": [numbers(row) for row in grid.values], "coloraxis": "coloraxis",
        "customdata": [[[row, column] for column in grid.columns] for row in rows],
        "hovertemplate": f"{plain(grid.title)}<br>%{{customdata[0]}}, %{{customdata[1]}}: "
                         "<b>%{z:.4g}</b><extra></extra>",
    }  # fmt: skip
    if not there.all():
        yield {
            **shared,
            "z": [[None if seen else 0 for seen in row] for row in there.tolist()],
            "colorscale": [[0, ABSENT], [1, ABSENT]],
            "showscale": False, "hoverinfo": "skip",
        }  # fmt: skip
    y, x = np.indices(grid.values.shape)
    yield {
        "type": "scatter", "mode": "text", "meta": grid.title, "showlegend": False,
        "x": x.ravel().tolist(), "y": y.ravel().tolist(), "hoverinfo": "skip", "cliponaxis": False,
        "text": [f"{v:{form}}" if np.isfinite(v) else absent for v in grid.values.ravel()],
        "textfont": {
            "size": [12 if seen else 10 for seen in there.ravel().tolist()],
            "color": [_ink(v, limits, colours) for v in grid.values.ravel().tolist()],
        },
    }  # fmt: skip


def _ink(value: float, limits: tuple[float, float], colours: Sequence[str]) -> str:
    """Black or white, whichever stands out more from the colour of a value."""
    if not np.isfinite(value):
        return QUIET
    place = np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1) * (len(colours) - 1)
    channels = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    mixed = np.array([np.interp(place, range(len(colours)), channel) for channel in channels.T])
    linear = np.where(mixed <= 0.04045, mixed / 12.92, ((mixed + 0.055) / 1.055) ** 2.4)
    # Relative luminance and contrast as the accessibility guidelines (WCAG 2) define them: black
    # and white are equally far where (L + 0.05)² = 1.05 · 0.05.
    luminance = float(linear @ np.array([0.2126, 0.7152, 0.0722]))
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def _place(number: int) -> dict[str, str]:
    # Axes are called x, x2, x3 ...
    return {"xaxis": "x" + _suffix(number), "yaxis": "y" + _suffix(number)}


def _suffix(number: int) -> str:
    return "" if number == 0 else str(number + 1)


def _domains(grids: Sequence[Grid]) -> list[tuple[float, float]]:
    """Ends of each panel as shares of the width."""
    widths = np.array([len(grid.columns) for grid in grids], dtype=np.float64)
    starts = np.concatenate([[0.0], np.cumsum(widths + GAP)[:-1]])
    whole = starts[-1] + widths[-1]
    return [
        (round(a / whole, 6), round(b / whole, 6))
        for a, b in zip(starts.tolist(), (starts + widths).tolist())
    ]


def _axes(grids: Sequence[Grid], rows: Sequence[str], row_label: str) -> dict[str, Any]:
    # Labels are written over numbers, so that equal ones stay apart and nothing is parsed.
    found = {}
    shared = {"showgrid": False, "ticks": "", "showline": False, "zeroline": False}
    for number, (grid, domain) in enumerate(zip(grids, _domains(grids))):
        both = base_layout(Axes(x_label=grid.label, y_label=row_label if number == 0 else ""))
        found["xaxis" + _suffix(number)] = both["xaxis"] | shared | {
            "domain": list(domain), "anchor": "y" + _suffix(number), "tickangle": 0,
            "range": [-0.5, len(grid.columns) - 0.5], "tickfont": {"size": 12},
            "tickvals": list(range(len(grid.columns))), "ticktext": [*map(plain, grid.columns)],
        }  # fmt: skip
        found["yaxis" + _suffix(number)] = both["yaxis"] | shared | {
            "anchor": "x" + _suffix(number), "range": [len(rows) - 0.5, -0.5],
            "tickvals": list(range(len(rows))), "ticktext": [*map(plain, rows)],
            "showticklabels": number == 0,
        }  # fmt: skip
    return found


def _titles(grids: Sequence[Grid]) -> Iterator[dict[str, Any]]:
    for grid, (start, stop) in zip(grids, _domains(grids)):
        yield {
            "text": f"<b>{plain(grid.title)}</b>", "showarrow": False, "font": {"size": 13},
            "x": (start + stop) / 2, "xref": "paper", "xanchor": "center",
            "y": 1, "yref": "paper", "yanchor": "bottom",
        }  # fmt: skip


def _colours(quantity: str, limits: tuple[float, float], colours: Sequence[str]) -> dict[str, Any]:
    places = np.linspace(0, 1, len(colours)).tolist()
    return {
        "cmin": limits[0], "cmax": limits[1],
        "colorscale": [[place, colour] for place, colour in zip(places, colours)],
        "colorbar": {"title": {"text": plain(quantity), "side": "right"}, "thickness": 14,
                     "outlinewidth": 0, "tickfont": {"size": 12}},
    }  # fmt: skip
