"""Arms at their settings, and the runs that find where each begins to generalise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.outcomes import has_generalised
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.low_rank_decay.tuning import Setting, tuned
from spectraledge.experiments.study import Known
from spectraledge.training import RunSpec

__all__ = ["HEADLINE", "MATCHED", "MORE", "Contender", "contenders", "ladder_runs", "runs_at"]

# Arms whose strength means the length of a step, so that the setting of L2 means the same to them.
MATCHED = ("LRD", "LRD absolute", "LRD published step")
# Arms that the answer of the study hangs on; on a ladder they get `MORE` times the seeds.
HEADLINE = ("no decay", "L2", "LRD", "norm held", "LRD, matched")
MORE = 3


@dataclass(frozen=True)
class Contender:
    """An arm at a setting.

    Args:
        label: What figures call it.
        arm: Name of the arm.
        setting: Strength and learning rate.
    """

    label: str
    arm: str
    setting: Setting


def contenders(known: Known, size: Size) -> list[Contender]:
    """Every arm at its best setting, and the matched ones at that of L2, as far as tuned."""
    found = tuned(known, size)
    own = [Contender(arm, arm, setting) for arm, setting in found.items()]
    if "L2" not in found:
        return own
    return own + [Contender(f"{arm}, matched", arm, found["L2"]) for arm in MATCHED]


def runs_at(
    contender: Contender, fraction: float, size: Size, seeds: Iterable[int] | None = None
) -> list[RunSpec]:
    """Runs of a contender at one fraction, all seeds of the size by default."""
    chain = chain_of(contender.arm, contender.setting.strength, size)
    return size.runs(chain, lr=contender.setting.lr, task=size.task(fraction), seeds=seeds)


def ladder_runs(known: Known, contender: Contender, size: Size) -> list[RunSpec]:
    """Runs of the bisection as far as it has come, and of the ladder once it is known.

    Args:
        known: Decides how the bisection goes on.
        contender: Whose boundary.
        size: Fractions, seeds and steps.

    Returns:
        Few seeds at the fractions of the bisection, all seeds at those of the ladder, and more for
        the arms that the answer of the study hangs on.
    """
    few = size.seeds[: size.bisection.trials]
    runs: list[RunSpec] = []
    seen: dict[float, tuple[int, int]] = {}
    while (middle := size.bisection.bracket(seen)[2]) is not None:
        chosen = runs_at(contender, middle, size, few)
        runs += chosen
        rows = [known.row(spec) for spec in chosen]
        if any(row is None for row in rows):
            return runs
        # A run that failed did not generalise.
        won = sum(r is not None and r.state != "failed" and has_generalised(r) for r in rows)
        seen[middle] = (won, len(rows))
    rungs = size.bisection.next_fractions(seen)
    seeds = size.more_seeds[: MORE * len(size.seeds)] if contender.label in HEADLINE else None
    return runs + [run for rung in rungs for run in runs_at(contender, rung, size, seeds)]
