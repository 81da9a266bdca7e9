"""A task whose training labels are permuted: there is nothing left that could generalise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from spectraledge.tasks.dataset import UNLABELLED, Dataset, Task, answers_of

__all__ = ["ShuffledLabels"]


@dataclass(frozen=True)
class ShuffledLabels:
    """Another task with the labels of its training rows permuted once.

    Labels change places among all labelled outputs of the training rows, of a task with several
    answers among those of one answer; validation and test keep theirs. A control for what is said
    to announce generalisation: loss, gradients and decay are there, generalisation is not. Where
    rows repeat, as in published Dyck-1 data, labels contradict one another and training accuracy
    stays below 1.

    Args:
        task: The other task.
        permutation: Seed of the permutation; the data seed is that of the other task.

    Example:
        >>> from spectraledge.tasks import DyckDepth
        >>> task = DyckDepth(pairs=3, train=4, held_out=4)
        >>> plain, shuffled = task.dataset(0), ShuffledLabels(task).dataset(0)
        >>> plain.labels[plain.test].equal(shuffled.labels[shuffled.test])
        True
        >>> plain.labels[plain.train].unique().equal(shuffled.labels[shuffled.train].unique())
        True
        >>> plain.labels[plain.train].equal(shuffled.labels[shuffled.train])
        False
    """

    task: Task
    permutation: int = 7

    @property
    def vocabulary(self) -> int:
        """That of the task."""
        return self.task.vocabulary

    @property
    def classes(self) -> int:
        """Those of the task."""
        return self.task.classes

    @property
    def length(self) -> int:
        """That of the task."""
        return self.task.length

    @property
    def answers(self) -> tuple[str, ...]:
        """Those of the task."""
        return answers_of(self.task)

    def dataset(self, seed: int) -> Dataset:
        """The rows and splits of the task, its training labels permuted."""
        data = self.task.dataset(seed)
        own = data.labels[data.train]
        chance = torch.Generator().manual_seed(self.permutation)
        # Views: each is permuted in place.
        for column in own.unbind(1) if data.answers else (own,):
            labelled = column != UNLABELLED
            known = column[labelled]
            column[labelled] = known[torch.randperm(len(known), generator=chance)]
        labels = data.labels.clone()
        labels[data.train] = own
        return replace(data, labels=labels)
