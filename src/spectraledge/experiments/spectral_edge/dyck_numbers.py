"""What the paper reports of the edge and of the release of decay on Dyck-1."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from spectraledge.experiments.row_values import last_value, value_at
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
    flip_step,
)
from spectraledge.experiments.spectral_edge.probe_numbers import LAST
from spectraledge.experiments.spectral_edge.published_numbers import (
    Kind,
    PublishedNumber,
    Read,
    at,
    mean_over_run,
    sign_at,
    whether,
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
# Steps of our runs; all published ones of the lifecycle have 10,000.
LENGTHS, PUBLISHED_LENGTH = {DECAY: 5000, NO_DECAY: LATE_WITHOUT}, "10,000"
CADENCE = 100
KL = curve_name(PUBLISHED_CURVES, "largest_divergence", "v1")
GRADIENT = curve_name(SPLIT, "energy_share", "gradient", "v1")
REMOVED, BULK, RANDOM = (
    curve_name(ABLATION, "accuracy_change", what) for what in ("edge", "bulk", "random")
)
NAN = float("nan")


def _decay(
    quantity: str, value: float, name: str, step: float, seeds: int = 1, kind: Kind = "plain"
) -> PublishedNumber:
    words = f"{quantity}, step {step:g}"
    return PublishedNumber(words, value, at(name, step), DECAY, seeds, kind=kind)


def _without(quantity: str, value: float, name: str, kind: Kind = "plain") -> PublishedNumber:
    words = f"{quantity}, step {LATE_WITHOUT} for {LATE}"
    return PublishedNumber(words, value, at(name, LATE_WITHOUT), NO_DECAY, kind=kind)


def _phases(quantity: str, name: str, values: tuple[float, ...]) -> list[PublishedNumber]:
    return [_decay(quantity, v, name, step) for v, step in zip(values, STEPS) if v == v]


def _flips(row: Row) -> float:
    if GRADIENT not in row.curves:
        return NAN
    return float(np.isfinite(flip_step(row, SPLIT, CADENCE)))


def _split() -> Iterator[PublishedNumber]:
    """Who drives the edge, and whether gradient and decay agree along its directions."""
    for value, step in ((0.976, 300), (0.053, 600), (0.995, 1500), (0.87, 4000)):
        yield _decay("Gradient along v₁", value, GRADIENT, step, kind="fraction")
    words = "Runs in which the share of the gradient falls below one half"
    yield PublishedNumber(words, 1, _flips, DECAY, 3, kind="share")
    # Published in words: aligned along v₁, opposing along v₃; v₄ is in `displacement_curves`.
    for k, sign in ((1, 1), (3, -1)):
        words = f"Sign of the alignment of gradient and decay along v{k}, step 600"
        read = sign_at(curve_name(SPLIT, "alignment", f"v{k}"), 600)
        yield PublishedNumber(words, sign, read, DECAY)
    for value, step in ((7.1, 300), (1.7, 600), (1.2, 1500)):
        yield _decay("σ₂² − σ₃²", value, curve_name(EDGE, "gap23"), step, kind="positive")


def _removals() -> Iterator[PublishedNumber]:
    """Accuracy without the edge, without the bulk, and without two random directions."""
    yield from _phases("Accuracy without the edge", REMOVED, (-0.40, -0.29, -0.29, -0.62))
    yield _decay("The same", -0.26, REMOVED, 500, 3)
    yield _decay("The same", -0.58, REMOVED, LATE, 3)
    yield from _phases("Accuracy without the bulk", BULK, (NAN, -0.34, -0.03, -0.13))
    ratio = curve_name(ABLATION, "published_ratio")
    lines: tuple[tuple[str, Read], ...] = (
        ("Two random directions cost less than 1e-4", whether(at(RANDOM, LATE), _is_nothing)),
        ("The edge costs over 4000 times that", whether(at(ratio, LATE), lambda v: v > 4000)),
    )
    for words, read in lines:
        yield PublishedNumber(f"{words}, step {LATE}", 1, read, DECAY, kind="share")


def _is_nothing(change: float) -> bool:
    return abs(change) < 1e-4


def _curvatures() -> Iterator[PublishedNumber]:
    names = [curve_name(PUBLISHED_CURVES, "curvature", f"v{k}") for k in range(1, 5)]
    for k, (name, value) in enumerate(zip(names, (0.078, 0.001, 0.020, 0.068)), 1):
        yield _decay(f"Curvature along v{k}", value, name, LATE)
    for k, (name, value) in enumerate(zip(names, (0.173, 0.987, 0.851, 1.838)), 1):
        yield _without(f"Curvature along v{k}", value, name)


def _lengths() -> Iterator[PublishedNumber]:
    """Singular values, and changes of loss along their directions."""
    length, loss = (
        {k: curve_name(LOGITS, output, f"v{k}") for k in (1, 3, 4)}
        for output in ("singular_value", "loss_change")
    )
    for k, value in ((1, 2.30), (3, 0.92), (4, 0.80)):
        yield _decay(f"σ of v{k}", value, length[k], LATE, kind="positive")
    for k, value in ((1, 5e-5), (3, 3.5e-4), (4, 2.1e-4)):
        yield _decay(f"Change of loss along v{k}", value, loss[k], LATE, kind="positive")
    for k, value in ((1, 0.15), (3, 0.03), (4, 0.01)):
        yield _without(f"σ of v{k}", value, length[k], "positive")
    yield _without("σ of v4, as the prose has it", 0.015, length[4], "positive")
    for k, value in ((1, 7.9e-4), (3, 4.0e-3), (4, 6.9e-3)):
        yield _without(f"Change of loss along v{k}", value, loss[k], "positive")


def _turns() -> Iterator[PublishedNumber]:
    """Largest KL, rotations and stability."""
    for value, step in ((6e-5, 200), (5e-5, LATE)):
        yield _decay("Largest KL along v₁", value, KL, step, kind="positive")
    for condition, angles in ((DECAY, (17.8, 41.7, 51.6)), (NO_DECAY, (22.2, 43.7, 64.4))):
        ours = f"{LENGTHS[condition]} steps for {PUBLISHED_LENGTH}"
        for k, value in enumerate(angles, 1):
            read = mean_over_run(curve_name(EDGE, "rotation", f"v{k}"))
            yield PublishedNumber(f"Mean rotation of v{k}, degrees, {ours}", value, read, condition)
    yield _decay("Stability α₁", 0.77, curve_name(EDGE, "stability", "v1"), 600)
    yield _decay("Stability α₂", 0.16, curve_name(EDGE, "stability", "v2"), 600)


def _wave() -> Iterator[PublishedNumber]:
    """The wave over depth of the response along the edge."""
    share, height = (curve_name(RESPONSE, name, "v1") for name in ("concentration", "elevation"))
    yield _decay("Depth wave, share of the largest frequency", 0.87, share, 500, kind="fraction")
    yield _decay("Depth wave, which frequency", 1, curve_name(RESPONSE, "peak", "v1"), 500)
    yield _decay("Depth wave, elevation", 5.2, height, 500)
    yield _decay("Depth wave, elevation", 4.1, height, 500, 3)
    words = "Depth wave, elevation of the edge over that of the bulk (said to be equal), step 500"
    yield PublishedNumber(words, 1.0, _edge_over_bulk, DECAY)


def _edge_over_bulk(row: Row) -> float:
    v1, v2, v3, v4 = (
        value_at(row, curve_name(RESPONSE, "elevation", f"v{k}"), 500) for k in range(1, 5)
    )
    return (v1 + v2) / (v3 + v4)


EDGE_NUMBERS: tuple[PublishedNumber, ...] = (
    *_split(), *_removals(), *_curvatures(), *_lengths(), *_turns(), *_wave(),
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
        # Of the text: the published script of these runs computes none.
        PublishedNumber(
            "MLP probe, of the text",
            0.99,
            at(release_curve(RELEASE_PROBE, "published_score", LAST, "mlp"), 4000),
            restarted(arm),
        ),
    )
)
