"""Claims about the published phase diagram, each checked against the cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.low_rank_decay.phase_cells import SUCCESS, Diagram
from spectraledge.experiments.row_values import mean_of, share_words, status_within
from spectraledge.report import Verdict
from spectraledge.series import Interval, proportion_interval

__all__ = ["deviations", "stratified_mean", "verdicts"]

# Smaller leads and smaller deviations are of no interest.
MARGIN = 0.05
PAPER = "a larger region, mostly at train fractions 0.4 to 0.6 and rates 5e-4 to 5e-3"


def verdicts(found: Diagram) -> list[Verdict]:
    """Every claim; those without runs are undecided."""
    return [
        _as_published(found),
        _won_cells(found),
        _fairly(found),
        _equal_steps(found),
        _failed_cells(found),
    ]


def _as_published(found: Diagram) -> Verdict:
    claim = "As published, low-rank decay generalises where L2 fails"
    rule = (
        f"Succeeding means a best validation accuracy of at least {SUCCESS:g}. Of the cells of "
        "equal label in which only one succeeds, the share of low-rank decay with its exact 95 % "
        "interval, as if cells were independent: holds above one half."
    )
    outcomes = list(found.successes("published", _equal_labels(found)))
    l2, lrd = (sum(pair[side] and not pair[1 - side] for pair in outcomes) for side in (0, 1))
    if not outcomes:
        return Verdict(claim, PAPER, "not run yet", "undecided", rule)
    observed = f"only low-rank decay: {lrd}, only L2: {l2}, of {len(outcomes)} cells; one seed"
    if not l2 + lrd:
        return Verdict(claim, PAPER, observed, "undecided", rule)
    share = proportion_interval(lrd, l2 + lrd)
    return Verdict(claim, PAPER, f"{observed}; share {share_words(share)}",
                   decide(share, above=0.5), rule)  # fmt: skip


def _won_cells(found: Diagram) -> Verdict:
    claim = "The cells that low-rank decay wins as published are won when scored fairly"
    rule = (
        f"Of the cells in which only low-rank decay reaches {SUCCESS:g} as published, those in "
        "which its mean test accuracy at the end does so on the mirror-safe split, which hides "
        "both orders of a pair; holds above one half of them, by the exact interval of their share "
        "as if cells were independent."
    )
    won = [
        (fraction, label)
        for fraction in found.fractions
        for label in found.labels
        if _reaches(found, "published", "LRD", fraction, label)
        and _reaches(found, "published", "L2", fraction, label) is False
        and _reaches(found, "fair", "LRD", fraction, label) is not None
    ]
    if not won:
        words = "no cell won" if any(found.scores.values()) else "not run yet"
        return Verdict(claim, "not examined", words, "undecided", rule)
    ends, peaks = (
        sum(bool(_reaches(found, protocol, "LRD", *cell)) for cell in won)
        for protocol in ("fair", "fair, best")
    )
    share = proportion_interval(ends, len(won))
    observed = (
        f"{ends} of {len(won)}, share {share_words(share)}; by best accuracy over time "
        f"{peaks} of {len(won)}"
    )
    return Verdict(claim, "not examined", observed, decide(share, above=0.5), rule)


def _reaches(
    found: Diagram, protocol: str, decay: str, fraction: float, label: float
) -> bool | None:
    """Whether a cell succeeds on average over seeds; None if it is not known."""
    scores = found.of(protocol, decay, fraction, label)
    return float(np.mean(list(scores.values()))) >= SUCCESS if scores else None


def _equal_labels(found: Diagram) -> list[tuple[float, float]]:
    return [(label, label) for label in found.labels]


def _fairly(found: Diagram) -> Verdict:
    claim = "Scored fairly, at the published labels, low-rank decay is still ahead of L2"
    rule = (
        "Mirror-safe split, only Q and K decayed differently, accuracy on the test part at the "
        f"end. A label still means a step {found.ratio:.0f} times longer for low-rank decay. "
    )
    return _ahead(claim, "not examined", found, _equal_labels(found), rule)


def _equal_steps(found: Diagram) -> Verdict:
    claim = "At equal step length low-rank decay generalises where L2 fails"
    pairs = found.matched()
    words = ", ".join(f"{weak:g} of L2 with {strong:g}" for weak, strong in pairs)
    rule = (
        "Columns whose steps are equally long at initialisation, within a factor of 1.5: labels "
        f"{words or 'none'} of low-rank decay. Scored fairly. "
    )
    return _ahead(claim, "not examined: the axes share labels, not steps", found, pairs, rule)


def _ahead(
    claim: str, paper: str, found: Diagram, pairs: Sequence[tuple[float, float]], rule: str
) -> Verdict:
    rule += (
        f"Holds if the mean lead over these cells is above {MARGIN:g}, fails if it is below; the "
        "interval comes from the scatter of seeds within each train fraction."
    )
    lead = stratified_mean([list(g.values()) for g in found.gaps("fair", pairs).values()])
    if lead is None:
        return Verdict(claim, paper, "not run yet", "undecided", rule)
    outcomes = list(found.successes("fair", pairs))
    l2, lrd = (sum(pair[side] for pair in outcomes) for side in (0, 1))
    observed = (
        f"ahead by {share_words(lead.within(-1.0, 1.0))} in test accuracy; at least {SUCCESS:g} "
        f"in {lrd} of {len(outcomes)} cells, L2 in {l2}"
    )
    return Verdict(claim, paper, observed, decide(lead, above=MARGIN), rule)


def stratified_mean(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> Interval | None:
    """Mean over groups of their means, with an interval from the scatter within groups.

    ``m̄ ± t_ν · s`` with ``s² = Σ sᵍ²/nᵍ / G²``, and ν after Welch and Satterthwaite: differences
    between groups, which were chosen and not drawn, do not widen it.

    Args:
        groups: Values of each group, at least one a group.
        confidence: Coverage in (0, 1).

    Returns:
        The interval, without ends where a group has one value; None for no group.

    Source:
        Satterthwaite (1946), Biometrics Bulletin 2.
    """
    from scipy import stats

    if not groups:
        return None
    centre = float(np.mean([np.mean(values) for values in groups]))
    count = sum(len(values) for values in groups)
    if min(map(len, groups)) < 2:
        return Interval(centre, -np.inf, np.inf, 1)
    parts = np.array([np.var(v, ddof=1) / len(v) for v in groups]) / len(groups) ** 2
    spread = parts.sum()
    if spread == 0:
        return Interval(centre, centre, centre, count)
    freedom = spread**2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, groups))
    reach = float(stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(spread))
    return Interval(centre, centre - reach, centre + reach, count)


def deviations(found: Diagram) -> dict[float, list[float]]:
    """Best accuracy minus mirror share of the L2 cells that failed, by train fraction."""
    gaps: dict[float, list[float]] = {}
    for fraction in found.fractions:
        scores = [
            score
            for label in found.labels
            for score in found.of("published", "L2", fraction, label).values()
        ]
        failed = [score - found.shares[fraction] for score in scores if score < SUCCESS]
        if failed:
            gaps[fraction] = failed
    return gaps


def _failed_cells(found: Diagram) -> Verdict:
    claim = "The cells in which L2 fails show the mirror share of the validation set"
    paper = "not examined; the released cells do, to three digits up to fraction 0.6"
    rule = (
        f"Accuracy minus mirror share, averaged over the failed cells of a train fraction: holds "
        f"if the 95 % interval over fractions lies within ±{MARGIN:g}, fails if it lies outside. "
        "The score is a maximum over time, which pushes it up."
    )
    gaps = deviations(found)
    mean = mean_of([float(np.mean(values)) for values in gaps.values()], -1.0, 1.0)
    if mean is None:
        words = "no cell failed" if any(found.scores.values()) else "not run yet"
        return Verdict(claim, paper, words, "undecided", rule)
    every = [gap for values in gaps.values() for gap in values]
    observed = (
        f"above it by {share_words(mean)}, from {min(every):+.3f} to {max(every):+.3f} in "
        f"{len(every)} cells"
    )
    return Verdict(claim, paper, observed, status_within(mean, MARGIN), rule)
