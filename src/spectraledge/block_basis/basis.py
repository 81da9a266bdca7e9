"""Orthonormal bases of a few directions per weight matrix, stored block by block.

A direction inside one matrix is zero on every other parameter, so directions of different
matrices are orthogonal without any work, and a projection costs one small product per block. The
``P × K`` matrix of all directions is never built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["BasisBlock", "BlockBasis"]


@dataclass(frozen=True)
class BasisBlock:
    """Directions inside one block of columns.

    Args:
        name: Canonical name of the matrix, or ``all`` for the whole parameter vector.
        columns: ``(n,)`` columns of the flat vector, in the order of the rows of `vectors`.
        vectors: ``(R, n, k)`` float64, orthonormal columns per run, most important first. A
            direction that a run does not have is a zero column.
    """

    name: str
    columns: Int[Tensor, " n"]
    vectors: Float[Tensor, "R n k"]

    def __post_init__(self) -> None:
        # Products round by memory order, and a basis read from disk must give the same bits.
        object.__setattr__(self, "vectors", self.vectors.contiguous())


@dataclass(frozen=True)
class BlockBasis:
    """An orthonormal basis B of K directions in R^P for every run.

    Args:
        parameters: P, length of the flat vectors it applies to.
        blocks: Blocks that share no column.

    Raises:
        ValueError: If there is no block, blocks disagree on the number of runs, share a column,
            or reach beyond P.

    Example:
        >>> axis = BasisBlock("w", torch.tensor([2]), torch.ones(1, 1, 1, dtype=torch.float64))
        >>> BlockBasis(4, (axis,)).parallel(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist()
        [[0.0, 0.0, 3.0, 0.0]]
    """

    parameters: int
    blocks: tuple[BasisBlock, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("expected at least one block of directions, got none")
        runs = {b.name: b.vectors.shape[0] for b in self.blocks}
        if len(set(runs.values())) > 1:
            raise ValueError(f"expected the same number of runs in every block, got {runs}")
        _check_columns(self.parameters, self.blocks)

    @property
    def runs(self) -> int:
        """Number of runs R."""
        return self.blocks[0].vectors.shape[0]

    @property
    def rank(self) -> int:
        """Number of directions K, counting those that a run does not have."""
        return sum(b.vectors.shape[-1] for b in self.blocks)

    @property
    def ranks(self) -> Int[Tensor, " R"]:
        """Directions that each run has, ``(R,)``; less than `rank` where some are zero."""
        return torch.stack([b.vectors.any(1).sum(-1) for b in self.blocks]).sum(0)

    @property
    def covered(self) -> int:
        """Number of parameters inside the blocks."""
        return sum(len(b.columns) for b in self.blocks)

    @property
    def order(self) -> Int[Tensor, " K"]:
        """Place of each direction inside its block, 0 for the most important, ``(K,)``."""
        return torch.cat([torch.arange(b.vectors.shape[-1]) for b in self.blocks])

    def coefficients(self, vectors: Float[Tensor, "R *more P"]) -> Float[Tensor, "R *more K"]:
        """Inner products ``Bᵀ v``.

        Args:
            vectors: Flat vectors ``(R, ..., P)``.

        Returns:
            ``(R, ..., K)`` float64, block after block.
        """
        self._check(vectors, self.parameters, "parameters")
        pieces = [_rows(vectors[..., b.columns]) @ b.vectors for b in self.blocks]
        return torch.cat(pieces, -1).view(*vectors.shape[:-1], self.rank)

    def embed(self, coefficients: Float[Tensor, "R *more K"]) -> Float[Tensor, "R *more P"]:
        """The vectors ``B c``.

        Args:
            coefficients: ``(R, ..., K)``, block after block.

        Returns:
            ``(R, ..., P)`` float64, zero outside the blocks.
        """
        self._check(coefficients, self.rank, "directions")
        rows = _rows(coefficients)
        out = rows.new_zeros(*rows.shape[:-1], self.parameters)
        pieces = rows.split([b.vectors.shape[-1] for b in self.blocks], -1)
        for block, piece in zip(self.blocks, pieces):
            out[..., block.columns] = piece @ block.vectors.mT
        return out.view(*coefficients.shape[:-1], self.parameters)

    def parallel(self, vectors: Float[Tensor, "R *more P"]) -> Float[Tensor, "R *more P"]:
        """Part of flat vectors inside the span, ``B Bᵀ v``.

        Args:
            vectors: Flat vectors ``(R, ..., P)``.

        Returns:
            ``(R, ..., P)`` in the dtype of the vectors; products are summed in float64.
        """
        return self.embed(self.coefficients(vectors)).to(vectors.dtype)

    def inside(self, vectors: Float[Tensor, "R *more P"]) -> Float[Tensor, "R *more B"]:
        """Norm of each block's columns of flat vectors, ``(R, ..., blocks)`` float64.

        Args:
            vectors: Flat vectors ``(R, ..., P)``.

        Returns:
            ``‖v_b‖`` of every block b, whether or not it lies in the span.
        """
        self._check(vectors, self.parameters, "parameters")
        return torch.stack([vectors[..., b.columns].double().norm(dim=-1) for b in self.blocks], -1)

    def leading(self, count: int) -> BlockBasis:
        """The first `count` directions of every block, fewer where there are fewer."""
        blocks = (replace(b, vectors=b.vectors[..., :count]) for b in self.blocks)
        return BlockBasis(self.parameters, tuple(blocks))

    def of_runs(self, runs: Sequence[int]) -> BlockBasis:
        """The basis of some of the runs, in the order given."""
        blocks = (replace(b, vectors=b.vectors[list(runs)]) for b in self.blocks)
        return BlockBasis(self.parameters, tuple(blocks))

    def to(self, device: torch.device | str) -> BlockBasis:
        """The same basis on another device."""
        blocks = (
            replace(b, columns=b.columns.to(device), vectors=b.vectors.to(device))
            for b in self.blocks
        )
        return BlockBasis(self.parameters, tuple(blocks))

    def tensors(self) -> dict[str, Tensor]:
        """Everything as named tensors, for saving; `from_tensors` reads them in any order."""
        named = {"parameters": torch.tensor(self.parameters)}
        for index, block in enumerate(self.blocks):
            named[f"{index:04d}/{block.name}/columns"] = block.columns
            named[f"{index:04d}/{block.name}/vectors"] = block.vectors
        return named

    @classmethod
    def from_tensors(cls, named: Mapping[str, Tensor]) -> BlockBasis:
        """The basis that `tensors` came from.

        Args:
            named: What `tensors` returned.

        Returns:
            The basis, bit for bit.

        Raises:
            ValueError: If something is missing.
        """
        stems = sorted({n.rpartition("/")[0] for n in named if n != "parameters"})
        wanted = {"parameters", *(f"{s}/{part}" for s in stems for part in ("columns", "vectors"))}
        if missing := sorted(wanted - set(named)):
            raise ValueError(f"expected the tensors of a BlockBasis, but {missing} are missing")
        blocks = tuple(
            BasisBlock(s.partition("/")[2], named[f"{s}/columns"], named[f"{s}/vectors"])
            for s in stems
        )
        return cls(int(named["parameters"]), blocks)

    def _check(self, vectors: Tensor, length: int, what: str) -> None:
        if vectors.ndim < 2 or (vectors.shape[0], vectors.shape[-1]) != (self.runs, length):
            raise ValueError(
                f"expected vectors (R, ..., {what}) = ({self.runs}, ..., {length}), got "
                f"{tuple(vectors.shape)}; build the basis for the same runs and model"
            )


def _rows(vectors: Tensor) -> Tensor:
    """Everything between the run axis and the last one as a single axis, in float64."""
    return vectors.double().reshape(vectors.shape[0], -1, vectors.shape[-1])


def _check_columns(parameters: int, blocks: Sequence[BasisBlock]) -> None:
    columns = torch.cat([b.columns for b in blocks])
    sizes = {b.name: (len(b.columns), b.vectors.shape[1]) for b in blocks}
    if any(n != rows for n, rows in sizes.values()):
        raise ValueError(f"expected one row of the vectors per column, got {sizes}")
    if bool((columns < 0).any() | (columns >= parameters).any()):
        raise ValueError(f"expected columns in [0, {parameters}), got up to {int(columns.max())}")
    if len(columns.unique()) < len(columns):
        raise ValueError(f"expected blocks that share no column, got {list(sizes)}")
