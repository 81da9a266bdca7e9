"""A reference run of a few snapshots and dense bases, for the tests of interventions."""

from dataclasses import dataclass

import torch
from link_cases import GROUPS, LAYOUT, clock, parameters
from torch import Tensor

from spectraledge.block_basis import BlockBasis
from spectraledge.snapshots import Snapshot
from spectraledge.updates import (
    Basis,
    InitialBasis,
    RandomBasis,
    SingularBasis,
    TrajectoryBasis,
    Update,
    chain,
)

KINDS = ("query", "key", "value")
BASES = {
    "initial": InitialBasis(KINDS),
    "random": RandomBasis(5),
    "random per matrix": RandomBasis(2, KINDS, seed=3),
    "singular": SingularBasis(2, kinds=KINDS),
    "trajectory": TrajectoryBasis("reference", 2, KINDS),
}


def walk(run: object, steps: int = 6) -> list[Snapshot]:
    """Snapshots of a random walk that belongs to a name, every tenth step."""
    stream = torch.Generator().manual_seed(sum(map(ord, str(run))))
    steps_taken = torch.randn(steps, 1, LAYOUT.size, generator=stream)
    return [Snapshot(10 * t, LAYOUT, x) for t, x in enumerate(steps_taken.cumsum(0))]


def dense(basis: BlockBasis, run: int = 0) -> Tensor:
    """All directions of one run as the columns of a matrix ``(P, K)``."""
    unit = torch.eye(basis.rank, dtype=torch.float64).expand(basis.runs, -1, -1)
    return basis.embed(unit)[run].mT


def directions(basis: Basis, theta: Tensor, run: int = 0) -> Tensor:
    return dense(basis.directions(theta[run : run + 1], LAYOUT))


def follow(
    recipe: tuple[Update, ...], theta: Tensor, steps: range, lr: float = 0.1, problem=None
) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters and gradients after each step of equal runs on given random slopes."""
    theta = theta.clone()
    links, states = chain([recipe] * len(theta), theta, LAYOUT, GROUPS, problem=problem)
    moved, gradients = [], []
    for index in steps:
        gradient = slopes(theta, index)
        links.apply_(theta, gradient, states, clock(len(theta), index, lr), {})
        moved.append(theta.clone())
        gradients.append(gradient)
    return moved, gradients


def slopes(theta: Tensor, index: int) -> Tensor:
    return parameters(len(theta), seed=100 + index).to(theta.dtype)


@dataclass
class Quadratics:
    """Losses ½ θᵀ H θ − bᵀ θ, one per batch; the batch of a salt is drawn from its name."""

    size: int

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        stream = torch.Generator().manual_seed(step + sum(i * ord(c) for i, c in enumerate(salt)))
        draw = torch.randn(self.size, self.size + 1, generator=stream, dtype=torch.float64)
        return draw[:, 1:] + draw[:, 1:].mT, draw[:, 0]

    def gradient(self, theta: Tensor, tokens: Tensor, labels: Tensor):
        return theta @ tokens - labels, None, None
