"""How long the pushes of an arm are, and what an optimizer's step is to compare them with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from spectraledge.experiments.execution_subspace.forcing_arms import ARMS, Forcing
from spectraledge.experiments.execution_subspace.interventions import Protocol
from spectraledge.experiments.execution_subspace.regimes import Regime
from spectraledge.lab.rows import Row
from spectraledge.updates import Adam

__all__ = ["Pushes", "adam_step", "pushes_of"]

GRADIENT_NORM = "commutator_defect/gradient_norm"
# The step of the gradient maps in whose units kicks are given.
ETA = 1e-3


@dataclass(frozen=True)
class Pushes:
    """Lengths of the pushes of an arm.

    Args:
        length: Of one push, the geometric mean over measured steps and seeds; None if unknown.
        adam: Length of an Adam step under gradients of pure noise.
        every: Steps between two pushes.
    """

    length: float | None
    adam: float
    every: int

    @property
    def steps(self) -> float | None:
        """Length of one push in Adam steps."""
        return None if self.length is None else self.length / self.adam

    @property
    def rate(self) -> float | None:
        """Way of the pushes for each way of the optimizer."""
        return None if self.steps is None else self.steps / self.every


def adam_step(regime: Regime) -> float:
    """Length of an Adam step whose gradients are independent noise.

    Each coordinate then moves by lr times a ratio whose mean square is (1 − β₁)/(1 + β₁), the
    variance of an exponential mean of white noise over that of the noise.

    Args:
        regime: Gives the learning rate and the number P of parameters.

    Returns:
        lr · √P · √((1 − β₁)/(1 + β₁)); a step whose gradients all agree is up to
        √((1 + β₁)/(1 − β₁)) = 4.4 times as long.
    """
    beta1 = Adam().beta1
    task = regime.task(regime.operations[0])
    with torch.device("meta"):
        built = regime.model.build(
            vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=0
        )
    parameters = sum(p.numel() for p in built.parameters())
    return float(regime.lr * np.sqrt(parameters * (1 - beta1) / (1 + beta1)))


def pushes_of(arms: Mapping[str, Mapping[int, Row]], protocol: Protocol) -> dict[str, Pushes]:
    """Lengths by arm, of the arms that push.

    Args:
        arms: Rows by arm and seed.
        protocol: Where.

    Returns:
        Lengths; those in units of the gradient need rows with its norm.
    """
    adam = adam_step(protocol.regime)
    return {
        arm: Pushes(_length(forcing, arms.get(arm, {}), protocol), adam, protocol.every)
        for arm, forcing in ARMS.items()
        if forcing.length is not None
    }


def _length(forcing: Forcing, rows: Mapping[int, Row], protocol: Protocol) -> float | None:
    if forcing.length == "constant":
        return forcing.size
    norms = [
        norm
        for row in rows.values()
        if GRADIENT_NORM in row.curves
        for step, norm in zip(*row.curve(GRADIENT_NORM))
        if step >= protocol.start and norm > 0 and (forcing.repeated or step == protocol.start)
    ]
    return forcing.size * ETA * float(np.exp(np.mean(np.log(norms)))) if norms else None
