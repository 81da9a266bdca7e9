"""Rows in lines: every needed position once, seeing its own row alone, in the room there is."""

import pytest
import torch

from spectraledge.models.lines import Stream, sees
from spectraledge.training.packer import best_room, pack_rows
from spectraledge.training.packing import Room, different_rows, lines_of, pack


def ragged(seed: int, rows: int = 40, length: int = 9, vocabulary: int = 2) -> Stream:
    """Random rows that begin alike, of 1 to `length` tokens, some of them twice."""
    chance = torch.Generator().manual_seed(seed)
    tokens = torch.randint(vocabulary, (rows, length), generator=chance)
    ends = torch.randint(1, length + 1, (rows, 1), generator=chance)
    ends[0], ends[1] = 1, length
    needed = torch.arange(length) < ends
    tokens[-1], needed[-1] = tokens[2], needed[2]
    return Stream(tokens, needed, shared=True)


def prefixes(stream: Stream) -> set[tuple[int, ...]]:
    ends = stream.needed.sum(1).tolist()
    return {tuple(row[: i + 1]) for row, n in zip(stream.tokens.tolist(), ends) for i in range(n)}


def seen_tokens(query, key, mask, slot: int) -> list[int]:
    """Tokens that a slot sees, in the order of their places."""
    length = query.tokens.shape[1]
    line = slot // length
    at = mask[line, slot % length].nonzero().flatten()
    order = key.places[line, at].argsort()
    return key.tokens[line, at][order].tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("slots", [9, 14, 60, 400])
def test_shared_slots_see_the_prefix_of_their_rows(seed, slots):
    stream = ragged(seed)
    rows = different_rows([stream])
    lines = 1 + max(lines_of(rows, (slots,)))
    packing = pack(rows, Room(lines + 1, (slots,)))
    (own,) = packing.streams
    mask = sees(own, own, causal=True)
    for row, needed, answers in zip(stream.tokens, stream.needed, packing.answers):
        for place in needed.nonzero().flatten().tolist():
            slot = answers[place].item()
            assert seen_tokens(own, own, mask, slot) == row[: place + 1].tolist()
            assert own.places.flatten()[slot] == place
    taken = int((own.first >= 0).sum())
    distinct = len(prefixes(stream))
    # Each line may repeat what its first row shares with the line before.
    assert distinct <= taken <= distinct + (lines - 1) * 8
    if lines == 1:
        assert taken == distinct


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_two_streams_share_a_line(seed):
    source, target = ragged(seed, length=5)._replace(shared=False), ragged(seed + 9)
    target = target._replace(shared=False)
    # Holes in what is needed are nothing special where nothing is shared.
    source.needed[3] = torch.tensor([1, 0, 1, 0, 1]) > 0
    rows = different_rows([source, target])
    room = best_room([[rows]])
    packing = pack(rows, room)
    read, written = packing.streams
    own, other = sees(written, written, causal=True), sees(written, read)
    for row in range(len(target.tokens)):
        for place in target.needed[row].nonzero().flatten().tolist():
            slot = packing.answers[row, place].item()
            beginning = target.tokens[row, : place + 1].tolist()
            assert seen_tokens(written, written, own, slot) == beginning
            whole = source.tokens[row][source.needed[row]].tolist()
            assert seen_tokens(written, read, other, slot) == whole
    for stream, lines in ((source, read), (target, written)):
        assert (lines.first >= 0).sum() == stream.needed.sum()


def test_padding_tells_no_rows_apart():
    needed = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 0]]) > 0
    tokens = torch.tensor([[4, 5, 6], [4, 5, 7], [4, 8, 8]])
    rows = different_rows([Stream(tokens, needed, shared=True)])
    (own,) = pack(rows, Room(1, (3,))).streams
    assert (own.first >= 0).sum() == 2


def test_what_needs_more_room_is_told_apart():
    stream = ragged(0)
    rows = different_rows([stream])
    lines = 1 + max(lines_of(rows, (12,)))
    assert pack(rows, Room(lines, (12,))) is not None
    assert pack(rows, Room(lines - 1, (12,))) is None
    assert pack(rows, Room(100, (8,))) is None  # a row of nine
    assert pack_rows([rows, rows], Room(lines - 1, (12,))) is None


def test_rows_of_which_nothing_is_needed_take_no_slot():
    stream = ragged(0)
    bare = stream._replace(needed=torch.zeros_like(stream.needed))
    rows = different_rows([bare])
    (own,) = pack(rows, best_room([[rows]])).streams
    assert not (own.first >= 0).any()


def test_the_best_room_holds_all_batches_or_what_deviations_ask_for():
    runs = [[different_rows([ragged(10 * run + k)]) for k in range(8)] for run in range(2)]
    room = best_room(runs)
    assert all(pack(rows, room) is not None for batches in runs for rows in batches)
    assert best_room(runs, -1.0).lines < best_room(runs, 3.0).lines or room.lines == 1


def test_bad_input_is_refused():
    stream = ragged(0)
    gap = stream._replace(needed=stream.needed.clone())
    gap.needed[7] = torch.tensor([1, 0, 1, 0, 0, 0, 0, 0, 0]) > 0
    with pytest.raises(ValueError, match=r"beginning of each row, got others in rows \[7\]"):
        different_rows([gap])
    with pytest.raises(ValueError, match="shared stream to be the only one, got 2 streams"):
        different_rows([stream, stream])
    with pytest.raises(ValueError, match=r"room for 1 streams, got slots \(9, 9\)"):
        pack(different_rows([stream]), Room(1, (9, 9)))
    for lines, slots in ((0, (9,)), (1, (0,)), (1, ())):
        with pytest.raises(ValueError, match="lines >= 1 and slots >= 1"):
            Room(lines, slots)
