"""Arms of `decay_release`: what becomes of the decay once a network has generalised."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from spectraledge.experiments.spectral_edge.edge_regimes import EdgeRegime
from spectraledge.training import RunSpec
from spectraledge.updates import (
    Adam,
    ClipGradient,
    EdgeBasis,
    HoldNorm,
    LowRank,
    ProjectUpdate,
    RampStrength,
    RestartAt,
    Update,
    WeightDecay,
)

__all__ = [
    "ARMS",
    "BASELINE",
    "EARLY_ARMS",
    "HELD",
    "PUBLISHED_ARMS",
    "RELEASED",
    "SPARED",
    "arm_runs",
    "early",
    "held",
    "restarted",
]

BASELINE, RELEASED = "decay 1 throughout", "decay 0"
# What decay along or off the edge is to be compared with: all other weights go on decaying.
SPARED = "all but attention"
# The published doses, by the name of the arm.
PUBLISHED_ARMS = MappingProxyType({
    RELEASED: 0.0, "decay 1/2": 0.5, BASELINE: 1.0, "decay 2": 2.0,
})  # fmt: skip
# Doses with the length of the attention weights held.
HELD = (RELEASED, BASELINE)
Chain = Callable[[int, int], tuple[Update, ...]]
ADAM = Adam(beta2=0.98)


def restarted(arm: str) -> str:
    """Name of a published dose with a new optimizer at the step of the change, as published."""
    return f"{arm}, new optimizer"


def early(arm: str) -> str:
    """Name of such a dose where the change comes before the network generalises, as published."""
    return f"{restarted(arm)}, early"


def held(arm: str) -> str:
    """Name of a dose with the length of the attention weights held from the change on."""
    return f"{arm}, length of attention held"


def _decay(*links: Update, optimizer: Update = ADAM) -> tuple[Update, ...]:
    return (ClipGradient(1.0), *links, optimizer)


def _published(strength: float) -> Chain:
    def chain(start: int, cadence: int) -> tuple[Update, ...]:
        # The weights of step `start` are loaded: the first other step is the next one.
        after = float(start + 1)
        decay = RampStrength(WeightDecay(1.0, on="all"), after, after=strength)
        return _decay(decay, optimizer=RestartAt(ADAM, after))

    return chain


def _held(strength: float) -> Chain:
    def chain(start: int, cadence: int) -> tuple[Update, ...]:
        return (*_switched(strength)(start, cadence), HoldNorm(float(start), on="attention"))

    return chain


def _switched(strength: float, duration: float = 0.0) -> Chain:
    def chain(start: int, cadence: int) -> tuple[Update, ...]:
        whole = WeightDecay(1.0, on="all")
        return _decay(RampStrength(whole, float(start), duration, after=strength))

    return chain


def _returned(start: int, cadence: int) -> tuple[Update, ...]:
    whole = WeightDecay(1.0, on="all")
    off = RampStrength(whole, float(start), after=0.0)
    return _decay(off, RampStrength(whole, float(2 * start), before=0.0, after=1.0))


def _off_edge(start: int, cadence: int) -> tuple[Update, ...]:
    edge = ProjectUpdate(WeightDecay(1.0, on="all"), EdgeBasis(every=cadence), 1.0, "orthogonal")
    return _decay(RampStrength(edge, float(start), before=0.0, after=1.0))


def _along_edge(start: int, cadence: int) -> tuple[Update, ...]:
    edge = ProjectUpdate(WeightDecay(1.0, on="attention"), EdgeBasis(every=cadence), 1.0)
    inside = RampStrength(edge, float(start), before=0.0, after=1.0)
    return _decay(inside, WeightDecay(1.0, on="not_attention"))


def _all_but_attention(start: int, cadence: int) -> tuple[Update, ...]:
    attention = WeightDecay(1.0, on="attention")
    return _decay(
        RampStrength(attention, float(start), after=0.0), WeightDecay(1.0, on="not_attention")
    )


def _low_rank(start: int, cadence: int) -> tuple[Update, ...]:
    def from_start(on: str, heads: int = 1) -> Update:
        # The adaptive step is as long as that of the decay which it replaces.
        decay = LowRank(1.0, on=on, heads=heads)
        return RampStrength(decay, float(start), before=0.0, after=1.0)

    until = RampStrength(WeightDecay(1.0, on="attention"), float(start), after=0.0)
    others = WeightDecay(1.0, on="not_attention")
    return (*_decay(until, others), from_start("fused_qkv", 3), from_start("attention_output"))


ARMS = MappingProxyType({
    RELEASED: _switched(0.0),
    "decay 1/2": _switched(0.5),
    "decay 2": _switched(2.0),
    "ramp to 0": _switched(0.0, duration=1000.0),
    "0, then 1 again": _returned,
    "off the edge": _off_edge,
    "along the edge only": _along_edge,
    SPARED: _all_but_attention,
    "low-rank in attention": _low_rank,
    **{restarted(arm): _published(strength) for arm, strength in PUBLISHED_ARMS.items()},
    **{held(arm): _held(PUBLISHED_ARMS[arm]) for arm in HELD},
})  # fmt: skip
EARLY_ARMS = MappingProxyType({
    early(arm): _published(strength) for arm, strength in PUBLISHED_ARMS.items()
})  # fmt: skip


def arm_runs(
    regime: EdgeRegime, start: int, steps: int, early_start: int
) -> dict[str, list[RunSpec]]:
    """One run a seed for every arm, the baseline among them.

    Args:
        regime: Task, model and training.
        start: Step from which on the decay is another.
        steps: Of every run.
        early_start: The same step of the arms whose change comes early.

    Returns:
        Runs by arm; they share initial weights, data, batches and, up to `start`, everything.
    """
    runs = {BASELINE: regime.runs(steps=steps)}
    for arm, chain in ARMS.items():
        runs[arm] = regime.runs(chain(start, regime.record_every), steps=steps)
    for arm, chain in EARLY_ARMS.items():
        runs[arm] = regime.runs(chain(early_start, regime.record_every), steps=steps)
    return dict(runs)
