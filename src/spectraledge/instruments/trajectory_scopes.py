"""Which parameters a trajectory is taken of: matrices, layers, all chosen, the whole model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import WeightMatrix, weight_matrices

__all__ = ["ATTENTION_KINDS", "TrajectoryScopes"]

ATTENTION_KINDS = frozenset({"query", "key", "value", "attention_output", "fused_qkv"})


@dataclass(frozen=True)
class TrajectoryScopes:
    """Disjoint pieces of a flat parameter vector, and the scopes that are made of them.

    Scopes are every chosen matrix by its own name; ``layer0``, its chosen matrices as one vector;
    ``attention`` (``matrices`` if other kinds are chosen), all of them as one vector; ``model``,
    every parameter; and ``layer0 mean``, the mean over its matrices of whatever is measured.

    Args:
        layout: Of the flat vector.
        matrices: The chosen matrices, the first pieces.
        rest: Columns of every parameter that is not wholly chosen, the last piece.
        members: Numbers of the pieces of each scope that is one vector.
        means: Numbers of the matrices of each scope that is a mean.
    """

    layout: Layout
    matrices: tuple[WeightMatrix, ...]
    rest: tuple[slice, ...]
    members: dict[str, tuple[int, ...]]
    means: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, layout: Layout, kinds: tuple[str, ...]) -> TrajectoryScopes:
        """Scopes of a model.

        Args:
            layout: Names and shapes of its parameters.
            kinds: Kinds of matrices; empty for every matrix.

        Returns:
            The scopes.

        Raises:
            ValueError: If there is no such matrix; the message lists those that there are.

        Example:
            >>> layout = Layout(("blocks.0.attn.qkv.weight", "head.weight"), ((6, 2), (3, 2)))
            >>> TrajectoryScopes.of(layout, ("query", "key")).names[2:]
            ('layer0', 'attention', 'model', 'layer0 mean')
        """
        matrices = tuple(weight_matrices(layout, kinds).values())
        whole = _wholly_chosen(layout, matrices)
        rest = _stretches([layout.span(n) for n in layout.names if n not in whole])
        layers: dict[int, list[int]] = defaultdict(list)
        for number, matrix in enumerate(matrices):
            if matrix.layer is not None:
                layers[matrix.layer].append(number)
        every = tuple(range(len(matrices)))
        chosen = "attention" if {m.kind for m in matrices} <= ATTENTION_KINDS else "matrices"
        model = tuple(n for n in every if matrices[n].parameter in whole)
        members: dict[str, tuple[int, ...]] = {m.name: (n,) for n, m in enumerate(matrices)}
        members |= {f"layer{layer}": tuple(numbers) for layer, numbers in layers.items()}
        members |= {chosen: every, "model": (*model, len(matrices)) if rest else model}
        means = {f"layer{layer} mean": tuple(numbers) for layer, numbers in layers.items()}
        return cls(layout, matrices, rest, members, means)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all scopes."""
        return (*self.members, *self.means)

    @property
    def sizes(self) -> list[int]:
        """Number of parameters of each piece."""
        pieces = self.pieces(torch.empty(1, self.layout.size, device="meta"))
        return [sum(part.shape[1] for part in piece) for piece in pieces]

    @property
    def dimensions(self) -> Tensor:
        """Number of parameters of each scope that is one vector, float64."""
        sizes = self.sizes
        counts = [sum(sizes[n] for n in numbers) for numbers in self.members.values()]
        return torch.tensor(counts, dtype=torch.float64)

    def pieces(self, flat: Tensor) -> list[tuple[Tensor, ...]]:
        """Each piece of flat parameters ``(R, P)`` as tensors ``(R, D_i)``, views if possible."""
        own: list[tuple[Tensor, ...]] = [
            (m.view(flat, self.layout).flatten(1),) for m in self.matrices
        ]
        return [*own, tuple(flat[:, columns] for columns in self.rest)] if self.rest else own

    def pieces_of(self, parameters: Mapping[str, Tensor]) -> list[tuple[Tensor, ...]]:
        """The same of one run's parameters by name, which are not joined into one vector first."""
        own: list[tuple[Tensor, ...]] = [
            (m.part_of(parameters[m.parameter]).reshape(1, -1),) for m in self.matrices
        ]
        whole = _wholly_chosen(self.layout, self.matrices)
        others = tuple(parameters[n].reshape(1, -1) for n in self.layout.names if n not in whole)
        return [*own, others] if others else own

    def products(self, pieces: Sequence[Tensor]) -> Tensor:
        """Products ``(R, scopes, T, T)`` of the vector scopes from those of the pieces."""
        # Added one after another: a reduction over a stack may depend on the number of runs.
        totals = [reduce(torch.add, (pieces[n] for n in ns)) for ns in self.members.values()]
        return torch.stack(totals, dim=1)

    def with_means(self, measured: Tensor) -> Tensor:
        """Append to ``(R, scopes, ...)`` the scopes that are means over matrices."""
        means = [
            reduce(torch.add, (measured[:, n : n + 1] for n in numbers)) / len(numbers)
            for numbers in self.means.values()
        ]
        return torch.cat([measured, *means], dim=1)


def _wholly_chosen(layout: Layout, matrices: Sequence[WeightMatrix]) -> set[str]:
    """Parameters all of whose entries belong to chosen matrices."""
    chosen: dict[str, int] = defaultdict(int)
    for matrix in matrices:
        shape = layout.shapes[layout.names.index(matrix.parameter)]
        chosen[matrix.parameter] += matrix.rows * (shape[0] if matrix.transposed else shape[1])
    sizes = dict(zip(layout.names, layout.sizes))
    return {name for name, count in chosen.items() if count == sizes[name]}


def _stretches(spans: Sequence[slice]) -> tuple[slice, ...]:
    """Adjacent spans joined."""
    joined: list[slice] = []
    for span in spans:
        if joined and joined[-1].stop == span.start:
            joined[-1] = slice(joined[-1].start, span.stop)
        else:
            joined.append(span)
    return tuple(joined)
