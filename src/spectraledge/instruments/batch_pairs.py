"""Which batches to pair, so that many pairs share few gradients."""

from __future__ import annotations

from itertools import combinations

__all__ = ["Pair", "batch_pairs"]

# Pieces of the first batch, and of the second.
Pair = tuple[tuple[int, ...], tuple[int, ...]]


def batch_pairs(count: int, pieces: int = 1) -> list[Pair]:
    """Pairs of disjoint batches out of as few batches as possible.

    Args:
        count: Number of pairs, >= 1.
        pieces: Batches are unions of this many equal pieces, 1 or 2. Two pieces make fifteen pairs
            of five pieces, where single batches make ten of five twice as large: half the
            products, for pairs that overlap more.

    Returns:
        For each pair the pieces of A and those of B; a longer list begins with a shorter one.

    Raises:
        ValueError: For fewer than one pair, or another number of pieces.

    Example:
        >>> batch_pairs(3)
        [((0,), (1,)), ((0,), (2,)), ((1,), (2,))]
        >>> batch_pairs(2, pieces=2)
        [((0, 1), (2, 3)), ((0, 2), (1, 3))]
    """
    if count < 1 or pieces not in (1, 2):
        raise ValueError(f"expected pairs >= 1 and pieces 1 or 2, got {count} and {pieces}")
    used = 2 * pieces
    while len(found := _disjoint(used, pieces)) < count:
        used += 1
    return sorted(found, key=lambda pair: max(pair[0] + pair[1]))[:count]


def _disjoint(used: int, pieces: int) -> list[Pair]:
    sets = list(combinations(range(used), pieces))
    return [(a, b) for a, b in combinations(sets, 2) if not set(a) & set(b)]
