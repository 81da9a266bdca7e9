"""What the paper reports of SCAN, at the published size and, phase by phase, in the reduced one.

Its full-size numbers are of one seed. The reduced model takes other steps to the same phases; its
numbers need not agree, but they have seeds. What the paper has of step 5000 is read at 3000, after
the flip, in runs that end there; runs that go on are read by `late_claims`, at the paper's steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY, EdgeRegime
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    PUBLISHED_CURVES,
    RESPONSE,
    SPLIT,
    curve_name,
)
from spectraledge.experiments.spectral_edge.gap_numbers import (
    Until,
    fall,
    falls_steadily,
    generalises,
    grok_step,
    largest,
    last,
    mode,
    of_windows,
)
from spectraledge.experiments.spectral_edge.published_numbers import (
    Kind,
    PublishedNumber,
    Read,
    at,
    at_end,
    mean_over_run,
    sign_at,
    whether,
)
from spectraledge.experiments.spectral_edge.scan_representation_numbers import (
    representation_numbers,
)

__all__ = ["is_published_size", "scan_numbers"]

PUBLISHED_CADENCE = 500
# Steps of the reduced model in the same phases as published ones.
REDUCED_STEPS: Mapping[int, int] = MappingProxyType({
    500: 200, 1000: 300, 2000: 500, 2500: 700, 4500: 1400, 5000: 1500, 10_000: 2400,
})  # fmt: skip
# Up to here the paper has the phase after the flip; at 10,000 and later the one after that.
SOON = 5000
SEEDS = (42, 137, 2024)
# The published windows of the last seed until generalising are closer than those of the others.
CLOSER = {2024: " (published every 100 steps)"}
Triple = tuple[float, float, float]
# Steps of published runs: of the lifecycle, and of those without decay in the table of the gap.
LENGTH, CONTROL_LENGTH = "15,000", "20,000"


def scan_numbers(regime: EdgeRegime) -> tuple[PublishedNumber, ...]:
    """Every number of the paper up to soon after the flip; what comes later is in `late_claims`.

    Args:
        regime: SCAN at the published size or reduced.

    Returns:
        The numbers, with the steps of the regime.
    """
    return (
        *_generalising(regime),
        *_gaps_without(regime),
        *_shares(regime),
        *_phases(regime),
        *_functional(regime),
        *_rotations(regime),
        *representation_numbers(int(getattr(regime.model, "layers", 1)), _end(regime)),
    )


def is_published_size(regime: EdgeRegime) -> bool:
    """Whether a regime of SCAN has the published model, task and cadence."""
    return regime.record_every == PUBLISHED_CADENCE


def _at(
    regime: EdgeRegime,
    quantity: str,
    values: Mapping[int, float],
    read: Callable[[int], Read],
    kind: Kind = "plain",
) -> Iterator[PublishedNumber]:
    """A number at published steps, or at those of the same phases; none of a phase not reached."""
    for published, value in values.items():
        if is_published_size(regime) and published > SOON:
            continue
        step = _step(regime, published)
        words = f"step {step}" + ("" if step == published else f" for {published}")
        yield PublishedNumber(f"{quantity}, {words}", value, read(step), DECAY, kind=kind)


def _step(regime: EdgeRegime, published: int) -> int:
    """Where a published step is read: soon after the flip, at the end of a run that ends then."""
    if not is_published_size(regime):
        return REDUCED_STEPS[published]
    return min(published, regime.steps)


def _curve(name: str) -> Callable[[int], Read]:
    return lambda step: at(name, step)


def _by_seed(
    quantity: str,
    values: Triple,
    read: Read,
    condition: str,
    kind: Kind = "positive",
    notes: Mapping[int, str] = MappingProxyType({}),
    *,
    same_length: bool = True,
) -> Iterator[PublishedNumber]:
    for seed, value in zip(SEEDS, values):
        words = f"{quantity}, seed {seed}{notes.get(seed, '')}"
        yield PublishedNumber(
            words, value, read, condition, seed=seed, kind=kind, same_length=same_length
        )


def _generalising(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    """Step of generalising and the gap until then."""
    until = Until(EDGE, regime.record_every, regime.metric)
    step = partial(grok_step, metric=regime.metric)
    yield from _by_seed("Step of generalising", (3000, 4000, 2500), step, DECAY)
    again = "Step of generalising, run again (published every 100 steps), seed 2024"
    yield PublishedNumber(again, 3000, step, DECAY, seed=2024, kind="positive")
    lines: tuple[tuple[str, Read, Triple, Kind], ...] = (
        ("Largest gap until generalising", of_windows(until.gap, largest), (27.7, 26.6, 8.21),
         "positive"),
        ("Fall of the gap, times", of_windows(until.gap, fall), (49.9, 31.0, 49.5), "positive"),
        ("Gap at generalising", of_windows(until.gap, last), (0.555, 0.858, 0.166), "positive"),
        ("Gap falls with at most one rise", of_windows(until.gap, falls_steadily), (1, 1, 0),
         "share"),
        ("Mean ratio at the gap until then", of_windows(until.ratio, np.nanmean),
         (4.81, 4.56, 6.39), "positive"),
        ("Ratio at the gap then", of_windows(until.ratio, last), (6.42, 4.95, 2.53), "positive"),
    )  # fmt: skip
    for quantity, read, values, kind in lines:
        yield from _by_seed(quantity, values, read, DECAY, kind, CLOSER)


def _gaps_without(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    whole = Until(EDGE, regime.record_every, None)
    lines: tuple[tuple[str, Read, Triple], ...] = (
        ("Largest gap", of_windows(whole.gap, largest), (1.90, 1.78, 1.86)),
        ("Fall of the gap over the run, times", of_windows(whole.gap, fall), (5152, 2874, 4083)),
        ("Gap at the end", of_windows(whole.gap, last), (3.7e-4, 6.2e-4, 4.6e-4)),
        ("Mean ratio at the gap", of_windows(whole.ratio, np.nanmean), (6.03, 7.18, 5.56)),
        ("Ratio at the gap, end", of_windows(whole.ratio, last), (7.64, 6.32, 7.20)),
    )
    for quantity, read, values in lines:
        words = f"{quantity}, {_length(regime, CONTROL_LENGTH)}"
        # The largest gap is an early one; all else goes on changing for 17,000 steps more.
        early = quantity == "Largest gap"
        yield from _by_seed(words, values, read, NO_DECAY, same_length=early)


def _shares(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    """How many of three runs generalise, and have a rank of 1 at the gap."""
    rank = of_windows(Until(EDGE, regime.record_every, None).rank, mode)
    lengths = {DECAY: "", NO_DECAY: f", {_length(regime, CONTROL_LENGTH)}"}
    for (condition, length), share in zip(lengths.items(), (1, 0)):
        lines: tuple[tuple[str, float, Read], ...] = (
            ("Runs that generalise", share, lambda row: generalises(row, regime.metric)),
            ("Runs whose rank at the gap is mostly 1", 1, whether(rank, lambda k: k == 1)),
        )
        for quantity, value, read in lines:
            yield PublishedNumber(f"{quantity}{length}", value, read, condition, 3, kind="share")


def _length(regime: EdgeRegime, published: str) -> str:
    return f"{regime.steps} steps for {published}"


def _phases(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    share = curve_name(SPLIT, "energy_share", "gradient", "v1")
    shares = {1000: 0.887, 2500: 0.523, 5000: 0.002, 10_000: 0.021}
    yield from _at(regime, "Gradient along v₁", shares, _curve(share), "fraction")
    # Published in words: aligned along v₁, opposing along v₃ (and v₄, which these runs lack).
    for k, sign in ((1, 1), (3, -1)):
        words = f"Sign of the alignment of gradient and decay along v{k}"
        alignment = curve_name(SPLIT, "alignment", f"v{k}")
        yield from _at(regime, words, {5000: sign}, partial(sign_at, alignment))
    gaps = {2500: 26.3, 5000: 1.9, 10_000: 0.6}
    yield from _at(regime, "σ₂² − σ₃²", gaps, _curve(curve_name(EDGE, "gap23")), "positive")


def _functional(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    removed, random = (curve_name(ABLATION, "accuracy_change", d) for d in ("edge", "random"))
    yield from _at(regime, "Accuracy without the edge", {4500: -0.49}, _curve(removed))
    yield from _at(regime, "Accuracy without two random directions", {4500: 0.0}, _curve(random))
    ratio = curve_name(ABLATION, "published_ratio")
    many = "The edge costs over 10⁷ times that"
    yield from _at(
        regime, many, {4500: 1}, lambda step: whether(at(ratio, step), lambda v: v > 1e7), "share"
    )
    end = _end(regime)
    yield PublishedNumber(f"Accuracy without the edge, {end}", -0.03, at_end(removed), NO_DECAY)
    curved = [curve_name(PUBLISHED_CURVES, "curvature", f"v{k}") for k in range(1, 5)]
    yield from _at(regime, "Curvature along v₁", {4500: 0.001}, _curve(curved[0]))
    yield PublishedNumber(
        f"Curvature of the bulk, largest, {end}", 1.83, _largest(map(at_end, curved[1:])), NO_DECAY
    )
    response = curve_name(RESPONSE, "published_score", "v1")
    scores = {2500: 0.60, 5000: 0.12, 10_000: 0.04}
    yield from _at(regime, "Functional R² of v₁, decoder", scores, _curve(response))


def _end(regime: EdgeRegime) -> str:
    """Of what the paper gives no step."""
    return f"end of {regime.steps} steps"


def _largest(reads: Iterable[Read]) -> Read:
    every = list(reads)
    return lambda row: max(read(row) for read in every)


def _rotations(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    angles = {DECAY: (7.7, 20.6, 43.0), NO_DECAY: (28.8, 50.8, 83.8)}
    for condition, own in angles.items():
        for k, value in enumerate(own, 1):
            read = mean_over_run(curve_name(EDGE, "rotation", f"v{k}"))
            words = f"Mean rotation of v{k}, degrees, {_length(regime, LENGTH)}"
            # Six snapshots have one pair of full windows, the published runs thirty.
            yield PublishedNumber(words, value, read, condition, same_length=False)
