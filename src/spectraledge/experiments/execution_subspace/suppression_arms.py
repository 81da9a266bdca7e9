"""Arms of `suppression_dose_response`: the published suppression, and what tells why it acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from spectraledge.experiments.execution_subspace.interventions import Chains, Place
from spectraledge.updates import (
    ATTENTION,
    Adam,
    Basis,
    BoostParallel,
    ClipGradient,
    During,
    InitialBasis,
    PastBasis,
    ProjectGradient,
    ProjectUpdate,
    RampStrength,
    RandomBasis,
    ScaleGradient,
    Update,
    WeightDecay,
)

__all__ = [
    "AFTER_ADAM",
    "AMPLIFIED",
    "AMPLIFIED_OTHER",
    "CHAINS",
    "CONTROLS",
    "DECAY_INSIDE",
    "DOSES",
    "INITIAL",
    "NORM_MATCHED",
    "OTHER_BATCHES",
    "OWN_PAST",
    "PRIMARY",
    "RANDOM",
    "RANDOM_MATCHED",
    "RANDOM_WHOLE",
    "SCALED",
    "dose",
    "other_batches",
    "random_dose",
]

DOSES = (0.25, 0.5, 0.75, 1.0)
# The dose of every control.
STRENGTH = 0.75
# The published random basis is seeded with the seed of the run and this.
RANDOM_SEED = 77_777
DIRECTIONS = 16


def dose(strength: float) -> str:
    """Name of the arm of the published suppression at a strength."""
    return f"trajectory, s = {strength:g}"


def random_dose(strength: float) -> str:
    """Name of the arm of suppression on the published random basis at a strength."""
    return f"random, s = {strength:g}"


def other_batches(strength: float) -> str:
    """Name of the arm of suppression on a basis from other batches, as published."""
    return f"other batches, s = {strength:g}"


PRIMARY, OTHER_BATCHES = dose(STRENGTH), other_batches(STRENGTH)
AMPLIFIED_OTHER = "other batches, inside × 4"
RANDOM, RANDOM_WHOLE = random_dose(STRENGTH), random_dose(1.0)
RANDOM_MATCHED = "random in attention, s = 0.75"
AMPLIFIED, SCALED = "inside × 4", "everything × 1/4"
NORM_MATCHED = "same norm, s = 0.75"
OWN_PAST, INITIAL = "own past, s = 0.75", "initial weights, s = 0.75"
AFTER_ADAM, DECAY_INSIDE = "after Adam, s = 0.75", "decay inside only"


def _random(place: Place) -> Basis:
    return RandomBasis(DIRECTIONS, seed=place.seed + RANDOM_SEED)


def _random_matched(place: Place) -> Basis:
    return RandomBasis(place.basis.components, ATTENTION, seed=place.seed + RANDOM_SEED)


def _on_gradient(update: Callable[[Place], Update]) -> Callable[[Place], tuple[Update, ...]]:
    """A chain with an intervention on the gradient from the start step on."""
    return lambda place: place.regime.chain(During(update(place), place.protocol.start))


def _suppress(
    basis: Callable[[Place], Basis], strength: float = STRENGTH, *, match_norm: bool = False
) -> Callable[[Place], tuple[Update, ...]]:
    return _on_gradient(lambda p: ProjectGradient(basis(p), strength, match_norm=match_norm))


def _trajectory(place: Place) -> Basis:
    return place.basis


def _other_batches(place: Place) -> Basis:
    # The published intervention draws commutator samples from the stream of the batches, so that
    # its basis comes from other batches than it trains on; the ordinary runs draw them anew.
    other = replace(place.basis.run, sampling="epochs")
    return replace(place.basis, run=other)


def _from_start(update: ProjectUpdate, place: Place) -> Update:
    # An optimizer must run before the intervention too; at strength 0 nothing is projected.
    return RampStrength(update, at=float(place.protocol.start), before=0.0, after=1.0)


def _after_adam(place: Place) -> tuple[Update, ...]:
    regime = place.regime
    adam = ProjectUpdate(Adam(beta2=regime.beta2), place.basis, STRENGTH)
    decay = WeightDecay(regime.weight_decay, on="all")
    return (ClipGradient(1.0), decay, _from_start(adam, place))


def _decay_inside(place: Place) -> tuple[Update, ...]:
    regime = place.regime
    decay = ProjectUpdate(WeightDecay(regime.weight_decay, on="all"), place.basis, 1.0)
    return (ClipGradient(1.0), _from_start(decay, place), Adam(beta2=regime.beta2))


CONTROLS: Chains = MappingProxyType({
    AMPLIFIED: _on_gradient(lambda p: BoostParallel(p.basis, 1 / (1 - STRENGTH))),
    SCALED: _on_gradient(lambda p: ScaleGradient(1 - STRENGTH)),
    RANDOM_MATCHED: _suppress(_random_matched),
    NORM_MATCHED: _suppress(_trajectory, match_norm=True),
    OWN_PAST: _suppress(lambda p: PastBasis(every=p.regime.record_every)),
    INITIAL: _suppress(lambda p: InitialBasis()),
    AFTER_ADAM: _after_adam,
    DECAY_INSIDE: _decay_inside,
})  # fmt: skip
CHAINS: Chains = MappingProxyType(
    {dose(strength): _suppress(_trajectory, strength) for strength in DOSES}
    | dict(CONTROLS)
    | {random_dose(strength): _suppress(_random, strength) for strength in DOSES}
    | {other_batches(strength): _suppress(_other_batches, strength) for strength in DOSES[:3]}
    | {AMPLIFIED_OTHER: _on_gradient(lambda p: BoostParallel(_other_batches(p), 4.0))}
)
