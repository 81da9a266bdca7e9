"""Arms of `forcing_is_insufficient`: kicks, noise and the penalty, and the same much larger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from spectraledge.experiments.execution_subspace.interventions import Chains, Place
from spectraledge.updates import During, Kick, OrthogonalNoise, ProjectGradient, Update
from spectraledge.updates.kick import KickDirection, KickLength

__all__ = ["ARMS", "CHAINS", "FAMILIES", "Forcing"]

Links = tuple[tuple[Update, ...], tuple[Update, ...]]


@dataclass(frozen=True)
class Forcing:
    """One way to push a run out of its subspace.

    Args:
        family: What is compared together: ``kick``, ``sustained kicks``, ``noise``, ``penalty``,
            and ``large`` for lengths that nobody published.
        links: Updates before and after Adam.
        length: Of one push: a multiple of a gradient step ‖η g‖ with η = 1e-3 (``gradient``), or
            a norm (``constant``); None where nothing is added to the parameters.
        size: The multiple or the norm.
        repeated: Whether it acts again and again.
    """

    family: str
    links: Callable[[Place], Links]
    length: KickLength | None = None
    size: float = 0.0
    repeated: bool = True


FAMILIES = ("kick", "sustained kicks", "noise", "penalty", "large")


def _single(size: float, family: str = "kick") -> Forcing:
    def links(place: Place) -> Links:
        return (), (Kick(place.basis, size, at=place.protocol.start),)

    return Forcing(family, links, "gradient", size, repeated=False)


def _sustained(
    size: float,
    direction: KickDirection = "commutator",
    length: KickLength = "gradient",
    family: str = "sustained kicks",
) -> Forcing:
    def links(place: Place) -> Links:
        protocol = place.protocol
        kick = Kick(
            place.basis,
            size,
            at=protocol.start,
            every=protocol.every,
            direction=direction,
            length=length,
            samples=5,
        )
        return (), (kick,)

    # The unit of the constant length is that of the published code.
    return Forcing(family, links, length, size if length == "gradient" else size * 1.5e-3)


def _noise(size: float, family: str = "noise") -> Forcing:
    def links(place: Place) -> Links:
        noise = OrthogonalNoise(place.basis, size, every=place.protocol.every)
        return (), (During(noise, place.protocol.start),)

    return Forcing(family, links, "constant", size)


def _penalty(strength: float) -> Forcing:
    def links(place: Place) -> Links:
        project = ProjectGradient(place.basis, strength, every=10)
        return (During(project, place.protocol.start),), ()

    return Forcing("penalty", links)


ARMS = MappingProxyType({
    "kick × 1": _single(1.0),
    "kick × 5": _single(5.0),
    "kick × 10": _single(10.0),
    "kick × 20": _single(20.0),
    "sustained × 50": _sustained(50.0),
    "sustained × 100": _sustained(100.0),
    "sustained × 200": _sustained(200.0),
    "sustained × 500": _sustained(500.0),
    "sustained random × 50": _sustained(50.0, "random"),
    "sustained random × 100": _sustained(100.0, "random"),
    "sustained random × 200": _sustained(200.0, "random"),
    "sustained random × 500": _sustained(500.0, "random"),
    "sustained random, 0.75": _sustained(500.0, "random", "constant"),
    "noise 0.01": _noise(0.01),
    "noise 0.05": _noise(0.05),
    "noise 0.1": _noise(0.1),
    "noise 0.5": _noise(0.5),
    "penalty 0.1": _penalty(0.1),
    "penalty 0.3": _penalty(0.3),
    "penalty 0.5": _penalty(0.5),
    "penalty 0.9": _penalty(0.9),
    "kick × 5000": _single(5000.0, "large"),
    "sustained × 5000": _sustained(5000.0, family="large"),
    "sustained random × 5000": _sustained(5000.0, "random", family="large"),
    "noise 5": _noise(5.0, "large"),
})  # fmt: skip


def _chain(forcing: Forcing) -> Callable[[Place], tuple[Update, ...]]:
    def chain(place: Place) -> tuple[Update, ...]:
        before, after = forcing.links(place)
        return place.regime.chain(*before, after=after)

    return chain


CHAINS: Chains = MappingProxyType({arm: _chain(forcing) for arm, forcing in ARMS.items()})
