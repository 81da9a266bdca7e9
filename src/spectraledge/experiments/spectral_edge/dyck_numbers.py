"""What the paper reports of the edge and of the release of decay on Dyck-1."""

from __future__ import annotations

from itertools import product

import numpy as np

from spectraledge.experiments.row_values import last_value
from spectraledge.experiments.spectral_edge.attention_numbers import HEADS, LAYERS
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    LOGITS,
    PUBLISHED_CURVES,
    RESPONSE,
    SPLIT,
    curve_name,
)
from spectraledge.experiments.spectral_edge.probe_numbers import LAST
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    at,
    mean_over_run,
)
from spectraledge.experiments.spectral_edge.release_arms import (
    PUBLISHED_ARMS,
    restarted,
)
from spectraledge.experiments.spectral_edge.release_runs import ATTENTION as RELEASE_ATTENTION
from spectraledge.experiments.spectral_edge.release_runs import (
    NORM,
    final_accuracy,
    release_curve,
)
from spectraledge.experiments.spectral_edge.release_runs import PROBE as RELEASE_PROBE
from spectraledge.lab.rows import Row

__all__ = ["EDGE_NUMBERS", "RELEASE_NUMBERS"]

# Steps of ablation, curvature and curves: pre, at, post, late. Without decay runs end at 3000.
STEPS, LATE, LATE_WITHOUT = (200, 500, 1400, 3900), 3900, 3000
KL = curve_name(PUBLISHED_CURVES, "largest_divergence", "v1")
GRADIENT = curve_name(SPLIT, "energy_share", "gradient", "v1")


def _decay(quantity: str, value: float, name: str, step: float, seeds: int = 1) -> PublishedNumber:
    return PublishedNumber(f"{quantity}, step {step:g}", value, at(name, step), DECAY, seeds)


def _without(quantity: str, value: float, name: str) -> PublishedNumber:
    words = f"{quantity}, step {LATE_WITHOUT} for {LATE}"
    return PublishedNumber(words, value, at(name, LATE_WITHOUT), NO_DECAY)


def _phases(quantity: str, name: str, values: tuple[float, ...]) -> list[PublishedNumber]:
    return [_decay(quantity, v, name, step) for v, step in zip(values, STEPS) if v == v]


NAN = float("nan")
EDGE_NUMBERS: tuple[PublishedNumber, ...] = (
    *(
        _decay("Gradient along v₁", value, GRADIENT, step)
        for value, step in ((0.976, 300), (0.053, 600), (0.995, 1500), (0.87, 4000))
    ),
    *(
        _decay("σ₂² − σ₃²", value, curve_name(EDGE, "gap23"), step)
        for value, step in ((7.1, 300), (1.7, 600), (1.2, 1500))
    ),
    *_phases(
        "Accuracy without the edge",
        curve_name(ABLATION, "accuracy_change", "edge"),
        (-0.40, -0.29, -0.29, -0.62),
    ),
    _decay("The same", -0.26, curve_name(ABLATION, "accuracy_change", "edge"), 500, 3),
    _decay("The same", -0.58, curve_name(ABLATION, "accuracy_change", "edge"), LATE, 3),
    *_phases(
        "Accuracy without the bulk",
        curve_name(ABLATION, "accuracy_change", "bulk"),
        (NAN, -0.34, -0.03, -0.13),
    ),
    *(
        _decay(f"Curvature along v{k}", v, curve_name(PUBLISHED_CURVES, "curvature", f"v{k}"), LATE)
        for k, v in enumerate((0.078, 0.001, 0.020, 0.068), 1)
    ),
    *(
        _without(f"Curvature along v{k}", v, curve_name(PUBLISHED_CURVES, "curvature", f"v{k}"))
        for k, v in enumerate((0.173, 0.987, 0.851, 1.838), 1)
    ),
    *(
        _decay(f"σ of v{k}", v, curve_name(LOGITS, "singular_value", f"v{k}"), LATE)
        for k, v in ((1, 2.30), (3, 0.92), (4, 0.80))
    ),
    *(
        _decay(f"Change of loss along v{k}", v, curve_name(LOGITS, "loss_change", f"v{k}"), LATE)
        for k, v in ((1, 5e-5), (3, 3.5e-4), (4, 2.1e-4))
    ),
    *(
        _without(f"σ of v{k}", v, curve_name(LOGITS, "singular_value", f"v{k}"))
        for k, v in ((1, 0.15), (3, 0.03), (4, 0.01))
    ),
    *(
        _without(f"Change of loss along v{k}", v, curve_name(LOGITS, "loss_change", f"v{k}"))
        for k, v in ((1, 7.9e-4), (3, 4.0e-3), (4, 6.9e-3))
    ),
    *(
        _decay("Largest KL along v₁", v, KL, s) for v, s in ((6e-5, 200), (5e-5, LATE))
    ),
    *(
        PublishedNumber(
            f"Mean rotation of v{k}, degrees", v,
            mean_over_run(curve_name(EDGE, "rotation", f"v{k}")), condition,
        )
        for condition, angles in ((DECAY, (17.8, 41.7, 51.6)), (NO_DECAY, (22.2, 43.7, 64.4)))
        for k, v in enumerate(angles, 1)
    ),
    _decay("Stability α₁", 0.77, curve_name(EDGE, "stability", "v1"), 600),
    _decay("Stability α₂", 0.16, curve_name(EDGE, "stability", "v2"), 600),
    _decay("Depth wave, elevation", 5.2, curve_name(RESPONSE, "elevation", "v1"), 500),
    _decay("Depth wave, elevation", 4.1, curve_name(RESPONSE, "elevation", "v1"), 500, 3),
)  # fmt: skip

RELEASED = (
    (0.973, 0.987, 2.15, 40.4), (0.972, 0.898, 2.26, 17.7),
    (0.982, 0.851, 2.27, 15.3), (0.985, 0.709, 2.28, 14.3),
)  # fmt: skip


def _released_entropy(row: Row) -> float:
    found = [
        last_value(row, release_curve(RELEASE_ATTENTION, "published_entropy", *which))
        for which in product(
            (f"blocks.{k}.attention" for k in range(LAYERS)), map(str, range(HEADS))
        )
    ]
    return float(np.mean(found))


RELEASE_NUMBERS: tuple[PublishedNumber, ...] = tuple(
    number
    for arm, (accuracy, probe, entropy, norm) in zip(PUBLISHED_ARMS, RELEASED)
    for number in (
        PublishedNumber(
            "Accuracy, last five records",
            accuracy,
            lambda row: final_accuracy(row, "validation_accuracy"),
            restarted(arm),
        ),
        PublishedNumber(
            "Linear probe, published",
            probe,
            at(release_curve(RELEASE_PROBE, "published_score", LAST, "linear"), 4000),
            restarted(arm),
        ),
        PublishedNumber(
            "Entropy of attention, padding counted", entropy, _released_entropy, restarted(arm)
        ),
        PublishedNumber(
            "‖θ‖ of all parameters",
            norm,
            lambda row: last_value(row, release_curve(NORM, "norm")),
            restarted(arm),
        ),
    )
)
