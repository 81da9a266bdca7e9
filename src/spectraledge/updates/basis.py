"""What a basis is to an update: a frozen description, resolved into state tensors at ``init``.

The tensors lie in the update's state, so a run that resumes needs nothing but its checkpoint.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from spectraledge.block_basis import BasisBlock, BlockBasis
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, ResolvedPerRun, State, Update
from spectraledge.weight_matrices import weight_matrices

__all__ = ["ATTENTION", "Basis", "OnBasis", "Span", "block_columns", "check_basis", "is_due"]

ATTENTION = ("query", "key", "value", "attention_output")
PREFIX = "basis/"
READY = "basis_ready"


class Basis(ResolvedPerRun):
    """Which directions to tell apart. Concrete bases are frozen dataclasses."""

    @property
    @abstractmethod
    def kinds(self) -> tuple[str, ...] | None:
        """Kinds of matrices that hold one block each; None for one block of all parameters."""

    @abstractmethod
    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """The basis at the initial parameters ``(R, P)``; zero columns where it has none yet."""

    def columns(self, layout: Layout) -> dict[str, Tensor]:
        """Columns of each block of directions, by its name."""
        return block_columns(layout, self.kinds)

    def memory(self, theta: Tensor, layout: Layout) -> State:
        """Further tensors that it keeps, each leading with the run axis."""
        return {}

    def renewed(self, theta: Tensor, span: Span, state: State, step: int) -> BlockBasis | None:
        """The basis for the step to come, or None to keep the last; may change its memory.

        Args:
            theta: Parameters ``(R, P)`` before the step.
            span: Where the directions lie.
            state: Where its memory is.
            step: Steps taken before, >= 0.

        Returns:
            A basis of the same blocks.
        """
        return None

    def start(self, theta: Tensor, layout: Layout) -> State:
        """Everything that an update keeps for this basis.

        Args:
            theta: Initial parameters ``(R, P)``.
            layout: Their layout.

        Returns:
            Tensors that `Span` reads.
        """
        found = self.directions(theta, layout)
        return {
            **{PREFIX + block.name: block.vectors.contiguous() for block in found.blocks},
            READY: _ready(found),
            **self.memory(theta, layout),
        }


class Span:
    """The span of a basis inside an update's state; constant but for a cached view.

    Args:
        basis: The description.
        layout: Layout of the flat vectors.
        device: Where they live.
    """

    def __init__(self, basis: Basis, layout: Layout, device: torch.device) -> None:
        self.basis = basis
        self.layout = layout
        self.columns = {n: c.to(device) for n, c in basis.columns(layout).items()}
        self._view: BlockBasis | None = None

    def of(self, state: State) -> BlockBasis:
        """The basis in a state; a view, which follows what `renew_` writes."""
        vectors = [state[PREFIX + name] for name in self.columns]
        # Building one checks all columns, which takes longer than a projection.
        if self._view is None or any(
            mine is not theirs.vectors for mine, theirs in zip(vectors, self._view.blocks)
        ):
            blocks = (BasisBlock(n, c, v) for (n, c), v in zip(self.columns.items(), vectors))
            self._view = BlockBasis(self.layout.size, tuple(blocks))
        return self._view

    def ready(self, state: State) -> Tensor:
        """``(R, 1)`` float64: 1 for runs that have a direction, 0 for those that have none yet."""
        return state[READY]

    def renew_(self, theta: Tensor, state: State, clock: Clock) -> None:
        """Bring the basis in a state up to date for this step, in place."""
        found = self.basis.renewed(theta, self, state, clock.index - 1)
        if found is None:
            return
        for block in found.blocks:
            state[PREFIX + block.name].copy_(block.vectors)
        state[READY].copy_(_ready(found))

    def parallel(self, state: State, vectors: Tensor) -> Tensor:
        """Part of flat vectors ``(R, P)`` inside the span."""
        return self.of(state).parallel(vectors)


class OnBasis(Update):
    """An update that tells directions apart; concrete ones are frozen dataclasses with a basis."""

    basis: Basis

    @property
    def compiled(self) -> bool:
        """A basis is renewed at some steps only."""
        return False

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """Where the directions lie."""
        return {"span": Span(self.basis, layout, theta.device)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The directions."""
        return self.basis.start(theta, layout)

    def watch_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Renew the basis."""
        hyper["span"].renew_(theta, state, clock)


def block_columns(layout: Layout, kinds: tuple[str, ...] | None) -> dict[str, Tensor]:
    """Columns of each block, in row-major order of its matrix.

    Args:
        layout: Layout of the flat vectors.
        kinds: Kinds of matrices, empty for all; None for one block of all parameters.

    Returns:
        Columns by canonical name.

    Raises:
        ValueError: If the model has no such matrix.
    """
    places = torch.arange(layout.size)
    if kinds is None:
        return {"all": places}
    return {n: m.view(places, layout).flatten() for n, m in weight_matrices(layout, kinds).items()}


def _ready(basis: BlockBasis) -> Tensor:
    return (basis.ranks > 0).double().unsqueeze(1)


def is_due(step: int, every: int) -> bool:
    """Whether what happens every so many steps happens at `step`."""
    return step % every == 0


def check_basis(owner: str, basis: Any) -> None:
    """Raise unless it is a basis.

    Args:
        owner: Name of the update that asks, for the message.
        basis: What it got.

    Raises:
        TypeError: Naming owner and value.
    """
    if not isinstance(basis, Basis):
        raise TypeError(f"{owner}: expected a basis such as InitialBasis(), got {basis!r}")
