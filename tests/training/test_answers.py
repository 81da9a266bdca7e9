"""Several answers about a row: an accuracy of each, and batches that do not mix them."""

import pytest
import torch

from cases import EAGER, tiny
from spectraledge.models import MultiTaskEncoderSpec
from spectraledge.tasks import UNLABELLED, SeveralOperations, ShuffledLabels
from spectraledge.training import Problem, batch_key
from spectraledge.training.stacked_data import StackedData

MODEL = MultiTaskEncoderSpec(width=8, layers=1, heads=2, mlp_width=12)
DIVIDED = SeveralOperations(7, ("add", "div"))


def of(task):
    return tiny(task=task, model=MODEL, batch_size=8)


def test_the_accuracy_of_each_answer_by_hand():
    problem = Problem([of(DIVIDED)], EAGER)
    theta = problem.initial_parameters()
    metrics, data = problem.evaluate(theta), DIVIDED.dataset(problem.specs[0].data_seed)
    for part in ("train", "validation", "test"):
        rows = getattr(data, part)
        right = problem.logits(theta, data.tokens[rows][None])[0].argmax(-1) == data.labels[rows]
        counts = (data.labels[rows] != UNLABELLED).sum(0)
        expected = right.sum(0).double() / counts
        # Some quotient is missing in every part, so that counts of rows would be another number.
        assert counts[1] < counts[0]
        found = [metrics[f"{part}_accuracy_{name}"].item() for name in DIVIDED.operations]
        assert found == expected.tolist()
        # The mean over labelled outputs weighs answers by how many labels they have.
        mean = (expected * counts).sum() / counts.sum()
        assert metrics[f"{part}_accuracy"].item() == pytest.approx(mean.item(), rel=1e-12)


def test_tasks_of_other_answers_train_in_another_batch():
    other = SeveralOperations(7, ("add", "mul"))
    assert batch_key(of(DIVIDED)) != batch_key(of(other))
    assert batch_key(of(ShuffledLabels(DIVIDED))) != batch_key(of(ShuffledLabels(other)))
    assert batch_key(of(DIVIDED)) == batch_key(of(DIVIDED))
    with pytest.raises(ValueError, match=r"one kind of answers.*\('add', 'div'\) in run 0"):
        StackedData([DIVIDED.dataset(0), other.dataset(0)], "cpu")


def test_an_answer_without_any_label_in_a_part_has_no_accuracy():
    data = DIVIDED.dataset(0)
    data.labels[data.test, 1] = UNLABELLED
    stacked = StackedData([data], "cpu")
    correct = stacked.labels != UNLABELLED
    metrics = stacked.means(torch.zeros(correct.shape), correct)
    assert metrics["test_accuracy_div"].isnan().all()
    assert (metrics["test_accuracy_add"] == 1).all()
