"""Rows of one run's batch packed into lines of a given shape.

In numpy, whose small operations cost a fraction of torch's: a batch is packed in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from spectraledge.models.lines import Lines, Packing, Stream

__all__ = ["Room", "Rows", "different_rows", "lines_of", "pack"]

Integers = NDArray[np.int64]
Marks = NDArray[np.bool_]
# Rows that are fitted together; the time for fitting grows with its square.
BLOCK = 512
# Bits of a count when several are compared at once.
DIGIT = 24


@dataclass(frozen=True)
class Room:
    """Shape of packed batches.

    Args:
        lines: Number of lines L, >= 1.
        slots: Slots of a line in each stream, >= 1.

    Raises:
        ValueError: For sizes below 1, or no stream.
    """

    lines: int
    slots: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.slots or min(self.lines, *self.slots) < 1:
            raise ValueError(f"expected lines >= 1 and slots >= 1 of every stream, got {self}")


class Rows(NamedTuple):
    """The D different rows of a batch.

    Args:
        tokens: Token ids of each stream, ``(D, T)``.
        needed: Their positions that something depends on, ``(D, T)``.
        counts: How many these are, ``(D, streams)``.
        known: How many equal the beginning of the row above; 0 unless shared, ``(D,)``.
        row_of: Which of the rows each row of the batch is, ``(B,)``.
        shared: Whether rows share beginnings.
        device: Where the batch lives.
    """

    tokens: tuple[Integers, ...]
    needed: tuple[Marks, ...]
    counts: Integers
    known: Integers
    row_of: Integers
    shared: bool
    device: torch.device


def different_rows(streams: Sequence[Stream]) -> Rows:
    """Rows of a batch; those that share beginnings are sorted, and stand there once.

    Args:
        streams: As a `PackedModel` gives them.

    Returns:
        The rows.

    Raises:
        ValueError: If a shared stream is not the only one, or needs a position without those
            before it.
    """
    tokens = [stream.tokens.cpu().numpy() for stream in streams]
    needed = [stream.needed.cpu().numpy() for stream in streams]
    shared, device = any(stream.shared for stream in streams), streams[0].tokens.device
    if not shared:
        counts = np.stack([marks.sum(1) for marks in needed], 1)
        each = np.arange(len(counts))
        unknown = np.zeros_like(each)
        return Rows(tuple(tokens), tuple(needed), counts, unknown, each, shared, device)
    if len(streams) > 1:
        raise ValueError(f"expected a shared stream to be the only one, got {len(streams)} streams")
    _check_beginnings(needed[0])
    own, marks, known, row_of = _sorted_rows(tokens[0], needed[0])
    return Rows((own,), (marks,), marks.sum(1, keepdims=True), known, row_of, shared, device)


def _check_beginnings(needed: Marks) -> None:
    gaps = np.flatnonzero((needed[:, 1:] & ~needed[:, :-1]).any(1))
    if len(gaps):
        raise ValueError(
            "expected the needed positions of a shared stream at the beginning of each row, "
            f"got others in rows {gaps[:5].tolist()}"
        )


def _sorted_rows(tokens: Integers, needed: Marks) -> tuple[Integers, Marks, Integers, Integers]:
    # What is not needed counts as no token, so that it tells no rows apart.
    bare = np.where(needed, tokens, -1)
    order = np.lexsort(bare.T[::-1])
    tokens = bare[order]
    same = np.zeros(tokens.shape, bool)
    same[1:] = np.logical_and.accumulate(tokens[1:] == tokens[:-1], axis=1)
    chosen = ~same.all(1)
    row_of = np.empty_like(order)
    row_of[order] = chosen.cumsum() - 1
    needed = tokens[chosen] >= 0
    return tokens[chosen], needed, (same[chosen] & needed).sum(1), row_of


def lines_of(rows: Rows, slots: Sequence[int]) -> list[int] | None:
    """Line of each row, counted from 0; None if a row is longer than a line.

    Args:
        rows: The rows.
        slots: Slots of a line in each stream.

    Returns:
        Rows that share beginnings fill one line after the other. Of others each line takes all
        that still fit, longest in the last stream first.
    """
    if (rows.counts > np.array(slots)).any():
        return None
    if rows.shared:
        return _in_order(rows.counts[:, 0].tolist(), rows.known.tolist(), slots[0])
    placed: list[int] = []
    for block in np.split(rows.counts, range(BLOCK, len(rows.counts), BLOCK)):
        first = max(placed, default=-1) + 1
        placed += [first + line for line in _line_by_line(block.tolist(), slots)]
    return placed


def _in_order(counts: list[int], known: list[int], slots: int) -> list[int]:
    line, used = 0, 0
    placed = []
    for count, old in zip(counts, known):
        used += count - old
        if used > slots:
            # The first row of a line shares nothing with the line before.
            line, used = line + 1, count
        placed.append(line)
    return placed


def _line_by_line(counts: list[list[int]], slots: Sequence[int]) -> list[int]:
    # Counts of all streams as one number of several digits, and above each digit a bit that is
    # borrowed if a difference is negative: one comparison for all streams, in the inner loop.
    borrowed = sum(1 << (DIGIT * i + DIGIT - 1) for i in range(len(slots)))
    needs, whole = [_digits(row) for row in counts], _digits(slots) + borrowed
    left = sorted(range(len(counts)), key=lambda row: (-counts[row][-1], row))
    placed, line = [0] * len(counts), 0
    while left:
        free, others = whole, []
        for row in left:
            rest = free - needs[row]
            if rest & borrowed == borrowed:
                free, placed[row] = rest, line
            else:
                others.append(row)
        left, line = others, line + 1
    return placed


def _digits(numbers: Sequence[int]) -> int:
    return sum(number << (DIGIT * i) for i, number in enumerate(numbers))


def pack(rows: Rows, room: Room) -> Packing | None:
    """The lines of a batch.

    Args:
        rows: Its different rows.
        room: Shape of the lines.

    Returns:
        The packing; None if it needs more room.

    Raises:
        ValueError: If the room is for another number of streams.
    """
    if len(rows.tokens) != len(room.slots):
        raise ValueError(f"expected room for {len(rows.tokens)} streams, got slots {room.slots}")
    placed = lines_of(rows, room.slots)
    if placed is None or max(placed) >= room.lines:
        return None
    line = np.array(placed)
    laid = [_laid(rows, i, line, room) for i in range(len(room.slots))]
    answers = torch.from_numpy(laid[-1][1][rows.row_of]).to(rows.device)
    return Packing(tuple(lines for lines, _ in laid), answers)


def _laid(rows: Rows, which: int, line: Integers, room: Room) -> tuple[Lines, Integers]:
    """Lines of a stream, and the slot of each position ``(D, T)``; 0 where not needed."""
    tokens, needed, length = rows.tokens[which], rows.needed[which], room.slots[which]
    slot, new = _slots(needed, rows.known, line, length)
    if rows.shared:
        # What a row shares stands in the slot of the row above, and slots grow down the rows.
        slot = np.maximum.accumulate(np.where(new, slot, -1), axis=0)
    row, place = new.nonzero()
    at = slot[row, place]

    def filled(values: Integers, empty: int) -> Integers:
        whole = np.full(room.lines * length, empty)
        whole[at] = values
        return whole

    last = filled(row, -2)
    if rows.shared:
        everywhere = needed.nonzero()
        np.maximum.at(last, slot[everywhere], everywhere[0])
    flat = filled(tokens[row, place], 0), filled(place, 0), filled(row, -1), last
    shaped = (torch.from_numpy(x).view(room.lines, length).to(rows.device) for x in flat)
    return Lines(*shaped), np.where(needed, slot, 0)


def _slots(needed: Marks, known: Integers, line: Integers, length: int) -> tuple[Integers, Marks]:
    """Slot of each position that takes one of its own, and which these are; ``(D, T)``."""
    order = line.argsort(kind="stable")
    starts = np.ones(len(line), bool)
    starts[1:] = line[order][1:] != line[order][:-1]
    old = np.where(starts, 0, known[order])
    new = needed[order] & (np.arange(needed.shape[1]) >= old[:, None])
    # Slots that are taken before each row, in all lines and in its own.
    taken = new.sum(1).cumsum() - new.sum(1)
    taken -= np.maximum.accumulate(np.where(starts, taken, 0))
    slot = (line[order] * length + taken)[:, None] + new.cumsum(1) - 1
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return slot[back], new[back]
