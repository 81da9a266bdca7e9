"""`Dataset` refuses what would make a measured accuracy meaningless."""

import pytest
import torch

from spectraledge.tasks import Dataset, ModularArithmetic, Task


def make(**changes):
    rows = torch.arange(6)
    train, validation, test = rows.split(2)
    fields = {
        "tokens": rows[:, None],
        "labels": rows % 3,
        "train": train,
        "validation": validation,
        "test": test,
        "vocabulary": 6,
        "classes": 3,
        "subsets": {"even": rows % 2 == 0},
    }
    return Dataset(**(fields | changes))


def test_sizes_of_a_valid_dataset():
    data = make()
    assert (len(data), data.length) == (6, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": torch.tensor([0])}, "share no row, got 1 repeated"),
        ({"train": torch.tensor([0, 0])}, "share no row, got 1 repeated"),
        ({"train": torch.tensor([6])}, r"split indices in 0\.\.5, got 2\.\.6"),
        ({"train": torch.tensor([-1])}, r"split indices in 0\.\.5, got -1\.\.5"),
        ({"test": torch.arange(0)}, "rows in every split, got train 2, validation 2, test 0"),
        ({"vocabulary": 5}, r"tokens in 0\.\.4, got 0\.\.5"),
        ({"classes": 2}, r"labels in 0\.\.1, got 0\.\.2"),
    ],
)
def test_invalid_datasets_say_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_subset_marks_all_rows():
    # The shape check of the annotations fires first under pytest; users get the ValueError.
    with pytest.raises(Exception, match="subset"):
        make(subsets={"short": torch.ones(5, dtype=torch.bool)})


def test_modular_arithmetic_is_a_task():
    task = ModularArithmetic(modulus=5)
    data = task.dataset(0)
    assert isinstance(task, Task)
    assert (task.vocabulary, task.classes, task.length) == (
        data.vocabulary,
        data.classes,
        data.length,
    )
