"""The class of an edge by the balance of the gap flow, and whether it moves the gap at all."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Float

from spectraledge.experiments.spectral_edge.edge_runs import GAP_FLOW, curve_name, finite_curve
from spectraledge.lab.rows import Row

__all__ = ["BALANCE_WORDS", "GAPS", "GapSeries", "balance_class", "gap_series", "term_shares"]

GAPS = ("12", "23")
TERMS = ("curvature", "damping", "driving")
BALANCE_WORDS = (
    "By the balance of the gap flow: the share of each term in |T1| + |T2| + |T3| of the gap "
    "behind v₁, median over the last third of a run. Functional if the gradient (T3) has more "
    "than half, compression if damping by curvature and decay (T2) has, otherwise mixed; the "
    "margin is the distance of the larger of the two shares from one half."
)
# Changes that a fit of five numbers needs at least.
FEWEST = 10


@dataclass(frozen=True, eq=False)
class GapSeries:
    """Changes of a gap from one snapshot to the next, and the terms before them.

    Args:
        changes: ``(T,)``, in units of the weights.
        gaps: ``(T,)``, before the changes.
        terms: ``(T, 3)``: curvature, damping, driving.
    """

    changes: Float[np.ndarray, " T"]
    gaps: Float[np.ndarray, " T"]
    terms: Float[np.ndarray, "T 3"]

    def agreement(self) -> float:
        """Share of the changes that have the sign of the sum of the terms, beyond chance.

        Returns:
            The share minus ``p q + (1 − p)(1 − q)``, with p and q the shares of positive changes
            and sums: 0 for signs that know nothing of each other, though most gaps may close.
        """
        if not self.changes.size:
            return nan
        opens, said = self.changes > 0, self.terms.sum(1) > 0
        p, q = float(opens.mean()), float(said.mean())
        return float(np.mean(opens == said)) - (p * q + (1 - p) * (1 - q))

    def fitted(self) -> float:
        """Share of the changes that one scale a term explains beyond the relaxation of the gap.

        Any gap that fluctuates about a mean changes against its own size, and damping is
        proportional to that; so the terms are fitted beside a constant and the gap itself, and
        compared with those two alone.

        Returns:
            ``1 − (S_with / (T − 5)) / (S_without / (T − 2))``: 0 on average for terms that say
            nothing; NaN for fewer than `FEWEST` changes.
        """
        count = len(self.changes)
        if count < FEWEST:
            return nan
        relaxing = np.stack([np.ones(count), self.gaps], 1)
        without = self._rest(relaxing) / (count - 2)
        both = self._rest(np.concatenate([relaxing, self.terms], 1)) / (count - 5)
        return float(1 - both / without)

    def _rest(self, columns: Float[np.ndarray, "T c"]) -> float:
        size = np.abs(columns).max(0)
        scaled = columns / np.where(size > 0, size, 1.0)
        left = self.changes - scaled @ np.linalg.lstsq(scaled, self.changes, rcond=None)[0]
        return float(left @ left)


def gap_series(row: Row, gap: str) -> GapSeries:
    """Series of a run where gap and terms are known at both ends of an interval.

    Args:
        row: Of the run.
        gap: One of `GAPS`.

    Returns:
        The series; empty if it was not measured.
    """
    steps, values = finite_curve(row, curve_name(GAP_FLOW, "gap", gap))
    terms = [dict(zip(*finite_curve(row, _term(term, gap)))) for term in TERMS]
    at = [i for i in range(len(steps) - 1) if all(steps[i] in term for term in terms)]
    rows = [[term[steps[i]] for term in terms] for i in at]
    return GapSeries(np.diff(values)[at], values[at], np.array(rows, dtype=float).reshape(-1, 3))


def term_shares(row: Row) -> dict[str, float]:
    """Share of each term of the gap behind v₁, medians over the last third; empty if unknown."""
    curves = [finite_curve(row, _term(term, GAPS[0])) for term in TERMS]
    steps = curves[0][0]
    if not steps.size or any(not np.array_equal(steps, own) for own, _ in curves):
        return {}
    sizes = np.abs(np.stack([values for _, values in curves]))
    late = sizes[:, steps >= 2 / 3 * row.steps_taken]
    late = late[:, late.sum(0) > 0]
    if not late.size:
        return {}
    return dict(zip(TERMS, np.median(late / late.sum(0), axis=1).tolist()))


def balance_class(row: Row) -> tuple[str, float]:
    """Class by the balance of the gap flow, with its margin.

    Args:
        row: Of a run.

    Returns:
        ``functional``, ``mixed`` or ``compression``; an empty class and NaN if it was not measured.
    """
    shares = term_shares(row)
    if not shares:
        return "", nan
    driving, damping = shares["driving"], shares["damping"]
    margin = abs(max(driving, damping) - 0.5)
    if max(driving, damping) <= 0.5:
        return "mixed", margin
    return ("functional" if driving > damping else "compression"), margin


def _term(term: str, gap: str) -> str:
    return curve_name(GAP_FLOW, f"{term}_term", gap)
