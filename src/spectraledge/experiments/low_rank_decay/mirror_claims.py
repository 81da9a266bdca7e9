"""Claims about the mirror leak, each checked against the plateaus."""

from __future__ import annotations

from collections.abc import Sequence

from spectraledge.experiments.gather import decide
from spectraledge.experiments.low_rank_decay.mirror_plateaus import LEFT, Plateau, excesses, middle
from spectraledge.experiments.row_values import mean_of, share_words, status_within
from spectraledge.report import Verdict

__all__ = ["verdicts"]

BASELINE, SAFE, SUBTRACTION = "L2", "L2, mirror-safe", "L2, subtraction"
# Accuracies this close count as equal, and this close to 0 or 1 as wrong or right.
MARGIN = 0.05
NOT_EXAMINED = "not examined"


def verdicts(found: Sequence[Plateau]) -> list[Verdict]:
    """Every claim; those without runs are undecided."""
    half = middle(found)
    return [
        _plateau_here(found, half),
        _plateau_everywhere(found),
        _subsets(_at(found, BASELINE, half)),
        _absent(
            _at(found, SAFE, half),
            "The mirror-safe split removes the plateau of the L2 baseline",
            "Both orders of a pair are on the same side of the split.",
        ),
        _absent(
            _at(found, SUBTRACTION, half),
            "Subtraction, which does not commute, has no plateau",
            "The published split; the mirror of a pair has another answer.",
        ),
    ]


def _at(found: Sequence[Plateau], name: str, fraction: float | None) -> Plateau | None:
    chosen = (p for p in found if p.condition == name and p.fraction == fraction)
    return next(chosen, None)


def _plateau_here(found: Sequence[Plateau], half: float | None) -> Verdict:
    where = f"At train fraction {half:g}" if half else "At train fraction one half"
    claim = f"{where} the plateau of the L2 baseline is the mirror share"
    paper = "below 0.5 throughout, read as failure"
    plateau = _at(found, BASELINE, half)
    excess = mean_of(plateau.excess, -1.0, 1.0) if plateau else None
    rule = (
        "Validation accuracy at the end minus the share of validation pairs whose mirror was "
        f"trained on, seed by seed: equal if the interval lies within ±{MARGIN:g}."
    )
    if excess is None:
        return Verdict(claim, paper, "not run yet", "undecided", rule)
    return Verdict(claim, paper, share_words(excess), status_within(excess, MARGIN), rule)


def _plateau_everywhere(found: Sequence[Plateau]) -> Verdict:
    claim = "The plateau of the L2 baseline is the mirror share at every train fraction"
    paper = "the failed cells of the released diagram are, up to 0.6"
    rule = (
        f"Runs that get at most {LEFT:g} of the other pairs right. Holds if at every fraction the "
        f"interval lies within ±{MARGIN:g}, fails if at one it lies outside; the intervals hold "
        "at once."
    )
    above = excesses(found, BASELINE)
    if not above:
        words = "no run on the plateau" if _any(found, BASELINE) else "not run yet"
        return Verdict(claim, paper, words, "undecided", rule)
    statuses = {status_within(interval, MARGIN) for interval in above.values()}
    status = "fails" if "fails" in statuses else "holds" if statuses == {"holds"} else "undecided"
    told = "; ".join(f"{f:g}: {share_words(interval)}" for f, interval in sorted(above.items()))
    left = [p.fraction for p in found if p.condition == BASELINE and not p.stays.any()]
    note = f"; none on it at {', '.join(f'{f:g}' for f in sorted(left))}" if left else ""
    return Verdict(claim, paper, f"above it by {told}{note}", status, rule)


def _any(found: Sequence[Plateau], name: str) -> bool:
    return any(p.condition == name for p in found)


def _subsets(plateau: Plateau | None) -> Verdict:
    claim = "Pairs with a trained mirror are right and all others wrong, under the L2 baseline"
    rule = f"Right means above {1 - MARGIN:g}, wrong below {MARGIN:g}."
    seen = mean_of(plateau.ends("mirror trained"), 0.0, 1.0) if plateau else None
    unseen = mean_of(plateau.ends("mirror not trained"), 0.0, 1.0) if plateau else None
    if seen is None or unseen is None:
        return Verdict(claim, NOT_EXAMINED, "not run yet", "undecided", rule)
    both = {decide(seen, above=1 - MARGIN), decide(unseen, below=MARGIN)}
    return Verdict(
        claim,
        NOT_EXAMINED,
        f"{share_words(seen)} of the pairs with a trained mirror and {share_words(unseen)} of the "
        "others",
        "holds" if both == {"holds"} else "fails" if "fails" in both else "undecided",
        rule,
    )


def _absent(plateau: Plateau | None, claim: str, what: str) -> Verdict:
    accuracy = mean_of(plateau.ends(), 0.0, 1.0) if plateau else None
    rule = f"{what} Absent means a validation accuracy below {MARGIN:g} at the end."
    if accuracy is None:
        return Verdict(claim, NOT_EXAMINED, "not run yet", "undecided", rule)
    return Verdict(claim, NOT_EXAMINED, share_words(accuracy), decide(accuracy, below=MARGIN), rule)
