"""Claims about the causal role of rank collapse, each checked against the interventions."""

from __future__ import annotations

from collections.abc import Sequence

from spectraledge.experiments.gather import decide
from spectraledge.experiments.low_rank_decay.collapse_effects import (
    AFTER,
    PLAIN,
    RANDOM,
    RELEASED,
    TAIL,
    Findings,
    Injection,
    lags_after_collapse,
    prompt_share,
)
from spectraledge.experiments.low_rank_decay.outcomes import has_generalised
from spectraledge.experiments.low_rank_decay.paired_comparisons import Comparison, comparison_words
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.study_sections import Rows
from spectraledge.report import Verdict
from spectraledge.series import proportion_interval

__all__ = ["verdicts"]

# A run below this accuracy is said to have lost its solution.
LOST = 0.5
# What suffices works in most runs; eight of eight show more than this, one of eight less.
SUFFICES = 0.6


def verdicts(found: Findings) -> list[Verdict]:
    """Every claim.

    Args:
        found: What the interventions did.

    Returns:
        The verdicts, those without runs undecided.
    """
    return [
        _tail_destroys(found.injections[TAIL], found.injections[RANDOM]),
        *(_projection_helps(kind, family) for kind, family in found.families.items()),
        _low_rank_suffices(found),
        _release_keeps(found),
    ]


def _tail_destroys(tail: Injection, random: Injection) -> Verdict:
    claim = "Putting the removed tail back destroys generalisation"
    paper = "not examined; implied if the collapse carries the solution"
    rule = (
        f"Destroyed means a mean accuracy below {LOST:g} right after the injection, over the "
        "seeds that had generalised and were still right at the last record before it."
    )
    if tail.after is None:
        return Verdict(claim, paper, _nobody(tail), "undecided", rule)
    observed = (
        f"accuracy {share_words(tail.before)} → {share_words(tail.after)}, {AFTER} steps later "
        f"{share_words(tail.later)}, on {len(tail.moments)} of {tail.known} seeds; "
        f"with a random tail → {share_words(random.after)}"
    )
    return Verdict(claim, paper, observed, decide(tail.after, below=LOST), rule)


def _nobody(tail: Injection) -> str:
    if not tail.known:
        return "no run generalised early enough yet"
    return (
        f"of {tail.known} seeds {tail.generalised} had generalised before the injection, and none "
        "of them was still right then"
    )


def _projection_helps(kind: str, found: Sequence[Comparison]) -> Verdict:
    words = {"once": "a single time", "kept": "for good"}[kind]
    claim = f"Projecting Q and K to rank k, {words}, makes L2 generalise sooner"
    paper = "not examined; implied if the collapse causes generalisation"
    rule = (
        "Holds if it does for some k, fails if for every k the whole interval lies at or above 0; "
        f"the intervals hold for all {len(found)} ranks at once."
    )
    if not found:
        return Verdict(claim, paper, "not run yet", "undecided", rule)
    statuses = {decide(c.difference, below=0.0) for c in found}
    status = "holds" if "holds" in statuses else "fails" if statuses == {"fails"} else "undecided"
    told = "; ".join(f"{_rank(c.arm)}: {comparison_words(c)}" for c in found)
    return Verdict(claim, paper, told, status, rule)


def _rank(arm: str) -> str:
    return arm.removeprefix("L2, ").rpartition(" ")[0]


def _low_rank_suffices(found: Findings) -> Verdict:
    claim = "Low rank of Q and K is sufficient for generalisation"
    paper = "implied: rank collapse is read as what makes it generalise"
    rule = (
        f"Sufficient means that more than {SUFFICES:.0%} of the L2 runs held at rank k from step "
        f"{found.early} on generalise within {AFTER} steps (those that had before are left out). "
        "Holds if so for some k, fails if for no k could it be."
    )
    kept = found.projected["kept"]
    shares = {arm: prompt_share(rows, found.early, AFTER) for arm, rows in kept.items()}
    shown = {arm: share for arm, share in shares.items() if share is not None}
    if not shown:
        return Verdict(claim, paper, "not run yet", "undecided", rule)
    statuses = {decide(share, above=SUFFICES) for share in shown.values()}
    status = "holds" if "holds" in statuses else "fails" if statuses == {"fails"} else "undecided"
    told = "; ".join(
        f"{_rank(arm)}: {round(s.centre * s.count)} of {s.count}" for arm, s in shown.items()
    )
    return Verdict(
        claim, paper, f"{told}{_lag_words(found.conditions[PLAIN], found.kept)}", status, rule
    )


def _lag_words(low_rank: Rows, rank: int) -> str:
    lags = lags_after_collapse(low_rank, rank)
    lag = mean_of([float(steps) for steps in lags.values()])
    if lag is None:
        return ""
    return (
        f"; under low-rank decay {len(lags)} of {len(low_rank)} runs both collapse to stable rank "
        f"{rank} and generalise, the latter {short(lag)} steps after the former"
    )


def _release_keeps(found: Findings) -> Verdict:
    released, budget = found.conditions[RELEASED], found.budget
    claim = f"Released at step {found.early}, low-rank decay still leads to generalisation"
    paper = "not examined"
    rule = (
        "From then on L2 of the same strength takes its place. Holds if more than half of the "
        f"runs generalise within {budget} steps, by the exact interval of their share."
    )
    if not released:
        return Verdict(claim, paper, "not run yet", "undecided", rule)
    won = sum(has_generalised(row, budget) for row in released.values())
    share = proportion_interval(won, len(released))
    told = f"{won} of {len(released)} generalise, share {share_words(share)}"
    if found.release:
        told += f"; against low-rank decay throughout: {comparison_words(found.release[0])}"
    return Verdict(claim, paper, told, decide(share, above=0.5), rule)
