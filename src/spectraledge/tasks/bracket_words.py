"""Balanced bracket words: counted, numbered, and drawn, uniformly or as published."""

from __future__ import annotations

import random
from math import comb

__all__ = ["CLOSE", "OPEN", "completions", "depths", "published_word", "word_of_rank", "words_of"]

OPEN, CLOSE = 0, 1
# Probability of opening where both moves are legal (arXiv:2604.07380).
PUBLISHED_OPENING = 0.55


def completions(opens: int, depth: int) -> int:
    """Number of ways to end a word with `opens` brackets still to open, at a depth.

    Definition: sequences of `opens` openings and ``opens + depth`` closings that never fall below
    zero, ``C(2o + d, o) − C(2o + d, o − 1)`` by the reflection principle; with d = 0 the Catalan
    number.

    Args:
        opens: o >= 0.
        depth: d >= 0.

    Returns:
        An exact integer.

    Example:
        >>> [completions(n, 0) for n in range(6)]
        [1, 1, 2, 5, 14, 42]
    """
    length = 2 * opens + depth
    return comb(length, opens) - (comb(length, opens - 1) if opens else 0)


def words_of(pairs: int) -> int:
    """Number of words of `pairs` >= 0 pairs of brackets."""
    return completions(pairs, 0)


def word_of_rank(pairs: int, rank: int) -> tuple[int, ...]:
    """The word of a number, in dictionary order with `OPEN` first; a uniform number draws evenly.

    Args:
        pairs: Pairs of brackets, >= 1.
        rank: In ``0..words_of(pairs) - 1``.

    Returns:
        ``2 * pairs`` entries `OPEN` or `CLOSE`.

    Raises:
        ValueError: For a rank out of range.

    Example:
        >>> [word_of_rank(2, rank) for rank in range(2)]
        [(0, 0, 1, 1), (0, 1, 0, 1)]
    """
    if not 0 <= rank < words_of(pairs):
        raise ValueError(f"expected a rank in 0..{words_of(pairs) - 1}, got {rank}")
    word, opens, depth = [], pairs, 0
    for _ in range(2 * pairs):
        begin_open = completions(opens - 1, depth + 1) if opens else 0
        if rank < begin_open:
            word.append(OPEN)
            opens, depth = opens - 1, depth + 1
        else:
            word.append(CLOSE)
            rank, depth = rank - begin_open, depth - 1
    return tuple(word)


def published_word(chance: random.Random, most_pairs: int) -> tuple[int, ...]:
    """A word as the published code draws it, which is not uniform.

    The number of pairs is uniform in ``1..most_pairs``; where both moves are legal it opens with
    probability 0.55, and only then a number is drawn.

    Args:
        chance: Stream that is advanced.
        most_pairs: Largest number of pairs.

    Returns:
        The word.

    Source: arXiv:2604.07380, restated.
    """
    pairs = chance.randint(1, most_pairs)
    word: list[int] = []
    opened = depth = 0
    for _ in range(2 * pairs):
        both = opened < pairs and depth > 0
        opens = chance.random() < PUBLISHED_OPENING if both else opened < pairs
        word.append(OPEN if opens else CLOSE)
        opened, depth = (opened + 1, depth + 1) if opens else (opened, depth - 1)
    return tuple(word)


def depths(word: tuple[int, ...]) -> tuple[int, ...]:
    """Open brackets after each token.

    Args:
        word: Entries `OPEN` or `CLOSE`.

    Returns:
        One depth a token.

    Example:
        >>> depths((0, 0, 1, 1))
        (1, 2, 1, 0)
    """
    found, depth = [], 0
    for token in word:
        depth += 1 if token == OPEN else -1
        found.append(depth)
    return tuple(found)
