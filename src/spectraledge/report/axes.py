"""Axes and reference lines of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Axes", "Reference"]


@dataclass(frozen=True)
class Axes:
    """Labels, scales and ranges of a pair of axes.

    Args:
        x_label: Label of the horizontal axis, with its unit.
        y_label: Label of the vertical axis, with its unit.
        log_x: Logarithmic horizontal axis; points at or below 0, such as step 0, are left out.
        log_y: Logarithmic vertical axis; points at or below 0 are left out.
        x_range: Lowest and highest value shown, or None to fit the data.
        y_range: The same for the vertical axis.

    Raises:
        ValueError: If a range is not increasing, or a logarithmic one not positive.

    Example:
        >>> Axes(y_label="accuracy", y_range=(0.0, 1.0)).x_label
        'step'
    """

    x_label: str = "step"
    y_label: str = ""
    log_x: bool = False
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, limits, log in (
            ("x_range", self.x_range, self.log_x),
            ("y_range", self.y_range, self.log_y),
        ):
            if limits is None:
                continue
            if not limits[0] < limits[1]:
                raise ValueError(f"expected {name} to increase, got {limits}")
            if log and limits[0] <= 0:
                raise ValueError(
                    f"expected a positive {name} on a logarithmic axis, got {limits}; "
                    "raise the lower end or use a linear axis"
                )


@dataclass(frozen=True)
class Reference:
    """A labelled straight line: a published value, chance level, the end of warm-up.

    Args:
        value: Where the line crosses the axis, in the axis' own unit.
        label: Short text beside the line.
        axis: ``"x"`` for a vertical line at a step, ``"y"`` for a horizontal one.

    Raises:
        ValueError: If the value is not finite or the axis unknown.
    """

    value: float
    label: str
    axis: Literal["x", "y"] = "x"

    def __post_init__(self) -> None:
        if not np.isfinite(self.value):
            raise ValueError(f"expected a finite reference value, got {self.value} ({self.label})")
        if self.axis not in {"x", "y"}:
            raise ValueError(f"expected axis 'x' or 'y', got {self.axis!r} ({self.label})")
