"""Results of an arm as the arrays and intervals that figures and claims need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spectraledge.instruments import Instrument
from spectraledge.lab import RunResult
from spectraledge.report import Curve
from spectraledge.series import Interval, mean_interval

__all__ = ["at_step", "band", "decide", "metric", "reading", "seeds_of"]

Array = NDArray[Any]


def metric(results: Sequence[RunResult], name: str) -> tuple[Array, Array]:
    """One metric of every finished run.

    Args:
        results: Runs with the same recorded steps.
        name: Name of the metric.

    Returns:
        Steps ``(T,)`` and values ``(S, T)``; NaN from where a run diverged.
    """
    rows = [_masked(r, *r.curve(name)) for r in results]
    return results[0].curve(name)[0], np.stack(rows)


def reading(
    results: Sequence[RunResult],
    instrument: Instrument,
    output: str,
    reduce: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """One output of an instrument on every run, reduced to one number per step.

    Args:
        results: Runs measured at the same steps.
        instrument: The instrument.
        output: Name of the output.
        reduce: Maps ``(T, *axes)`` to ``(T,)``, e.g. the mean over matrices.

    Returns:
        Steps ``(T,)`` and values ``(S, T)``; NaN from where a run diverged.
    """
    pairs = [r.reading(instrument) for r in results]
    rows = [_masked(r, steps, reduce(a[output])) for r, (steps, a) in zip(results, pairs)]
    return pairs[0][0], np.stack(rows)


def _masked(result: RunResult, steps: Array, values: Array) -> Array:
    lost = result.diverged_at
    values = np.asarray(values, dtype=np.float64)
    return values if lost is None else np.where(steps < lost, values, np.nan)


def seeds_of(results: Sequence[RunResult]) -> tuple[int, ...]:
    """Seeds of the runs, to label them."""
    return tuple(r.spec.seed for r in results)


def band(
    arm: str,
    results: Sequence[RunResult],
    steps: Array,
    values: Array,
    limits: tuple[float, float] = (-np.inf, np.inf),
    *,
    log: bool = False,
    **style: Any,
) -> Curve:
    """A curve with every seed, the mean, and its 95 % t interval where every seed has a value.

    With fewer than three seeds there is no band: for two, t is 12.7 and it would fill the figure.

    Args:
        arm: Name of the arm.
        results: Its runs.
        steps: ``(T,)``.
        values: ``(S, T)``.
        limits: What the interval is cut to, e.g. (0, 1) for accuracies.
        log: Take mean and interval of the logarithms, for quantities drawn on a log axis; values
            at or below 0 count as missing.
        **style: Passed to `Curve`.

    Returns:
        The curve.
    """
    scale, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = scale(np.where(values > 0, values, np.nan) if log else values)
    found = [
        mean_interval(column.tolist()) if np.isfinite(column).all() else None for column in scaled.T
    ]
    lower, centre, upper = (
        np.clip(back(np.array([np.nan if i is None else getattr(i, end) for i in found])), *limits)
        for end in ("lower", "centre", "upper")
    )
    bounded = len(values) > 2
    return Curve(
        arm,
        steps,
        values,
        centre=centre,
        seeds=seeds_of(results),
        lower=lower if bounded else None,
        upper=upper if bounded else None,
        **style,
    )


def at_step(steps: Array, values: Array, step: int) -> list[float]:
    """Values of every seed at the recorded step closest to `step`, finite ones only."""
    column = values[:, int(np.argmin(np.abs(steps - step)))]
    return [float(v) for v in column if np.isfinite(v)]


def decide(
    interval: Interval, *, above: float | None = None, below: float | None = None
) -> Literal["holds", "fails", "undecided"]:
    """Whether a whole interval lies on the claimed side of a threshold.

    Args:
        interval: Estimate with its interval.
        above: The claim is that the value is above this.
        below: The claim is that the value is below this.

    Returns:
        ``holds`` if all of the interval is on the claimed side, ``fails`` if all of it is on the
        other, else ``undecided``.

    Raises:
        ValueError: Unless exactly one of the thresholds is given.
    """
    if (above is None) == (below is None):
        raise ValueError(f"expected exactly one of above and below, got {above=} and {below=}")
    if above is not None:
        claimed, opposed = interval.lower > above, interval.upper <= above
    else:
        claimed, opposed = interval.upper < below, interval.lower >= below  # type: ignore[operator]
    return "holds" if claimed else "fails" if opposed else "undecided"
