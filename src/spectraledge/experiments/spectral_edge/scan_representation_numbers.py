"""What the paper reports of the representations and the attention of SCAN."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import (
    ATTENTION,
    INPUT,
    POSITIONS,
    PROBE,
    curve_name,
)
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    Read,
    at_end,
)

__all__ = ["representation_numbers"]

HEADS = 4
BOTH = (DECAY, NO_DECAY)


def representation_numbers(layers: int, end: str) -> Iterator[PublishedNumber]:
    """Probes of both stacks, their frequencies over positions and entropies of attention.

    Args:
        layers: Of each stack.
        end: Where they are read, in words: the paper gives no step.

    Yields:
        The numbers, with decay and without.
    """
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
            yield PublishedNumber(f"{quantity}, {end}", value, read, condition)


def _waves(encoder: str, decoder: str) -> Iterator[tuple[str, Read, tuple[float, float]]]:
    """Which frequency over positions is largest, and the shares of one and three."""
    outputs = {
        "largest_frequency": "largest frequency",
        "largest_share": "largest share",
        "largest_three_share": "largest three",
    }
    stacks = {
        ("encoder", encoder): ((1, 0), (0.258, 0.217), (0.615, 0.591)),
        ("decoder", decoder): ((0, 0), (0.192, 0.277), (0.501, 0.594)),
    }
    for (stack, module), published in stacks.items():
        for (output, words), values in zip(outputs.items(), published):
            name = curve_name(POSITIONS, output, module)
            yield f"Positional Fourier, {words}, last layer of the {stack}", at_end(name), values
    three = at_end(curve_name(POSITIONS, "largest_three_share", encoder))
    words = "Positional Fourier, largest three, last layer of the encoder, in another note"
    yield words, three, (0.567, 0.787)


def _entropies(layers: int) -> Iterator[tuple[str, Read, tuple[float, float]]]:
    kinds = {
        "encoder": ("encoder.{}.attention", (1.84, 1.41)),
        # Trained with padded keys masked in the paper, so that no query sees more than its own
        # words; ours sees padding where there is nothing else to see.
        "decoder (padded keys masked in the paper, 2.27 at most)": (
            "decoder.{}.attention",
            (2.23, 2.07),
        ),
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
