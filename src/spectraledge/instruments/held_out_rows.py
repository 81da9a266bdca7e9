"""Held-out rows with every distinct row once, and outputs that are always equal as one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spectraledge.tasks import UNLABELLED

__all__ = ["HeldOutRows", "LabelledOutputs"]


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """Rows of R runs, each distinct one once, and how much each of its outputs counts.

    Args:
        tokens: ``(R, B, T)``.
        labels: ``(R, B)``, or ``(R, B, L)`` with one for each of L outputs.
        weights: As `labels`: how often a labelled output occurs, 0 where there is no label.
    """

    tokens: Int64[Tensor, "R B T"]
    labels: Int64[Tensor, "R B *outputs"]
    weights: Float64[Tensor, "R B *outputs"]

    @classmethod
    def of(cls, tokens: Tensor, labels: Tensor) -> HeldOutRows:
        """Distinct rows among the given ones, which may repeat; rows without a label are left out.

        Args:
            tokens: ``(R, N, T)``.
            labels: ``(R, N, *outputs)``, `UNLABELLED` where there is none.

        Returns:
            The rows, as many as the run with the most distinct ones has.

        Raises:
            ValueError: If a run has no labelled row.

        Example:
            >>> tokens = torch.tensor([[[1, 2], [3, 4], [1, 2]]])
            >>> HeldOutRows.of(tokens, torch.tensor([[0, 1, 0]])).weights.tolist()
            [[2.0, 1.0]]
        """
        runs = [_distinct(*run) for run in zip(tokens, labels)]
        rows, targets, counts = (
            pad_sequence(list(x), batch_first=True, padding_value=value)
            for x, value in zip(zip(*runs), (0, UNLABELLED, 0))
        )
        repeats = counts.unflatten(1, (-1, *(1,) * (labels.ndim - 2)))
        return cls(rows, targets, (repeats * (targets != UNLABELLED)).double())


@dataclass(frozen=True, eq=False)
class LabelledOutputs:
    """The M outputs of rows that have a label, those with equal logits and label as one.

    Args:
        index: Which outputs, counted through the rows of a run.
        labels: Their labels.
        weights: How often each occurs; 0 where a run has fewer than M.
    """

    index: Int64[Tensor, "R M"]
    labels: Int64[Tensor, "R M"]
    weights: Float64[Tensor, "R M"]

    @classmethod
    def of(cls, rows: HeldOutRows, equal: Int64[Tensor, "R B *outputs"]) -> LabelledOutputs:
        """The labelled outputs of rows.

        Args:
            rows: The rows.
            equal: Numbers of the outputs; those with equal numbers always have equal logits.

        Returns:
            The outputs, as many as the run with the most has.
        """
        every = zip(rows.labels.flatten(1), rows.weights.flatten(1), equal.flatten(1))
        runs = zip(*(_merged(*run) for run in every))
        return cls(*(pad_sequence(list(x), batch_first=True) for x in runs))

    def among(self, logits: Float[Tensor, "R K B *outputs C"]) -> Float[Tensor, "R K M C"]:
        """Logits of these outputs among those of all outputs."""
        flat = logits.flatten(2, -2)
        return torch.stack([own[:, at] for own, at in zip(flat, self.index)])

    def mean(self, values: Float64[Tensor, "R K M"]) -> Float64[Tensor, "R K"]:
        """Mean over the labelled outputs of all rows, as often as they occur."""
        weights = self.weights.unsqueeze(1)
        return (values * weights).sum(-1) / weights.sum(-1)


def _merged(labels: Tensor, weights: Tensor, equal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One of each kind of labelled output of a run, its label, and the weight of its kind."""
    (chosen,) = (weights > 0).nonzero(as_tuple=True)
    pairs = torch.stack([equal[chosen], labels[chosen]])
    kinds, kind = pairs.unique(dim=1, return_inverse=True)
    total = weights.new_zeros(kinds.shape[1]).index_add(0, kind, weights[chosen])
    index = chosen.new_zeros(kinds.shape[1]).index_put((kind,), chosen)
    return index, kinds[1], total


def _distinct(tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct rows of one run, their labels, and how often each occurs."""
    length, outputs = tokens.shape[1], labels.shape[1:]
    joined = torch.cat([tokens, labels.unsqueeze(-1).flatten(1)], 1)
    labelled = joined[:, length:].ne(UNLABELLED).any(1)
    if not bool(labelled.any()):
        raise ValueError(
            f"expected a labelled row in every run, got none in {len(labels)} rows; ask for more "
            "rows or another split"
        )
    rows, counts = joined[labelled].unique(dim=0, return_counts=True)
    return rows[:, :length], rows[:, length:].reshape(-1, *outputs), counts
