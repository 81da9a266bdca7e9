"""Which parameters an instrument looks at: kinds of matrices, or names with wildcards."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import filter as matching
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from spectraledge.instruments.shape_batches import check_kinds
from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import weight_matrices

__all__ = [
    "ATTENTION_WEIGHTS",
    "check_subset",
    "chosen_columns",
    "chosen_parameters",
    "chosen_stretches",
]

ATTENTION_WEIGHTS = ("query", "key", "value", "attention_output")
NAMED = "parameters:"


def check_subset(owner: str, kinds: Sequence[str]) -> None:
    """Raise unless every entry is a kind of matrix or ``parameters:`` and a pattern of names.

    Args:
        owner: Name of the instrument that asks, for the message.
        kinds: Such as ``("query", "parameters:*.norm.*")``.

    Raises:
        ValueError: For an unknown kind, or a pattern without a letter.
        TypeError: For a single string.
    """
    if isinstance(kinds, str):
        check_kinds(owner, kinds)
    for kind in kinds:
        if kind.removeprefix(NAMED) == "":
            raise ValueError(
                f"{owner}: expected a pattern of parameter names after {NAMED!r}, got none; write "
                f"'{NAMED}*.mlp.*'"
            )
    check_kinds(owner, [kind for kind in kinds if not kind.startswith(NAMED)])


def chosen_parameters(layout: Layout, kinds: tuple[str, ...]) -> set[str]:
    """Names of the parameters that hold what is chosen.

    Args:
        layout: Of the flat vector.
        kinds: Kinds of matrices and patterns; empty for every weight matrix.

    Returns:
        The names; of a fused projection the whole.

    Raises:
        ValueError: If the model has no such matrix, or no name matches a pattern.
    """
    own, patterns = _kinds_and_patterns(kinds)
    found = {name for pattern in patterns for name in _named(layout, pattern)}
    if own or not patterns:
        found |= {matrix.parameter for matrix in weight_matrices(layout, own).values()}
    return found


@lru_cache(maxsize=32)
def chosen_columns(layout: Layout, kinds: tuple[str, ...]) -> Int[Tensor, " D"]:
    """Columns of the flat parameters that are chosen.

    Args:
        layout: Of the flat vector.
        kinds: Kinds of matrices, e.g. ``query``, and patterns of parameter names behind
            ``parameters:``, e.g. ``parameters:*.norm.*``; empty for every weight matrix.

    Returns:
        D columns, each once: matrix by matrix, or ascending where there are patterns.

    Raises:
        ValueError: If the model has no such matrix, or no name matches a pattern.

    Example:
        >>> layout = Layout(("attn.query.weight", "norm.bias"), ((2, 2), (3,)))
        >>> chosen_columns(layout, ("query",)).tolist()
        [0, 1, 2, 3]
        >>> chosen_columns(layout, ("parameters:norm.*",)).tolist()
        [4, 5, 6]
    """
    numbers = torch.arange(layout.size).unsqueeze(0)
    own, patterns = _kinds_and_patterns(kinds)
    columns = [
        torch.arange(layout.size)[layout.span(name)]
        for pattern in patterns
        for name in _named(layout, pattern)
    ]
    if own or not patterns:
        columns += [
            m.view(numbers, layout).flatten() for m in weight_matrices(layout, own).values()
        ]
    every = torch.cat(columns)
    return every.unique() if patterns else every


@lru_cache(maxsize=32)
def chosen_stretches(layout: Layout, kinds: tuple[str, ...]) -> tuple[slice, ...]:
    """`chosen_columns` as slices, in their order; slices are copied ten times faster."""
    columns = chosen_columns(layout, kinds)
    breaks = (columns.diff() != 1).nonzero().flatten() + 1
    pieces = columns.tensor_split(breaks.tolist())
    return tuple(slice(int(p[0]), int(p[-1]) + 1) for p in pieces if len(p))


def _kinds_and_patterns(kinds: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    own = tuple(kind for kind in kinds if not kind.startswith(NAMED))
    return own, [kind.removeprefix(NAMED) for kind in kinds if kind.startswith(NAMED)]


def _named(layout: Layout, pattern: str) -> list[str]:
    found = matching(layout.names, pattern)
    if not found:
        raise ValueError(
            f"expected parameters with names like {pattern!r}, got none; the model has "
            f"{', '.join(layout.names)}"
        )
    return found
