"""Figures of one curve over training, a line for every arm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spectraledge.experiments.study_sections import row_curve
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Figure, Reference, curves

__all__ = ["Colours", "over_steps"]

Colours = Mapping[str, str]


def over_steps(
    rows: Mapping[str, Mapping[int, Row]],
    name: str,
    colours: Colours,
    *,
    title: str,
    caption: str,
    label: str,
    references: tuple[Reference, ...] = (),
    log: bool = True,
    shown: tuple[float, float] | None = None,
) -> list[Figure]:
    """One figure of a curve of every run; none if no row has it."""
    drawn = [row_curve(arm, own, name, log=log) for arm, own in rows.items()]
    series = [curve for curve in drawn if curve is not None]
    if not any(np.isfinite(curve.values).any() for curve in series):
        return []
    axes = Axes(y_label=label, log_y=log, y_range=shown)
    return [
        curves(
            series,
            title=title,
            caption=caption,
            colours=colours,
            axes=axes,
            references=references,
            half=True,
        )
    ]
