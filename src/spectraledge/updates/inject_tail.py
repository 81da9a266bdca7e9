"""An intervention: give matrices back a tail of small singular values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm
from spectraledge.names import check_name
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_count, check_range
from spectraledge.updates.matrix_stacks import MatrixStack, matrix_stacks
from spectraledge.updates.random_streams import generator, run_keys

__all__ = ["InjectTail", "TailSource"]

TailSource = Literal["initial", "random"]


@dataclass(frozen=True)
class InjectTail(Update):
    """W ← W + T once, with T = (1 − UUᵀ) S (1 − VVᵀ) scaled to ‖T‖_F = scale · ‖W‖_F.

    U and V are the leading `rank` singular vectors of W, so T leaves the leading part of W alone:
    as long as the values of T stay below the last leading one, the leading singular values and
    vectors of W + T are those of W. Put it last.

    Args:
        rank: Number of leading singular values to leave alone, >= 1.
        at: The step to act at, >= 1.
        scale: Length of T in units of ‖W‖_F, >= 0.
        source: What S is: the run's ``initial`` matrix, or a ``random`` Gaussian one, drawn from
            a stream of the run's own.
        on: Group of matrices.

    Raises:
        ValueError: For numbers out of range or an unknown source; at ``init`` for a group with
            tensors that are not matrices, or have no tail beyond `rank`.
    """

    rank: int
    at: int
    scale: float
    source: TailSource = "initial"
    on: str = "qk"

    part: ClassVar[str | None] = "intervention"

    @property
    def compiled(self) -> bool:
        """A decomposition at one step runs eagerly."""
        return False

    def __post_init__(self) -> None:
        check_count("InjectTail", rank=self.rank, at=self.at)
        check_range("InjectTail", scale=self.scale)
        check_name("source", self.source, get_args(TailSource))

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together."""
        stacks = matrix_stacks("InjectTail", self.on, layout, groups)
        for stack in stacks:
            if self.rank >= min(stack.rows, stack.columns):
                raise ValueError(
                    f"InjectTail: expected rank < {min(stack.rows, stack.columns)} for matrices of "
                    f"shape {(stack.rows, stack.columns)} in group {self.on!r}, got {self.rank}; "
                    "there is no tail beyond it"
                )
        return {"stacks": stacks}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The initial matrices, or the key of the random stream."""
        if self.source == "random":
            return {"key": run_keys(theta)}
        stacks = matrix_stacks("InjectTail", self.on, layout, groups)
        return {stack.key("initial"): stack.read(theta) for stack in stacks}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Add the tail, in place, if it is time."""
        if clock.index != self.at:
            return
        scale = clock.active * hyper["scale"]
        for stack, source in zip(hyper["stacks"], self._sources(state, hyper["stacks"], theta)):
            matrices = stack.read(theta).double()
            norm = frobenius_norm(matrices)
            chosen = (scale > 0) & (norm > 0) & norm.isfinite()
            # A decomposition refuses the whole batch for one matrix that is not finite.
            safe = torch.where(chosen[..., None, None], matrices, 0.0)
            tail = _tail(safe, source.double(), self.rank)
            size = frobenius_norm(tail)
            length = scale * norm / size.clamp_min(torch.finfo(size.dtype).tiny)
            moved = matrices + length[..., None, None] * tail
            stack.write_(theta, moved.to(theta.dtype), chosen & (size > 0))

    def _sources(
        self, state: State, stacks: tuple[MatrixStack, ...], theta: Tensor
    ) -> list[Tensor]:
        if self.source == "initial":
            return [state[stack.key("initial")] for stack in stacks]
        keys = state["key"].tolist()
        streams = [generator(key, f"InjectTail/{self.on}", self.at) for key in keys]
        return [torch.stack([_gaussian(s, stream) for stream in streams]).to(theta) for s in stacks]


def _gaussian(stack: MatrixStack, stream: torch.Generator) -> Tensor:
    return torch.randn(stack.count, stack.rows, stack.columns, generator=stream)


def _tail(matrices: Tensor, source: Tensor, rank: int) -> Tensor:
    """The source with the leading singular subspaces of the matrices projected out."""
    U, _, Vh = torch.linalg.svd(matrices, full_matrices=False)
    U, Vh = U[..., :rank], Vh[..., :rank, :]
    left = source - U @ (U.mT @ source)
    return left - (left @ Vh.mT) @ Vh
