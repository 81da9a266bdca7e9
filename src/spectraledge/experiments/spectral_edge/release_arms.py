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
    LowRank,
    ProjectUpdate,
    RampStrength,
    RestartAt,
    Update,
    WeightDecay,
)

__all__ = ["ARMS", "BASELINE", "PUBLISHED_ARMS", "RELEASED", "SPARED", "arm_runs", "restarted"]

BASELINE, RELEASED = "decay 1 throughout", "decay 0"
# What decay along or off the edge is to be compared with: all other weights go on decaying.
SPARED = "all but attention"
# The published doses, by the name of the arm.
PUBLISHED_ARMS = MappingProxyType({
    RELEASED: 0.0, "decay 1/2": 0.5, BASELINE: 1.0, "decay 2": 2.0,
})  # fmt: skip
Chain = Callable[[int, int], tuple[Update, ...]]
ADAM = Adam(beta2=0.98)


def restarted(arm: str) -> str:
    """Name of a published dose with a new optimizer at the step of the change, as published."""
    return f"{arm}, new optimizer"


def _decay(*links: Update, optimizer: Update = ADAM) -> tuple[Update, ...]:
    return (ClipGradient(1.0), *links, optimizer)


def _published(strength: float) -> Chain:
    def chain(start: int, cadence: int) -> tuple[Update, ...]:
        # The weights of step `start` are loaded: the first other step is the next one.
        after = float(start + 1)
        decay = RampStrength(WeightDecay(1.0, on="all"), after, after=strength)
        return _decay(decay, optimizer=RestartAt(ADAM, after))

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
})  # fmt: skip


def arm_runs(regime: EdgeRegime, start: int, steps: int) -> dict[str, list[RunSpec]]:
    """One run a seed for every arm, the baseline among them.

    Args:
        regime: Task, model and training.
        start: Step from which on the decay is another.
        steps: Of every run.

    Returns:
        Runs by arm; they share initial weights, data, batches and, up to `start`, everything.
    """
    runs = {BASELINE: regime.runs(steps=steps)}
    for arm, chain in ARMS.items():
        runs[arm] = regime.runs(chain(start, regime.record_every), steps=steps)
    return dict(runs)
