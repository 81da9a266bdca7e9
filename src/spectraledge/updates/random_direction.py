"""A control for decay: steps of the same length in a random direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm
from spectraledge.linalg.normalisers import as_tall
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range
from spectraledge.updates.matrix_stacks import MatrixStack, matrix_stacks
from spectraledge.updates.random_streams import generator, run_keys

__all__ = ["RandomDirection", "random_orthogonal"]


@dataclass(frozen=True)
class RandomDirection(Update):
    """W ← W − rate ‖W‖_F Q / ‖Q‖_F with Q uniform among matrices with orthonormal columns or rows.

    A step as long as that of `WeightDecay` and of adaptive `LowRank` at the same strength, with
    the flat spectrum of the polar factor but no relation to W. Rate is ``strength · lr`` if
    coupled and ``strength`` otherwise. The random stream of a run is seeded by a digest of its
    initial parameters, so it does not depend on batch-mates, and runs that start alike see the
    same directions.

    Args:
        strength: Relative step length per step (and per unit learning rate, if coupled), >= 0.
        on: Group of matrices.
        fresh: Draw a new direction at every step; otherwise keep the one drawn at the start.
        coupled: Whether the learning rate multiplies the strength.

    Raises:
        ValueError: For a negative or non-finite strength; at ``init`` for a group with tensors
            that are not matrices.
    """

    strength: float
    on: str = "qk"
    fresh: bool = True
    coupled: bool = True

    part: ClassVar[str | None] = "random_direction"

    @property
    def compiled(self) -> bool:
        """Drawing needs a generator per run; for a kept direction eager is faster."""
        return False

    def __post_init__(self) -> None:
        check_range("RandomDirection", strength=self.strength)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together."""
        return {"stacks": matrix_stacks("RandomDirection", self.on, layout, groups)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Keys of the random streams, or the directions to keep."""
        keys = run_keys(theta)
        if self.fresh:
            return {"key": keys}
        stacks = matrix_stacks("RandomDirection", self.on, layout, groups)
        drawn = self._draw(keys, 0, stacks, theta)
        return {stack.key("direction"): Q for stack, Q in zip(stacks, drawn)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place."""
        stacks = hyper["stacks"]
        if self.fresh:
            directions = self._draw(state["key"], clock.index, stacks, theta)
        else:
            directions = [state[stack.key("direction")] for stack in stacks]
        rate = hyper["strength"] * (clock.lr if self.coupled else clock.active)
        for stack, Q in zip(stacks, directions):
            matrices = stack.read(theta)
            norm = frobenius_norm(matrices)
            # The square of ||Q||_F is the number of orthonormal columns or rows.
            length = (rate * norm / min(Q.shape[-2:]) ** 0.5).to(theta.dtype)
            moved = matrices - length[..., None, None] * Q
            stack.write_(theta, moved, (rate > 0) & norm.isfinite())

    def _draw(
        self, keys: Tensor, step: int, stacks: Sequence[MatrixStack], theta: Tensor
    ) -> list[Tensor]:
        purpose = f"RandomDirection/{self.on}"
        streams = [generator(key, purpose, step) for key in keys.tolist()]
        return [
            torch.stack([_orthogonal(stack, stream) for stream in streams]).to(theta)
            for stack in stacks
        ]


def random_orthogonal(rows: int, columns: int, count: int, stream: torch.Generator) -> Tensor:
    """Matrices with orthonormal columns (rows, if wide), uniform under the Haar measure.

    Definition: Q of the QR factorisation of a Gaussian matrix, with the signs that make the
    diagonal of R positive; without them the distribution depends on the algorithm.

    Args:
        rows: Rows of one matrix.
        columns: Columns of one matrix.
        count: How many matrices.
        stream: Source of the Gaussian numbers.

    Returns:
        ``(count, rows, columns)`` float32.

    Source: Mezzadri 2007, "How to generate random matrices from the classical compact groups".
    """
    gaussian = torch.randn(count, rows, columns, generator=stream)
    Q, R = torch.linalg.qr(as_tall(gaussian))
    signed = Q * torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)[..., None, :]
    return signed if rows >= columns else signed.mT


def _orthogonal(stack: MatrixStack, stream: torch.Generator) -> Tensor:
    return random_orthogonal(stack.rows, stack.columns, stack.count, stream)
