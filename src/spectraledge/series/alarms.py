"""What an onset rule did in runs that grok and in runs that do not, asked at a horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spectraledge.series.intervals import Interval, proportion_interval
from spectraledge.series.per_run import check_kinds

__all__ = ["AlarmOutcomes", "alarm_outcomes", "alarm_scores"]


def alarm_scores(
    alarms: Sequence[int | float | None], horizon: int | float
) -> Float[np.ndarray, " n"]:
    """Scores of an onset rule at a horizon: earlier alarms higher, −inf for none by then.

    Args:
        alarms: One step per run, None or NaN for none.
        horizon: Step at which the question is asked; later alarms are not known yet.

    Returns:
        ``(n,)`` minus the step, or −inf.

    Raises:
        ValueError: For a horizon that is NaN.

    Example:
        >>> alarm_scores([500, 3000, None], horizon=2000).tolist()
        [-500.0, -inf, -inf]
    """
    return np.array([-np.inf if a is None else -float(a) for a in _reached(alarms, horizon)])


@dataclass(frozen=True)
class AlarmOutcomes:
    """What an onset rule did by a horizon.

    Args:
        hits: Grokking runs with an alarm before they grokked, and by the horizon.
        late: Grokking runs whose alarm came at their grok step or after it: misses.
        false_alarm: Share of non-grokking runs with an alarm by the horizon.
        miss: Share of grokking runs without one in time.
        leads: Steps from alarm to grok of each hit.
    """

    hits: int
    late: int
    false_alarm: Interval
    miss: Interval
    leads: tuple[float, ...]


def alarm_outcomes(
    alarms: Sequence[int | float | None],
    groks: Sequence[int | float | None],
    horizon: int | float,
    confidence: float = 0.95,
) -> AlarmOutcomes:
    """False alarms, misses, and the lead of the alarms that were right.

    A lead without the false-alarm rate is no early warning: a rule that always fires at once has
    the longest leads. The rates have the exact interval of Clopper and Pearson for independent
    runs; where conditions share seeds it is too narrow, so count seeds too.

    Args:
        alarms: Step at which the rule knew, one per run; None or NaN for none.
        groks: Grok step of each run by a named rule; None or NaN for runs that did not within a
            budget that should be the same for all.
        horizon: Step until which alarms count.
        confidence: Coverage in (0, 1).

    Returns:
        The outcomes.

    Raises:
        ValueError: For unequal lengths, runs of one kind only, or a horizon that is NaN.

    Example:
        >>> found = alarm_outcomes([100, 300, 100, None], [500, 200, None, None], horizon=1000)
        >>> found.hits, found.late, found.miss.centre, found.false_alarm.centre, found.leads
        (1, 1, 0.5, 0.5, (400.0,))
    """
    if len(alarms) != len(groks):
        raise ValueError(
            f"expected one alarm and one grok step per run, got {len(alarms)} and {len(groks)}"
        )
    known = list(zip(_reached(alarms, horizon), _reached(groks, np.inf)))
    grokking = [(a, g) for a, g in known if g is not None]
    quiet = [a for a, g in known if g is None]
    check_kinds(len(grokking), len(quiet))
    leads = tuple(float(g - a) for a, g in grokking if a is not None and a < g)
    late = sum(a is not None and a >= g for a, g in grokking)
    return AlarmOutcomes(
        hits=len(leads),
        late=late,
        false_alarm=proportion_interval(sum(a is not None for a in quiet), len(quiet), confidence),
        miss=proportion_interval(len(grokking) - len(leads), len(grokking), confidence),
        leads=leads,
    )


def _reached(steps: Sequence[int | float | None], horizon: int | float) -> list[int | float | None]:
    """The steps that have come by a horizon; None for those that have not, or are NaN."""
    if np.isnan(horizon):
        raise ValueError("expected a step as the horizon, got nan")
    return [step if step is not None and step <= horizon else None for step in steps]
