"""Claims of `two_phase_lifecycle`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, nan

import numpy as np

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.edge_alarms import alarm_claim
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DENSE,
    DYCK,
    SCAN,
    SHUFFLED,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    SPLIT,
    EdgeGroup,
    curve_name,
    finite_curve,
)
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, Groups
from spectraledge.experiments.spectral_edge.flip_claims import (
    any_flip,
    first_flip_with_generalising,
    first_flip_with_window,
    flips,
    new_words,
    step_range,
    window_end,
)
from spectraledge.experiments.spectral_edge.later_flips import later_flip
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["GRADIENT_SHARE", "lifecycle_claims"]

GRADIENT_SHARE = curve_name(SPLIT, "energy_share", "gradient", "v1")
DECAY_SHARE = curve_name(SPLIT, "interval_share", "weight_decay")
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    DYCK: {"pre": 0.976, "at": 0.053, "post": 0.995, "late": 0.87},
    SCAN: {"pre": 0.887, "at": 0.523, "post": 0.002, "late": 0.021},
}

# Windows after flip and generalising that a share of them needs.
FEWEST = 5
PUBLISHED_SEEDS: Mapping[str, int] = {DYCK: 42, SCAN: 2024}


def lifecycle_claims(groups: Groups) -> list[Verdict]:
    """All verdicts, one a claim and task."""
    found = []
    for group in groups.values():
        found += [
            _driven_before(group), _driven_at(group), first_flip_with_window(group),
            first_flip_with_generalising(group), any_flip(group), *new_words(group),
            _shuffled(group), later_flip(group), _dominated_before(group), _opposed(group),
            _lasting(group, _common_decay(groups)), _trapezoid(group), alarm_claim(group),
        ]  # fmt: skip
        if DENSE in group.rows:
            found.append(_dense(group))
    return found


def _driven_before(group: EdgeGroup) -> Verdict:
    step = group.regime.phases["pre"]
    return _share(group, "pre", f"Before, at step {step}, the gradient drives the edge", above=0.5)


def _driven_at(group: EdgeGroup) -> Verdict:
    phase = "post" if group.name == SCAN else "at"
    step = group.regime.phases[phase]
    return _share(group, phase, f"At step {step}, weight decay drives the edge", below=0.5)


def _share(group: EdgeGroup, phase: str, claim: str, **threshold: float) -> Verdict:
    step = group.regime.phases[phase]
    paper = PUBLISHED.get(group.name, {}).get(phase)
    of = f"seed {PUBLISHED_SEEDS.get(group.name)}"
    said = "not measured" if paper is None else f"{paper:.1%} ({of}, published size)"
    rule = (
        "Share of the gradient in the energy along v₁, window of 5. Holds if the 95 % interval "
        "over seeds lies on the claimed side of one half."
    )
    mean = group.at(GRADIENT_SHARE, step)
    title = f"{group.name}: {claim}"
    if mean is None:
        return Verdict(title, said, NOT_RUN, "undecided", rule)
    own = group.published(GRADIENT_SHARE, step)
    words = f"{share_words(mean.within(0.0, 1.0))}; seed {group.regime.published_seed}: {own:.3f}"
    return Verdict(title, said, words, decide(mean, **threshold), rule)


def _shuffled(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: Runs that cannot generalise do not flip"
    rule = (
        "Training labels permuted, the same decay. Holds if none flips, fails if all do; the "
        "alignment is the cosine of gradient and decay along v₁ at the flip."
    )
    rows = list(group.rows[SHUFFLED].values())
    if not rows:
        return Verdict(claim, "aligned if and only if grokking", NOT_RUN, "undecided", rule)
    found = flips(group, SPLIT, SHUFFLED)
    there = [f for f in found if isfinite(f)]
    cosines = mean_of(_alignment(row, f) for row, f in zip(rows, found))
    words = (
        f"{len(there)} of {len(rows)} flip, at {step_range(there)}; alignment "
        f"{share_words(cosines)}"
    )
    status = "holds" if not there else "fails" if len(there) == len(rows) else "undecided"
    return Verdict(claim, "aligned if and only if grokking", words, status, rule)


def _dense(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: With snapshots twice as often the flip comes when it came before"
    rule = (
        "Flip with half the cadence over that of the same seed, W = 5; the runs are the same but "
        "for what is looked at. Holds if the 95 % interval of the mean is above 0.75, fails if it "
        "is below: one half is what the window alone gives."
    )
    plain = dict(zip(group.rows[DECAY], flips(group, SPLIT)))
    dense = dict(zip(group.rows[DENSE], flips(group, SPLIT, DENSE)))
    # A flip that did not come until the end counts as late as that.
    end = float(group.regime.dense_steps or nan)
    last = {seed: end if isfinite(plain[seed]) else nan for seed in plain}
    ratios = [
        (flip if isfinite(flip) else last[seed]) / plain[seed]
        for seed, flip in dense.items()
        if seed in plain
    ]
    mean = mean_of(ratios)
    if mean is None:
        return Verdict(claim, "one cadence a table", NOT_RUN, "undecided", rule)
    words = (
        f"{step_range(list(dense.values()))} against {step_range(list(plain.values()))}; ratio "
        f"{short(mean)}; the window ends at {window_end(group, SPLIT, DENSE)} and "
        f"{window_end(group, SPLIT)}"
    )
    return Verdict(claim, "one cadence a table", words, decide(mean, above=0.75), rule)


def _alignment(row: Row, step: float) -> float:
    name = curve_name(SPLIT, "alignment", "v1")
    return value_at(row, name, step) if isfinite(step) else nan


def _dominated_before(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: Displacements are the gradient's until a run generalises"
    rule = (
        "First interval of which decay makes more than half (⟨w, δ⟩/‖δ‖²), minus the step of "
        "generalising. Holds if it is not negative in any run, fails if it is in all."
    )
    apart = []
    for row, grokked in zip(group.rows[DECAY].values(), group.grok_steps().values()):
        steps, shares = finite_curve(row, DECAY_SHARE)
        seen = np.flatnonzero(shares > 0.5)
        if seen.size and grokked is not None:
            apart.append(float(steps[seen[0]]) - grokked)
    if not apart:
        return Verdict(claim, "implied", NOT_RUN, "undecided", rule)
    words = f"decay dominates {short(mean_of(-a for a in apart))} steps before generalising"
    status = "holds" if min(apart) >= 0 else "fails" if max(apart) < 0 else "undecided"
    return Verdict(claim, "implied", words, status, rule)


def _opposed(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: Gradient and decay point the same way"
    rule = (
        "Cosine of both in all attention weights, mean over the intervals of a run. Holds if the "
        "95 % interval over seeds is above zero, fails if below; along v₁ it is what projecting "
        "on a direction near θ leaves."
    )
    name = curve_name(SPLIT, "interval_cosine")
    mean = mean_of(
        float(finite_curve(row, name)[1].mean()) if finite_curve(row, name)[1].size else nan
        for row in group.rows[DECAY].values()
    )
    along = group.at(curve_name(SPLIT, "alignment", "v1"), window_end(group, SPLIT))
    if mean is None:
        return Verdict(claim, "aligned along v₁", NOT_RUN, "undecided", rule)
    words = f"{share_words(mean)}; along v₁ at step {window_end(group, SPLIT)} {share_words(along)}"
    return Verdict(claim, "aligned along v₁", words, decide(mean, above=0.0), rule)


def _common_decay(groups: Groups) -> float:
    """Largest lr · step that runs of every task that was run reach."""
    return min((g.regime.lr * g.regime.steps for g in groups.values() if g.known()), default=nan)


def _lasting(group: EdgeGroup, common: float) -> Verdict:
    claim = f"{group.name}: After generalising, decay drives the edge for good"
    rule = (
        "Share of the windows, once the edge has flipped and the run has generalised, in which the "
        "gradient's share is below one half, and the mean gradient's share in the last tenth of "
        "the run. Holds if the 95 % interval over seeds of the first is above one half and that of "
        "the second below, fails if either is on the other side. Tasks end after different "
        f"amounts of decay, so the first is given up to lr × step = {common:.2g} too. Runs with "
        f"fewer than {FEWEST} such windows do not count: the first is below one half by definition."
    )
    shares = {end: _decay_driven(group, end) for end in (np.inf, common)}
    last = mean_of((_last_tenth(row) for row in group.rows[DECAY].values()), 0.0, 1.0)
    said = "a compression phase; 99.5 % gradient at Dyck step 1500 in the notes"
    whole, equal = shares[np.inf], shares[common]
    if whole is None or last is None:
        few = f"fewer than {FEWEST} windows a run after flip and generalising"
        return Verdict(claim, said, few if group.known() else NOT_RUN, "undecided", rule)
    words = (
        f"{share_words(whole)}, up to {common:.2g} {share_words(equal) if equal else '–'}; "
        f"gradient's share in the last tenth {share_words(last)}"
    )
    both = {decide(whole, above=0.5), decide(last, below=0.5)}
    status = "fails" if "fails" in both else "holds" if both == {"holds"} else "undecided"
    return Verdict(claim, said, words, status, rule)


def _decay_driven(group: EdgeGroup, end: float) -> Interval | None:
    """Share of the windows after flip and generalising that decay drives, up to lr · step."""
    shares, grokked = [], group.grok_steps().values()
    for row, flip, grok in zip(group.rows[DECAY].values(), flips(group, SPLIT), grokked):
        steps, values = finite_curve(row, GRADIENT_SHARE)
        start = float(np.maximum(flip, nan if grok is None else grok))
        # Steps are whole and rates are not: half a step of room.
        counted = (steps >= start) & (group.regime.lr * (steps - 0.5) <= end)
        after = values[counted] if isfinite(start) else np.zeros(0)
        shares.append(float(np.mean(after < 0.5)) if after.size >= FEWEST else nan)
    return mean_of(shares, 0.0, 1.0)


def _last_tenth(row: Row) -> float:
    steps, values = finite_curve(row, GRADIENT_SHARE)
    return float(values[steps >= 0.9 * steps[-1]].mean()) if steps.size else nan


def _trapezoid(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The split can be read off snapshots alone"
    rule = (
        "Largest difference between the gradient's share along v₁ by the trapezoid and exact, over "
        "a run. Holds if the 95 % interval over seeds is below 0.1, fails if above."
    )
    name = curve_name(SPLIT, "trapezoid_share", "v1")
    apart = []
    for row in group.rows[DECAY].values():
        exact, estimate = finite_curve(row, GRADIENT_SHARE)[1], finite_curve(row, name)[1]
        same = min(exact.size, estimate.size)
        apart.append(float(np.abs(exact[-same:] - estimate[-same:]).max()) if same else nan)
    mean = mean_of(apart, 0.0, 1.0)
    if mean is None:
        return Verdict(claim, "assumed", NOT_RUN, "undecided", rule)
    return Verdict(claim, "assumed", share_words(mean), decide(mean, below=0.1), rule)
