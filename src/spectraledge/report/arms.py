"""What the figures draw: curves, spectra and outcomes of the arms of an experiment.

An arm is one way of training, run with several seeds. These classes hold plain arrays, check
them once, and are drawn by `plots` (interactive) and `static` (SVG) alike. They compute no
statistics except the median over seeds; intervals come from the caller, who knows which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Real

__all__ = ["PALETTE", "Axes", "Curve", "Outcome", "Reference", "Spectra", "arm_colours"]

# Seven of Okabe and Ito's colours and a wine red; their yellow is too faint on white, and their
# black is reserved for text. Distances under simulated colour blindness are tested.
PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#882255",
    "#6b6b6b",
)


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """One colour per arm name, in order; made once per page so that an arm keeps its colour.

    Args:
        arms: Distinct arm names, at most as many as `PALETTE` has colours.

    Returns:
        Arm name to ``#rrggbb``.

    Raises:
        ValueError: If names repeat or there are more arms than colours that can be told apart.

    Example:
        >>> arm_colours(["L2", "LRD"])
        {'L2': '#0072b2', 'LRD': '#d55e00'}
    """
    if len(set(arms)) != len(arms):
        raise ValueError(f"expected distinct arm names, got {list(arms)}")
    if len(arms) > len(PALETTE):
        raise ValueError(
            f"expected at most {len(PALETTE)} arms, got {len(arms)}; more colours cannot be told "
            "apart: spread the arms over several pages, or pass your own mapping of colours"
        )
    return dict(zip(arms, PALETTE))


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


@dataclass(frozen=True)
class Curve:
    """One quantity of one arm over steps: every seed, a centre, and an interval band.

    NaN means no value: a diverged run ends early, an undefined rank leaves a gap. The default
    centre is the median over seeds at the steps where every seed has a value, because a median
    over survivors would be biased.

    Args:
        arm: Arm name; all curves of an arm share a colour and one legend entry.
        steps: ``(T,)`` strictly increasing.
        values: ``(S, T)``, one row per seed.
        centre: ``(T,)`` thick line, or None for the median described above.
        lower: ``(T,)`` lower end of the interval band, or None for no band.
        upper: ``(T,)`` upper end, given together with `lower`.
        quantity: What is drawn, shown on hovering, e.g. ``"training"``.
        dash: Line style, to tell two quantities of one arm apart.
        seeds: Labels of the rows on hovering; by default ``0 ... S-1``.

    Raises:
        ValueError: If shapes disagree, steps do not increase, or the band is half given or
            upside down.

    Example:
        >>> Curve("LRD", np.array([0, 200]), np.array([[0.1, 0.9], [0.3, 1.0]])).centre.tolist()
        [0.2, 0.95]
    """

    arm: str
    steps: Real[np.ndarray, " T"]
    values: Real[np.ndarray, "S T"]
    centre: Real[np.ndarray, " T"] | None = None
    lower: Real[np.ndarray, " T"] | None = None
    upper: Real[np.ndarray, " T"] | None = None
    quantity: str = ""
    dash: Literal["solid", "dash", "dot"] = "solid"
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        steps = _increasing(self.arm, self.steps)
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != steps.size or values.shape[0] == 0:
            raise ValueError(
                f"expected values of arm {self.arm!r} with shape (seeds, {steps.size}), "
                f"got {values.shape}"
            )
        if (self.lower is None) != (self.upper is None):
            raise ValueError(f"expected both lower and upper for arm {self.arm!r}, got only one")
        if self.seeds and len(self.seeds) != values.shape[0]:
            raise ValueError(
                f"expected {values.shape[0]} seeds for arm {self.arm!r}, got {self.seeds}"
            )
        if self.dash not in {"solid", "dash", "dot"}:
            raise ValueError(f"expected dash 'solid', 'dash' or 'dot', got {self.dash!r}")
        for name in ("centre", "lower", "upper"):
            self._replace_line(name, steps.size)
        if self.lower is not None and np.any(self.lower > self.upper):
            raise ValueError(f"expected lower <= upper for arm {self.arm!r}; are they swapped?")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "seeds", self.seeds or tuple(range(values.shape[0])))
        if self.centre is None:
            object.__setattr__(self, "centre", np.median(values, axis=0))

    def _replace_line(self, name: str, size: int) -> None:
        line = getattr(self, name)
        if line is None:
            return
        line = np.asarray(line, dtype=np.float64)
        if line.shape != (size,):
            raise ValueError(
                f"expected {name} of arm {self.arm!r} with shape ({size},), got {line.shape}"
            )
        object.__setattr__(self, name, line)

    @property
    def label(self) -> str:
        """Arm and quantity, for hovering."""
        return f"{self.arm}, {self.quantity}" if self.quantity else self.arm


@dataclass(frozen=True)
class Spectra:
    """Singular values of one matrix of one arm over steps.

    Args:
        arm: Arm name.
        steps: ``(T,)`` strictly increasing.
        values: ``(T, K)`` singular values, largest first; NaN where there is none.

    Raises:
        ValueError: If shapes disagree, steps do not increase, or a row is negative or not sorted.
    """

    arm: str
    steps: Real[np.ndarray, " T"]
    values: Real[np.ndarray, "T K"]

    def __post_init__(self) -> None:
        steps = _increasing(self.arm, self.steps)
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] != steps.size or values.shape[1] == 0:
            raise ValueError(
                f"expected spectra of arm {self.arm!r} with shape ({steps.size}, K), "
                f"got {values.shape}"
            )
        if np.any(values < 0) or np.any(np.diff(values, axis=1) > 0):
            raise ValueError(
                f"expected non-negative singular values of arm {self.arm!r}, largest first; "
                "sort them in descending order"
            )
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "values", values)

    @property
    def relative(self) -> Float[np.ndarray, "T K"]:
        """Singular values over the largest of their step; NaN for a zero matrix."""
        largest = self.values[:, :1]
        return np.divide(
            self.values, largest, out=np.full_like(self.values, np.nan), where=largest > 0
        )


@dataclass(frozen=True)
class Outcome:
    """One number per run of an arm, some censored, with an interval: e.g. the step of grokking.

    Args:
        arm: Arm name.
        values: ``(S,)``, one per seed; NaN for a run without a value (diverged).
        censored: ``(S,)``; True where the value is only a lower bound (not reached by then).
        centre: Estimate over seeds, or None where there is none.
        lower: Lower end of its interval, finite, or None.
        upper: Upper end; infinite for an interval open to the right.
        seeds: Labels of the runs on hovering; by default ``0 ... S-1``.

    Raises:
        ValueError: If shapes disagree, values are infinite, or the interval is half given or
            upside down.

    Example:
        >>> Outcome("L2", np.array([800.0, 4000.0]), np.array([False, True])).censored.sum()
        np.int64(1)
    """

    arm: str
    values: Real[np.ndarray, " S"]
    censored: Bool[np.ndarray, " S"] | None = None
    centre: float | None = None
    lower: float | None = None
    upper: float | None = None
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 1 or values.size == 0 or np.isinf(values).any():
            raise ValueError(
                f"expected one value per run of arm {self.arm!r}, finite or NaN, got {self.values}"
            )
        censored = np.zeros(values.size, bool) if self.censored is None else self.censored
        if np.shape(censored) != values.shape:
            raise ValueError(
                f"expected {values.size} censoring marks for arm {self.arm!r}, "
                f"got shape {np.shape(censored)}"
            )
        if self.seeds and len(self.seeds) != values.size:
            raise ValueError(f"expected {values.size} seeds for arm {self.arm!r}, got {self.seeds}")
        self._check_interval()
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "censored", np.asarray(censored, bool))
        object.__setattr__(self, "seeds", self.seeds or tuple(range(values.size)))

    def _check_interval(self) -> None:
        if (self.lower is None) != (self.upper is None):
            raise ValueError(f"expected both lower and upper for arm {self.arm!r}, got only one")
        if self.lower is None or self.upper is None:
            return
        if not (np.isfinite(self.lower) and self.lower <= self.upper):
            raise ValueError(
                f"expected a finite lower <= upper for arm {self.arm!r}, "
                f"got [{self.lower}, {self.upper}]"
            )


def colour_of(arm: str, colours: dict[str, str]) -> str:
    """The colour of an arm.

    Args:
        arm: Arm name.
        colours: Mapping made by `arm_colours`.

    Returns:
        A colour as ``#rrggbb``.

    Raises:
        KeyError: If the arm has no colour; the message lists those that have.
    """
    if arm in colours:
        return colours[arm]
    closest = get_close_matches(arm, colours, n=1)
    advice = f"; did you mean {closest[0]!r}?" if closest else ""
    raise KeyError(f"no colour for arm {arm!r}; known: {', '.join(colours)}{advice}")


def _increasing(arm: str, steps: np.ndarray) -> np.ndarray:
    steps = np.asarray(steps, dtype=np.float64)
    if steps.ndim != 1 or steps.size == 0 or not np.all(np.diff(steps) > 0):
        raise ValueError(
            f"expected strictly increasing steps of shape (T,) for arm {arm!r}, "
            f"got shape {steps.shape}"
        )
    return steps
