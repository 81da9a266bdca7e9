"""Claims of `rank_one_trajectory` about windows, horizons and runs without decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite, nan

import numpy as np

from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY
from spectraledge.experiments.execution_subspace.rank_one_claims import UNKNOWN, concluded
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    Run,
    per_seed,
    share_at,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["EARLY", "end_difference", "equal_difference", "horizon_claims"]

# First measurement that is taken for the beginning of a long run.
EARLY = 1000
# A fifth of the published gap between grokking and hard operations.
RELEVANT = 0.05
FIRST = "first_share"
Measure = Callable[[Run], float]


def horizon_claims(cells: Cells) -> list[Verdict]:
    """Growth of the window, equal horizons, and runs without decay."""
    return [*_windows(cells), _hard_at_equal_steps(cells), _length(cells), *_decay(cells)]


def _share_of_training(cells: Cells, output: str, part: float) -> Measure:
    """W_V of the last layer after a share of the steps to where the published run stopped."""
    scope = f"{cells.last_layer}.attention.value"

    def read(run: Run) -> float:
        stop = run.stop
        return nan if stop is None else share_at(run, output, scope, part * stop)

    return read


def _windows(cells: Cells) -> list[Verdict]:
    def shares(output: str) -> list[Measure]:
        return [_share_of_training(cells, output, part) for part in (0.15, 0.4, 1.0)]

    early, middle, late = shares(FIRST)
    runs, whole = cells.generalised(), cells.whole(cells.grokking)
    means = [mean_of(per_seed(runs, [m])) for m in (early, middle, late)]
    walks = [mean_of(per_seed(runs, [m])) for m in shares("random_walk_share")]
    paper = "caption: rises with training; released curve: 80 → 70 → 78 % (W_V, last layer)"
    rule = (
        "W_V of the last layer over the window from the start to 15 %, 40 % and all of the steps "
        "to where the published run stopped; means over grokking operations. "
    )
    rise = mean_of(per_seed(runs, [lambda run: late(run) - early(run)]))
    turn = mean_of(per_seed(
        runs, [lambda run: min(early(run), late(run)) - middle(run)]
    ))  # fmt: skip
    words = f"{_path(means)}; random walk {_path(walks)}"
    first = "Concentration increases over training"
    second = "The share falls and rises again over training"
    if rise is None or turn is None:
        return [Verdict(claim, paper, UNKNOWN, "undecided", rule) for claim in (first, second)]
    rise_words = f"{words}; change {share_words(rise)}"
    turn_words = f"{words}; ends above the middle by {share_words(turn)}"
    return [
        concluded(first, paper, rise_words, decide(rise, above=0),
                  f"{rule}Decided on the change from 15 % to the end.", whole=whole),
        concluded(second, paper, turn_words, decide(turn, above=0),
                  f"{rule}Decided on the lower of both ends less the middle.", whole=whole),
    ]  # fmt: skip


def _path(means: Sequence[Interval | None]) -> str:
    return " → ".join("–" if mean is None else f"{mean.centre:.3f}" for mean in means)


def equal_difference(cells: Cells, run: Run, scopes: Sequence[str] | None = None) -> float:
    """Share of a run less that of the hard operations at the step where it stopped."""
    stop = run.stop
    return nan if stop is None else _difference(cells, run, scopes or cells.means, stop, stop)


def end_difference(cells: Cells, run: Run, scopes: Sequence[str] | None = None) -> float:
    """The same with the hard operations at their own, later end, as published."""
    stop = run.stop
    end = float("inf")
    return nan if stop is None else _difference(cells, run, scopes or cells.means, stop, end)


def _difference(cells: Cells, run: Run, scopes: Sequence[str], own: float, other: float) -> float:
    partners = [cells.partner(run, operation) for operation in cells.hard]
    # A hard run that generalised by chance is no example of one that does not.
    partners = [p for p in partners if p.stop is None]
    values = [
        share_at(run, FIRST, scope, own) - share_at(partner, FIRST, scope, other)
        for partner in partners
        for scope in scopes
    ]
    known = [value for value in values if isfinite(value)]
    return float(np.mean(known)) if known else nan


def _hard_at_equal_steps(cells: Cells) -> Verdict:
    claim = "Operations that generalise have more concentrated trajectories over equal steps"
    paper = "68.9–75.8 % against 42.4–48.8 %, after some 3000 against 200,000 steps"
    rule = (
        "Each generalising run less the hard operations of the same seed, all cut at the step "
        f"where it stopped; layer means. Holds if the interval is above {RELEVANT:g}, a fifth of "
        "the published gap; fails if it is below."
    )
    runs = cells.generalised()
    equal = mean_of(per_seed(runs, [partial(equal_difference, cells)]))
    if equal is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    uncut = mean_of(per_seed(runs, [partial(end_difference, cells)]))
    words = f"difference {share_words(equal)}; {share_words(uncut)} if hard runs go on to their end"
    whole = cells.whole(cells.regime.operations)
    return concluded(claim, paper, words, decide(equal, above=RELEVANT), rule, whole=whole)


def _length(cells: Cells) -> Verdict:
    claim = "The share of hard operations falls with the length of the run"
    paper = "released curve of W_V: 76 % at 10,000 steps, 43 % at 200,000"
    rule = (
        f"Layer means of the hard operations at their end less those at step {EARLY}, which is "
        "the same run with a shorter window."
    )
    runs = cells.runs(cells.hard)

    def change(scope: str, output: str, run: Run) -> float:
        return share_at(run, output, scope) - share_at(run, output, scope, EARLY)

    def mean_change(output: str) -> Interval | None:
        return mean_of(per_seed(
            runs, [partial(change, scope, output) for scope in cells.means]
        ))  # fmt: skip

    fall, walk = mean_change(FIRST), mean_change("random_walk_share")
    if fall is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    words = f"change {share_words(fall)}; of the random walk {share_words(walk)}"
    return concluded(
        claim, paper, words, decide(fall, below=0), rule, whole=cells.whole(cells.hard)
    )


def _decay(cells: Cells) -> list[Verdict]:
    return [_less_without_decay(cells), _walk_without_decay(cells)]


def _less_without_decay(cells: Cells) -> Verdict:
    claim = "The first component explains more with decay than without, over equal steps"
    paper = "grokking operations 68.9–75.8 % against 55.9–68.8 %, after 3000 against 50,000 steps"
    rule = (
        "Grokking operations: each run with decay less the run of the same seed without, both cut "
        "at the step where the first stopped; layer means."
    )

    def paired(scope: str, run: Run) -> float:
        stop, other = run.stop, cells.partner(run, decay=NO_DECAY)
        if stop is None:
            return nan
        return share_at(run, FIRST, scope, stop) - share_at(other, FIRST, scope, stop)

    measures = [partial(paired, scope) for scope in cells.means]
    found = mean_of(per_seed(cells.generalised(), measures))
    if found is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    whole = cells.whole(cells.grokking, DECAY, NO_DECAY)
    words = f"difference {share_words(found)}"
    return concluded(claim, paper, words, decide(found, above=0), rule, whole=whole)


def _walk_without_decay(cells: Cells) -> Verdict:
    claim = "Without decay too, the first component is above that of a random walk"
    paper = "not compared; shares 55.9–68.8 % released, “15–30 %” in a later text"
    rule = (
        "Runs of the grokking operations without decay at their end, where nothing shrinks the "
        "initial weights: the plain share less that of the walk, mean over layers."
    )
    runs = cells.runs(cells.grokking, NO_DECAY)

    def ends(output: str) -> Interval | None:
        return mean_of(per_seed(
            runs, [partial(share_at, output=output, scope=scope) for scope in cells.means]
        ))  # fmt: skip

    excess = ends("excess")
    if excess is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    words = f"excess {share_words(excess)}; share {share_words(ends(FIRST))}"
    whole = cells.whole(cells.grokking, NO_DECAY)
    return concluded(claim, paper, words, decide(excess, above=0), rule, whole=whole)
