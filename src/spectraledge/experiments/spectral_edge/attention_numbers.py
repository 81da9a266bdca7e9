"""What the paper reports of single heads on Dyck-1, whose averages count padding."""

from __future__ import annotations

from collections.abc import Callable

from spectraledge.experiments.spectral_edge.dyck_probes import ATTENTION, probe_curve
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.published_numbers import PublishedNumber, Read, at

__all__ = ["ATTENTION_NUMBERS", "HEADS", "LAYERS"]

HEADS, LAYERS = 4, 2
LATE = 5000


def _head(output: str, layer: int, head: int) -> Read:
    place = f"blocks.{layer}.attention", str(head)
    return at(probe_curve(ATTENTION, f"published_{output}", *place), LATE)


def _among(among: Callable[..., float], output: str, layer: int) -> Read:
    """The least or the largest number of the heads of a layer."""
    reads = [_head(output, layer, head) for head in range(HEADS)]
    return lambda row: among(*(read(row) for read in reads))


_LINES: tuple[tuple[str, float, str, Read], ...] = (
    *((f"Entropy, layer 0, head {k}", 2.28, DECAY, _head("entropy", 0, k)) for k in range(HEADS)),
    ("Entropy, layer 1, head 2", 2.17, DECAY, _head("entropy", 1, 2)),
    ("KL to counting, layer 0, largest of a head", 0.0, DECAY, _among(max, "counting", 0)),
    ("KL to counting, layer 1, head 2", 0.059, DECAY, _head("counting", 1, 2)),
    ("KL to counting, layer 0, least of a head", 0.09, NO_DECAY, _among(min, "counting", 0)),
    ("KL to counting, layer 0, largest of a head", 0.13, NO_DECAY, _among(max, "counting", 0)),
    ("Entropy, layer 1, least of a head", 1.02, NO_DECAY, _among(min, "entropy", 1)),
    ("KL to counting, layer 1, largest of a head", 1.017, NO_DECAY, _among(max, "counting", 1)),
)
ATTENTION_NUMBERS: tuple[PublishedNumber, ...] = tuple(
    PublishedNumber(f"{words}, padding counted, step {LATE}", value, read, condition)
    for words, value, condition, read in _LINES
)
