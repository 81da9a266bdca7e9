"""The page of norm or rank."""

from __future__ import annotations

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.norm_or_rank_claims import answer, verdicts
from spectraledge.experiments.low_rank_decay.norm_or_rank_contrasts import measured
from spectraledge.experiments.low_rank_decay.norm_or_rank_sections import (
    contrasts_section,
    spectrum_section,
    times_section,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import grid
from spectraledge.experiments.study import Known
from spectraledge.report import Page

__all__ = ["norm_or_rank_page", "norm_or_rank_page_of"]

FULLER = (
    "More seeds narrow the intervals, by half for four times as many; other train fractions would "
    "say whether the answer depends on how hard the task is, and the published size is the scale "
    "“full” of this study."
)


def norm_or_rank_page(known: Known, scale: Scale) -> Page:
    """Survival curves, norms and ranks, paired differences and verdicts.

    Args:
        known: What is known; any part of what the study wants.
        scale: Its scale.

    Returns:
        The page.
    """
    return norm_or_rank_page_of(known, size_of(scale), scale)


def norm_or_rank_page_of(known: Known, size: Size, scale: Scale) -> Page:
    """The same at any size.

    Args:
        known: What is known.
        size: Fraction, seeds, steps.
        scale: What the size counts as; at ``smoke`` nothing is decided.

    Returns:
        The page.
    """
    # The study imports its page.
    from spectraledge.experiments.low_rank_decay import norm_or_rank as study

    runs = study.paired_runs(known, size)
    found = measured(known, runs, size.budgets[-1])
    return Page(
        study.NormOrRank.title,
        summary=f"{answer(found, size.fraction)}\n\n{_reading(scale)}",
        verdicts=verdicts(found, scale),
        sections=[
            times_section(found, size.fraction),
            contrasts_section(found),
            spectrum_section(found),
            provenance_section(known, {"tuning": grid(size, study.TUNED), **runs}, size, FULLER),
        ],
    )


def _reading(scale: Scale) -> str:
    smoke = "This is a smoke run: it shows that everything works and nothing else. "
    return (
        (smoke if scale == "smoke" else "")
        + "Every verdict rests on the difference of two arms in mean steps, paired by seed. It "
        "holds or fails only if the whole interval, which holds with 95 % for all pairs together, "
        "lies on one side of its threshold; otherwise it is undecided."
    )
