"""Page of `is_collapse_causal`: what injections, projections and an early release did."""

from __future__ import annotations

from collections.abc import Sequence

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.collapse_claims import verdicts
from spectraledge.experiments.low_rank_decay.collapse_effects import (
    PLAIN,
    Findings,
    findings,
    lags_after_collapse,
)
from spectraledge.experiments.low_rank_decay.collapse_sections import (
    injection_section,
    projection_section,
    release_section,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.sizes import size_of
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import scaled_verdicts
from spectraledge.report import Page, Verdict

__all__ = ["collapse_page"]

FULLER = (
    "A larger budget would add seeds, several moments of injection and projection, and the "
    "published size (`--scale full`)."
)
SHORT = (
    "that putting the removed tail back destroys generalisation",
    "that a single projection to low rank makes L2 generalise sooner",
    "that holding L2 at low rank makes it generalise sooner",
    "that low rank is sufficient",
    "that low-rank decay may be released early",
)


def collapse_page(known: Known, scale: Scale) -> Page:
    """The page; see `is_collapse_causal`."""
    # The study imports its page.
    from spectraledge.experiments.low_rank_decay import is_collapse_causal as study

    size = size_of(scale)
    runs = study.intervention_runs(known, size)
    found = findings(
        known,
        runs,
        early=study.moments(size).early,
        budget=size.budgets[-1],
        kept=study.KEPT,
    )
    claims = scaled_verdicts(verdicts(found), scale)
    return Page(
        title=study.IsCollapseCausal.title,
        summary=_summary(claims, found),
        verdicts=claims,
        sections=[
            injection_section(found),
            *(projection_section(found, kind) for kind in found.projected),
            release_section(found),
            provenance_section(known, runs, size, FULLER),
        ],
    )


def _summary(claims: Sequence[Verdict], found: Findings) -> str:
    if not any(found.conditions.values()):
        return f"Nothing is known yet.\n\n{_WHAT}"
    words = {"holds": "Found", "fails": "Refuted", "undecided": "Left open"}
    told = {
        status: [name for name, v in zip(SHORT, claims) if v.status == status] for status in words
    }
    answer = " ".join(
        f"{words[status]}: {'; '.join(names)}." for status, names in told.items() if names
    )
    return f"{answer} {_numbers(found)}\n\n{_WHAT}"


def _numbers(found: Findings) -> str:
    """What the answer rests on, in one or two sentences."""
    told = []
    family = found.families["kept"]
    if family:
        shifts = [c.difference.centre for c in family]
        clear = sum(bool(c.direction) for c in family)
        told.append(
            f"Holding Q and K of L2 runs at low rank moves generalisation by {min(shifts):+.0f} to "
            f"{max(shifts):+.0f} steps, {clear} of {len(family)} told apart from none."
        )
    lags = lags_after_collapse(found.conditions[PLAIN], found.kept)
    lag = mean_of(float(steps) for steps in lags.values())
    if lag is not None:
        told.append(
            f"Under low-rank decay itself a stable rank of {found.kept} comes {short(lag)} steps "
            "before generalisation."
        )
    return " ".join(told)


_WHAT = (
    "That rank falls before a network generalises does not show that it must. Three interventions "
    "ask: the tail that low-rank decay removed is put back after generalisation, Q and K of an L2 "
    "run are projected to a few directions, and low-rank decay is released before it has done its "
    "work. If collapse carries the solution, the first destroys it; if collapse causes it, the "
    "second brings it forward."
)
