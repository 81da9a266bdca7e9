"""Seeded splits of ordered pairs (a, b): the published one, and one without a mirror leak.

A split is three lists of row numbers: train, validation, test. Both functions shuffle with a
private `random.Random(seed)`, so that the global generators stay untouched and a published split
can be had again from its seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import ceil

__all__ = ["nearest", "ordered_split", "unordered_split"]

Pairs = Sequence[tuple[int, int]]
Split = tuple[list[int], list[int], list[int]]


def ordered_split(pairs: Pairs, train_fraction: float, validation_share: float, seed: int) -> Split:
    """Every ordered pair is assigned by itself, as in the published grokking code.

    The rows are shuffled, the first ⌊f·N⌋ train. On a commutative operation this leaks: the mirror
    (b, a) of an off-diagonal held-out pair is in training with probability f, and a model that only
    learnt a symmetric table answers it right.

    Args:
        pairs: The N input pairs, in row order.
        train_fraction: f in (0, 1), counted in ordered pairs.
        validation_share: Share of the rest that goes to validation, in (0, 1).
        seed: Seed of the private generator, ≥ 0.

    Returns:
        Row numbers of train, validation and test: disjoint, and all rows together.

    Source:
        Power et al., "Grokking" (arXiv 2201.02177): a random subset of all equations trains. The
        published splits have no test part; ours has the same train part for the same seed, and
        the rest divided in two.

    Example:
        >>> [len(part) for part in ordered_split([(a, b) for a in range(5) for b in range(5)],
        ...                                      0.5, 0.5, seed=0)]
        [12, 6, 7]
    """
    rows = list(range(len(pairs)))
    random.Random(seed).shuffle(rows)
    train = int(train_fraction * len(rows))
    validation = train + int(validation_share * (len(rows) - train))
    return rows[:train], rows[train:validation], rows[validation:]


def unordered_split(
    pairs: Pairs, train_fraction: float, validation_share: float, seed: int
) -> Split:
    """A pair and its mirror always land in the same part, so commutativity leaks nothing.

    The unordered pairs {a, b} are shuffled and dealt out whole: two rows each, or one where the
    mirror is the pair itself or is not an input. The train part has the achievable number of rows
    nearest to f·N, the validation part the one nearest to its share of the rest (within one row).
    Other symmetries of an operation, like a → −a in a² + b², are not held together.

    Args:
        pairs: The N input pairs, in row order.
        train_fraction: f in (0, 1), counted in ordered pairs.
        validation_share: Share of the rest that goes to validation, in (0, 1).
        seed: Seed of the private generator, ≥ 0.

    Returns:
        Row numbers of train, validation and test: disjoint, and all rows together.

    Example:
        >>> parts = unordered_split([(0, 0), (0, 1), (1, 0), (1, 1)], 0.5, 0.5, seed=1)
        >>> [sorted(part) for part in parts]
        [[1, 2], [3], [0]]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for row, (a, b) in enumerate(pairs):
        groups.setdefault((min(a, b), max(a, b)), []).append(row)
    units = list(groups.values())
    random.Random(seed).shuffle(units)
    train, rest = _deal(units, nearest(train_fraction * len(pairs)))
    validation, test = _deal(rest, nearest(validation_share * sum(map(len, rest))))
    return _rows(train), _rows(validation), _rows(test)


def _deal(units: list[list[int]], count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Units with `count` rows in all, in order, and the others; one row short if parity forbids."""
    taken: list[list[int]] = []
    left: list[list[int]] = []
    room = count
    for unit in units:
        fits = len(unit) <= room
        (taken if fits else left).append(unit)
        room -= len(unit) if fits else 0
    singles = [unit for unit in taken if len(unit) == 1]
    if room and singles:
        # One row short with only double units left: give a single back and take a double.
        taken.remove(singles[-1])
        taken.append(left.pop(0))
        left.append(singles[-1])
    return taken, left


def nearest(count: float) -> int:
    """Nearest whole number of rows; halves go down."""
    # Then f = 0.5 trains on as many rows as in the published split.
    return ceil(count - 0.5)


def _rows(units: list[list[int]]) -> list[int]:
    return [row for unit in units for row in unit]
