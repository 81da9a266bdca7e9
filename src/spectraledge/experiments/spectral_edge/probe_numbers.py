"""What the paper reports of representations on Dyck-1: probes, waves, composition, geometry.

Its scripts take snapshots at different steps: single-seed probes and everything layer by layer by
their step, up to 5000, the table of three seeds by their number, and the functional R² one later.
"""

from __future__ import annotations

from spectraledge.experiments.spectral_edge.attention_numbers import ATTENTION_NUMBERS
from spectraledge.experiments.spectral_edge.dyck_probes import (
    COMPOSITION,
    EMBEDDED,
    EMBEDDING_POSITIONS,
    EMBEDDING_PROBE,
    POSITIONS,
    PROBE,
    RESPONSE,
    probe_curve,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.published_numbers import PublishedNumber, at

__all__ = ["LAST", "PROBE_NUMBERS"]

LAST, LATE = "blocks.1", 5000


def _probe(reader: str, module: str = LAST) -> str:
    return probe_curve(PROBE, "published_score", module, reader)


def _number(
    quantity: str, value: float, name: str, step: int, condition: str = DECAY, seeds: int = 1
) -> PublishedNumber:
    return PublishedNumber(f"{quantity}, step {step}", value, at(name, step), condition, seeds)


def _probes() -> list[PublishedNumber]:
    """The last layer: one seed by step, three seeds by the number of the snapshot."""
    single = {
        "linear": (0.965, 0.981, 0.960, 0.667),
        "quadratic": (0.975, 0.995, 0.976, 0.591),
        "mlp": (0.975, 0.993, 0.994, 0.988),
    }
    several = {"linear": (0.982, 0.862), "mlp": (0.992, 0.990)}
    return [
        *(
            _number(f"Published {reader} probe", value, _probe(reader), step)
            for reader, values in single.items()
            for step, value in zip((200, 600, 2000, LATE), values)
        ),
        *(
            _number(f"Published {reader} probe", value, _probe(reader), step, seeds=3)
            for reader, values in several.items()
            for step, value in zip((500, 3900), values)
        ),
    ]


def _layers() -> list[PublishedNumber]:
    """Embedding and both layers, late."""
    names = {
        "embedding": probe_curve(EMBEDDING_PROBE, "published_score", EMBEDDED, "linear"),
        "layer 0": _probe("linear", "blocks.0"),
        "layer 1": _probe("linear"),
    }
    values = {DECAY: (0.243, 0.832, 0.718), NO_DECAY: (0.254, 0.908, 0.941)}
    return [
        _number(f"Published linear probe, layer by layer: {words}", value, name, LATE, condition)
        for condition, own in values.items()
        for (words, name), value in zip(names.items(), own)
    ]


def _waves() -> list[PublishedNumber]:
    """Shares of one and three frequencies over positions."""
    lines = (
        ("embedding", EMBEDDING_POSITIONS, EMBEDDED, DECAY, (0.274, 0.459)),
        ("layer 0", POSITIONS, "blocks.0", DECAY, (0.315, 0.624)),
        ("layer 1", POSITIONS, LAST, DECAY, (0.281, 0.541)),
        ("layer 1", POSITIONS, LAST, NO_DECAY, (0.771, 0.917)),
    )
    outputs = {"largest_share": "largest share", "largest_three_share": "largest three"}
    return [
        _number(
            f"Positional Fourier, {words}, {where}", value,
            probe_curve(instrument, output, module), LATE, condition,
        )
        for where, instrument, module, condition, values in lines
        for (output, words), value in zip(outputs.items(), values)
    ]  # fmt: skip


def _composition() -> list[PublishedNumber]:
    """Depth from the input alone, and what else the last layer says."""
    inputs = {"token": 0.093, "position": 0.025, "token and position": 0.168, "with crosses": 1.0}
    last = {"representation to count": (0.697, 0.931), "representation to token": (0.295, 0.992)}
    return [
        *(
            _number(
                f"Depth from {reading.replace('with', 'both with')}", value,
                probe_curve(COMPOSITION, "published_score", reading), LATE,
            )
            for reading, value in inputs.items()
        ),
        *(
            _number(
                f"{reading.capitalize()}, R²", value,
                probe_curve(COMPOSITION, "published_score", reading), LATE, condition,
            )
            for reading, values in last.items()
            for condition, value in zip((DECAY, NO_DECAY), values)
        ),
    ]  # fmt: skip


def _geometry() -> list[PublishedNumber]:
    lines = (
        ("class_score", "R² on the rows fitted", (0.714, 0.946)),
        ("class_share", "share of the first component", (0.344, 0.811)),
        ("class_distance", "distance of neighbouring depths", (0.21, 30.95)),
    )
    return [
        _number(
            f"Geometry of depth, {words}", value, probe_curve(COMPOSITION, output), LATE, condition
        )
        for output, words, values in lines
        for condition, value in zip((DECAY, NO_DECAY), values)
    ]


PROBE_NUMBERS: tuple[PublishedNumber, ...] = (
    *_probes(),
    *_layers(),
    *(
        _number("Functional R² of v₁", v, probe_curve(RESPONSE, "published_score", "v1"), step)
        for step, v in ((300, 0.61), (600, 0.46), (4000, 0.80))
    ),
    *ATTENTION_NUMBERS,
    *_waves(),
    *_composition(),
    *_geometry(),
)
