"""The page of the boundary study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.boundary_claims import (
    boundary_words,
    difference_words,
    verdicts,
)
from spectraledge.experiments.low_rank_decay.boundary_details import times_section, tuning_section
from spectraledge.experiments.low_rank_decay.boundary_estimates import (
    BASELINE,
    LRD,
    Ladder,
    Shift,
    ladders,
    planned,
    shifts,
)
from spectraledge.experiments.low_rank_decay.boundary_sections import (
    boundaries_section,
    differences_section,
    success_section,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import grid
from spectraledge.experiments.study import Known
from spectraledge.report import Page, Section
from spectraledge.training import RunSpec

__all__ = ["boundary_page", "boundary_page_of"]

FULLER = (
    "More seeds narrow all intervals (by half for four times as many), and the arms that cannot be "
    "told apart here are the ones to gain from it; the published size with the same ladder is the "
    "scale “full” of this study."
)


def boundary_page(known: Known, scale: Scale) -> Page:
    """Boundaries, differences to L2, tuning, survival curves and verdicts.

    Args:
        known: What is known; any part of what the study wants.
        scale: Its scale.

    Returns:
        The page.
    """
    # A smoke run decides nothing, however often its seeds are drawn.
    draws = 100 if scale == "smoke" else 1000
    return boundary_page_of(known, size_of(scale), scale, draws)


def boundary_page_of(known: Known, size: Size, scale: Scale, resamples: int = 1000) -> Page:
    """The same at any size.

    Args:
        known: What is known.
        size: Fractions, seeds, steps.
        scale: What the size counts as; at ``smoke`` nothing is decided.
        resamples: Draws of the seeds for the intervals.

    Returns:
        The page.
    """
    found = ladders(known, size, resamples)
    compared = shifts(found, size, resamples)
    return Page(
        "Does low-rank decay move the train fraction needed to generalise?",
        summary=f"{_answer(found, compared, size)}\n\n{_reading(scale)}",
        verdicts=verdicts(found, compared, size, scale),
        sections=[
            boundaries_section(found, size),
            differences_section(compared, size),
            success_section(found, size),
            times_section(known, found, size),
            tuning_section(known, size),
            _provenance(known, found, size),
        ],
    )


def _reading(scale: Scale) -> str:
    smoke = "This is a smoke run: it shows that everything works and nothing else. "
    return (
        (smoke if scale == "smoke" else "")
        + "A claim holds or fails only if the whole interval lies on one side of its threshold; "
        "otherwise it is undecided. Intervals of comparisons hold with 95 % for all of them "
        "together."
    )


def _answer(found: Sequence[Ladder], compared: Sequence[Shift], size: Size) -> str:
    """Two sentences: where the boundaries lie, and how far low-rank decay moves that of L2."""
    budget = size.budgets[-1]
    where = {one.label: one.logistic[budget] for one in found if budget in one.logistic}
    if BASELINE not in where or LRD not in where:
        return "The boundaries of L2 and of low-rank decay are not known yet."
    names = {LRD: "under low-rank decay", BASELINE: "under L2", "no decay": "without decay of Q "
             "and K", "norm held": "with their norm merely held"}  # fmt: skip
    places = [f"{boundary_words(where[a])} {words}" for a, words in names.items() if a in where]
    first = (
        f"Within {budget} steps half of the seeds generalise from a train fraction of "
        f"{', '.join(places)}, every arm at its own best setting."
    )
    own = {(s.label, s.baseline): s for s in compared if s.budget == budget}
    parts = [
        f"{_moved(own[pair])} {words}"
        for pair, words in (
            ((LRD, BASELINE), "with each at its best"),
            ((f"{LRD}, matched", BASELINE), "at the setting of L2"),
        )
        if pair in own
    ]
    if not parts:
        return first
    return f"{first} Compared with L2 on the same seeds, low-rank decay {' and '.join(parts)}."


def _moved(shift: Shift) -> str:
    at = shift.family
    words = difference_words(at)
    if at.upper < 0:
        return f"needs less data ({words})"
    if at.lower > 0:
        return f"needs more data ({words})"
    if np.isfinite([at.lower, at.upper]).all():
        return f"cannot be told apart ({words})"
    return f"is not decided ({words})"


def _provenance(known: Known, found: Sequence[Ladder], size: Size) -> Section:
    runs: Mapping[str, Sequence[RunSpec]] = {"tuning": grid(size)} | {
        one.label: one.runs for one in found
    }
    text = (
        f"The {len(planned(matched=False))} comparisons of tuned arms and the "
        f"{len(planned(matched=True))} at the setting of L2 are a family each, whether all are run "
        f"or not. {FULLER}"
    )
    return provenance_section(known, runs, size, text)
