"""Datasets of several runs, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spectraledge.tasks import UNLABELLED, Dataset

__all__ = ["StackedData"]

# Large enough to amortise dispatch, small enough that activations stay in the L2/L3 caches.
CHUNK = 512


class StackedData:
    """Datasets of R runs, padded to one number of rows.

    Args:
        datasets: One dataset per run.
        device: Where the rows live.

    Raises:
        ValueError: If the outputs of some are other answers than those of the first.
    """

    def __init__(self, datasets: Sequence[Dataset], device: str) -> None:
        self.answers = _shared_answers(datasets)
        self.train = [d.train for d in datasets]
        self.held_out = [torch.cat([d.validation, d.test]) for d in datasets]
        size = max(len(d.labels) for d in datasets)
        padded = -(-size // CHUNK) * CHUNK if size > CHUNK else size
        self.tokens = torch.stack([_pad(d.tokens, padded) for d in datasets]).to(device)
        self.labels = torch.stack([_pad(d.labels, padded) for d in datasets]).to(device)
        masks = [_masks(d, padded) for d in datasets]
        self.masks = {name: torch.stack([m[name] for m in masks]).to(device) for name in masks[0]}

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(R, B, T)`` and labels ``(R, B, *outputs)`` at row numbers ``(R, B)``."""
        tokens, labels = (
            torch.stack([rows[i] for rows, i in zip(every, index)])
            for every in (self.tokens, self.labels)
        )
        return tokens, labels

    def first_held_out(self, count: int) -> tuple[Tensor, Tensor]:
        """The first held-out rows, validation before test; filled up with rows of no label."""
        chosen = [rows[:count] for rows in self.held_out]
        index = pad_sequence(chosen, batch_first=True).to(self.tokens.device)
        tokens, labels = self.rows(index)
        for run, own in enumerate(chosen):
            labels[run, len(own) :] = UNLABELLED
        return tokens, labels

    def occurs_in_training(self, tokens: Tensor) -> Tensor:
        """Which rows ``(R, B, T)`` equal a training row of their run, ``(R, B)``."""
        trained = [
            {tuple(row) for row in every[index].tolist()}
            for every, index in zip(self.tokens, self.train)
        ]
        found = [[tuple(r) in rows for r in own.tolist()] for own, rows in zip(tokens, trained)]
        return torch.tensor(found)

    def chunks(self) -> list[tuple[Tensor, Tensor]]:
        """All rows of every run, in equal pieces along the row axis."""
        return list(zip(self.tokens.split(CHUNK, 1), self.labels.split(CHUNK, 1)))

    def means(self, loss: Tensor, correct: Tensor) -> dict[str, Tensor]:
        """Mean loss of each part, and mean accuracies of each part and subset, per run.

        Args:
            loss: ``(R, N, *outputs)``, zero where there is no label.
            correct: The same shape; False where there is no label.

        Returns:
            Named numbers ``(R,)`` float64.
        """
        outputs = tuple(range(2, self.labels.ndim))
        labelled = self.labels != UNLABELLED
        sums = [_sum(x.double(), outputs) for x in (labelled, correct, loss)]
        whole = (sums[0] == sums[1]).double()
        metrics = {}
        for name, mask in self.masks.items():
            count, right, lost = ((x * mask).sum(1) for x in sums)
            metrics[_metric("accuracy", name)] = right / count
            if "/" not in name:
                metrics[_metric("loss", name)] = lost / count
            if outputs:
                metrics[_metric("sequence_accuracy", name)] = (whole * mask).sum(1) / mask.sum(1)
            if "/" not in name:
                metrics |= self._of_answers(name, labelled, correct)
        return metrics

    def _of_answers(self, part: str, labelled: Tensor, correct: Tensor) -> dict[str, Tensor]:
        mask = self.masks[part]
        return {
            _metric("accuracy", f"{part}/{answer}"): (correct[..., k].double() * mask).sum(1)
            / (labelled[..., k].double() * mask).sum(1)
            for k, answer in enumerate(self.answers)
        }


def _shared_answers(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    first, *others = [d.answers for d in datasets]
    for run, own in enumerate(others, start=1):
        if own != first:
            raise ValueError(
                f"expected one kind of answers in a batch of runs, got {first} in run 0 and {own} "
                f"in run {run}; give the task an attribute `answers` with the same names as its "
                "dataset, and train other tasks in another batch"
            )
    return first


def _sum(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    # An empty tuple of axes would mean all of them.
    return values.sum(axes) if axes else values


def _metric(kind: str, name: str) -> str:
    part, _, subset = name.partition("/")
    return f"{part}_{kind}_{subset}" if subset else f"{part}_{kind}"


def _pad(rows: Tensor, size: int) -> Tensor:
    missing = size - len(rows)
    return torch.cat([rows, rows[:1].expand(missing, *rows.shape[1:])]) if missing else rows


def _masks(data: Dataset, size: int) -> dict[str, Tensor]:
    masks = {}
    for part in ("train", "validation", "test"):
        chosen = torch.zeros(size, dtype=torch.bool)
        chosen[getattr(data, part)] = True
        masks[part] = chosen
        if part == "train":
            continue
        for name, subset in data.subsets.items():
            inside = torch.zeros(size, dtype=torch.bool)
            inside[: len(subset)] = subset
            masks[f"{part}/{name}"] = chosen & inside
    return masks
