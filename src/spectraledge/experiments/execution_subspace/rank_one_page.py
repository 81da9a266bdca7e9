"""Page of `rank_one_trajectory`: explained variance of trajectories beside its controls."""

from __future__ import annotations

from functools import partial

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.rank_one_claims import share_claims, start_claims
from spectraledge.experiments.execution_subspace.rank_one_horizon_claims import (
    equal_difference,
    horizon_claims,
)
from spectraledge.experiments.execution_subspace.rank_one_horizon_sections import (
    horizon_sections,
    run_section,
)
from spectraledge.experiments.execution_subspace.rank_one_sections import share_sections
from spectraledge.experiments.execution_subspace.regimes import OPERATIONS, regime_of
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    per_seed,
    seed_mean,
    surviving,
)
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import scaled_verdicts
from spectraledge.report import Page, Verdict, arm_colours

__all__ = ["rank_one_page", "rank_one_verdicts"]


def rank_one_page(title: str, known: Known, scale: Scale) -> Page:
    """The page; see `rank_one_trajectory`."""
    cells = Cells.of(known, regime_of(scale))
    colours = arm_colours(OPERATIONS)
    sections = [*share_sections(cells, colours), *horizon_sections(cells, colours)]
    return Page(
        title=title,
        summary=_summary(cells),
        verdicts=scaled_verdicts(rank_one_verdicts(cells), scale),
        sections=[*sections, run_section(cells)],
    )


def rank_one_verdicts(cells: Cells) -> list[Verdict]:
    """Every claim, decided at any scale."""
    return [*share_claims(cells), *start_claims(cells), *horizon_claims(cells)]


def _summary(cells: Cells) -> str:
    return (
        f"{_answer(cells)}\n\n"
        "The published claim is that attention weights move along about one principal component, "
        "far above a random walk, and that this sets runs that generalise apart. A share of 60 % "
        "is what diffusion gives, decay of the initial weights alone gives 100 %, and shares vary "
        "with the length of a run; so each number stands beside those controls."
    )


def _answer(cells: Cells) -> str:
    runs = cells.generalised()
    first = seed_mean(runs, "first_share", cells.means)
    if first is None:
        return "No run that generalised is known yet, so nothing can be said."
    walk = seed_mean(runs, "random_walk_share", cells.means)
    told = (
        f"Over the layers of runs that generalised, the first component explains "
        f"{share_words(first)} of the variance, where a random walk of the same steps gives "
        f"{share_words(walk)}."
    )
    pairs = (("W_V and W_O", ("value", "output")), ("W_Q and W_K", ("query", "key")))
    for name, kinds in pairs:
        left = mean_of(surviving(runs, cells.matrices(*kinds)))
        if left is not None:
            told += (
                f" Of that excess, the part {share_words(left)} of {name} is left without "
                "the decayed initial weights."
            )
    equal = mean_of(per_seed(runs, [partial(equal_difference, cells)]))
    if equal is not None:
        told += f" Over equal steps, hard operations differ by {share_words(equal)}."
    return told
