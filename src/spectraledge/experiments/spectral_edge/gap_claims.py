"""Claims of `gap_compression`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, log10, nan

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DENSE,
    DYCK,
    NO_DECAY,
    SCAN,
    SHUFFLED,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    COARSE_EDGE,
    EDGE,
    NARROW_EDGE,
    WIDE_EDGE,
    EdgeGroup,
    curve_name,
    finite_curve,
)
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, Groups
from spectraledge.instruments import SpectralEdge
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["EDGES", "declines", "gap_claims", "mean_rotation", "window_words"]

EDGES = (NARROW_EDGE, EDGE, WIDE_EDGE, COARSE_EDGE)
# Published: window 3 for Dyck-1, 5 for SCAN, 10 for modular arithmetic.
OWN: Mapping[str, SpectralEdge] = {DYCK: NARROW_EDGE, SCAN: EDGE}
DECLINES = {DYCK: "33 times (4.5, 47, 48)", SCAN: "43 times (31, 49, 50)"}
CONTROLS = {DYCK: "192, 151, 22 times", SCAN: "5152, 2874, 4083 times"}
ROTATIONS = {
    DYCK: "17.8°, 41.7°, 51.6° for v₁, v₂, v₃",
    SCAN: "7.7°, 20.6°, 43.0° for v₁, v₂, v₃",
}
# Share of windows of pure noise whose weighted rank is 1, whatever W; tests simulate it.
NOISE_RANK_ONE = 0.74


def gap_claims(groups: Groups) -> list[Verdict]:
    """All verdicts, one a claim and task."""
    found = []
    for group in groups.values():
        found += [
            _declines(group), _only_there(group, NO_DECAY), _only_there(group, SHUFFLED),
            _robust(group), _rank_one(group), _turns_as_noise(group), _threshold(group),
        ]  # fmt: skip
        if DENSE in group.rows:
            found.append(_dense(group))
    return found


def window_words(edge: SpectralEdge, group: EdgeGroup) -> str:
    """Window and cadence in words."""
    return f"W = {edge.window}, {edge.stride * group.regime.record_every} steps"


def declines(
    group: EdgeGroup, edge: SpectralEdge, condition: str = DECAY, last: int | None = None
) -> list[float]:
    """Largest gap over the last one, up to generalising, `last` or the end, one a seed."""
    until = group.grok_steps(condition)
    found = []
    for seed, row in group.rows[condition].items():
        steps, gaps = finite_curve(row, curve_name(edge, "gap23"))
        end = until[seed] if condition in (DECAY, DENSE) else None
        seen = gaps[steps <= min(e for e in (end, last, np.inf) if e is not None)]
        # One window is its own largest; a run that generalises at once shows no decline.
        found.append(float(seen.max() / seen[-1]) if seen.size > 1 and seen[-1] > 0 else nan)
    return found


def _over_seeds(values: list[float]) -> Interval | None:
    return geometric_interval(list(enumerate(values)))


def _declines(group: EdgeGroup) -> Verdict:
    edge = OWN.get(group.name, EDGE)
    claim = f"{group.name}: The gap declines before a run generalises"
    said = DECLINES.get(group.name, "8 to 111 times (window 10)")
    rule = (
        f"Largest σ₂² − σ₃² over that at generalising, {window_words(edge, group)}; geometric "
        "mean over seeds. Holds if the 95 % interval is above 1.5."
    )
    own = _over_seeds(declines(group, edge))
    if own is None:
        words = "no full window before" if group.known() else NOT_RUN
        return Verdict(claim, said, words, "undecided", rule)
    return Verdict(claim, said, f"{short(own)} times", decide(own, above=1.5), rule)


def _only_there(group: EdgeGroup, condition: str) -> Verdict:
    edge = OWN.get(group.name, EDGE)
    claim = f"{group.name}: It does not decline in runs with {condition}"
    said = CONTROLS.get(group.name, "1 of 18") if condition == NO_DECAY else "not tested"
    rule = (
        f"The same over the whole run, {window_words(edge, group)}. Fails if the 95 % interval is "
        "above 1.5, holds if below."
    )
    own = _over_seeds(declines(group, edge, condition))
    if own is None:
        return Verdict(claim, said, NOT_RUN, "undecided", rule)
    return Verdict(claim, said, f"{short(own)} times", decide(own, below=1.5), rule)


def _dense(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: It declines as much with snapshots twice as often"
    said = "48 times (seed 42 at 50 steps), and at 200 steps 47 and 4.5 times"
    rule = (
        "Decline at half the cadence over that at the usual one, W = 3, same seed, geometric "
        "mean. Holds if the 95 % interval lies between 0.5 and 2, fails if it lies outside."
    )
    last = group.regime.dense_steps
    plain = dict(zip(group.rows[DECAY], declines(group, NARROW_EDGE, last=last)))
    dense = dict(zip(group.rows[DENSE], declines(group, NARROW_EDGE, DENSE)))
    ratio = geometric_interval([(s, dense[s] / plain[s]) for s in dense if s in plain])
    if ratio is None:
        return Verdict(claim, said, NOT_RUN, "undecided", rule)
    seed = group.regime.published_seed
    own = f"; seed {seed}: {dense[seed]:.3g}" if seed in dense else ""
    words = f"{short(_over_seeds(list(dense.values())))} times{own}; ratio {short(ratio)}"
    inside = ratio.lower > 0.5 and ratio.upper < 2
    outside = ratio.upper < 0.5 or ratio.lower > 2
    return Verdict(
        claim, said, words, "holds" if inside else "fails" if outside else "undecided", rule
    )


def _robust(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The decline does not depend on window and cadence"
    rule = (
        "Ratio of the largest to the smallest decline (geometric means over seeds) among "
        "four windows and cadences. Holds below 2, fails above 4."
    )
    found = {edge: _over_seeds(declines(group, edge)) for edge in EDGES}
    there = {edge: interval for edge, interval in found.items() if interval is not None}
    if len(there) < 2:
        return Verdict(claim, "not tested", NOT_RUN, "undecided", rule)
    words = "; ".join(f"{window_words(e, group)}: {short(i)}" for e, i in there.items())
    centres = [interval.centre for interval in there.values()]
    apart = max(centres) / min(centres)
    status = "holds" if apart < 2 else "fails" if apart > 4 else "undecided"
    return Verdict(claim, "not tested", words, status, rule)


def _rank_one(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The signal rank of 1 is more than noise has"
    rule = (
        f"Share of full windows of five with weighted rank 1; of pure noise {NOISE_RANK_ONE:g}. "
        "Holds if the 95 % interval over seeds is above that."
    )
    shares = []
    for row in group.rows[DECAY].values():
        steps, ranks = finite_curve(row, curve_name(EDGE, "rank_at_gap"))
        # A window of two has rank 1 whatever is in it.
        full = ranks[steps >= EDGE.window * group.regime.record_every]
        shares.append(float(np.mean(full == 1)) if full.size else nan)
    mean = mean_of(shares, 0.0, 1.0)
    if mean is None:
        return Verdict(claim, "1 in all runs (mode)", NOT_RUN, "undecided", rule)
    status = decide(mean, above=NOISE_RANK_ONE)
    return Verdict(claim, "1 in all runs (mode)", share_words(mean), status, rule)


def mean_rotation(group: EdgeGroup, output: str, component: str, condition: str) -> Interval | None:
    """Mean over a run of an angle of `SpectralEdge`, over seeds."""
    name = curve_name(EDGE, output, component)
    return mean_of(
        float(angles.mean()) if (angles := finite_curve(row, name)[1]).size else nan
        for row in group.rows[condition].values()
    )


def _turns_as_noise(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: Directions behind the edge turn less than overlapping windows of noise"
    rule = (
        "Mean angle of v₂ between neighbouring windows minus that of drift and white noise of the "
        "same ratio. Holds if the 95 % interval over seeds is below 0°."
    )
    own, null = (curve_name(EDGE, n, "v2") for n in ("rotation", "null_rotation"))
    apart = []
    for row in group.rows[DECAY].values():
        angles, expected = finite_curve(row, own)[1], finite_curve(row, null)[1]
        apart.append(float(angles.mean() - expected.mean()) if angles.size else nan)
    mean = mean_of(apart)
    said = ROTATIONS.get(group.name, "moderate")
    if mean is None:
        return Verdict(claim, said, NOT_RUN, "undecided", rule)
    each = ", ".join(
        f"{short(mean_rotation(group, 'rotation', v, DECAY))}°" for v in ("v1", "v2", "v3")
    )
    return Verdict(
        claim, said, f"{each}; v₂ minus null {short(mean)}°", decide(mean, below=0.0), rule
    )


def _threshold(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: All singular values are above the noise threshold"
    rule = (
        "The published ratio in runs on shuffled labels over that in runs that generalise, log10. "
        "A test that cannot fail gives the same for both: holds as a test if they differ by more "
        "than a factor of two, fails if not."
    )
    name = curve_name(EDGE, "published_threshold_ratio")
    means = {
        condition: mean_of(
            log10(float(np.median(v))) if (v := finite_curve(row, name)[1]).size else nan
            for row in group.rows[condition].values()
        )
        for condition in (DECAY, SHUFFLED)
    }
    own, other = means[DECAY], means[SHUFFLED]
    said = "13.5 (Dyck-1), 27.7 (SCAN): every eigenvalue is signal"
    if own is None or other is None:
        return Verdict(claim, said, NOT_RUN, "undecided", rule)
    words = f"{10**own.centre:.1f} where runs generalise, {10**other.centre:.1f} on shuffled labels"
    status = "fails" if abs(own.centre - other.centre) < log10(2) else "holds"
    return Verdict(claim, said, words, status if isfinite(own.centre) else "undecided", rule)
