"""Components and alignment over learning rates: numbers of runs, and what they say of each claim.

The published numbers are those of one run each: the turnover of PC1 before generalisation, and the
alignment of the trajectory with commutators at three checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from types import MappingProxyType
from typing import Literal

from spectraledge.experiments.execution_subspace.defect_records import DefectRun
from spectraledge.experiments.execution_subspace.projection_curves import ALIGNMENT
from spectraledge.experiments.execution_subspace.trajectory_shares import curve_name
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import short, value_at
from spectraledge.experiments.seed_intervals import geometric_interval, share_by_seeds
from spectraledge.report import Verdict
from spectraledge.series import Interval, turnover_step

__all__ = [
    "CHECKPOINTS",
    "COSINE",
    "LEARNED",
    "SHARE",
    "Turned",
    "alignment_at",
    "cosines",
    "geometry_verdicts",
    "measured_rates",
    "turnover",
    "turnovers",
]

Status = Literal["holds", "fails", "undecided"]
NOT_RUN = "not run yet"
# An exact one-sided bound of 95 %: five seeds that all do the same can pass one half.
ONE_SIDED = 0.9
BOUND = "exact one-sided 95 % bound of as many trials as there are seeds"
SHARE = curve_name("first_share", "attention")
COSINE = f"{ALIGNMENT}/cosine_ratio:all"
LEARNED = f"{ALIGNMENT}/cosine_ratio:attention_without_decay"
# Steps after grok_90 of the last published checkpoint.
AFTER = 500
Step = Callable[[DefectRun], float | None]
# A run that generalises, its grok_95, and the turnover of its PC1.
Turned = tuple[DefectRun, int, int | None]


def _spike(run: DefectRun) -> float | None:
    grok = run.grok("grok_90")
    return None if grok is None else 0.85 * grok


def _after(run: DefectRun) -> float | None:
    grok = run.grok("grok_90")
    return None if grok is None else min(grok + AFTER, run.watched)


# "Spike" is the published name of 0.85 grok_90; it is not the onset.
CHECKPOINTS: Mapping[str, Step] = MappingProxyType({
    "memorised": lambda run: run.memorised,
    "0.85 grok_90": _spike,
    "after": _after,
})  # fmt: skip


def turnover(run: DefectRun) -> int | None:
    """Where PC1 of all attention weights turns over, from four snapshots on, as published."""
    if SHARE not in run.row.curves:
        return None
    steps, shares = run.row.curve(SHARE)
    return turnover_step(steps[3:], shares[3:])


def alignment_at(run: DefectRun, checkpoint: str, name: str = COSINE) -> float:
    """Mean |cos| of the last move with commutators over its random mean, at a checkpoint."""
    step = CHECKPOINTS[checkpoint](run)
    return nan if step is None else value_at(run.row, name, step)


def geometry_verdicts(runs: Sequence[DefectRun]) -> list[Verdict]:
    """Verdicts on the turnover of PC1 and on alignment.

    Args:
        runs: Of all learning rates.

    Returns:
        One verdict per claim.
    """
    return [_turns_before(runs), _turnover_informs(runs), _grows_with_rate(runs)]


def turnovers(runs: Sequence[DefectRun]) -> list[Turned]:
    """The runs that generalise and have components."""
    groks = [(run, run.grok("grok_95")) for run in runs if SHARE in run.row.curves]
    return [(run, grok, turnover(run)) for run, grok in groks if grok is not None]


def _turns_before(runs: Sequence[DefectRun]) -> Verdict:
    claim = "PC1 of attention turns over before generalisation"
    paper = "add and sub, one seed, three learning rates; no numbers released"
    found = turnovers(runs)
    if not found:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    first = sum(step is not None and step < grok for _, grok, step in found)
    share = share_by_seeds(first / len(found), len({run.seed for run, _, _ in found}), ONE_SIDED)
    return Verdict(
        claim,
        paper,
        f"{first} of {len(found)}",
        decide(share, above=0.5),
        "First record at or after the maximum of PC1 from which two falls follow, from four "
        "snapshots on, against the first accuracy of 0.95. Holds if the share is above one "
        f"half by the {BOUND}.",
    )


def _turnover_informs(runs: Sequence[DefectRun]) -> Verdict:
    claim = "The turnover is an event of training, not the start of the window"
    paper = "not questioned"
    found = [(run, step) for run, _, step in turnovers(runs) if step is not None]
    if not found:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    earliest = sum(bool(step <= run.row.curve(SHARE)[0][3]) for run, step in found)
    share = share_by_seeds(earliest / len(found), len({run.seed for run, _ in found}), ONE_SIDED)
    return Verdict(
        claim,
        paper,
        f"on the earliest record in {earliest} of {len(found)}",
        decide(share, below=0.5),
        "Few points lie on a line: an expanding window begins with a high share that falls. Holds "
        "if fewer than half of the turnovers are on the earliest record, fails if more, by the "
        f"{BOUND}.",
    )


def _grows_with_rate(runs: Sequence[DefectRun]) -> Verdict:
    claim = "The trajectory avoids commutators at low learning rates and follows them at high ones"
    paper = "mean |cos| over random 0.18–0.86 at 1e-4, 1.4–1.8 at 1e-2; one run each"
    rates = measured_rates(runs)
    low = cosines(runs, rates[0], "memorised") if len(rates) > 1 else None
    high = cosines(runs, rates[-1], "memorised") if len(rates) > 1 else None
    if low is None or high is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    each = {decide(low, below=1.0), decide(high, above=1.0)}
    status: Status = "fails" if "fails" in each else "holds" if each == {"holds"} else "undecided"
    return Verdict(
        claim,
        paper,
        f"{short(low)} at {rates[0]:g}, {short(high)} at {rates[-1]:g}, when memorised",
        status,
        "Geometric means over seeds. Holds if the 95 % interval is below 1 at the lowest rate and "
        "above 1 at the highest; fails if one of them is on the other side.",
    )


def measured_rates(runs: Sequence[DefectRun]) -> list[float]:
    """Learning rates at which alignment was measured, ascending."""
    return sorted({run.spec.lr for run in runs if COSINE in run.row.curves})


def cosines(
    runs: Sequence[DefectRun], lr: float, checkpoint: str, name: str = COSINE
) -> Interval | None:
    """Geometric mean over seeds of `alignment_at` at a learning rate; None without any."""
    own = [run for run in runs if run.spec.lr == lr]
    return geometric_interval([(run.seed, alignment_at(run, checkpoint, name)) for run in own])
