"""Losses and right answers on all rows of every run."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from spectraledge.models.lines import PackedModel, Packing
from spectraledge.tasks import UNLABELLED
from spectraledge.training.network import Network
from spectraledge.training.packer import best_room, pack_rows, rows_of_runs
from spectraledge.training.packing import Room
from spectraledge.training.stacked_data import StackedData

__all__ = ["PackedScores", "RowScores"]

# Slots of one pass: enough to amortise dispatch, few enough to keep memory small.
SLOTS = 8192


class RowScores:
    """Scores from rows as they are.

    Args:
        network: The architecture.
        data: Rows of every run.
    """

    def __init__(self, network: Network, data: StackedData) -> None:
        self.network, self.data = network, data

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Losses, and whether answers are right, ``(R, N, *outputs)``; 0 and False if unlabelled.

        Args:
            theta: Parameters ``(R, P)``.

        Returns:
            Of every output of every row.
        """
        pieces = [self.network.score(theta, *rows) for rows in self.data.chunks()]
        loss, correct = zip(*pieces)
        return torch.cat(loss, 1), torch.cat(correct, 1)


class PackedScores(RowScores):
    """Scores from rows packed once, in equal pieces; beginnings that rows share count once.

    Args:
        network: The architecture, a `PackedModel`.
        data: Rows of every run.

    Raises:
        TypeError: If the model cannot be packed.
    """

    def __init__(self, network: Network, data: StackedData) -> None:
        super().__init__(network, data)
        if not isinstance(network.skeleton, PackedModel):
            raise TypeError(f"expected a PackedModel, got {type(network.skeleton).__name__}")
        self.model: PackedModel = network.skeleton

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """As of `RowScores`, up to the order of sums."""
        logits = [self.network.compiled_logits(theta, piece) for piece in self._pieces]
        scores = torch.cat(logits, 1).log_softmax(-1)
        guesses, labels = scores.argmax(-1), self.data.labels
        loss, correct = torch.zeros_like(labels, dtype=scores.dtype), torch.zeros_like(labels) > 0
        for run, (slot, label) in enumerate(zip(self._answers, labels)):
            known = label != UNLABELLED
            loss[run, known] = -scores[run, slot[known], label[known]]
            correct[run, known] = guesses[run, slot[known]] == label[known]
        return loss, correct

    @cached_property
    def _packed(self) -> tuple[Packing, int]:
        """All rows in lines, and the number of lines of a piece."""
        runs = rows_of_runs(self.model, self.data.tokens, self.data.labels)
        room = best_room([[rows] for rows in runs])
        pieces = -(-room.lines * room.slots[-1] // SLOTS)
        lines = -(-room.lines // pieces)
        packing = pack_rows(runs, Room(pieces * lines, room.slots))
        assert packing is not None, "the room was made for these rows"
        return packing, lines

    @property
    def _answers(self) -> Tensor:
        return self._packed[0].answers

    @cached_property
    def _pieces(self) -> list[Packing]:
        """Pieces of the lines, answering for every slot."""
        packing, lines = self._packed
        found = []
        for start in range(0, packing.streams[-1].tokens.shape[1], lines):
            own = tree_map(lambda x, at=start: x[:, at : at + lines].contiguous(), packing.streams)
            tokens = own[-1].tokens.flatten(1)
            each = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
            found.append(Packing(own, each.contiguous()))
        return found
