"""What the paper reports of SCAN, at the published size and, phase by phase, in the reduced one.

Its full-size numbers are of one seed. The reduced model takes other steps to the same phases; its
numbers need not agree, but they have seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from types import MappingProxyType

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY, EdgeRegime
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    ATTENTION,
    EDGE,
    INPUT,
    POSITIONS,
    PROBE,
    PUBLISHED_CURVES,
    RESPONSE,
    SPLIT,
    curve_name,
)
from spectraledge.experiments.spectral_edge.gap_numbers import (
    Until,
    fall,
    grok_step,
    last,
    of_windows,
)
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    Read,
    at,
    at_end,
    mean_over_run,
)

__all__ = ["is_published_size", "scan_numbers"]

PUBLISHED_CADENCE = 500
# Steps of the reduced model in the same phases as published ones.
REDUCED_STEPS: Mapping[int, int] = MappingProxyType({
    500: 200, 1000: 300, 2000: 500, 2500: 700, 4500: 1400, 5000: 1500, 10_000: 2400,
})  # fmt: skip
HEADS = 4
BOTH = (DECAY, NO_DECAY)


def scan_numbers(regime: EdgeRegime) -> tuple[PublishedNumber, ...]:
    """Every number of the paper that runs of a regime have.

    Args:
        regime: SCAN at the published size or reduced.

    Returns:
        The numbers, with the steps of the regime.
    """
    return (
        *_generalising(regime),
        *_phases(regime),
        *_functional(regime),
        *_rotations(),
        *_representations(regime),
    )


def is_published_size(regime: EdgeRegime) -> bool:
    """Whether a regime of SCAN has the published model, task and cadence."""
    return regime.record_every == PUBLISHED_CADENCE


def _own_step(regime: EdgeRegime, published: int) -> int | None:
    """Where a regime stands in the phase of a published step; None past its end."""
    step = published if is_published_size(regime) else REDUCED_STEPS[published]
    return step if step <= regime.steps else None


def _at(
    regime: EdgeRegime, quantity: str, values: Mapping[int, float], name: str
) -> Iterator[PublishedNumber]:
    """A curve at published steps, or at those of the same phases."""
    for published, value in values.items():
        step = _own_step(regime, published)
        if step is not None:
            words = f"step {step}" + ("" if step == published else f" for {published}")
            yield PublishedNumber(f"{quantity}, {words}", value, at(name, step), DECAY)


def _generalising(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    until = Until(EDGE, regime.record_every, regime.metric)
    whole = Until(EDGE, regime.record_every, None)
    lines: tuple[tuple[str, Read, str, tuple[float, ...]], ...] = (
        ("Step of generalising", lambda row: grok_step(row, regime.metric), DECAY,
         (3000, 4000, 2500)),
        ("Fall of the gap, times", of_windows(until.gap, fall), DECAY, (49.9, 31.0, 49.5)),
        ("Gap at generalising", of_windows(until.gap, last), DECAY, (0.555, 0.858, 0.166)),
        ("Mean ratio at the gap until then", of_windows(until.ratio, np.nanmean), DECAY,
         (4.81, 4.56, 6.39)),
        ("Ratio at the gap then", of_windows(until.ratio, last), DECAY, (6.42, 4.95, 2.53)),
        ("Fall of the gap over the run, times", of_windows(whole.gap, fall), NO_DECAY,
         (5152, 2874, 4083)),
        ("Gap at the end", of_windows(whole.gap, last), NO_DECAY, (3.7e-4, 6.2e-4, 4.6e-4)),
        ("Mean ratio at the gap", of_windows(whole.ratio, np.nanmean), NO_DECAY,
         (6.03, 7.18, 5.56)),
        ("Ratio at the gap, end", of_windows(whole.ratio, last), NO_DECAY, (7.64, 6.32, 7.20)),
    )  # fmt: skip
    for quantity, read, condition, values in lines:
        for seed, value in zip((42, 137, 2024), values):
            yield PublishedNumber(f"{quantity}, seed {seed}", value, read, condition, seed=seed)


def _phases(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    share = curve_name(SPLIT, "energy_share", "gradient", "v1")
    shares = {1000: 0.887, 2500: 0.523, 5000: 0.002, 10_000: 0.021}
    yield from _at(regime, "Gradient along v₁", shares, share)
    gaps = {2500: 26.3, 5000: 1.9, 10_000: 0.6}
    yield from _at(regime, "σ₂² − σ₃²", gaps, curve_name(EDGE, "gap23"))


def _functional(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    removed = curve_name(ABLATION, "accuracy_change", "edge")
    yield from _at(regime, "Accuracy without the edge", {4500: -0.49}, removed)
    yield PublishedNumber("Accuracy without the edge, end", -0.03, at_end(removed), NO_DECAY)
    curved = [curve_name(PUBLISHED_CURVES, "curvature", f"v{k}") for k in range(1, 5)]
    yield from _at(regime, "Curvature along v₁", {4500: 0.001}, curved[0])
    yield PublishedNumber(
        "Curvature of the bulk, largest, end", 1.83, _largest(map(at_end, curved[1:])), NO_DECAY
    )
    response = curve_name(RESPONSE, "published_score", "v1")
    scores = {2500: 0.60, 5000: 0.12, 10_000: 0.04}
    yield from _at(regime, "Functional R² of v₁, decoder", scores, response)


def _largest(reads: Iterable[Read]) -> Read:
    every = list(reads)
    return lambda row: max(read(row) for read in every)


def _rotations() -> Iterator[PublishedNumber]:
    angles = {DECAY: (7.7, 20.6, 43.0), NO_DECAY: (28.8, 50.8, 83.8)}
    for condition, own in angles.items():
        for k, value in enumerate(own, 1):
            read = mean_over_run(curve_name(EDGE, "rotation", f"v{k}"))
            yield PublishedNumber(f"Mean rotation of v{k}, degrees", value, read, condition)


def _representations(regime: EdgeRegime) -> Iterator[PublishedNumber]:
    layers = int(getattr(regime.model, "layers", 1))
    encoder, decoder = f"encoder.{layers - 1}", f"decoder.{layers - 1}"
    probe = "published_score"
    lines: tuple[tuple[str, Read, tuple[float, float]], ...] = (
        ("Next token from the decoder, published probe",
         at_end(curve_name(PROBE, probe, decoder, "linear")), (0.917, 0.960)),
        ("First action from the encoder, published probe",
         at_end(curve_name(PROBE, probe, encoder, "linear")), (0.384, 0.291)),
        ("Words of the command from the encoder, published probe",
         at_end(curve_name(INPUT, "published_token", encoder)), (1.0, 0.997)),
        ("Position from the decoder, published probe",
         at_end(curve_name(INPUT, "published_position", decoder)), (0.977, 0.920)),
        *_waves(encoder, decoder),
        *_entropies(layers),
    )  # fmt: skip
    for quantity, read, values in lines:
        for condition, value in zip(BOTH, values):
            yield PublishedNumber(f"{quantity}, end", value, read, condition)


def _waves(encoder: str, decoder: str) -> Iterator[tuple[str, Read, tuple[float, float]]]:
    shares = {
        ("encoder", encoder): ((0.258, 0.217), (0.615, 0.591)),
        ("decoder", decoder): ((0.192, 0.277), (0.501, 0.594)),
    }
    for (stack, module), (one, three) in shares.items():
        for output, words, values in (
            ("largest_share", "largest share", one),
            ("largest_three_share", "largest three", three),
        ):
            name = curve_name(POSITIONS, output, module)
            yield f"Positional Fourier, {words}, last layer of the {stack}", at_end(name), values


def _entropies(layers: int) -> Iterator[tuple[str, Read, tuple[float, float]]]:
    kinds = {
        "encoder": ("encoder.{}.attention", (1.84, 1.41)),
        "decoder": ("decoder.{}.attention", (2.23, 2.07)),
        "cross-attention": ("decoder.{}.cross_attention", (1.87, 0.97)),
    }
    for words, (place, values) in kinds.items():
        reads = [
            at_end(curve_name(ATTENTION, "published_entropy", place.format(layer), str(head)))
            for layer, head in product(range(layers), range(HEADS))
        ]
        yield f"Entropy of attention, {words}, padding counted", _mean(reads), values


def _mean(reads: list[Read]) -> Read:
    return lambda row: float(np.mean([read(row) for read in reads]))
