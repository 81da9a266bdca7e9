"""A corner of the published grid as a first script would run it: one run after the other.

It stands in for the published script, whose parts it has: examples as Python tuples behind a
``DataLoader``, logits of every position, ``torch.optim.AdamW``, low-rank decay one matrix at a time
by five cubic Newton-Schulz steps, and now and then an evaluation on everything held out.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.naive import Pairs, Transformer
from spectraledge.training import RunSpec

__all__ = ["NaiveRun", "five_cubic_steps"]

REST = 0.1


class HeldOut(Pairs):
    """All examples that are not trained on, as Python tuples."""

    def __init__(self, spec: RunSpec) -> None:
        data = spec.task.dataset(spec.data_seed)
        rows = [*data.validation.tolist(), *data.test.tolist()]
        self.examples = [(tuple(data.tokens[r].tolist()), int(data.labels[r])) for r in rows]


def five_cubic_steps(matrix: Tensor) -> Tensor:
    """Five times X ← 3/2 X − 1/2 X XᵀX, from the matrix over its Frobenius norm."""
    X = matrix / (matrix.norm() + 1e-8)
    for _ in range(5):
        X = 1.5 * X - 0.5 * X @ (X.T @ X)
    return X


class NaiveRun:
    """One cell of the grid.

    Args:
        spec: Task, split, batch size and learning rate.
        decay: ``L2`` on all parameters, or ``LRD`` on query and key matrices.
        label: Label of the cell's column.
    """

    def __init__(self, spec: RunSpec, decay: str, label: float) -> None:
        self.model = Transformer(spec.task.vocabulary, spec.task.length)
        self.low_rank = label if decay == "LRD" else 0.0
        weight_decay = REST if decay == "LRD" else 10 * label
        own = {id(p) for p in self._query_key()} if decay == "LRD" else set()
        others = [p for p in self.model.parameters() if id(p) not in own]
        self.optimizer = torch.optim.AdamW(others, lr=spec.lr, weight_decay=weight_decay)
        if decay == "LRD":
            self.optimizer.add_param_group({"params": self._query_key(), "weight_decay": 0.0})
        # Equal batches, so that every timed step does the same work.
        self.loader = DataLoader(Pairs(spec), spec.batch_size, shuffle=True, drop_last=True)
        self.held_out = DataLoader(HeldOut(spec), spec.batch_size)
        self._batches = self._endless()

    def train(self, steps: int) -> None:
        """Take some steps."""
        for _ in range(steps):
            tokens, labels = next(self._batches)
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(tokens), labels).backward()
            self.optimizer.step()
            if self.low_rank:
                self._decay()

    @torch.no_grad()
    def accuracy(self) -> float:
        """Share of right answers on everything held out."""
        right = sum(
            int((self.model(tokens).argmax(-1) == labels).sum()) for tokens, labels in self.held_out
        )
        return right / len(self.held_out.dataset)  # type: ignore[arg-type]

    @torch.no_grad()
    def _decay(self) -> None:
        for matrix in self._query_key():
            matrix.sub_(self.low_rank * five_cubic_steps(matrix))

    def _query_key(self) -> list[nn.Parameter]:
        return [m.weight for block in self.model.blocks for m in (block.q, block.k)]

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader
