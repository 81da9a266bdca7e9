"""The arms of the fair comparison: decays of the query and key matrices, everything else alike.

In every arm all other weights decay by `REST` (as published), and norm gains and biases not at all.
An arm turns one strength s into an update chain. Where it can be defined, s means the same step
length: at initialisation the step on Q and K is lr · s · ‖W‖_F long, as an L2 decay of strength s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spectraledge.experiments.low_rank_decay.sizes import STRENGTHS, Size
from spectraledge.updates import (
    Adam,
    AntiLowRank,
    CautiousWeightDecay,
    Grokfast,
    Hyperball,
    LowRank,
    Muon,
    NormClamp,
    OrthogonalGradient,
    RandomDirection,
    Update,
    WeightDecay,
)

__all__ = ["ARMS", "REST", "Arm", "chain_of", "strengths_of"]

REST = 0.1

# Step length of the absolute scale over that of the adaptive one at torch's default initialisation:
# ‖W‖_F / √q = 1 / √3 for entries uniform in ±1/√n, whatever the size.
ABSOLUTE = 0.577

Links = tuple[tuple[Update, ...], tuple[Update, ...]]


@dataclass(frozen=True)
class Arm:
    """One way to decay Q and K.

    Args:
        title: What it does, in a few words.
        links: Maps a strength and a size to the updates before and after the optimizer's step.
        strengths: Values to tune over; one value where there is nothing to tune.
    """

    title: str
    links: Callable[[float, Size], Links]
    strengths: tuple[float, ...] = STRENGTHS


def chain_of(arm: str, strength: float, size: Size) -> tuple[Update, ...]:
    """The whole update chain of an arm at a strength."""
    before, after = ARMS[arm].links(strength, size)
    return (WeightDecay(REST, on="other_weights"), *before, Adam(), *after)


def strengths_of(arm: str, size: Size) -> tuple[float, ...]:
    """Strengths that an arm is tuned over at a size."""
    own = ARMS[arm].strengths
    return own if size.strengths is None else own[len(own) // 2 :][: len(size.strengths)]


def _published(strength: float, size: Size) -> LowRank:
    amount = round(strength * size.published_factor, 4)
    return LowRank(amount, scale="absolute", method="published")


def _l2(strength: float) -> WeightDecay:
    return WeightDecay(strength, on="qk")


ARMS: Mapping[str, Arm] = {
    "no decay": Arm("Q and K are not decayed", lambda s, size: ((), ()), (0.0,)),
    "L2": Arm("decoupled weight decay", lambda s, size: ((_l2(s),), ())),
    "LRD": Arm("low-rank decay, adaptive scale", lambda s, size: ((), (LowRank(s),))),
    "LRD absolute": Arm(
        "low-rank decay, the same amount at every norm",
        lambda s, size: ((), (LowRank(round(s * ABSOLUTE, 4), scale="absolute"),)),
    ),
    "LRD published step": Arm(
        "five cubic Newton-Schulz steps, as released",
        lambda s, size: ((), (_published(s, size),)),
    ),
    "elastic": Arm(
        "half L2, half low-rank decay", lambda s, size: ((_l2(s / 2),), (LowRank(s / 2),))
    ),
    "norm held": Arm(
        "norm held at s times its initial value, no decay",
        lambda s, size: ((), (NormClamp((0,), (s,)),)),
        (0.03, 0.065, 0.14, 0.3, 0.65, 1.4, 3.0),
    ),
    "LRD on sphere": Arm(
        "low-rank decay, norm held at its initial value",
        lambda s, size: ((), (LowRank(s), NormClamp((0,), (1.0,)))),
    ),
    "Q and K frozen": Arm(
        "Q and K keep their initial values",
        lambda s, size: ((), (Hyperball(rate=0.0),)),
        (0.0,),
    ),
    "random direction": Arm(
        "the step of L2 along a random orthogonal matrix, norm held at its initial value",
        lambda s, size: ((), (RandomDirection(s), NormClamp((0,), (1.0,)))),
    ),
    "anti-LRD": Arm(
        "spectral flattening, norm held at its initial value",
        lambda s, size: ((), (AntiLowRank(s), NormClamp((0,), (1.0,)))),
    ),
    "cautious decay": Arm(
        "L2 where the optimizer's step agrees in sign",
        lambda s, size: ((), (CautiousWeightDecay(s),)),
    ),
    "Hyperball": Arm(
        "norm held, every step turns by s times the learning rate",
        lambda s, size: ((), (Hyperball(rate=s),)),
        (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    ),
    "Muon": Arm(
        "Muon on Q and K, and L2 there",
        lambda s, size: ((_l2(s), Muon(scale="match_rms")), ()),
    ),
    "Grokfast": Arm(
        "slow gradients of Q and K amplified by s, and L2 there at strength 3",
        lambda s, size: ((_l2(3.0), Grokfast(amplification=s, on="qk")), ()),
    ),
    "OrthoGrad": Arm(
        "gradient of Q and K made orthogonal to the weights, and L2 there",
        lambda s, size: ((_l2(s), OrthogonalGradient(on="qk")), ()),
    ),
}
