"""Depth of nested brackets at every position (Dyck-1)."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from spectraledge.tasks.bracket_words import (
    depths,
    published_word,
    word_of_rank,
    words_of,
)
from spectraledge.tasks.dataset import UNLABELLED, Dataset

__all__ = ["DyckDepth"]

PAD = 2
SAMPLINGS = ("distinct", "published")


@dataclass(frozen=True)
class DyckDepth:
    """Predict the number of open brackets after each token of a balanced word.

    Tokens are 0 for ``(``, 1 for ``)`` and 2 for padding; rows are left-aligned and padded to
    ``2 * pairs``. The label of a position is the depth after its token, `UNLABELLED` on padding.

    ``distinct`` draws the number of pairs evenly from 1 to `pairs` and then each word of that size
    evenly, without a word twice, so that training, validation and test share none. ``published``
    repeats the generator of the papers bit for bit with ``seed`` 0: words are drawn with a bias,
    repeat, and 24 % of the held-out rows equal a training row.

    Whole words apart, a held-out word may begin as a training word does: with 50 training rows of
    the published generator half of the held-out tokens have a prefix that was trained on. The
    subset ``new_word`` marks the rows whose word is not in training.

    Args:
        pairs: Most pairs of brackets in a word, >= 1.
        train: Training rows, >= 1.
        held_out: Further rows, >= 2; the first half is for validation, the rest for test.
        sampling: ``distinct`` or ``published``.

    Raises:
        ValueError: For sizes out of range or an unknown sampling; if there are fewer distinct
            words than rows.

    Source: arXiv:2604.07380 and 2602.16967 (``published``: 12 pairs, 50 and 5000 rows).

    Example:
        >>> data = DyckDepth(pairs=3, train=2, held_out=4).dataset(seed=0)
        >>> data.tokens.shape, data.labels.shape, data.classes
        (torch.Size([6, 6]), torch.Size([6, 6]), 4)
    """

    pairs: int = 12
    train: int = 50
    held_out: int = 5000
    sampling: str = "distinct"

    def __post_init__(self) -> None:
        for name, least in (("pairs", 1), ("train", 1), ("held_out", 2)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"DyckDepth: expected {name} >= {least}, got {getattr(self, name)}"
                )
        if self.sampling not in SAMPLINGS:
            raise ValueError(
                f"DyckDepth: expected sampling to be one of {SAMPLINGS}, got {self.sampling!r}"
            )
        there = sum(words_of(n) for n in range(1, self.pairs + 1))
        if self.sampling == "distinct" and self._rows > there:
            raise ValueError(
                f"DyckDepth: expected at most {there} rows, all words of up to {self.pairs} pairs, "
                f"got train + held_out = {self._rows}; raise pairs or take fewer rows"
            )

    @property
    def _rows(self) -> int:
        return self.train + self.held_out

    @property
    def vocabulary(self) -> int:
        """Two brackets and padding."""
        return 3

    @property
    def classes(self) -> int:
        """Depths 0 to `pairs`."""
        return self.pairs + 1

    @property
    def length(self) -> int:
        """Tokens of the longest word."""
        return 2 * self.pairs

    def dataset(self, seed: int) -> Dataset:
        """Rows, depths and splits; the published data have seed 0."""
        chance = random.Random(seed)
        words = self._distinct(chance) if self.sampling == "distinct" else self._published(chance)
        order = torch.randperm(self._rows, generator=torch.Generator().manual_seed(seed))
        validation = self.train + self.held_out // 2
        trained = {words[row] for row in order[: self.train].tolist()}
        return Dataset(
            tokens=_padded(words, self.length, PAD),
            labels=_padded([depths(word) for word in words], self.length, UNLABELLED),
            train=order[: self.train],
            validation=order[self.train : validation],
            test=order[validation:],
            vocabulary=self.vocabulary,
            classes=self.classes,
            subsets={"new_word": torch.tensor([word not in trained for word in words])},
        )

    def _published(self, chance: random.Random) -> list[tuple[int, ...]]:
        return [published_word(chance, self.pairs) for _ in range(self._rows)]

    def _distinct(self, chance: random.Random) -> list[tuple[int, ...]]:
        counts = {n: words_of(n) for n in range(1, self.pairs + 1)}
        seen: dict[tuple[int, int], None] = {}
        left = dict(counts)
        while len(seen) < self._rows:
            pairs = chance.choice(list(left))
            drawn = (pairs, chance.randrange(counts[pairs]))
            if drawn in seen:
                continue
            seen[drawn] = None
            left[pairs] -= 1
            if not left[pairs]:
                del left[pairs]
        return [word_of_rank(*drawn) for drawn in seen]


def _padded(rows: list[tuple[int, ...]], length: int, value: int) -> Tensor:
    return torch.tensor([[*row, *(value,) * (length - len(row))] for row in rows])
