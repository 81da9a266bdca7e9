"""Claims of `gap_compression`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, nan

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DENSE,
    DYCK,
    MODULAR,
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
from spectraledge.instruments.parameter_subset import chosen_stretches
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval
from spectraledge.snapshots import Layout

__all__ = ["EDGES", "declines", "gap_claims", "mean_rotation", "window_words"]

EDGES = (NARROW_EDGE, EDGE, WIDE_EDGE, COARSE_EDGE)
# Published: window 3 for Dyck-1, 5 for SCAN, 10 for modular arithmetic.
OWN: Mapping[str, SpectralEdge] = {DYCK: NARROW_EDGE, SCAN: EDGE, MODULAR: WIDE_EDGE}
DECLINES = {DYCK: "33 times (4.5, 47, 48)", SCAN: "43 times (31, 49, 50)"}
CONTROLS = {DYCK: "192, 151, 22 times", SCAN: "5152, 2874, 4083 times"}
ROTATIONS = {
    DYCK: "17.8°, 41.7°, 51.6° for v₁, v₂, v₃",
    SCAN: "7.7°, 20.6°, 43.0° for v₁, v₂, v₃",
}
# Full windows that a share or mean over the windows of a run needs.
FEWEST = 5
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
    group: EdgeGroup,
    edge: SpectralEdge,
    condition: str = DECAY,
    *,
    last: int | None = None,
    least: int | None = None,
) -> dict[int, float]:
    """Largest gap over the last one, up to generalising, `last` or the end, by seed.

    Args:
        group: Runs of a task.
        edge: Window and cadence.
        condition: Which runs; those with decay end where they generalise.
        last: No window later than this step.
        least: Displacements that a window must have; None for full windows. 2 is published, where
            a window of two has no σ₃ and its gap is σ₂² alone.

    Returns:
        NaN where there are no two such windows.
    """
    until, found = group.grok_steps(condition), {}
    width = edge.stride * group.regime.cadence(condition)
    for seed, row in group.rows[condition].items():
        steps, gaps = finite_curve(row, curve_name(edge, "gap23"))
        end = until[seed] if condition in (DECAY, DENSE) else None
        within = steps <= min(e for e in (end, last, np.inf) if e is not None)
        seen = gaps[within & (steps >= (least or edge.window) * width)]
        # One window is its own largest; a run that generalises at once shows no decline.
        found[seed] = float(seen.max() / seen[-1]) if seen.size > 1 and seen[-1] > 0 else nan
    return found


def _over_seeds(values: Mapping[int, float]) -> Interval | None:
    return geometric_interval(list(values.items()))


def _times(values: Mapping[int, float]) -> str:
    """Geometric mean over seeds, and how many of them have a number where some have none."""
    count = sum(isfinite(value) for value in values.values())
    of = "" if count == len(values) else f" ({count} of {len(values)} seeds)"
    return f"{short(_over_seeds(values))} times{of}"


def _declines(group: EdgeGroup) -> Verdict:
    edge = OWN.get(group.name, EDGE)
    claim = f"{group.name}: The gap declines before a run generalises"
    said = DECLINES.get(group.name, "8 to 111 times (window 10)")
    rule = (
        f"Largest σ₂² − σ₃² over that at generalising, {window_words(edge, group)}, full windows; "
        "geometric mean over the seeds that have two before. Holds if the 95 % interval is above "
        "1.5, fails if below."
    )
    found = declines(group, edge)
    own = _over_seeds(found)
    if own is None:
        words = "no two full windows before" if group.known() else NOT_RUN
        return Verdict(claim, said, words, "undecided", rule)
    words = f"{_times(found)}; from two displacements on {_times(declines(group, edge, least=2))}"
    return Verdict(claim, said, words, decide(own, above=1.5), rule)


def _only_there(group: EdgeGroup, condition: str) -> Verdict:
    edge = OWN.get(group.name, EDGE)
    claim = f"{group.name}: It does not decline in runs with {condition}"
    said = CONTROLS.get(group.name, "1 of 18") if condition == NO_DECAY else "not tested"
    rule = (
        f"The same over the whole run, {window_words(edge, group)}. Fails if the 95 % interval is "
        "above 1.5, holds if below."
    )
    found = declines(group, edge, condition)
    own = _over_seeds(found)
    if own is None:
        return Verdict(claim, said, NOT_RUN, "undecided", rule)
    return Verdict(claim, said, _times(found), decide(own, below=1.5), rule)


def _dense(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: It declines as much with snapshots twice as often"
    said = "48 times (seed 42 at 50 steps), and at 200 steps 47 and 4.5 times"
    rule = (
        "Decline at half the cadence over that at the usual one, W = 3, same seed, geometric "
        "mean. Holds if the 95 % interval lies between 0.5 and 2, fails if it lies outside."
    )
    last = group.regime.dense_steps
    plain = declines(group, NARROW_EDGE, last=last)
    dense = declines(group, NARROW_EDGE, DENSE)
    ratio = geometric_interval([(s, dense[s] / plain[s]) for s in dense if s in plain])
    if ratio is None:
        return Verdict(claim, said, NOT_RUN, "undecided", rule)
    seed = group.regime.published_seed
    own = f"; seed {seed}: {dense[seed]:.3g}" if seed in dense else ""
    words = f"{_times(dense)}{own}; ratio {short(ratio)} ({ratio.count} seeds)"
    inside = ratio.lower > 0.5 and ratio.upper < 2
    outside = ratio.upper < 0.5 or ratio.lower > 2
    return Verdict(
        claim, said, words, "holds" if inside else "fails" if outside else "undecided", rule
    )


def _robust(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The decline does not depend on window and cadence"
    rule = (
        "Of windows and cadences of which three seeds have two full windows, and of the seeds that "
        "all of these have: the largest mean decline over the smallest, by seed. Holds if the 95 % "
        "interval is below 2, fails if above."
    )
    there, ratio = _comparable(group), None
    means = {e: mean for e, falls in there.items() if (mean := _over_seeds(falls)) is not None}
    if len(means) > 1:
        least, *_, most = sorted(means, key=lambda edge: means[edge].centre)
        ratio = _over_seeds({s: there[most][s] / fall for s, fall in there[least].items()})
    if ratio is None:
        words = "too few full windows before generalising" if group.known() else NOT_RUN
        return Verdict(claim, "not tested", words, "undecided", rule)
    each = "; ".join(f"{window_words(e, group)}: {short(mean)}" for e, mean in means.items())
    words = f"{each} ({ratio.count} seeds); {short(ratio)} times apart"
    return Verdict(claim, "not tested", words, decide(ratio, below=2.0), rule)


def _comparable(group: EdgeGroup) -> dict[SpectralEdge, dict[int, float]]:
    """Declines through windows that three seeds have, of the seeds that have all of them."""
    found = {edge: declines(group, edge) for edge in EDGES}
    there = {e: v for e, v in found.items() if sum(map(isfinite, v.values())) >= 3}
    shared = [s for s in group.rows[DECAY] if all(isfinite(v[s]) for v in there.values())]
    return {e: {s: v[s] for s in shared} for e, v in there.items()} if len(shared) >= 3 else {}


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
        shares.append(float(np.mean(full == 1)) if full.size >= FEWEST else nan)
    mean = mean_of(shares, 0.0, 1.0)
    if mean is None:
        return Verdict(claim, "1 in all runs (mode)", _too_few(group), "undecided", rule)
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
        apart.append(float(angles.mean() - expected.mean()) if angles.size >= FEWEST else nan)
    mean = mean_of(apart)
    said = ROTATIONS.get(group.name, "moderate")
    if mean is None:
        return Verdict(claim, said, _too_few(group), "undecided", rule)
    each = ", ".join(
        f"{short(mean_rotation(group, 'rotation', v, DECAY))}°" for v in ("v1", "v2", "v3")
    )
    return Verdict(
        claim, said, f"{each}; v₂ minus null {short(mean)}°", decide(mean, below=0.0), rule
    )


def _threshold(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: Singular values stand out of the noise more than noise itself does"
    rule = (
        "The published ratio of σ_w to its noise level, median over full windows, against that of "
        "independent displacements in random directions, (p/(W − 1))^¼ up to a few per cent. Holds "
        "if the 95 % interval over seeds is above, fails if below: the published level is made of "
        "the smallest singular values, so everything lies above it."
    )
    name = curve_name(EDGE, "published_threshold_ratio")
    own, shuffled = (
        mean_of(_median(group, row, name) for row in group.rows[condition].values())
        for condition in (DECAY, SHUFFLED)
    )
    said = "13.5 (Dyck-1), 27.7 (SCAN): every eigenvalue is signal"
    if own is None:
        return Verdict(claim, said, _too_few(group), "undecided", rule)
    noise = (_attention_parameters(group) / (EDGE.window - 1)) ** 0.25
    excess = mean_of(
        _median(group, row, curve_name(EDGE, "excess_over_orthogonal"))
        for row in group.rows[DECAY].values()
    )
    words = (
        f"{short(own)}, of noise {noise:.1f}; on shuffled labels {short(shuffled)}; σ₁ is "
        f"{short(excess)} times that of orthogonal displacements of these lengths"
    )
    return Verdict(claim, said, words, decide(own, above=noise), rule)


def _median(group: EdgeGroup, row: Row, name: str) -> float:
    steps, values = finite_curve(row, name)
    full = values[steps >= EDGE.window * group.regime.record_every]
    return float(np.median(full)) if full.size >= FEWEST else nan


def _too_few(group: EdgeGroup) -> str:
    return f"fewer than {FEWEST} full windows a run" if group.known() else NOT_RUN


def _attention_parameters(group: EdgeGroup) -> int:
    """Number of parameters p of the attention matrices, which the edge is taken of."""
    task, model = group.regime.task, group.regime.model
    built = model.build(
        vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=0
    )
    layout = Layout.of(built)
    return sum(s.stop - s.start for s in chosen_stretches(layout, EDGE.kinds))
