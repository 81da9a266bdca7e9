"""Tables of a binary operation: what all tasks over operand pairs (a, b) share.

All operand pairs are rows; the model sees the two operands and predicts the result. A task says
what its operands and results are; form, splits and subsets are the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from difflib import get_close_matches

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from spectraledge.tasks.dataset import Dataset
from spectraledge.tasks.splits import nearest, ordered_split, unordered_split

__all__ = ["PairTable", "check_name"]

FORMS = ("three_token", "two_token")
SPLITS = {"unordered": unordered_split, "ordered": ordered_split}


class PairTable(ABC):
    """The complete table of a binary operation, for frozen dataclasses to extend.

    A subclass declares the four fields ``form``, ``train_fraction``, ``split`` and
    ``validation_share``, says what its operands and results are, and calls `check_table` in
    ``__post_init__``. Operands are numbered 0..size−1; token `size` is "=".
    """

    form: str
    train_fraction: float
    split: str
    validation_share: float

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of operands, counting those that only occur on one side or as a result."""

    @abstractmethod
    def operands(self) -> tuple[range, range]:
        """Numbers of the first and of the second operands."""

    @abstractmethod
    def results(
        self, a: Int64[Tensor, " N"], b: Int64[Tensor, " N"]
    ) -> Int64[Tensor, " N *outputs"]:
        """Numbers of a ∘ b, ``(N,)``; with L operations ``(N, L)``."""

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the L operations if there are several; see `Dataset`."""
        return ()

    def check_table(self) -> None:
        """Check the four shared fields; to be called at construction.

        Raises:
            ValueError: If a name is unknown, a share is not in (0, 1), or a part of the split
                would be empty.
        """
        check_name("form", self.form, FORMS)
        check_name("split", self.split, SPLITS)
        _check_open_unit("train_fraction", self.train_fraction, "no pairs to train on or hold out")
        _check_open_unit("validation_share", self.validation_share, "an empty validation or test")
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Reject what is empty under most seeds; `Dataset` rejects a part that parity empties."""
        first, second = self.operands()
        total = len(first) * len(second)
        rounded = nearest if self.split == "unordered" else int
        train = rounded(self.train_fraction * total)
        validation = rounded(self.validation_share * (total - train))
        test = total - train - validation
        if not (train and validation and test):
            raise ValueError(
                f"expected rows in every split, got train {train}, validation {validation}, test "
                f"{test} for {self}; change the fractions or take a larger table"
            )

    @property
    def vocabulary(self) -> int:
        """Number of token ids: the operands, and "=" in the three-token form."""
        return self.size + (self.form == "three_token")

    @property
    def classes(self) -> int:
        """Number of outputs, the same as `vocabulary`; a class for "=" is never right."""
        return self.vocabulary

    @property
    def length(self) -> int:
        """Number of tokens in a row, 3 or 2."""
        return 3 if self.form == "three_token" else 2

    def dataset(self, seed: int) -> Dataset:
        """All rows in row-major order (a outer), split by `seed`.

        Args:
            seed: Seed of the split, ≥ 0. Neither the global generators nor the row order depend
                on it.

        Returns:
            The dataset; equal seeds give equal ones.

        Raises:
            ValueError: If the seed is negative, or the table is so small that this seed leaves
                a part of the split empty.
        """
        if seed < 0:
            raise ValueError(f"expected seed >= 0, got {seed}; use a non-negative integer")
        first, second = self.operands()
        pairs = [(a, b) for a in first for b in second]
        parts = SPLITS[self.split](pairs, self.train_fraction, self.validation_share, seed)
        train, validation, test = (torch.tensor(part, dtype=torch.int64) for part in parts)
        operands = torch.tensor(pairs)
        return Dataset(
            tokens=self._tokens(operands),
            labels=self.results(operands[:, 0], operands[:, 1]),
            train=train,
            validation=validation,
            test=test,
            vocabulary=self.vocabulary,
            classes=self.classes,
            subsets=self.subsets(operands, train),
            answers=self.answers,
        )

    def subsets(
        self, operands: Int64[Tensor, "N 2"], train: Int64[Tensor, " n_train"]
    ) -> dict[str, Bool[Tensor, " N"]]:
        """Where the mirror of a row stands.

        Args:
            operands: The pairs (a, b), one a row.
            train: Rows to train on.

        Returns:
            ``mirror`` (a ≠ b, and (b, a) is a training pair), ``non_mirror`` (a ≠ b, and it is
            not) and ``diagonal`` (a = b): exactly one of them for every row.
        """
        a, b = operands.unbind(1)
        trained = torch.zeros(self.size, self.size, dtype=torch.bool)
        trained[a[train], b[train]] = True
        diagonal = a == b
        mirror = trained[b, a] & ~diagonal
        return {"mirror": mirror, "non_mirror": ~mirror & ~diagonal, "diagonal": diagonal}

    def _tokens(self, operands: Int64[Tensor, "N 2"]) -> Int64[Tensor, "N T"]:
        if self.form == "two_token":
            return operands
        equals = torch.full((len(operands), 1), self.size)
        return torch.cat([operands, equals], dim=1)


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Refuse an unknown name.

    Args:
        kind: What is named, e.g. ``split``.
        name: The name given.
        known: The names there are.

    Raises:
        ValueError: If it is not among them; the message lists them and the closest.
    """
    if name not in known:
        closest = get_close_matches(name, known, n=1, cutoff=0.0)
        raise ValueError(
            f"unknown {kind} {name!r}; known: {', '.join(known)}; closest: {closest[0]}"
        )


def _check_open_unit(name: str, value: float, otherwise: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"expected 0 < {name} < 1, got {value}: it would leave {otherwise}")
