"""Claims about norm and rank, each decided by the interval of one contrast."""

from __future__ import annotations

from typing import Literal

from spectraledge.experiments.base import Scale
from spectraledge.experiments.gather import decide
from spectraledge.experiments.low_rank_decay.norm_or_rank_contrasts import (
    ANTI,
    CLAMP,
    CONTRASTS,
    FREE,
    FROZEN,
    HELD,
    L2,
    LRD,
    MARGIN,
    SPHERE,
    Contrast,
    Measured,
)
from spectraledge.experiments.low_rank_decay.outcomes import times_of
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study_sections import p_words, scaled_verdicts
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["answer", "status_of", "verdicts"]

NAMES = {
    LRD: "under low-rank decay",
    L2: "under L2",
    FREE: "without decay of Q and K",
    CLAMP: "with the norms of low-rank decay but no rank pressure",
    SPHERE: "with its rank pressure at constant norm",
    ANTI: "with the opposite pressure at constant norm",
    HELD: "with the norm held small and no decay",
    FROZEN: "with Q and K frozen",
}
Status = Literal["holds", "fails", "undecided"]


def verdicts(found: Measured, scale: Scale) -> list[Verdict]:
    """Every claim; undecided where runs are missing, and all of them at smoke scale."""
    return scaled_verdicts([_verdict(contrast, found) for contrast in CONTRASTS], scale)


def status_of(contrast: Contrast, found: Measured) -> Status:
    """What the interval of a contrast says of its claim."""
    compared = found.contrasts.get(contrast.name)
    if compared is None or not found.whole(contrast.first, contrast.second):
        return "undecided"
    if contrast.relation == "later":
        return decide(compared.difference, above=0.0)
    limit = MARGIN * found.budget if contrast.relation == "as well" else 0.0
    return decide(compared.difference, below=limit)


def _verdict(contrast: Contrast, found: Measured) -> Verdict:
    meaning = {
        "sooner": "The claim is that the difference is below 0.",
        "later": "The claim is that the difference is above 0.",
        "as well": f"As well means later by less than {MARGIN * found.budget:.0f} steps, a tenth "
        "of the budget.",
    }[contrast.relation]
    return Verdict(
        contrast.claim,
        contrast.published,
        _observed(contrast, found),
        status_of(contrast, found),
        f"{meaning} {contrast.note}".strip(),
    )


def _observed(contrast: Contrast, found: Measured) -> str:
    compared = found.contrasts.get(contrast.name)
    if compared is None:
        return "not run yet"
    pairs = len(compared.seeds)
    first, second = (int(t.observed.sum()) for t in (compared.own, compared.reference))
    words = (
        f"{contrast.name}: {short(compared.difference)} steps (p = {p_words(compared.p)}); "
        f"{first} against {second} of {pairs} generalise"
    )
    whole = found.whole(contrast.first, contrast.second)
    return words + ("" if whole else "; runs are missing yet")


def answer(found: Measured, fraction: float) -> str:
    """Two sentences: who generalises, and how the controls compare with low-rank decay."""
    if LRD not in found.rows:
        return "The runs of low-rank decay are not known yet."
    counts = []
    for arm, words in NAMES.items():
        if arm in found.rows:
            times = times_of(found.rows[arm].values(), found.budget)
            counts.append(f"{int(times.observed.sum())} of {times.count} {words}")
    first = (
        f"At train fraction {fraction:g}, seeds that generalise within {found.budget} steps: "
        f"{', '.join(counts)}."
    )
    parts = [
        f"{short(own.difference)} {NAMES[arm]} ({_word(own.difference, found.budget)})"
        for arm in (SPHERE, CLAMP, HELD)
        if (own := found.contrasts.get(f"{arm} − {LRD}"))
    ]
    return (
        f"{first} Steps later than low-rank decay itself: {', '.join(parts)}." if parts else first
    )


def _word(difference: Interval, budget: int) -> str:
    if difference.lower > 0:
        return "later"
    if difference.upper < 0:
        return "sooner"
    return "as well" if difference.upper < MARGIN * budget else "not told apart"
