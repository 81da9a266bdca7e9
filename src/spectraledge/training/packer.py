"""Packed batches of several runs, in one shape that the runs' own batches decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from spectraledge.models.lines import PackedModel, Packing
from spectraledge.tasks import UNLABELLED
from spectraledge.training.packing import Room, Rows, different_rows, lines_of, pack

__all__ = ["Packer", "best_room", "pack_rows", "packed_alone", "rows_of_runs"]

# Batches drawn of each run to see how many lines a batch takes, and those of them for which all
# lengths of lines are tried.
DRAWS, TRIED = 24, 6
# About one batch in a hundred takes more lines than the mean and this many standard deviations.
# It is packed by itself and not compiled, which costs about two steps.
DEVIATIONS = 2.5
# Lengths of lines that are tried, in longest rows, and how much less than evenly the other
# streams fill theirs.
LENGTHS, SLACKS = (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 12), (1.0, 1.1, 1.25)
# A slot costs as much in attention to this many slots as in the layers that see it alone: about
# the width of a model.
ATTENDED = 256


class Packer:
    """Packs training batches of R runs.

    Args:
        model: Says which positions are needed.
        sample: Maps a batch size and a number to training rows: tokens ``(R, B, T)`` and labels
            ``(R, B, outputs)``.
    """

    def __init__(
        self, model: PackedModel, sample: Callable[[int, int], tuple[Tensor, Tensor]]
    ) -> None:
        self.model, self.sample = model, sample
        self._rooms: dict[int, Room] = {}

    def __call__(self, tokens: Tensor, labels: Tensor) -> tuple[Packing, bool]:
        """Packing of a batch of every run.

        Args:
            tokens: ``(R, B, T)``.
            labels: ``(R, B, outputs)``.

        Returns:
            Index tensors ``(R, ...)``, and whether they have the shape that nearly all batches of
            this size have; for others compiling does not pay.
        """
        runs = rows_of_runs(self.model, tokens, labels)
        usual = pack_rows(runs, self.room(tokens.shape[1]))
        return (usual, True) if usual is not None else (packed_alone(runs), False)

    def room(self, batch_size: int) -> Room:
        """Room for nearly every batch of this size that the runs draw."""
        if batch_size not in self._rooms:
            drawn = [
                rows_of_runs(self.model, *self.sample(batch_size, number))
                for number in range(DRAWS)
            ]
            self._rooms[batch_size] = best_room(list(zip(*drawn)), DEVIATIONS)
        return self._rooms[batch_size]


def rows_of_runs(model: PackedModel, tokens: Tensor, labels: Tensor) -> list[Rows]:
    """Different rows of each run's batch, tokens ``(R, B, T)`` and labels ``(R, B, outputs)``."""
    labelled = labels != UNLABELLED
    return [different_rows(model.streams(*own)) for own in zip(tokens, labelled)]


def packed_alone(runs: Sequence[Rows]) -> Packing:
    """Packing of every run, in the shape that suits these rows best."""
    packing = pack_rows(runs, best_room([[rows] for rows in runs]))
    if packing is None:
        raise AssertionError("the room that was made for these rows does not hold them")
    return packing


def pack_rows(runs: Sequence[Rows], room: Room) -> Packing | None:
    """Packing of every run, side by side; None if one needs more room."""
    packed = [pack(rows, room) for rows in runs]
    if any(one is None for one in packed):
        return None
    return tree_map(lambda *x: torch.stack(x), *packed)


def best_room(runs: Sequence[Sequence[Rows]], deviations: float | None = None) -> Room:
    """Shape of lines that costs least for batches like these.

    Args:
        runs: Batches of every run; the first run decides how long lines are.
        deviations: Standard deviations above the mean number of lines that have room; without,
            all of these batches have.

    Returns:
        The shape.
    """
    few, every = runs[0][:TRIED], [rows for batches in runs for rows in batches]
    slots = min(_lengths(every), key=lambda slots: _cost(_lines(few, slots, deviations), slots))
    return Room(max(_lines(batches, slots, deviations) for batches in runs), slots)


def _lengths(batches: Sequence[Rows]) -> list[tuple[int, ...]]:
    """Slots of a line in each stream, to choose from; every row fits into a line."""
    # At least one, also for rows of which nothing is needed.
    counts = np.concatenate([rows.counts for rows in batches]).clip(1)
    longest, shares = counts.max(0).tolist(), (counts.mean(0) / counts[:, -1].mean()).tolist()
    found = set()
    for length in {ceil(factor * longest[-1]) for factor in LENGTHS}:
        for slack in SLACKS:
            even = (ceil(slack * share * length) for share in shares[:-1])
            found.add((*(max(pair) for pair in zip(longest, even)), length))
    return sorted(found)


def _cost(lines: int, slots: tuple[int, ...]) -> float:
    return lines * sum(length * (ATTENDED + length) for length in slots)


def _lines(batches: Sequence[Rows], slots: tuple[int, ...], deviations: float | None) -> int:
    """Lines that all batches take, or nearly all others like them."""
    placed = (lines_of(rows, slots) for rows in batches)
    counts = np.array([1 + max(lines) for lines in placed if lines is not None])
    return int(
        counts.max() if deviations is None else round(counts.mean() + deviations * counts.std())
    )
