"""The rules by which "the grokking step" is found, each by its name; none is the default.

The definitions in use differ by hundreds of steps on the same curve, so a number without the name
of its rule means little, and callers must name one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Real

from spectraledge.names import check_name
from spectraledge.series.onset import first_held

__all__ = ["GROK_RULES", "GrokRule", "count_crossings", "grok_rule", "grok_step"]

Reported = Literal["start", "end", "first_crossing", "settled"]


@dataclass(frozen=True)
class GrokRule:
    """When a run counts as having generalised (or memorised), and which step is then reported.

    Args:
        name: By which it is asked for and stored.
        watches: The curve it is meant for.
        threshold: Value to reach.
        patience: How many evaluations in a row must reach it, >= 1. Counted in evaluations, so it
            lasts longer at a coarser cadence.
        reported: ``start`` and ``end`` of the first such stretch; ``first_crossing``: the first
            evaluation that reaches the threshold at all, of a run with such a stretch; ``settled``:
            the start of the stretch that lasts until the curve ends.
        used_in: Where the rule is used.
        strict: Whether reaching means ``>`` instead of ``>=``.

    Raises:
        ValueError: For a patience below 1, a threshold that is NaN, or an unknown reported step.

    Example:
        >>> steps, values = np.arange(0, 60, 10), np.array([0, 0.98, 0.5, 0.98, 0.99, 1.0])
        >>> [GROK_RULES[name].step(steps, values) for name in ("grok_98", "grok_stop")]
        [10, 50]
    """

    name: str
    watches: str
    threshold: float
    patience: int
    reported: Reported
    used_in: str
    strict: bool = False

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"{self.name}: expected patience >= 1, got {self.patience}")
        if np.isnan(self.threshold):
            # Nothing reaches it, which would read as runs that never grokked.
            raise ValueError(f"{self.name}: expected a number as the threshold, got nan")
        check_name(f"reported step of {self.name}", self.reported, get_args(Reported))

    def step(self, steps: Real[np.ndarray, " T"], values: Real[np.ndarray, " _"]) -> int | None:
        """The step this rule reports.

        Args:
            steps: ``(T,)`` ascending steps.
            values: ``(T,)`` values at these steps; a NaN does not reach the threshold.

        Returns:
            The step: the end of the stretch between two evaluations in which it happened. None if
            the curve never got there (right-censored at its last step).

        Raises:
            ValueError: For unequal lengths or steps that descend.
        """
        if len(steps) != len(values):
            raise ValueError(
                f"{self.name}: expected one value per step, got {len(steps)} steps and "
                f"{len(values)} values"
            )
        least = float(np.nextafter(self.threshold, np.inf)) if self.strict else self.threshold
        start = first_held(steps, values, threshold=least, patience=self.patience)
        if start is None or self.reported == "start":
            return start
        with np.errstate(invalid="ignore"):
            return self._reported_step(steps, values >= least, start)

    def _reported_step(
        self, steps: Real[np.ndarray, " T"], reached: Bool[np.ndarray, " T"], start: int
    ) -> int | None:
        if self.reported == "first_crossing":
            return int(steps[reached.argmax()])
        if self.reported == "end":
            return int(steps[np.searchsorted(steps, start) + self.patience - 1])
        below = np.flatnonzero(~reached)
        settled = int(below[-1]) + 1 if below.size else 0
        return int(steps[settled]) if len(steps) - settled >= self.patience else None


TEST, TOKENS, SEQUENCES = "test accuracy", "test token accuracy", "test sequence accuracy"
MODULAR, EARLY = "arXiv 2602.16746", "arXiv 2602.16967"
EDGE = "spectral edge papers, Dyck and SCAN"

GROK_RULES: Mapping[str, GrokRule] = MappingProxyType({
    rule.name: rule
    for rule in (
        GrokRule("grok_stop", TEST, 0.98, 3, "end", f"{MODULAR}: early stop, lr figure, exponent"),
        GrokRule("grok_98", TEST, 0.98, 3, "first_crossing", f"{MODULAR}: multi-seed script"),
        GrokRule("grok_90", TEST, 0.90, 1, "start", f"{MODULAR}: lead times, table 1"),
        GrokRule("grok_50", TEST, 0.50, 1, "start", f"{MODULAR}: lead times"),
        GrokRule("grok_95", TEST, 0.95, 1, "start", EDGE),
        GrokRule("grok_99_twice", TEST, 0.99, 2, "end", "low-rank decay: early stop", strict=True),
        GrokRule("memorised", "train accuracy", 0.95, 1, "start", f"{MODULAR}: memorisation step"),
        GrokRule("dyck_strict", TOKENS, 0.99, 10, "end", f"{EARLY}: Dyck stop flag"),
        GrokRule("dyck_first_99", TOKENS, 0.99, 1, "start", f"{EARLY}: Dyck interventions"),
        GrokRule("dyck_sustained", TOKENS, 0.98, 3, "start", f"{EARLY}: Dyck scaling tables"),
        GrokRule("scan_strict", SEQUENCES, 0.98, 5, "end", f"{EARLY}: SCAN stop flag"),
        GrokRule("scan_first_99", SEQUENCES, 0.99, 1, "start", f"{EARLY}: SCAN interventions"),
        GrokRule("scan_sustained", SEQUENCES, 0.98, 3, "start", f"{EARLY}: SCAN scaling tables"),
        GrokRule("settled_98", TEST, 0.98, 3, "settled", "ours: runs that fall back and return"),
    )
})  # fmt: skip


def grok_rule(name: str) -> GrokRule:
    """The rule of that name.

    Args:
        name: One of `GROK_RULES`; there is no default.

    Returns:
        The rule.

    Raises:
        ValueError: For an unknown name; lists the known ones and the closest.

    Example:
        >>> grok_rule("grok_90").threshold
        0.9
    """
    check_name("grok rule", name, sorted(GROK_RULES))
    return GROK_RULES[name]


def grok_step(
    name: str, steps: Real[np.ndarray, " T"], values: Real[np.ndarray, " _"]
) -> int | None:
    """The step that the rule of that name reports.

    Args:
        name: One of `GROK_RULES`; store it with the number.
        steps: ``(T,)`` ascending steps.
        values: ``(T,)`` the curve that the rule watches, at these steps.

    Returns:
        The step, None if the curve never got there.

    Raises:
        ValueError: For an unknown name or unequal lengths.

    Example:
        >>> grok_step("grok_50", np.array([0, 100, 200]), np.array([0.1, 0.2, 0.6]))
        200
    """
    return grok_rule(name).step(steps, values)


def count_crossings(values: Real[np.ndarray, " T"], threshold: float) -> int:
    """How often a curve crosses a threshold, up or down: more than one says "first" means little.

    Args:
        values: ``(T,)`` values; a NaN is left out.
        threshold: Value to cross; at it counts as above.

    Returns:
        The number of neighbouring pairs on different sides.

    Example:
        >>> count_crossings(np.array([0.5, 0.99, 0.97, 0.98]), 0.98)
        3
    """
    return int(np.count_nonzero(np.diff(values[~np.isnan(values)] >= threshold)))
