"""Datasets: all rows of a finite task, with disjoint splits and named subsets.

A dataset holds every row once; splits are index tensors into it and subsets are masks over it, so
that accuracy on a subset of a split is a look-up and no row is ever copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

__all__ = ["UNLABELLED", "Dataset", "Task", "answers_of"]

# Label of a position that has none, as of padding; torch's losses leave it out by default.
UNLABELLED = -100
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows, labels, splits and subsets of one task under one seed.

    Args:
        tokens: ``(N, T)`` token ids in ``0..vocabulary-1``, one row an input.
        labels: ``(N,)`` class ids in ``0..classes-1``, or ``(N, L)`` with one for each of L
            outputs and `UNLABELLED` where there is none.
        train: Rows that training may use.
        validation: Rows for curves, early stopping and model choice.
        test: Rows that nothing looks at before the end.
        vocabulary: Number of distinct token ids.
        classes: Number of outputs of the model.
        subsets: Name to a ``(N,)`` mask over all rows, e.g. ``diagonal``.
        answers: Names of the L outputs where they answer L questions about the whole row, e.g.
            ``("add", "mul")``; empty where outputs are those of positions.

    Raises:
        ValueError: If a split is empty, repeats or shares rows, or points outside the rows; if a
            token or label is out of range, or a row has no label; if a subset has another number
            of rows; if answers are not as many as the outputs, or share a name with one another
            or a subset.

    Example:
        >>> rows = torch.arange(3)
        >>> data = Dataset(rows[:, None], rows, *rows.split(1), vocabulary=3, classes=3)
        >>> len(data), data.length
        (3, 1)
    """

    tokens: Int64[Tensor, "N T"]
    labels: Int64[Tensor, " N *outputs"]
    train: Int64[Tensor, " n_train"]
    validation: Int64[Tensor, " n_validation"]
    test: Int64[Tensor, " n_test"]
    vocabulary: int
    classes: int
    subsets: Mapping[str, Bool[Tensor, " N"]] = field(default_factory=dict)
    answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_range("tokens", self.tokens, self.vocabulary)
        labelled = self.labels != UNLABELLED
        _check_range("labels", self.labels[labelled], self.classes)
        bare = (~labelled.unsqueeze(-1).flatten(1).any(1)).nonzero().flatten()
        if len(bare):
            raise ValueError(f"expected a label in every row, got none in rows {bare[:5].tolist()}")
        self._check_splits()
        for name, mask in self.subsets.items():
            if mask.shape != (len(self),):
                raise ValueError(
                    f"expected subset {name!r} to mark all {len(self)} rows, "
                    f"got shape {tuple(mask.shape)}"
                )
        self._check_answers()

    def _check_answers(self) -> None:
        if not self.answers:
            return
        if self.labels.shape[1:] != (len(self.answers),):
            raise ValueError(
                f"expected a label for each of the answers {self.answers} in every row, got labels "
                f"{tuple(self.labels.shape)}; give labels (N, {len(self.answers)}), one column an "
                "answer"
            )
        names = (*self.answers, *self.subsets)
        if len(set(names)) < len(names):
            raise ValueError(
                f"expected distinct names of answers and subsets, got {self.answers} and "
                f"{tuple(self.subsets)}; metrics go by these names"
            )

    def _check_splits(self) -> None:
        sizes = {name: len(getattr(self, name)) for name in SPLITS}
        if not all(sizes.values()):
            counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(
                f"expected rows in every split, got {counts} of {len(self)} rows; "
                "change the fractions or take a larger task"
            )
        rows = torch.cat([getattr(self, name) for name in SPLITS])
        _check_range("split indices", rows, len(self))
        repeated = len(rows) - len(rows.unique())
        if repeated:
            raise ValueError(
                f"expected train, validation and test to share no row, got {repeated} repeated; "
                "every row may stand in one split, once"
            )

    def __len__(self) -> int:
        """Number of rows N over all splits."""
        return self.tokens.shape[0]

    @property
    def length(self) -> int:
        """Number of tokens T in a row."""
        return self.tokens.shape[1]


@runtime_checkable
class Task(Protocol):
    """What a task file provides: a frozen description that can produce its dataset.

    Implementations are frozen dataclasses of plain values, so that a task can be part of a run's
    stored identity. One with several answers about a row names them in ``answers`` (`answers_of`).
    """

    @property
    def vocabulary(self) -> int:
        """Number of distinct token ids."""

    @property
    def classes(self) -> int:
        """Number of outputs of the model."""

    @property
    def length(self) -> int:
        """Number of tokens T in a row."""

    def dataset(self, seed: int) -> Dataset:
        """Rows, labels and splits; the same seed always gives the same ones."""


def answers_of(task: Task) -> tuple[str, ...]:
    """Names of the answers of a task that asks several questions about a row; see `Dataset`.

    Args:
        task: Any task; those without an attribute ``answers`` have one output, or positions.

    Returns:
        The names, in the order of the labels; empty if outputs are not answers.
    """
    return tuple(getattr(task, "answers", ()))


def _check_range(name: str, values: Int64[Tensor, "*shape"], size: int) -> None:
    if not values.numel():
        return
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest >= size:
        raise ValueError(f"expected {name} in 0..{size - 1}, got {lowest}..{highest}")
