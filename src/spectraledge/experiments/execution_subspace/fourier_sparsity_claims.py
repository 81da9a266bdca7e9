"""Claims of `fourier_sparsity`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan

import numpy as np

from spectraledge.experiments.execution_subspace.fourier_sparsity_runs import (
    ADD,
    HARD_OPERATION,
    MULTIPLICATIVE,
    ONSETS,
    PLAIN,
    FourierRun,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.report import Verdict
from spectraledge.series import Interval, LeadTimes, lead_times

__all__ = ["SPARSE", "circuit_ratio", "fourier_leads", "fourier_verdicts", "ratio_over_seeds"]

Number = Callable[[FourierRun], float]
# A weight is called sparse if this share of the frequencies that chance needs holds 80 % of it.
SPARSE = 0.5
PAPER = "code exists, no figure; padded basis on hidden axes, which are not tokens"
NOT_REPORTED = "not reported"
COUNT = (
    "Number of frequencies that hold 80 % of what is not the mean over tokens, at the end of a "
    "run, over what is expected of "
)
ISOTROPIC = f"{COUNT}a random matrix of the same shape. "
ROTATED = f"{COUNT}the same matrix with its token axis turned at random. "


def fourier_verdicts(
    groups: Mapping[str, Sequence[FourierRun]], axes: Sequence[str]
) -> list[Verdict]:
    """All verdicts.

    Args:
        groups: Runs by condition.
        axes: Token axes of the attention circuits.

    Returns:
        One verdict per claim.
    """
    learned = [run for run in groups[ADD] if run.generalises]
    return [
        _sparse(
            learned, "The embedding of a run that generalises becomes Fourier-sparse",
            lambda run: run.of_chance("isotropic"), ISOTROPIC,
        ),
        _sparse(
            learned, "The embedding is sparser than its few directions are by chance",
            lambda run: run.of_chance("rotated"), ROTATED,
        ),
        _sparse(
            learned, "The attention circuits of a run that generalises become Fourier-sparse",
            lambda run: circuit_ratio(run, axes), f"{ROTATED}Mean over layers and circuits. ",
        ),
        _spread(
            learned, "In the order of multiplication, the embedding of addition stays spread",
            lambda run: run.of_chance("isotropic", order=MULTIPLICATIVE), ISOTROPIC,
        ),
        _not_learned(
            groups[HARD_OPERATION],
            "The embedding of x2_xy_y2 stays spread where it is not learned",
        ),
        _not_learned(
            groups[PLAIN], "The embedding without decay stays spread where addition is not learned"
        ),
        _first(
            learned, "departs from chance",
            "The embedding departs from chance before the run generalises",
            "Effective number of frequencies 5 % below that of a random embedding, for two records",
        ),
        _first(
            learned, "half way", "The fall to few frequencies is half done before generalisation",
            "Effective number of frequencies half way from its first to its last value",
        ),
    ]  # fmt: skip


def ratio_over_seeds(runs: Sequence[FourierRun], number: Number) -> Interval | None:
    """Geometric mean over seeds of a ratio; None without any."""
    return geometric_interval([(run.seed, number(run)) for run in runs])


def circuit_ratio(run: FourierRun, axes: Sequence[str]) -> float:
    """Geometric mean over circuits of the number of frequencies over that of the turned circuit."""
    found = [value for axis in axes if isfinite(value := run.of_chance("rotated", axis))]
    return float(np.exp(np.mean(np.log(found)))) if found else nan


def fourier_leads(runs: Sequence[FourierRun], onset: str) -> Mapping[str, LeadTimes]:
    """Leads of one of `ONSETS`, of at least one run, by the name of the grok rule."""
    return lead_times(
        [ONSETS[onset](run) for run in runs],
        {rule: [run.grok(rule) for run in runs] for rule in ("grok_50", "grok_90", "grok_stop")},
        watched=[run.row.steps_taken for run in runs],
        units=[run.seed for run in runs],
    )


def _sparse(runs: Sequence[FourierRun], claim: str, number: Number, measure: str) -> Verdict:
    found = ratio_over_seeds(runs, number)
    rule = f"{measure}Holds if the 95 % interval over seeds is below {SPARSE:g}, fails if above."
    if found is None:
        return Verdict(claim, PAPER, _none(runs), "undecided", rule)
    return Verdict(claim, PAPER, _of_chance(found), decide(found, below=SPARSE), rule)


def _spread(runs: Sequence[FourierRun], claim: str, number: Number, measure: str) -> Verdict:
    found = ratio_over_seeds(runs, number)
    rule = f"{measure}Holds if the 95 % interval over seeds is above {SPARSE:g}, fails if below."
    if found is None:
        return Verdict(claim, PAPER, _none(runs), "undecided", rule)
    return Verdict(claim, PAPER, _of_chance(found), decide(found, above=SPARSE), rule)


def _not_learned(runs: Sequence[FourierRun], claim: str) -> Verdict:
    quiet = [run for run in runs if run.silent]
    if runs and not quiet:
        return Verdict(claim, PAPER, f"all {len(runs)} runs generalise", "undecided", ISOTROPIC)
    verdict = _spread(quiet, claim, lambda run: run.of_chance("isotropic"), ISOTROPIC)
    other = ratio_over_seeds(quiet, lambda run: run.of_chance("isotropic", order=MULTIPLICATIVE))
    if other is None:
        return verdict
    words = f"{verdict.observed}; in the order of multiplication {short(other)}"
    return Verdict(claim, PAPER, words, verdict.status, verdict.explanation)


def _first(runs: Sequence[FourierRun], onset: str, claim: str, when: str) -> Verdict:
    rule = (
        f"{when}; steps before grok_90, resolved to one record on either side. Holds if the 95 % "
        "interval of the mean over seeds is above 0 and every run has it, fails if it "
        "is below. The rule was set on two runs of other seeds."
    )
    if not runs:
        return Verdict(claim, NOT_REPORTED, _none(runs), "undecided", rule)
    found = fourier_leads(runs, onset)["grok_90"]
    counts, lead = found.counts(), mean_of(found.leads.tolist())
    if lead is None:
        return Verdict(claim, NOT_REPORTED, "never before a run ended", "undecided", rule)
    first = int((found.leads > 0).sum())
    words = f"{short(lead)} steps; {first} of {counts['both'] + counts['no_onset']} first"
    status = decide(lead, above=0.0)
    # Generalisation without it speaks against it, by an amount that nobody knows.
    status = "undecided" if status == "holds" and counts["no_onset"] else status
    return Verdict(claim, NOT_REPORTED, words, status, rule)


def _of_chance(ratio: Interval) -> str:
    return f"{short(ratio)} of what chance needs"


def _none(runs: Sequence[FourierRun]) -> str:
    return "not measured" if runs else "no such run known"
