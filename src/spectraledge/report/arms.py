"""What the figures draw: curves, spectra and outcomes of the arms of an experiment.

An arm is one way of training, run with several seeds. These classes hold plain arrays, check
them once, and are drawn by `plots` (interactive) and `static` (SVG) alike. They compute no
statistics except the median over seeds; intervals come from the caller, who knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Real

__all__ = ["Curve", "Outcome", "Spectra"]


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
        >>> Curve("LRD", np.array([0, 200]), np.array([[0.1, 0.9], [0.3, 1.0]])).middle.tolist()
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
    def middle(self) -> Float[np.ndarray, " T"]:
        """The centre, or the median over seeds where every seed has a value."""
        return np.median(self.values, axis=0) if self.centre is None else self.centre

    @property
    def early_ends(self) -> list[tuple[int, int]]:
        """Row and last index of every seed that has values but ends before another one does."""
        found = [(row, np.flatnonzero(np.isfinite(v))) for row, v in enumerate(self.values)]
        ends = [(row, int(there[-1])) for row, there in found if there.size]
        latest = max((end for _, end in ends), default=-1)
        return [(row, end) for row, end in ends if end < latest]

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
        >>> Outcome("L2", np.array([800.0, 4000.0]), np.array([False, True])).marks.tolist()
        [False, True]
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
        if self.censored is not None and np.shape(self.censored) != values.shape:
            raise ValueError(
                f"expected {values.size} censoring marks for arm {self.arm!r}, "
                f"got shape {np.shape(self.censored)}"
            )
        if self.seeds and len(self.seeds) != values.size:
            raise ValueError(f"expected {values.size} seeds for arm {self.arm!r}, got {self.seeds}")
        self._check_interval()
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "seeds", self.seeds or tuple(range(values.size)))

    @property
    def marks(self) -> Bool[np.ndarray, " S"]:
        """True for the censored runs."""
        none = np.zeros(self.values.size, dtype=bool)
        return none if self.censored is None else np.asarray(self.censored, dtype=bool)

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


def _increasing(arm: str, steps: np.ndarray) -> np.ndarray:
    steps = np.asarray(steps, dtype=np.float64)
    if steps.ndim != 1 or steps.size == 0 or not np.all(np.diff(steps) > 0):
        raise ValueError(
            f"expected strictly increasing steps of shape (T,) for arm {arm!r}, "
            f"got shape {steps.shape}"
        )
    return steps
