"""Blocks: how one parameter tensor is cut into the matrices that are decayed one by one.

A nuclear norm depends on what counts as one matrix. A `BlockSpec` cuts the rows (or the columns)
of a weight into strips, and each strip into equal blocks: heads, or the query, key and value
inside one fused weight. Blocks are views, so writing to them writes to the parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from spectraledge.matrices import ParameterRole

__all__ = ["BlockSpec", "Strip", "automatic_blocks", "per_head"]


@dataclass(frozen=True)
class Strip:
    """Consecutive rows (or columns) of a weight, cut into equal blocks.

    Args:
        start: First row, >= 0.
        length: Number of rows; None means up to the end.
        blocks: Number of equal blocks along the strip, >= 1, e.g. the number of heads.
        name: What the strip holds; strips named ``"value"`` are left out under
            ``select="qk"``.

    Raises:
        ValueError: If a number is out of range or `blocks` does not divide `length`.
    """

    start: int = 0
    length: int | None = None
    blocks: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        if self.start < 0 or self.blocks < 1 or (self.length is not None and self.length < 1):
            raise ValueError(
                f"expected start >= 0, length >= 1 and blocks >= 1, got {self}; "
                f"count rows from the top of the weight"
            )
        if self.length is not None and self.length % self.blocks:
            raise ValueError(
                f"expected equal blocks, got {self.length} rows in {self.blocks} blocks; "
                f"choose a number of blocks that divides {self.length}"
            )

    def within(self, size: int) -> slice:
        """The rows of the strip in a weight of `size` rows; refuses a strip that does not fit."""
        end = size if self.length is None else self.start + self.length
        if not self.start < end <= size or (end - self.start) % self.blocks:
            raise ValueError(
                f"expected a strip that fits into {size} rows (or columns) in equal blocks, "
                f"got {self}"
            )
        return slice(self.start, end)


@dataclass(frozen=True)
class BlockSpec:
    """The matrices inside one parameter; the default is the whole weight.

    A tensor ``(..., m, n)`` with more than two dimensions is a batch of matrices (experts),
    unless `flatten` makes it one matrix ``(m, everything else)`` (a convolution).

    Args:
        strips: Disjoint strips in any order; rows outside all strips are not decayed. Empty
            means the whole weight.
        axis: Cut "rows" (outputs of a Linear) or "columns" (its inputs).
        flatten: Merge all dimensions after the first into one before cutting.

    Raises:
        ValueError: If strips overlap or `axis` is unknown.

    Example:
        >>> heads = BlockSpec((Strip(blocks=4),))
        >>> [block.shape for block in heads.split(torch.zeros(128, 64))]
        [torch.Size([4, 32, 64])]
    """

    strips: tuple[Strip, ...] = ()
    axis: Literal["rows", "columns"] = "rows"
    flatten: bool = False

    def __post_init__(self) -> None:
        if self.axis not in ("rows", "columns"):
            raise ValueError(f"expected axis 'rows' or 'columns', got {self.axis!r}")
        ordered = sorted(self.strips, key=lambda strip: strip.start)
        for first, second in pairwise(ordered):
            if first.length is None or first.start + first.length > second.start:
                raise ValueError(
                    f"expected disjoint strips, got {first} and {second}: rows would be decayed "
                    f"twice; give each strip a start and a length"
                )

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Views of the blocks, one ``(..., m, n)`` tensor a strip.

        Args:
            tensor: The parameter, at least two dimensions.

        Returns:
            For each strip the blocks ``(..., blocks, m, n)``, or ``(..., m, n)`` where a strip is
            one block.
        """
        matrix = _as_matrix(tensor) if self.flatten else tensor
        if not self.strips:
            return (matrix,)
        rows = matrix if self.axis == "rows" else matrix.mT
        pieces = []
        for strip in self.strips:
            piece = rows[..., strip.within(rows.shape[-2]), :]
            if strip.blocks > 1:
                piece = piece.unflatten(-2, (strip.blocks, -1))
            pieces.append(piece if self.axis == "rows" else piece.mT)
        return tuple(pieces)

    def merge_(self, tensor: Tensor, blocks: Iterable[Tensor]) -> Tensor:
        """Write blocks, as `split` returns them, back into `tensor`.

        Args:
            tensor: The parameter; changed in place.
            blocks: One tensor a strip.

        Returns:
            The same `tensor`.
        """
        for view, block in zip(self.split(tensor), blocks, strict=True):
            view.copy_(block)
        return tensor

    def shapes(self, shape: Iterable[int]) -> tuple[tuple[int, ...], ...]:
        """Shapes of the blocks of a parameter of this shape, as `split` would return them."""
        return tuple(tuple(b.shape) for b in self.split(torch.empty(*shape, device="meta")))

    def describe(self, shape: Iterable[int]) -> str:
        """Short text for tables, e.g. ``query 4 x 32x128, key 4 x 32x128``."""
        names = [strip.name for strip in self.strips] or [""]
        texts = []
        for name, (*batch, m, n) in zip(names, self.shapes(shape)):
            count = torch.Size(batch).numel()
            texts.append(f"{name} {f'{count} x ' if batch else ''}{m}x{n}".strip())
        return ", ".join(texts)

    def without(self, name: str) -> BlockSpec | None:
        """The same blocks without the strips of this name; None when no strip is left."""
        kept = tuple(strip for strip in self.strips if strip.name != name)
        return BlockSpec(kept, self.axis, self.flatten) if kept or not self.strips else None


