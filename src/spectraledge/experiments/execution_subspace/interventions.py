"""Interventions on runs whose future is known: the basis is the trajectory of the same seed.

As published, an ordinary run gives the basis, and the same seed is then trained again with the
intervention from step 500 on. So the basis holds where the run went, and there are interventions
only on seeds whose ordinary run generalised. Initial weights, split and batches are those of the
ordinary run, which the published intervention does not share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import DECAY, base_runs
from spectraledge.experiments.execution_subspace.regimes import (
    GROKKING,
    HELD_OUT,
    UNTIL,
    Regime,
    regime_of,
)
from spectraledge.experiments.study import Known
from spectraledge.instruments import CommutatorDefect, WeightSpectrum
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.series import grok_step
from spectraledge.training import Every, RunSpec
from spectraledge.updates import TrajectoryBasis, Update

__all__ = [
    "HORIZON",
    "MEASURED",
    "UNTIL_GROK_STOP",
    "Chains",
    "Place",
    "Protocol",
    "baselines",
    "grok_stop",
    "intervened",
    "protocol_of",
    "wanted_baselines",
]

# The ordinary runs generalise within 5000 steps, and the published delays are below 1000.
HORIZON = 8000
UNTIL_GROK_STOP = Decision(HELD_OUT, threshold=0.98, patience=3, horizon=HORIZON)
MEASURED: tuple[Measured, ...] = (
    (CommutatorDefect(pairs=4, pieces=2), Every(500)),
    (WeightSpectrum(kinds=()), Every(500)),
)


@dataclass(frozen=True)
class Protocol:
    """Where interventions take place.

    Args:
        regime: Task, model and training.
        operations: Operations of the task.
        seeds: Seeds, among those of the regime.
        start: First step of an intervention.
        every: Steps between two actions of interventions that are repeated.
        decides: Whether an ordinary run must have generalised to give a basis.
    """

    regime: Regime
    operations: tuple[str, ...]
    seeds: tuple[int, ...]
    start: int = 500
    every: int = 50
    decides: bool = True


@dataclass(frozen=True)
class Place:
    """One seed of one operation, as far as an intervention needs to know it.

    Args:
        protocol: Where.
        basis: Of the ordinary run of this seed.
    """

    protocol: Protocol
    basis: TrajectoryBasis

    @property
    def regime(self) -> Regime:
        """Task, model and training."""
        return self.protocol.regime

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.basis.run.seed)


Chains = Mapping[str, Callable[[Place], tuple[Update, ...]]]


def protocol_of(scale: Scale, operations: tuple[str, ...] = GROKKING) -> Protocol:
    """The protocol of a scale.

    Args:
        scale: ``smoke``, ``demo`` or ``full``.
        operations: Operations at the published size; smaller regimes add only.

    Returns:
        The protocol.
    """
    regime = regime_of(scale)
    if scale == "full":
        return Protocol(regime, operations, regime.seeds)
    if scale == "demo":
        return Protocol(regime, ("add",), regime.seeds[:5])
    return Protocol(regime, ("add",), regime.seeds[:1], start=25, every=20, decides=False)


def baselines(protocol: Protocol) -> dict[str, list[RunSpec]]:
    """The ordinary runs by operation, which other studies share."""
    every = base_runs(protocol.regime)
    return {
        operation: [spec for spec in every[operation, DECAY] if spec.seed in protocol.seeds]
        for operation in protocol.operations
    }


def wanted_baselines(known: Known, protocol: Protocol) -> Iterator[RunSpec]:
    """The ordinary runs, without those that are known not to generalise in time.

    To train these on would replace a row, and what other studies measured on it.

    Args:
        known: What is known.
        protocol: Where.

    Yields:
        The runs.
    """
    for runs in baselines(protocol).values():
        for spec in runs:
            if known.row(spec) is not None or known.ledger.get(spec, UNTIL) is None:
                yield spec


def grok_stop(row: Row | None) -> int | None:
    """Third record in a row with an accuracy of 0.98 on held-out pairs; None if it never came."""
    if row is None or row.state == "failed":
        return None
    return grok_step("grok_stop", *row.curve(HELD_OUT))


def intervened(
    known: Known, protocol: Protocol, chains: Chains
) -> dict[tuple[str, str], list[RunSpec]]:
    """Runs with interventions, as far as they can be named.

    Args:
        known: Ordinary runs.
        protocol: Where.
        chains: Update chains by arm.

    Returns:
        Runs by (operation, arm), for every seed whose ordinary run gives a basis.
    """
    found = {}
    for operation, runs in baselines(protocol).items():
        places = list(_places(known, protocol, runs))
        for arm, chain in chains.items():
            found[operation, arm] = [
                protocol.regime.runs(operation, updates=chain(p), seeds=[p.seed])[0] for p in places
            ]
    return found


def _places(known: Known, protocol: Protocol, runs: Iterable[RunSpec]) -> Iterator[Place]:
    for spec in runs:
        row = known.row(spec)
        if row is None or row.state == "failed":
            continue
        stop = grok_stop(row)
        if stop is not None:
            yield Place(protocol, TrajectoryBasis(run=spec, until=_trained_until(stop)))
        elif not protocol.decides:
            yield Place(protocol, TrajectoryBasis(run=spec, until=row.steps_taken))


def _trained_until(stop: int) -> int:
    """Last step of an ordinary run that generalised at `stop`, whoever trained it how far."""
    further = stop + UNTIL.further
    return further if UNTIL.horizon is None else max(stop, min(further, UNTIL.horizon))
