"""What interventions did to the step of grokking: delays against the ordinary run of the seed.

Every run is watched up to one horizon, or further where all runs that are compared were, and one
that has not grokked by then counts with the horizon, so that a delay is a difference of restricted
means and what is never reached is not left out. The seed is the unit: with several operations a
seed's delay is the mean over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spectraledge.experiments.execution_subspace.interventions import (
    HORIZON,
    Chains,
    Protocol,
    baselines,
    grok_stop,
    intervened,
)
from spectraledge.experiments.execution_subspace.regimes import UNTIL
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.lab.rows import Row
from spectraledge.series import Interval, Times, mean_interval, simultaneous_confidence

__all__ = [
    "BASELINE",
    "EQUIVALENCE",
    "GROK_STOP",
    "MARGIN",
    "Cells",
    "Delays",
    "arms_of",
    "budget_of",
    "delays",
    "delays_of",
    "direction",
    "family_confidence",
    "grok_time",
    "grok_times",
    "level_words",
    "selection_words",
    "watched_to",
]

BASELINE = "no intervention"
GROK_STOP = (
    "Grokked: the third record in a row with an accuracy of at least 0.98 on held-out pairs "
    "(`grok_stop`)."
)
# The published runs of one seed and setting differ by this much between scripts.
MARGIN = 300.0
# Two one-sided tests at 5 % each are an interval of this confidence.
EQUIVALENCE = 0.9

Cells = Mapping[str, Mapping[str, Mapping[int, Row]]]


@dataclass(frozen=True)
class Delays:
    """How much later than without intervention an arm groks, seed by seed.

    Args:
        arm: Which.
        steps: Delay in steps by seed, negative where it is sooner.
        reference: Step of the ordinary runs by seed, at most the horizon.
        grokked: Runs of the arm that grokked, over all operations.
        count: Runs of the arm.
        budget: Last step that runs are watched to.
        unknown: Pairs in which neither run grokked, of which nothing is known.
    """

    arm: str
    steps: Mapping[int, float]
    reference: Mapping[int, float]
    grokked: int
    count: int
    budget: int = HORIZON
    unknown: int = 0

    @property
    def censored(self) -> bool:
        """Whether some run had not grokked when watching ended, so that it is later still."""
        return self.grokked < self.count

    def interval(self, confidence: float = 0.95) -> Interval:
        """Mean delay in steps."""
        return mean_interval(list(self.steps.values()), confidence)

    def relative(self, confidence: float = 0.95) -> Interval:
        """Mean delay as a share of the step without intervention."""
        shares = [delay / self.reference[seed] for seed, delay in self.steps.items()]
        return mean_interval(shares, confidence)

    def words(self, confidence: float = 0.95) -> str:
        """The delay in words: a lower bound where runs had not grokked when watching ended.

        Args:
            confidence: Of the interval; said if it is not 95 %.

        Returns:
            Such as ``at least 3900 [1530, 6270] steps, 1 of 3 grok by step 8000``.
        """
        if not self.grokked:
            return f"none of {self.count} grok by step {self.budget}"
        told = f"{short(self.interval(confidence))} steps{level_words(confidence)}"
        if not self.censored:
            return told
        return f"at least {told}, {self.grokked} of {self.count} grok by step {self.budget}"

    def difference_words(self, confidence: float = 0.95) -> str:
        """The same of a difference between two interventions, which may both be censored."""
        if not self.unknown:
            least = "at least " if self.censored else ""
            return f"{least}{short(self.interval(confidence))} steps{level_words(confidence)}"
        return (
            f"unknown, since in {self.unknown} of {self.count} pairs neither run groks by step "
            f"{self.budget}"
        )


def level_words(confidence: float) -> str:
    """The level of an interval if it is not the usual 95 %, in brackets."""
    return "" if confidence == 0.95 else f" ({100 * confidence:.3g} %)"


def arms_of(
    known: Known, protocol: Protocol, chains: Chains
) -> dict[str, dict[str, dict[int, Row]]]:
    """Rows by operation, arm and seed, the ordinary runs first; empty where nothing is known."""
    runs = intervened(known, protocol, chains)
    return {
        operation: {BASELINE: by_seed(known, plain)}
        | {arm: by_seed(known, runs[operation, arm]) for arm in chains}
        for operation, plain in baselines(protocol).items()
    }


def selection_words(known: Known, protocol: Protocol) -> str:
    """What it does to delays that ordinary runs which never grokked are left out; often nothing.

    Args:
        known: What is known.
        protocol: Where.

    Returns:
        A paragraph with a blank line before it; empty if every known ordinary run grokked.
    """
    specs = [spec for runs in baselines(protocol).values() for spec in runs]
    # Decided for other studies, which stop watching sooner.
    found = [known.row(spec) or known.ledger.get(spec, UNTIL) for spec in specs]
    rows = [row for row in found if row is not None]
    late = sum(grok_stop(row) is None for row in rows)
    if not late or not protocol.decides:
        return ""
    return (
        f"\n\n{late} of {len(rows)} ordinary runs did not grok in time and give no basis. Those "
        "that are left were chosen for being soon, so any other run of their seed, whatever is "
        "done to it, tends to come later: read delays against that of a gradient of a quarter of "
        "its length, which does nothing under Adam."
    )


def budget_of(protocol: Protocol) -> int:
    """Last step that every run is watched to."""
    return min(HORIZON, protocol.regime.steps)


def grok_time(row: Row, budget: int) -> int | None:
    """Step of grokking within the budget; None if there is none."""
    step = grok_stop(row)
    return None if step is None or step > budget else step


def grok_times(rows: Mapping[int, Row], budget: int) -> Times | None:
    """Right-censored steps of grokking; None for no run."""
    found = [grok_time(row, budget) for row in rows.values()]
    return Times.from_optional(found, budget) if found else None


def watched_to(rows: Iterable[Row], budget: int) -> int:
    """Last step at which it is known of every run whether it had grokked.

    Args:
        rows: Runs that are compared.
        budget: Step that all were watched to.

    Returns:
        A later step where those that had not grokked by the budget were trained beyond it.
    """
    steps = [(grok_stop(row), row.steps_taken) for row in rows]
    waiting = [taken for grokked, taken in steps if grokked is None]
    seen = [grokked for grokked, _ in steps if grokked is not None]
    return max(budget, min(waiting) if waiting else max(seen, default=0))


def delays_of(cells: Cells, arm: str, budget: int, reference: str = BASELINE) -> Delays | None:
    """Delays of an arm against another on the same seeds.

    Args:
        cells: Rows by operation, arm and seed.
        arm: Which.
        budget: Step that a run without grokking counts with, or a later one: see `watched_to`.
        reference: Against which.

    Returns:
        The delays; None if no seed has both.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    grokked = count = unknown = 0
    both = [(arms.get(arm, {}), arms.get(reference, {})) for arms in cells.values()]
    budget = watched_to((rows[seed] for own, plain in both for rows in (own, plain)
                         for seed in own.keys() & plain.keys()), budget)  # fmt: skip
    for own, plain in both:
        for seed in [seed for seed in own if seed in plain]:
            step, before = (grok_time(rows[seed], budget) for rows in (own, plain))
            found.setdefault(seed, []).append((float(step or budget), float(before or budget)))
            grokked, count = grokked + (step is not None), count + 1
            unknown += step is None and before is None
    if not found:
        return None
    means = {seed: np.mean(pairs, axis=0) for seed, pairs in found.items()}
    steps = {seed: float(after - before) for seed, (after, before) in means.items()}
    plainly = {seed: float(plain) for seed, (_, plain) in means.items()}
    return Delays(arm, steps, plainly, grokked, count, budget, unknown)


def delays(cells: Cells, arms: Sequence[str], budget: int) -> dict[str, Delays]:
    """Delays of the arms that have any, in their order."""
    found = {arm: delays_of(cells, arm, budget) for arm in arms}
    return {arm: delay for arm, delay in found.items() if delay is not None}


def family_confidence(found: Mapping[str, Delays]) -> float:
    """Confidence of each interval so that all hold at once."""
    return simultaneous_confidence(len(found)) if found else 0.95


def direction(interval: Interval) -> str:
    """``sooner``, ``later`` or, where the interval holds 0, ``not told apart``."""
    if interval.upper < 0:
        return "sooner"
    return "later" if interval.lower > 0 else "not told apart"
