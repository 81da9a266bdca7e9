"""Leads of the runs of the learning-rate sweep as arrays, and the laws fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from spectraledge.experiments.execution_subspace.defect_records import (
    DefectRun,
    bracket_onset,
    published_onset,
)
from spectraledge.series import (
    GroupedPowerLaw,
    Interval,
    PowerLaw,
    ShuffledOnsets,
    exponent_interval,
    grouped_power_law,
    power_law,
    shuffled_onsets,
)

__all__ = ["Laws", "RateLeads", "laws_of", "rate_leads"]

ONSETS = {"published": published_onset, "bracket": bracket_onset}


@dataclass(frozen=True, eq=False)
class RateLeads:
    """One entry per run; NaN for what did not happen.

    Args:
        lr: ``(n,)`` learning rates.
        seeds: ``(n,)`` seeds.
        onsets: ``(n,)`` onsets by the chosen rule.
        groks: ``(n,)`` steps of generalisation by the chosen rule.
        memorised: ``(n,)`` steps of memorisation.
        limited: ``(n,)`` whether the onset sits on the earliest record possible.
    """

    lr: Float[np.ndarray, " n"]
    seeds: Integer[np.ndarray, " n"]
    onsets: Float[np.ndarray, " n"]
    groks: Float[np.ndarray, " n"]
    memorised: Float[np.ndarray, " n"]
    limited: Bool[np.ndarray, " n"]

    @property
    def leads(self) -> Float[np.ndarray, " n"]:
        """``(n,)`` grok − onset."""
        return self.groks - self.onsets

    @property
    def rates(self) -> list[float]:
        """The learning rates, ascending."""
        return [float(lr) for lr in np.unique(self.lr)]

    @property
    def dropped(self) -> int:
        """Runs that generalise and that a fit of positive leads leaves out."""
        grokked = ~np.isnan(self.groks)
        return int((grokked & ~(self.leads > 0)).sum())


def rate_leads(runs: Sequence[DefectRun], *, onset: str, grok: str) -> RateLeads:
    """Gathers the runs.

    Args:
        runs: Of all learning rates.
        onset: ``published``, or ``bracket`` for the rise of the bracket since memorisation.
        grok: Name of the grok rule.

    Returns:
        The arrays.
    """
    found = [ONSETS[onset](run) for run in runs]
    return RateLeads(
        np.array([run.spec.lr for run in runs], dtype=np.float64),
        np.array([run.seed for run in runs], dtype=np.int64),
        _steps([one.step for one in found]),
        _steps([run.grok(grok) for run in runs]),
        _steps([run.memorised for run in runs]),
        np.array([one.cadence_limited for one in found], dtype=bool),
    )


def _steps(values: Sequence[int | None]) -> Float[np.ndarray, " n"]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Laws:
    """Laws of lead and onset over the step of generalisation.

    Args:
        leads: Lead over grok, pooled and within learning rates.
        interval: Of the pooled exponent, by seed.
        within: Of the exponent within learning rates, by seed.
        robust: Theil and Sen's, pooled.
        robust_interval: Of its exponent, by seed.
        onsets: Onset over grok, pooled and within.
        onsets_interval: Of the pooled exponent of onsets, by seed.
        shuffled: The pooled law with onsets permuted among the runs of a learning rate.
    """

    leads: GroupedPowerLaw
    interval: Interval
    within: Interval
    robust: PowerLaw
    robust_interval: Interval
    onsets: GroupedPowerLaw
    onsets_interval: Interval
    shuffled: ShuffledOnsets


def laws_of(found: RateLeads) -> Laws | None:
    """All laws; None with fewer than three positive leads or one step of generalisation."""
    kept = found.leads > 0
    if kept.sum() < 3 or len(np.unique(found.groks[kept])) < 2:
        return None
    x, seeds = found.groks, found.seeds
    return Laws(
        leads=grouped_power_law(x, found.leads, found.lr),
        interval=exponent_interval(x, found.leads, seeds, method="least_squares"),
        within=_within(found),
        robust=power_law(x, found.leads, method="theil_sen"),
        robust_interval=exponent_interval(x, found.leads, seeds, method="theil_sen"),
        onsets=grouped_power_law(x, found.onsets, found.lr),
        onsets_interval=exponent_interval(x, found.onsets, seeds, method="least_squares"),
        shuffled=shuffled_onsets(x, found.onsets, found.lr),
    )


def _within(found: RateLeads) -> Interval:
    """Interval by seed of the exponent within rates: of deviations from each rate's means."""
    kept = found.leads > 0
    u, v, lr = np.log(found.groks[kept]), np.log(found.leads[kept]), found.lr[kept]
    for rate in np.unique(lr):
        own = lr == rate
        u[own] -= u[own].mean()
        v[own] -= v[own].mean()
    # Equal numbers differ by rounding from their mean, which is no spread to fit.
    if float((u**2).sum()) <= 1e-20:
        return Interval(np.nan, -np.inf, np.inf, len(np.unique(found.seeds[kept])))
    return exponent_interval(np.exp(u), np.exp(v), found.seeds[kept], method="least_squares")
