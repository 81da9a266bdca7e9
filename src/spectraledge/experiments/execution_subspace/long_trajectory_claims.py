"""Claims of `long_trajectory`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf, nan

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.long_trajectory_runs import (
    GENERALISING,
    HORIZON,
    PUBLISHED_STEPS,
    all_reached,
    not_learned,
)
from spectraledge.experiments.execution_subspace.rank_one_claims import UNKNOWN, concluded
from spectraledge.experiments.execution_subspace.rank_one_horizon_claims import RELEVANT
from spectraledge.experiments.execution_subspace.released_shares import LAYER_MEANS
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    Run,
    per_seed,
    share_at,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["BEGINNING", "long_trajectory_verdicts"]

FIRST = "first_share"
# Share of the run at which the released curve is first read, 10,000 of 200,000 steps.
BEGINNING = 0.05
# Tolerance of a reproduction, in shares.
NEAR = 0.02
PAPER = "68.9–75.8 % after some 3000 steps against 42.4–48.8 % after 200,000"


def long_trajectory_verdicts(cells: Cells, scale: Scale) -> list[Verdict]:
    """Every claim; that of the released numbers at the published size alone."""
    verdicts = [_below_walk(cells), _falls(cells), _sets_apart(cells)]
    return [_as_released(cells), *verdicts] if scale == "full" else verdicts


def _over(
    found: Iterable[Run], scopes: Iterable[str], output: str, step: float = inf
) -> Interval | None:
    measures = [partial(share_at, output=output, scope=scope, step=step) for scope in scopes]
    return mean_of(per_seed(found, measures))


def _as_released(cells: Cells) -> Verdict:
    claim = "Layer means of the hard operations are the released ones within two points"
    paper = "42.4 and 45.2 % (x2_xy_y2), 48.8 and 48.3 % (x3_xy)"
    rule = (
        "Largest difference of a layer mean at the end of a run, over both hard operations and "
        f"layers of a seed. Holds if its interval is below {NEAR:g}."
    )

    def differences(run: Run) -> float:
        pairs = [(share_at(run, FIRST, mean), LAYER_MEANS[run.operation, layer][0] / 100)
                 for layer, mean in enumerate(cells.means)]  # fmt: skip
        return max(abs(own - released) for own, released in pairs)

    found = mean_of(per_seed(not_learned(cells), [differences], max))
    if found is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    ends = "; ".join(f"{o}, {words}" for o, words in _ends(cells).items())
    words = f"{ends}; largest difference {share_words(found)}"
    status = decide(found, below=NEAR)
    whole = all_reached(cells, cells.hard, PUBLISHED_STEPS)
    return concluded(claim, paper, words, status, rule, whole=whole)


def _ends(cells: Cells) -> dict[str, str]:
    return {
        operation: f"after {min(run.row.steps_taken for run in own):,} steps "
        + " and ".join(share_words(_over(own, [mean], FIRST)) for mean in cells.means)
        for operation in cells.hard
        if (own := cells.runs([operation]))
    }


def _below_walk(cells: Cells) -> Verdict:
    least = min(HORIZON, cells.regime.steps)
    claim = f"After {least:,} steps and more PC1 of hard operations is below that of a random walk"
    paper = "−73 to −30 deviations in the released figure; “all operations above 5 σ” in the text"
    rule = "Mean over attention matrices and hard operations at the end, less that of the walk."
    excess = _over(not_learned(cells), cells.matrices(), "excess")
    if excess is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    lowest, highest = (
        short(mean_of(per_seed(not_learned(cells), [partial(share_at, output="z_score", scope=s)
                                           for s in cells.matrices()], g)))
        for g in (min, max)
    )  # fmt: skip
    words = f"excess {share_words(excess)}; z from {lowest} to {highest}"
    status = decide(excess, below=0)
    return concluded(claim, paper, words, status, rule, whole=all_reached(cells, cells.hard))


def _falls(cells: Cells) -> Verdict:
    claim = "PC1 of hard operations falls with the length of the run"
    paper = "released curve of W_V: 76 % at 10,000 steps, 43 % at 200,000"
    start = BEGINNING * cells.regime.steps
    rule = f"Mean over attention matrices at the end less that after {start:,.0f} steps."
    hard, matrices = not_learned(cells), cells.matrices()
    change = _change(hard, matrices, start)
    if change is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    beside = _change(cells.runs([GENERALISING]), matrices, start)
    words = (
        f"{share_words(_over(hard, matrices, FIRST, start))}, then "
        f"{share_words(_over(hard, matrices, FIRST))}: change {share_words(change)}; "
        f"of {GENERALISING}, which generalises, {share_words(beside)}"
    )
    status = decide(change, below=0)
    return concluded(claim, paper, words, status, rule, whole=all_reached(cells, cells.hard))


def _change(found: Iterable[Run], scopes: Iterable[str], start: float) -> Interval | None:
    def change(scope: str) -> Callable[[Run], float]:
        return lambda run: share_at(run, FIRST, scope) - share_at(run, FIRST, scope, start)

    return mean_of(per_seed(found, [change(scope) for scope in scopes]))


def _sets_apart(cells: Cells) -> Verdict:
    claim = "Over runs of equal length, one that generalises is more concentrated than hard ones"
    rule = (
        f"{GENERALISING} less the hard operations of the same seed, both at the last step that "
        f"both reached; mean over attention matrices. Holds above {RELEVANT:g}, a fifth of the "
        "published gap; fails below it."
    )
    measures = [partial(_difference, cells, scope) for scope in cells.matrices()]
    found = mean_of(per_seed(not_learned(cells), measures))
    if found is None:
        return Verdict(claim, PAPER, UNKNOWN, "undecided", rule)
    words = f"difference {share_words(found)}"
    status = decide(found, above=RELEVANT)
    return concluded(
        claim, PAPER, words, status, rule, whole=all_reached(cells, cells.regime.operations)
    )


def _difference(cells: Cells, scope: str, run: Run) -> float:
    partner = cells.partner(run, GENERALISING)
    if partner.stop is None:
        return nan
    step = min(run.row.steps_taken, partner.row.steps_taken)
    return share_at(partner, FIRST, scope, step) - share_at(run, FIRST, scope, step)
