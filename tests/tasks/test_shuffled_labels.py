"""Permuted training labels: the same labels elsewhere, and nothing else changed."""

import torch

from spectraledge.models import CausalDecoderSpec
from spectraledge.store import canonical_json
from spectraledge.tasks import UNLABELLED, DyckDepth, ModularArithmetic, ShuffledLabels
from spectraledge.training import RunSpec
from spectraledge.updates import Adam


def test_labels_stay_in_training_and_padding_stays_padding():
    task = DyckDepth(sampling="published")
    plain, shuffled = task.dataset(0), ShuffledLabels(task).dataset(0)
    train = plain.train
    assert plain.tokens.equal(shuffled.tokens)
    assert (plain.labels == UNLABELLED).equal(shuffled.labels == UNLABELLED)
    counts = [
        data.labels[train].flatten()[data.labels[train].flatten() >= 0].bincount(minlength=13)
        for data in (plain, shuffled)
    ]
    assert counts[0].equal(counts[1])
    held_out = torch.cat([plain.validation, plain.test])
    assert plain.labels[held_out].equal(shuffled.labels[held_out])
    # A permutation of 576 labels of 11 kinds leaves about a fifth where they were.
    same = (plain.labels[train] == shuffled.labels[train])[plain.labels[train] >= 0]
    assert 0.1 < same.double().mean() < 0.3


def test_one_label_a_row_and_another_permutation():
    task = ModularArithmetic(7)
    first, second = (ShuffledLabels(task, n).dataset(0) for n in (1, 2))
    again = ShuffledLabels(task, 1).dataset(0)
    assert first.labels.equal(again.labels)
    assert not first.labels.equal(second.labels)


def test_it_is_part_of_the_identity_of_a_run():
    model = CausalDecoderSpec(width=8, heads=2)
    specs = [
        RunSpec(task=task, model=model, updates=(Adam(),))
        for task in (DyckDepth(), ShuffledLabels(DyckDepth()), ShuffledLabels(DyckDepth(), 8))
    ]
    assert len({canonical_json(spec) for spec in specs}) == 3