def per_head(
    heads: int, key_value_heads: int | None = None
) -> Callable[[str, Tensor, ParameterRole], BlockSpec | None]:
    """Blocks for per-head QK-norm: every attention head is decayed as its own matrix.

    Query, key and value weights are cut along their outputs, the output projection along its
    inputs; fused weights first into query, key and value. Other weights keep automatic blocks.
    Wrong for a norm over the full width, under which only the whole matrix is scale-invariant.

    Args:
        heads: Number of query heads, >= 1.
        key_value_heads: Number of key and value heads (grouped-query attention); None: `heads`.

    Returns:
        A callable for ``LowRankDecay(..., blocks=...)``.

    Raises:
        ValueError: If a number of heads is below 1; later for a fused weight that does not hold so
            many heads of the width of its input.

    Example:
        >>> role = ParameterRole("q", "query", 0, "layer0.attention.query", "")
        >>> per_head(4)("q", torch.zeros(8, 6), role).describe((8, 6))
        '4 x 2x6'
    """
    kv = heads if key_value_heads is None else key_value_heads
    if heads < 1 or kv < 1:
        raise ValueError(f"expected at least one head, got heads={heads}, key_value_heads={kv}")
    count = {"query": heads, "key": kv, "value": kv, "attention_output": heads}

    def blocks(name: str, parameter: Tensor, role: ParameterRole) -> BlockSpec | None:
        if role.kind == "fused_qkv":
            return _fused_heads(parameter, role, count)
        if role.kind not in count:
            return None
        along_rows = (role.kind == "attention_output") == role.transposed
        return BlockSpec((Strip(blocks=count[role.kind]),), "rows" if along_rows else "columns")

    return blocks


def _fused_heads(parameter: Tensor, role: ParameterRole, count: Mapping[str, int]) -> BlockSpec:
    axis = _output_axis(parameter, role)
    m, n = parameter.shape[-2:]
    outputs, inputs = (m, n) if axis == "rows" else (n, m)
    heads = sum(count[part] for part in role.parts)
    # Heads of another width cannot be told from a wrong number of heads.
    if not heads or outputs % heads or outputs // heads * count["query"] != inputs:
        raise ValueError(
            f"per_head: cannot cut {role.name!r} of shape {tuple(parameter.shape)} into "
            f"{count['query']} query and {count['key']} key and value heads for an input of "
            f"{inputs}; check heads and key_value_heads, or, for heads interleaved or of another "
            f"width, pass blocks={{{role.name!r}: BlockSpec((Strip(0, rows, name='query'), ...))}}"
        )
    head = outputs // heads
    return _consecutive({p: (head * count[p], count[p]) for p in role.parts}, axis)


def automatic_blocks(parameter: Tensor, role: ParameterRole) -> BlockSpec | None:
    """Blocks where the user gave none: fused weights into their parts, everything else whole.

    Args:
        parameter: The weight.
        role: Its role.

    Returns:
        Its blocks; None for an unknown layout with more than three dimensions. Experts
        ``(E, out, in)`` stay whole: how a fused one is stored cannot be seen.

    Raises:
        ValueError: If a fused weight cannot be cut into equal parts for sure.
    """
    if role.kind == "conv":
        return BlockSpec(flatten=True)
    if role.kind == "fused_qkv" or (role.parts and parameter.ndim == 2):
        axis = _output_axis(parameter, role)
        m, n = parameter.shape[-2:]
        outputs, inputs = (m, n) if axis == "rows" else (n, m)
        equal = len(role.parts) and outputs % len(role.parts) == 0
        if not equal or (role.kind == "fused_qkv" and outputs != len(role.parts) * inputs):
            raise ValueError(
                f"cannot tell how {role.name!r} of shape {tuple(parameter.shape)} is divided into "
                f"query, key and value (grouped heads, or heads interleaved); pass "
                f"blocks={{{role.name!r}: BlockSpec((Strip(0, rows, name='query'), ...))}}"
            )
        size = outputs // len(role.parts)
        return _consecutive({part: (size, 1) for part in role.parts}, axis)
    return BlockSpec() if parameter.ndim <= 3 else None


def _consecutive(parts: dict[str, tuple[int, int]], axis: Literal["rows", "columns"]) -> BlockSpec:
    """Strips one after the other, from name -> (length, blocks)."""
    strips, start = [], 0
    for name, (length, blocks) in parts.items():
        strips.append(Strip(start, length, blocks, name))
        start += length
    return BlockSpec(tuple(strips), axis)


def _output_axis(parameter: Tensor, role: ParameterRole) -> Literal["rows", "columns"]:
    # Without module types a Conv1D shows only by its shape (d, 3d).
    m, n = parameter.shape[-2:]
    by_shape = role.kind == "fused_qkv" and len(role.parts) > 0 and n == len(role.parts) * m
    return "columns" if role.transposed or by_shape else "rows"


def _as_matrix(tensor: Tensor) -> Tensor:
    """View ``(first, all others)``; the order of the columns follows memory (channels_last)."""
    order = sorted(range(1, tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(0, *order).view(tensor.shape[0], -1)
