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
from spectraledge.experiments.spectral_edge.published_numbers import Kind, PublishedNumber, at

__all__ = ["LAST", "PROBE_NUMBERS"]

LAST, LATE = "blocks.1", 5000
# The step of what the paper calls early, layer by layer, is not known; this is its first phase.
EARLY = 200


def _probe(reader: str, module: str = LAST) -> str:
    return probe_curve(PROBE, "published_score", module, reader)


def _number(
    quantity: str,
    value: float,
    name: str,
    step: int,
    condition: str = DECAY,
    seeds: int = 1,
    kind: Kind = "plain",
) -> PublishedNumber:
    words = f"{quantity}, step {step}"
    return PublishedNumber(words, value, at(name, step), condition, seeds, kind=kind)


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
        _number(
            "Published linear probe (no step is given)", 0.94, _probe("linear"), 3900, NO_DECAY
        ),
    ]


def _layers() -> list[PublishedNumber]:
    """Embedding and both layers, early and late."""
    names = {
        "embedding": probe_curve(EMBEDDING_PROBE, "published_score", EMBEDDED, "linear"),
        "layer 0": _probe("linear", "blocks.0"),
        "layer 1": _probe("linear"),
    }
    values = {
        (EARLY, DECAY): (0.247, 0.899, 0.956), (LATE, DECAY): (0.243, 0.832, 0.718),
        (EARLY, NO_DECAY): (0.269, 0.886, 0.932), (LATE, NO_DECAY): (0.254, 0.908, 0.941),
    }  # fmt: skip
    early = {EARLY: " (early, no step is given)", LATE: ""}
    return [
        _number(
            f"Published linear probe, layer by layer: {words}{early[step]}", value, name, step,
            condition,
        )
        for (step, condition), own in values.items()
        for (words, name), value in zip(names.items(), own)
    ]  # fmt: skip


def _waves() -> list[PublishedNumber]:
    """Which frequency over positions is largest, and the shares of one and three."""
    lines = (
        ("embedding", EMBEDDING_POSITIONS, EMBEDDED, DECAY, (12, 0.274, 0.459)),
        ("layer 0", POSITIONS, "blocks.0", DECAY, (0, 0.315, 0.624)),
        ("layer 1", POSITIONS, LAST, DECAY, (12, 0.281, 0.541)),
        ("layer 1", POSITIONS, LAST, NO_DECAY, (0, 0.771, 0.917)),
    )
    outputs = {
        "largest_frequency": "largest frequency",
        "largest_share": "largest share",
        "largest_three_share": "largest three",
    }
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
    inputs = {
        "token": (0.093, 0.081), "position": (0.025, 0.030),
        "token and position": (0.168, 0.167), "with crosses": (1.0, 1.0),
    }  # fmt: skip
    last = {"representation to count": (0.697, 0.931), "representation to token": (0.295, 0.992)}
    return [
        *(
            _number(
                f"Depth from {reading.replace('with', 'both with')}", value,
                probe_curve(COMPOSITION, "published_score", reading), LATE, condition,
            )
            for reading, values in inputs.items()
            for condition, value in zip((DECAY, NO_DECAY), values)
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
    lines: tuple[tuple[str, str, tuple[float, float], Kind], ...] = (
        ("class_score", "R² on the rows fitted", (0.714, 0.946), "plain"),
        ("class_share", "share of the first component", (0.344, 0.811), "plain"),
        ("class_distance", "distance of neighbouring depths", (0.21, 30.95), "positive"),
    )
    return [
        _number(
            f"Geometry of depth, {words}", value, probe_curve(COMPOSITION, output), LATE, condition,
            kind=kind,
        )
        for output, words, values, kind in lines
        for condition, value in zip((DECAY, NO_DECAY), values)
    ]  # fmt: skip


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
