"""The class of an edge by the balance of the gap flow, and whether it moves the gap at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import nan

import numpy as np
from jaxtyping import Float

from spectraledge.experiments.spectral_edge.edge_runs import GAP_FLOW, curve_name, finite_curve
from spectraledge.lab.rows import Row

__all__ = ["BALANCE_WORDS", "GAPS", "GapSeries", "balance_class", "gap_series", "term_shares"]

GAPS = ("12", "23")
TERMS = ("curvature", "damping", "driving")
BALANCE_WORDS = (
    "By the balance of the gap flow behind v₁. Units of its terms do not close, so each has one "
    "scale, fitted over the run to the changes of the gap beyond a constant and the gap itself; "
    "then the share of each scaled term in |T1| + |T2| + |T3|, beyond the same two, median over "
    "the last third of the run. Functional if the gradient (T3) has more than half, compression if "
    "damping by curvature and decay (T2) has, otherwise mixed; the margin is the distance of the "
    "larger of the two shares from one half. No class where the fit explains nothing, or where the "
    "scale of the one with more than half is negative: it then moves the gap the other way."
)
# Changes that a fit of five numbers needs at least.
FEWEST = 10
# Of a term that is proportional to the gap, the gap leaves this share and less: rounding.
ROUNDING = 1e-9
Name = Callable[[str, str], str]
SHARED: Name = partial(curve_name, GAP_FLOW)
NAMES = {"damping": "compression", "driving": "functional"}


@dataclass(frozen=True, eq=False)
class GapSeries:
    """Changes of a gap from one snapshot to the next, and the terms before them.

    Args:
        steps: ``(T,)``, of the snapshots before the changes.
        changes: ``(T,)``, in units of the weights.
        gaps: ``(T,)``, before the changes.
        terms: ``(T, 3)``: curvature, damping, driving.
    """

    steps: Float[np.ndarray, " T"]
    changes: Float[np.ndarray, " T"]
    gaps: Float[np.ndarray, " T"]
    terms: Float[np.ndarray, "T 3"]

    def agreement(self) -> float:
        """Share of the changes that have the sign of the sum of the terms, beyond chance.

        Returns:
            The share minus ``p q + (1 − p)(1 − q)``, with p and q the shares of positive changes
            and sums: 0 for signs that know nothing of each other, though most gaps may close, and
            for sums that have one sign throughout. NaN for fewer than `FEWEST` changes, or if all
            have one sign, which chance always has right.
        """
        opens, said = self.changes > 0, self.terms.sum(1) > 0
        if opens.size < FEWEST or opens.all() or not opens.any():
            return nan
        if said.all() or not said.any():
            return 0.0
        p, q = float(opens.mean()), float(said.mean())
        return float(np.mean(opens == said)) - (p * q + (1 - p) * (1 - q))

    def fitted(self) -> float:
        """Share of the changes that one scale a term explains beyond the relaxation of the gap.

        Any gap that fluctuates about a mean changes against its own size, and damping is
        proportional to that; so the terms are fitted beside a constant and the gap itself, and
        compared with those two alone.

        Returns:
            ``1 − (S_with / (T − 5)) / (S_without / (T − 2))``: 0 on average for terms that say
            nothing; NaN for fewer than `FEWEST` changes, or if the two alone explain them all.
        """
        count = len(self.changes)
        if count < FEWEST:
            return nan
        changes, terms = (_beyond(self.gaps, x) for x in (self.changes[:, None], self.terms))
        if not changes.any():
            return nan
        left = changes[:, 0] - terms @ self.scales()
        return float(1 - (left @ left / (count - 5)) / (np.sum(changes**2) / (count - 2)))

    def scales(self) -> Float[np.ndarray, " 3"]:
        """One scale a term, least squares beyond a constant and the gap itself.

        Returns:
            Scales of curvature, damping and driving; 0 for a term that is proportional to the gap.
        """
        changes, terms = (_beyond(self.gaps, x) for x in (self.changes[:, None], self.terms))
        size = np.abs(terms).max(0)
        size = np.where(size > 0, size, 1.0)
        return np.linalg.lstsq(terms / size, changes[:, 0], rcond=None)[0] / size

    def shares(self, since: float) -> Float[np.ndarray, " 3"]:
        """Share of each scaled term in the sum of their sizes, beyond a constant and the gap.

        Scales are those of all changes; constant and slope in the gap those of what counts.

        Args:
            since: First step that counts.

        Returns:
            Medians over the changes from there on; NaN for fewer than `FEWEST` changes in all.
        """
        late = self.steps >= since
        if len(self.changes) < FEWEST or not late.any():
            return np.full(len(TERMS), nan)
        sizes = np.abs(_beyond(self.gaps[late], self.terms[late]) * self.scales())
        sizes = sizes[sizes.sum(1) > 0]
        if not sizes.size:
            return np.full(len(TERMS), nan)
        return np.median(sizes / sizes.sum(1, keepdims=True), axis=0)


def _beyond(gaps: Float[np.ndarray, " T"], values: Float[np.ndarray, "T c"]) -> np.ndarray:
    """What a constant and the gap itself leave of each column."""
    known = np.stack([np.ones(len(gaps)), gaps], 1)
    left = values - known @ np.linalg.lstsq(known, values, rcond=None)[0]
    left[:, np.abs(left).max(0) <= ROUNDING * np.abs(values).max(0)] = 0.0
    return left


def gap_series(row: Row, gap: str, name: Name = SHARED) -> GapSeries:
    """Series of a run where gap and terms are known at both ends of an interval.

    Args:
        row: Of the run.
        gap: One of `GAPS`.
        name: Of the curve of an output and a gap, of whatever measured the terms.

    Returns:
        The series; empty if it was not measured.
    """
    steps, values = finite_curve(row, name("gap", gap))
    terms = [dict(zip(*finite_curve(row, name(f"{term}_term", gap)))) for term in TERMS]
    at = [i for i in range(len(steps) - 1) if all(steps[i] in term for term in terms)]
    rows = [[term[steps[i]] for term in terms] for i in at]
    return GapSeries(
        np.asarray(steps[at], dtype=float),
        np.diff(values)[at],
        values[at],
        np.array(rows, dtype=float).reshape(-1, 3),
    )


def term_shares(row: Row) -> dict[str, float]:
    """Share of each scaled term of the gap behind v₁ in the last third; empty if unknown."""
    shares = gap_series(row, GAPS[0]).shares(2 / 3 * row.steps_taken)
    return dict(zip(TERMS, shares.tolist())) if np.isfinite(shares).all() else {}


def balance_class(row: Row) -> tuple[str, float]:
    """Class by the balance of the gap flow, with its margin; see `BALANCE_WORDS`.

    Args:
        row: Of a run.

    Returns:
        ``functional``, ``mixed`` or ``compression``; an empty class and NaN if it was not measured,
        the fit explains nothing, or the term with more than half moves the gap the other way.
    """
    series, shares = gap_series(row, GAPS[0]), term_shares(row)
    # Of a fit that explains nothing, the largest term is the largest noise.
    if not shares or not series.fitted() > 0:
        return "", nan
    larger = max(NAMES, key=shares.__getitem__)
    margin = abs(shares[larger] - 0.5)
    if shares[larger] <= 0.5:
        return "mixed", margin
    turned = series.scales()[TERMS.index(larger)] <= 0
    return ("", nan) if turned else (NAMES[larger], margin)
