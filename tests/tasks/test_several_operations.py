"""Several operations on the same pairs: labels by brute force, the rows of a single table."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import tiny
from spectraledge.lab.names import run_name
from spectraledge.store import canonical_json, folder_name, from_canonical, signature
from spectraledge.tasks import (
    UNLABELLED,
    DyckDepth,
    ModularArithmetic,
    SeveralOperations,
    ShuffledLabels,
    Task,
    answers_of,
)


def quotient(a, b, m):
    return next(q for q in range(m) if (q * b - a) % m == 0) if b else UNLABELLED


ORACLES = {
    "add": lambda a, b, m: (a + b) % m,
    "sub": lambda a, b, m: (a - b) % m,
    "mul": lambda a, b, m: (a * b) % m,
    "div": quotient,
    "x2_y2": lambda a, b, m: (a**2 + b**2) % m,
    "x2_xy_y2": lambda a, b, m: (a**2 + a * b + b**2) % m,
    "x3_xy": lambda a, b, m: (a**3 + a * b) % m,
}
WITHOUT_DIV = tuple(name for name in ORACLES if name != "div")
PARTS = ("train", "validation", "test")


def same_rows(ours, theirs):
    """Whether two data sets have the same tokens, parts and subsets."""
    names = ours.subsets.keys() | theirs.subsets.keys()
    return (
        torch.equal(ours.tokens, theirs.tokens)
        and all(torch.equal(getattr(ours, part), getattr(theirs, part)) for part in PARTS)
        and all(torch.equal(ours.subsets[name], theirs.subsets[name]) for name in names)
    )


@pytest.mark.parametrize(
    ("operations", "modulus"),
    [
        (tuple(ORACLES), 5),
        (tuple(reversed(ORACLES)), 7),
        (("div", "mul"), 13),
        (WITHOUT_DIV, 6),
        (("mul", "add"), 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["two_token", "three_token"])
def test_rows_and_labels_by_brute_force(operations, modulus, form):
    data = SeveralOperations(modulus, operations, form).dataset(1)
    pairs = list(product(range(modulus), repeat=2))
    tail = [modulus] if form == "three_token" else []
    assert data.tokens.tolist() == [[a, b, *tail] for a, b in pairs]
    expected = [[ORACLES[name](a, b, modulus) for name in operations] for a, b in pairs]
    assert data.labels.tolist() == expected


@pytest.mark.parametrize("operation", ORACLES)
def test_a_column_is_the_table_of_its_operation_and_more(operation):
    """`ModularArithmetic` leaves out the operand 0 of mul and div; here their rows stay."""
    other = "add" if operation != "add" else "mul"
    ours = SeveralOperations(7, (other, operation)).dataset(0)
    alone = ModularArithmetic(7, operation, "two_token").dataset(0)
    column = {tuple(t): int(x) for t, x in zip(ours.tokens.tolist(), ours.labels[:, 1])}
    for pair, label in zip(alone.tokens.tolist(), alone.labels.tolist()):
        assert column.pop(tuple(pair)) == label
    allowed = {"mul": {0}, "div": {UNLABELLED}}.get(operation, set())
    assert set(column.values()) == allowed


@settings(max_examples=40, deadline=None)
@given(
    modulus=st.sampled_from([5, 6, 7, 11]),
    operations=st.permutations(WITHOUT_DIV).map(lambda names: tuple(names[:3])),
    form=st.sampled_from(["two_token", "three_token"]),
    split=st.sampled_from(["ordered", "unordered"]),
    fraction=st.floats(0.2, 0.8),
    share=st.floats(0.3, 0.7),
    seed=st.integers(0, 10**9),
)
def test_splits_and_subsets_are_those_of_addition(
    modulus, operations, form, split, fraction, share, seed
):
    ours = SeveralOperations(modulus, operations, form, fraction, split, share).dataset(seed)
    theirs = ModularArithmetic(modulus, "add", form, fraction, split, share).dataset(seed)
    assert same_rows(ours, theirs)
    rows = torch.cat([getattr(ours, part) for part in PARTS])
    assert sorted(rows.tolist()) == list(range(modulus**2))
    held_out = rows[len(ours.train) :]
    assert split == "ordered" or not ours.subsets["mirror"][held_out].any()


def test_rows_and_parts_do_not_depend_on_the_operations():
    several = [SeveralOperations(7, names) for names in (("add", "mul"), ("div", "sub", "x2_y2"))]
    assert same_rows(*(task.dataset(3) for task in several))
    assert not torch.equal(several[0].dataset(3).train, several[0].dataset(4).train)


@pytest.mark.parametrize(
    ("form", "classes", "length"), [("two_token", 97, 2), ("three_token", 98, 3)]
)
def test_published_size(form, classes, length):
    task = SeveralOperations(form=form)
    assert isinstance(task, Task)
    assert (task.vocabulary, task.classes, task.length) == (classes, classes, length)
    data = task.dataset(42)
    assert data.labels.shape == (9409, 2)
    assert len(data.train) == 4704
    assert int(data.subsets["diagonal"].sum()) == 97


def test_answers_go_with_the_task_and_its_rows():
    task = SeveralOperations(7, ("add", "x2_y2"))
    shuffled = ShuffledLabels(task)
    for own in (task, shuffled):
        assert answers_of(own) == own.dataset(0).answers == ("add", "x2_y2")
    assert answers_of(ModularArithmetic(7)) == ModularArithmetic(7).dataset(0).answers == ()
    assert answers_of(ShuffledLabels(ModularArithmetic(7))) == ()
    assert answers_of(DyckDepth()) == ()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (("add",), r"answers \('add',\).*got labels \(25, 2\).*labels \(N, 1\)"),
        (("add", "add"), "distinct names of answers and subsets"),
        (("add", "mirror"), "distinct names of answers and subsets.*mirror"),
    ],
)
def test_answers_that_do_not_fit_are_refused(answers, message):
    with pytest.raises(ValueError, match=message):
        replace(SeveralOperations(5).dataset(0), answers=answers)


def test_identity_and_name():
    task = SeveralOperations(7, ("add", "x2_y2"), split="ordered")
    assert from_canonical(canonical_json(task), [SeveralOperations]) == task
    assert signature(SeveralOperations(7, ("x2_y2", "add"), split="ordered")) != signature(task)
    name = run_name(tiny(task=task))
    assert name.startswith("add-x2_y27-ordered-")
    assert folder_name(name, task).startswith("add-x2-y27-ordered-")


def test_labels_are_shuffled_among_those_of_their_operation():
    plain = SeveralOperations(7, ("add", "div"))
    counts = [
        [
            column[column != UNLABELLED].bincount(minlength=7).tolist()
            for column in data.labels[data.train].unbind(1)
        ]
        for data in (plain.dataset(0), ShuffledLabels(plain).dataset(0))
    ]
    assert counts[0] == counts[1]
    assert counts[0][0] != counts[0][1]
    ours, theirs = ShuffledLabels(plain).dataset(0), plain.dataset(0)
    assert same_rows(ours, theirs)
    unlabelled = ours.labels == UNLABELLED
    assert torch.equal(unlabelled, theirs.labels == UNLABELLED)
    assert not torch.equal(ours.labels[ours.train], theirs.labels[theirs.train])
    assert torch.equal(ours.labels[ours.test], theirs.labels[theirs.test])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operations": ("add",)}, r"two or more distinct operations, got \('add',\); .*Modular"),
        ({"operations": ()}, r"two or more distinct operations, got \(\)"),
        ({"operations": ("add", "mul", "add")}, "distinct operations, got .*'add', 'mul', 'add'"),
        ({"operations": ("add", "mull")}, "unknown operation 'mull'; known: add, .*closest: mul"),
        ({"modulus": 9, "operations": ("add", "div")}, "prime modulus for operation 'div', got 9"),
        ({"modulus": 1}, "modulus >= 2, got 1"),
        ({"train_fraction": 1.0}, "0 < train_fraction < 1, got 1.0"),
        ({"validation_share": 0.0}, "0 < validation_share < 1, got 0.0"),
        ({"form": "one_token"}, "unknown form 'one_token'"),
        ({"split": "order"}, "unknown split 'order'"),
        ({"modulus": 5, "train_fraction": 0.99}, "validation 0, test 0"),
    ],
)
def test_errors_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        SeveralOperations(**arguments)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed >= 0, got -1"):
        SeveralOperations(7).dataset(-1)
