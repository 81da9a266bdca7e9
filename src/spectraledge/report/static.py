"""Curves as an SVG picture, for a README: no browser, no image library, the same arms as `plots`.

Panels stand in a row, each with its own axes; one legend below serves all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from spectraledge.report.arms import Curve
from spectraledge.report.atomic import replace_text
from spectraledge.report.axes import Axes, Reference
from spectraledge.report.colours import colour_of
from spectraledge.report.plots.layout import GRID, INK, QUIET, stretches
from spectraledge.report.plots.over_steps import band_outline, lowest_positive
from spectraledge.report.scale import Scale

__all__ = ["Panel", "write_svg"]

WIDTH, HEIGHT = 400, 280  # of the plotting area of one panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 66, 18, 40, 52  # around each panel
TITLE, LEGEND = 34, 40  # above and below the row of panels
DASHES = {"solid": "", "dash": ' stroke-dasharray="7 4"', "dot": ' stroke-dasharray="2 3"'}
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',Arial,sans-serif"


@dataclass(frozen=True)
class Panel:
    """One chart of a picture.

    Args:
        title: Short heading.
        series: Curves; at least one.
        axes: Labels, scales and ranges.
        references: Labelled straight lines.

    Raises:
        ValueError: If there are no curves.
    """

    title: str
    series: Sequence[Curve]
    axes: Axes
    references: Sequence[Reference] = ()

    def __post_init__(self) -> None:
        if not self.series:
            raise ValueError(f"expected at least one curve in panel {self.title!r}, got none")


def write_svg(
    panels: Sequence[Panel], path: Path | str, *, colours: Mapping[str, str], title: str = ""
) -> Path:
    """Write small multiples of curves as one SVG file.

    Args:
        panels: Charts, from left to right.
        path: The file to write or to replace.
        colours: From `arm_colours`; only arms that are drawn appear in the legend.
        title: Heading of the whole picture.

    Returns:
        The path.

    Raises:
        ValueError: If there are no panels.
    """
    if not panels:
        raise ValueError(f"expected at least one panel for {path}, got none")
    head = TITLE if title else 0
    width = len(panels) * (LEFT + WIDTH + RIGHT)
    arms = list(dict.fromkeys(curve.arm for panel in panels for curve in panel.series))
    legend, rows = _legend(arms, colours, width, head + TOP + HEIGHT + BOTTOM + 22)
    height = head + TOP + HEIGHT + BOTTOM + LEGEND + 24 * (rows - 1)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="{FONT}" font-size="13" fill="{INK}">',
        # GitHub shows pictures on black in dark mode.
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    if title:
        body.append(_text(width / 2, 26, title, 'font-size="17" font-weight="600"', "middle"))
    for number, panel in enumerate(panels):
        left = number * (LEFT + WIDTH + RIGHT) + LEFT
        body += _panel(panel, number, left, head + TOP, colours)
    return replace_text(path, "\n".join([*body, *legend, "</svg>", ""]))


def _panel(panel: Panel, number: int, left: int, top: int, colours: Mapping[str, str]) -> list[str]:
    axes, series = panel.axes, panel.series
    seen = [np.concatenate([c.values.ravel(), *_lines(c)]) for c in series]
    steps = np.concatenate([c.steps for c in series])
    x = Scale.fit(steps, axes.x_range, axes.log_x, left, WIDTH, 0.01)
    y = Scale.fit(np.concatenate(seen), axes.y_range, axes.log_y, top + HEIGHT, -HEIGHT, 0.04)
    area = f'x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}"'
    middle = top + HEIGHT / 2
    low = lowest_positive(series)
    return [
        _text(left, top - 14, panel.title, 'font-size="14" font-weight="600"'),
        *_grid(x, y, left, top),
        _text(left + WIDTH / 2, top + HEIGHT + 40, axes.x_label, f'fill="{QUIET}"', "middle"),
        _text(left - 48, middle, axes.y_label, f'fill="{QUIET}" transform="rotate(-90 '
              f'{left - 48} {middle})"', "middle"),
        f'<clipPath id="area{number}"><rect {area}/></clipPath><g clip-path="url(#area{number})">',
        *(_reference(r, x, y, left, top) for r in panel.references),
        *(part for c in series for part in _curve(c, colour_of(c.arm, colours), axes, low, x, y)),
        f'</g><rect {area} fill="none" stroke="#aab4bc"/>',
    ]  # fmt: skip


def _lines(curve: Curve) -> list[np.ndarray]:
    return [line for line in (curve.middle, curve.lower, curve.upper) if line is not None]


def _grid(x: Scale, y: Scale, left: int, top: int) -> list[str]:
    parts = []
    for value, label in x.ticks():
        at = float(x(np.array(value)))
        parts.append(f'<path d="M{at:.1f} {top}v{HEIGHT}" stroke="{GRID}"/>')
        parts.append(_text(at, top + HEIGHT + 19, label, 'font-size="12"', "middle"))
    for value, label in y.ticks():
        at = float(y(np.array(value)))
        parts.append(f'<path d="M{left} {at:.1f}h{WIDTH}" stroke="{GRID}"/>')
        parts.append(_text(left - 7, at + 4, label, 'font-size="12"', "end"))
    return parts


def _curve(curve: Curve, colour: str, axes: Axes, low: float, x: Scale, y: Scale) -> list[str]:
    line = f'fill="none" stroke="{colour}" stroke-linejoin="round"{DASHES[curve.dash]}'
    bands = [_path(x(steps), y(ends)) for steps, ends in band_outline(curve, axes, low)]
    seeds = [_path(x(curve.steps), y(values)) for values in curve.values]
    crosses = [_cross(x(curve.steps)[end], y(curve.values)[row, end])
               for row, end in curve.early_ends]  # fmt: skip
    return [
        f'<path d="{"".join(bands)}" fill="{colour}" fill-opacity="0.16"/>' if bands else "",
        f'<path d="{"".join(seeds)}" {line} stroke-opacity="0.45"/>',
        f'<path d="{_path(x(curve.steps), y(curve.middle))}" {line} stroke-width="2.6"/>',
        f'<path d="{"".join(crosses)}" stroke="{colour}" stroke-width="3"/>' if crosses else "",
    ]


def _path(x: np.ndarray, y: np.ndarray) -> str:
    parts = []
    for part in stretches(np.isfinite(x) & np.isfinite(y)):
        parts.append("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x[part], y[part])))
    return "".join(parts)


def _cross(x: float, y: float) -> str:
    if not np.isfinite([x, y]).all():
        return ""
    return f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"


def _reference(reference: Reference, x: Scale, y: Scale, left: int, top: int) -> str:
    dashed = f'stroke="{QUIET}" stroke-dasharray="5 4"'
    style = f'fill="{QUIET}" font-size="12"'
    if reference.axis == "x":
        at = float(x(np.array(reference.value)))
        turned = f'{style} transform="rotate(-90 {at - 5:.1f} {top + 6})"'
        label = _text(at - 5, top + 6, reference.label, turned, "end")
        return f'<path d="M{at:.1f} {top}v{HEIGHT}" {dashed}/>{label}'
    at = float(y(np.array(reference.value)))
    label = _text(left + WIDTH - 5, at - 5, reference.label, style, "end")
    return f'<path d="M{left} {at:.1f}h{WIDTH}" {dashed}/>{label}'


def _legend(
    arms: Sequence[str], colours: Mapping[str, str], width: int, top: int
) -> tuple[list[str], int]:
    # Widths of text are estimated: there is no font to ask. 7.2 pixels a letter errs wide.
    rows: list[list[tuple[str, float]]] = [[]]
    for arm in arms:
        size = 54 + 7.2 * len(arm)
        if rows[-1] and sum(s for _, s in rows[-1]) + size > width - 20:
            rows.append([])
        rows[-1].append((arm, size))
    parts = []
    for number, row in enumerate(rows):
        at = (width - sum(size for _, size in row)) / 2
        y = top + 24 * number
        for arm, size in row:
            colour = colour_of(arm, colours)
            parts.append(f'<path d="M{at:.1f} {y - 4}h26" stroke="{colour}" stroke-width="3"/>')
            parts.append(_text(at + 33, y, arm, ""))
            at += size
    return parts, len(rows)


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(text)}</text>'
