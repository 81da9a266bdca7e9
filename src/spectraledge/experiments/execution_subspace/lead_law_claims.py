"""Verdicts on leads over learning rates and on their power law."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from spectraledge.experiments.execution_subspace.learning_rate_leads import Laws, RateLeads
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import share_words, short
from spectraledge.experiments.seed_intervals import geometric_interval, share_by_seeds
from spectraledge.experiments.study_sections import p_words
from spectraledge.report import Verdict
from spectraledge.series import Interval, simultaneous_confidence

__all__ = ["law_verdicts"]

NOT_RUN = "not run yet"
# Spread that own onsets leave, over what shuffled ones leave: more is no gain that matters.
LEFT = 0.5
# A rate at which fewer runs than this have the onset first refutes “at every rate”.
NEARLY_ALL = 0.9
# Share of onsets on the earliest record above which they measure the cadence.
LIMITED = 0.2


def law_verdicts(found: RateLeads, laws: Laws | None) -> list[Verdict]:
    """All verdicts.

    Args:
        found: Runs with the published onset and grok_90.
        laws: Their laws, None if there are too few.

    Returns:
        One verdict per claim.
    """
    return [
        _pooled(laws),
        _within(laws),
        _shuffled(laws),
        _proportional(laws),
        _every_rate(found),
        _since_memorised(found),
        _cadence(found),
    ]


Told = tuple[str, str]


def _verdict(claim: str, paper: str, how: str, known: Told | None) -> Verdict:
    observed, status = known or (NOT_RUN, "undecided")
    return Verdict(claim, paper, observed, status, how)


def _finite(interval: Interval, **side: float) -> str:
    return "undecided" if np.isnan(interval.centre) else decide(interval, **side)


def _pooled(laws: Laws | None) -> Verdict:
    known = (
        None
        if laws is None
        else (
            f"{short(laws.interval)}, R² {laws.leads.pooled.r_squared:.3f}, "
            f"{laws.leads.pooled.count} runs, {laws.leads.pooled.dropped} left out",
            _finite(laws.interval, above=1.0),
        )
    )
    return _verdict(
        "Pooled over learning rates, the lead grows faster than the time to generalise",
        "exponent 1.27 ± 0.03 to 1.32, R² 0.97",
        "Exponent of lead over grok_90, least squares in logs, positive leads only, interval by "
        "seed; holds above 1, fails below.",
        known,
    )


def _within(laws: Laws | None) -> Verdict:
    known = (
        None
        if laws is None
        else (
            f"{short(laws.within)}, R² {laws.leads.within.r_squared:.3f}; "
            f"{laws.leads.between_share:.1%} of the spread lies between learning rates",
            _finite(laws.within, above=1.0),
        )
    )
    return _verdict(
        "The same holds among runs of one learning rate",
        "not given; 0.36 with R² 0.06 at 1e-3 and 1.07 at 1e-4 in the released runs",
        "One exponent for all learning rates, each with its own coefficient; holds above 1, fails "
        "below. Onsets that are the same in all runs of a rate give more than 1 too, so what the "
        "runs' own onsets add is the next claim.",
        known,
    )


def _shuffled(laws: Laws | None) -> Verdict:
    known = None if laws is None else _shuffled_words(laws)
    return _verdict(
        "The law says more than lead = grok − onset does for onsets of other runs",
        "not tested; 1.350 ± 0.055 and R² 0.954 ± 0.019 shuffled in the released runs",
        "Onsets permuted among the runs of a learning rate. Holds if R² is larger than 95 % of the "
        f"shuffled and 1 − R² below {LEFT:g} of that of their median; fails if it is not below.",
        known,
    )


def _shuffled_words(laws: Laws) -> Told:
    drawn = laws.shuffled
    r_squared, exponents = (np.asarray(v) for v in (drawn.r_squareds, drawn.exponents))
    median = float(np.nanmedian(r_squared)) if np.isfinite(r_squared).any() else nan
    low, high = np.nanquantile(exponents, [0.025, 0.975]) if median == median else (nan, nan)
    left = (1 - drawn.observed.r_squared) / (1 - median) if median < 1 else nan
    p = drawn.p_value()
    status = "fails" if left >= LEFT else "holds" if p <= 0.05 else "undecided"
    words = (
        f"own onsets {drawn.observed.exponent:.3f} with R² {drawn.observed.r_squared:.3f}; "
        f"shuffled {float(np.nanmedian(exponents)):.3f} [{low:.3f}, {high:.3f}] with R² "
        f"{median:.3f}; {left:.2f} of their spread left, p {p_words(p)}"
    )
    return words, status if np.isfinite(left) else "undecided"


def _proportional(laws: Laws | None) -> Verdict:
    known = (
        None
        if laws is None
        else (
            f"{short(laws.onsets_interval)}, R² {laws.onsets.pooled.r_squared:.3f}",
            _finite(laws.onsets_interval, below=1.0),
        )
    )
    return _verdict(
        "The onset grows more slowly than the time to generalise",
        "not given; 0.73 with R² 0.56 on Dyck-1 in the sequel",
        "Companion fit of onset over grok_90, without the part in the whole: it is what a lead of "
        "exponent above 1 comes from. Holds below 1, fails above.",
        known,
    )


def _every_rate(found: RateLeads) -> Verdict:
    shares = _shares(found)
    known = None
    if shares:
        most, every = (
            [decide(share, above=bar) for share in shares.values()] for bar in (0.5, NEARLY_ALL)
        )
        words = ", ".join(f"{short_share(found, lr)} at {lr:g}" for lr in shares)
        status = "fails" if "fails" in every else "holds" if set(most) == {"holds"} else "undecided"
        known = (f"{words}; {found.dropped} leads not positive or without an onset", status)
    return _verdict(
        "The onset precedes generalisation at every learning rate",
        "12 of 12 at 1e-4 and 1e-3; at 1e-2 no released lead_90 is positive and 5 of 12 runs lack "
        "an onset",
        "Share of runs that generalise whose onset came before grok_90. Holds if it is above one "
        f"half at every rate, fails if it is below {NEARLY_ALL:g} at one, with exact intervals by "
        "seed for all rates together: three seeds can refute it and not confirm it.",
        known,
    )


def short_share(found: RateLeads, lr: float) -> str:
    """The runs of a rate whose onset came first, as a count."""
    own = ~np.isnan(found.groks) & (found.lr == lr)
    return f"{int((found.leads[own] > 0).sum())} of {int(own.sum())}"


def _shares(found: RateLeads) -> dict[float, Interval]:
    grokked = ~np.isnan(found.groks)
    confidence = simultaneous_confidence(max(1, len(found.rates)))
    return {
        lr: share_by_seeds(
            float((found.leads[own] > 0).mean()), len(np.unique(found.seeds[own])), confidence
        )
        for lr in found.rates
        if (own := grokked & (found.lr == lr)).any()
    }


def _since_memorised(found: RateLeads) -> Verdict:
    ratios = found.onsets / found.memorised
    lowest = [lr for lr in found.rates if np.isfinite(ratios[found.lr == lr]).any()][:1]
    known = None
    if lowest:
        interval = _ratio(found, ratios, lowest)
        known = (f"{short(interval)} times at {lowest[0]:g}", decide(interval, above=1.0))
    return _verdict(
        "At the lowest learning rate, where the lead is longest, the onset follows memorisation",
        "93 % of the time to generalise at 1e-4; the onset (2392) precedes memorisation (2900)",
        "Onset over the step of memorisation. Holds above 1, fails below: then the lead says that "
        "generalisation is late, and the onset is one of early training.",
        known,
    )


def _ratio(found: RateLeads, ratios: np.ndarray, lowest: Sequence[float]) -> Interval:
    own = found.lr == lowest[0]
    interval = geometric_interval(zip(found.seeds[own].tolist(), ratios[own].tolist()))
    return interval or Interval(nan, -np.inf, np.inf, 0)


def _cadence(found: RateLeads) -> Verdict:
    seen = ~np.isnan(found.onsets)
    known = None
    if seen.any():
        seeds = len(np.unique(found.seeds[seen]))
        share = share_by_seeds(float(found.limited[seen].mean()), seeds)
        words = f"{share_words(share)} of {int(seen.sum())} runs, {seeds} seeds"
        known = (words, decide(share, below=LIMITED))
    return _verdict(
        "Onsets are later than the earliest one that the records can show",
        "the cadence is 100 steps at every learning rate, so from 200",
        f"Share of onsets on the earliest record; holds below {LIMITED:g}, fails above, by seed. A "
        "record is 0.1/lr steps, at least ten, and twenty at the published size.",
        known,
    )
