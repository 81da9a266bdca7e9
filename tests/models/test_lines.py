"""Lines built by hand: what a slot sees, and the same logits as rows have."""

import pytest
import torch

from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec
from spectraledge.models.lines import Answers, Lines, PackedModel, Packing, sees, up_to_last

# Rows 0 1 and 0 2 1 share their first token; two slots are empty.
TREE = Lines(
    tokens=torch.tensor([[0, 1, 2, 1, 0, 0]]),
    places=torch.tensor([[0, 1, 1, 2, 0, 0]]),
    first=torch.tensor([[0, 0, 1, 1, -1, -1]]),
    last=torch.tensor([[1, 0, 1, 1, -2, -2]]),
)


def test_a_slot_sees_what_comes_before_it_in_its_rows():
    seen = sees(TREE, TREE, causal=True)[0]
    expected = ["100000", "110000", "101000", "101100", "111111", "111111"]
    assert ["".join(str(int(s)) for s in row) for row in seen] == expected


def test_a_slot_sees_readable_slots_of_its_row_in_another_stream():
    source = Lines(*(torch.tensor([x]) for x in ([5, 0, 6], [0, 1, 0], [0, 0, 1], [0, 0, 1])))
    target = Lines(*(torch.tensor([x]) for x in ([1, 1, 0], [0, 0, 0], [0, 1, -1], [0, 1, -2])))
    assert sees(target, source)[0].int().tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 1]]
    readable = sees(target, source, readable=source.tokens != 0)[0].int().tolist()
    assert readable == [[1, 0, 0], [0, 0, 1], [1, 1, 1]]


def test_positions_up_to_the_last_label():
    labelled = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]) > 0
    expected = [[1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert up_to_last(labelled).int().tolist() == expected


def test_a_tree_of_prefixes_has_the_logits_of_the_rows():
    spec = CausalDecoderSpec(width=16, heads=4, mlp_width=24, positions=12)
    model = spec.build(vocabulary=3, length=4, classes=5, seed=3).double()
    assert isinstance(model, PackedModel)
    packed = Answers(model)(Packing((TREE,), torch.tensor([[0, 1, 0], [0, 2, 3]])))
    rows = model(torch.tensor([[0, 1, 2], [0, 2, 1]]))
    # A few float64 roundings of numbers of order 1.
    torch.testing.assert_close(packed[0, :2], rows[0, :2], rtol=0, atol=1e-13)
    torch.testing.assert_close(packed[1], rows[1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("masks_memory", [True, False])
def test_two_translations_in_one_line_have_the_logits_of_two_rows(masks_memory):
    spec = EncoderDecoderSpec(
        width=16, layers=2, heads=4, mlp_width=24, source_length=2, masks_memory=masks_memory
    )
    model = spec.build(vocabulary=7, length=5, classes=6, seed=3).double()
    assert isinstance(model, PackedModel)
    rows = torch.tensor([[3, 4, 1, 2, 0], [5, 0, 1, 3, 4]])
    # Without a mask the second row reads the padding of its source.
    places = [0, 1, 0, 0 if masks_memory else 1]
    owner = [0, 0, 1, -1 if masks_memory else 1]
    source = Lines(*(torch.tensor([x]) for x in ([3, 4, 5, 0], places, owner, owner)))
    owner = [0, 0, 1, 1, 1]
    target = Lines(*(torch.tensor([x]) for x in ([1, 2, 1, 3, 4], [0, 1, 0, 1, 2], owner, owner)))
    packed = Answers(model)(Packing((source, target), torch.tensor([[0, 1, 0], [2, 3, 4]])))
    expected = model(rows)
    # A few float64 roundings of numbers of order 1.
    torch.testing.assert_close(packed[0, :2], expected[0, :2], rtol=0, atol=1e-13)
    torch.testing.assert_close(packed[1], expected[1], rtol=0, atol=1e-13)
