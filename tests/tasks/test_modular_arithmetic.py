"""Modular arithmetic: labels by brute force, split laws, and published shares of leaked mirrors."""

import random
import subprocess
import sys
from itertools import product
from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectraledge.tasks import ModularArithmetic


def quotient(a, b, m):
    return next(q for q in range(m) if (q * b - a) % m == 0)


ORACLES = {
    "add": lambda a, b, m: (a + b) % m,
    "sub": lambda a, b, m: (a - b) % m,
    "mul": lambda a, b, m: (a * b) % m,
    "div": quotient,
    "x2_y2": lambda a, b, m: (a**2 + b**2) % m,
    "x2_xy_y2": lambda a, b, m: (a**2 + a * b + b**2) % m,
    "x3_xy": lambda a, b, m: (a**3 + a * b) % m,
}
FIRST = {name: 0 for name in ORACLES} | {"mul": 1}
SECOND = {name: 0 for name in ORACLES} | {"mul": 1, "div": 1}
COMPOSITE = [(name, m) for name, m in product(ORACLES, (4, 6, 12)) if name != "div"]


def parts(data):
    return [getattr(data, name).tolist() for name in ("train", "validation", "test")]


@pytest.mark.parametrize(("operation", "modulus"), [*product(ORACLES, (5, 7, 13)), *COMPOSITE])
@pytest.mark.parametrize("form", ["two_token", "three_token"])
def test_rows_and_labels_by_brute_force(operation, modulus, form):
    data = ModularArithmetic(modulus, operation, form).dataset(0)
    pairs = product(range(FIRST[operation], modulus), range(SECOND[operation], modulus))
    tail = [modulus] if form == "three_token" else []
    rows = [([a, b, *tail], ORACLES[operation](a, b, modulus)) for a, b in pairs]
    assert data.tokens.tolist() == [tokens for tokens, _ in rows]
    assert data.labels.tolist() == [label for _, label in rows]


@pytest.mark.parametrize(
    ("form", "classes", "length"), [("three_token", 114, 3), ("two_token", 113, 2)]
)
def test_reference_sizes(form, classes, length):
    task = ModularArithmetic(form=form)
    assert (task.vocabulary, task.classes, task.length) == (classes, classes, length)


@pytest.mark.parametrize(("operation", "rows"), [("add", 9409), ("div", 9312), ("mul", 9216)])
def test_published_number_of_pairs_at_97(operation, rows):
    assert len(ModularArithmetic(97, operation).dataset(0)) == rows


@settings(max_examples=60, deadline=None)
@given(
    modulus=st.sampled_from([5, 7, 11, 13]),
    operation=st.sampled_from(list(ORACLES)),
    split=st.sampled_from(["ordered", "unordered"]),
    fraction=st.floats(0.2, 0.8),
    share=st.floats(0.3, 0.7),
    seed=st.integers(0, 10**9),
)
def test_split_laws(modulus, operation, split, fraction, share, seed):
    task = ModularArithmetic(modulus, operation, "two_token", fraction, split, share)
    data = task.dataset(seed)
    train, validation, test = parts(data)
    assert sorted(train + validation + test) == list(range(len(data)))
    assert parts(task.dataset(seed)) == [train, validation, test]
    rest = len(data) - len(train)
    if split == "ordered":
        assert len(train) == int(fraction * len(data))
        assert len(validation) == int(share * rest)
    else:
        # The diagonal has odd units to spare, so every number of training rows can be reached.
        assert abs(len(train) - fraction * len(data)) <= 0.5
        # Held-out rows may come in pairs only: parity costs at most one row on top of rounding.
        assert abs(len(validation) - share * rest) <= 1.5
        side = {
            tuple(data.tokens[row].tolist()): k
            for k, part in enumerate(parts(data))
            for row in part
        }
        assert all(side.get((b, a), k) == k for (a, b), k in side.items())


@settings(max_examples=30, deadline=None)
@given(
    modulus=st.integers(4, 12),
    split=st.sampled_from(["ordered", "unordered"]),
    operation=st.sampled_from(["add", "mul", "sub"]),
    seed=st.integers(0, 10**6),
)
def test_subsets_by_brute_force(modulus, split, operation, seed):
    data = ModularArithmetic(modulus, operation, "two_token", 0.5, split).dataset(seed)
    trained = {tuple(data.tokens[row].tolist()) for row in data.train.tolist()}
    for row, (a, b) in enumerate(data.tokens.tolist()):
        expected = "diagonal" if a == b else "mirror" if (b, a) in trained else "non_mirror"
        assert [name for name, mask in data.subsets.items() if mask[row]] == [expected]


def test_the_published_split_of_a_seed():
    pairs = list(product(range(97), repeat=2))
    random.Random(137).shuffle(pairs)
    data = ModularArithmetic(97, form="two_token", split="ordered").dataset(137)
    rows = torch.cat([data.train, data.validation, data.test])
    assert len(data.train) == 4704
    assert data.tokens[rows].tolist() == [list(pair) for pair in pairs]


# Plateaus of the published phase diagram of low-rank decay on modular addition (p = 113, data
# seed 42): weight decay stops at the share of held-out pairs whose mirror was trained.
@pytest.mark.parametrize(
    ("fraction", "plateau"),
    [(0.3, 0.297), (0.4, 0.398), (0.5, 0.500), (0.6, 0.595), (0.7, 0.682), (0.8, 0.775)],
)
def test_published_plateaus_are_the_leaked_mirrors(fraction, plateau):
    data = ModularArithmetic(train_fraction=fraction, split="ordered").dataset(42)
    held_out = torch.cat([data.validation, data.test])
    share = data.subsets["mirror"][held_out].double().mean().item()
    assert share == pytest.approx(plateau, abs=5e-4)  # published to three digits


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_an_ordered_split_leaks_its_training_fraction(fraction):
    data = ModularArithmetic(train_fraction=fraction, split="ordered").dataset(7)
    held_out = torch.cat([data.validation, data.test])
    off_diagonal = held_out[~data.subsets["diagonal"][held_out]]
    share = data.subsets["mirror"][off_diagonal].double().mean().item()
    # Mirrors of n held-out pairs are trained with probability f, in n/2 or more independent
    # draws: four of the larger standard deviations.
    assert abs(share - fraction) < 4 * sqrt(fraction * (1 - fraction) / (len(off_diagonal) / 2))


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_an_unordered_split_leaks_nothing(fraction):
    task = ModularArithmetic(train_fraction=fraction)
    data = task.dataset(42)
    held_out = torch.cat([data.validation, data.test])
    assert not data.subsets["mirror"][held_out].any()
    assert len(data.train) == round(fraction * 113**2)
    assert int(data.subsets["diagonal"].sum()) == 113


def test_different_seeds_split_differently():
    for split in ("ordered", "unordered"):
        task = ModularArithmetic(23, split=split)
        assert parts(task.dataset(0)) != parts(task.dataset(1))


def test_an_unordered_split_favours_no_row():
    """Every row trains under its share of the seeds, although units are dealt out whole."""
    task = ModularArithmetic(13, form="two_token", train_fraction=0.4)
    seeds = 400
    hits = torch.zeros(169)
    for seed in range(seeds):
        hits[task.dataset(seed).train] += 1
    # Five standard deviations of a rate over 400 seeds. Parity moves at most one single unit in
    # or out of the part, which changes the rate of the 13 diagonal rows by at most 1/13.
    noise = 5 * sqrt(0.4 * 0.6 / seeds)
    slack = torch.where(task.dataset(0).subsets["diagonal"], 1 / 13, 0.0)
    assert ((hits / seeds - 0.4).abs() < noise + slack).all()


UNTOUCHED = """
import random, numpy, torch
from spectraledge.tasks import ModularArithmetic
before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
ModularArithmetic(7).dataset(5)
assert before == (
    random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
)
"""


def test_global_generators_are_left_alone():
    # In a process of its own: the type checker of the tests draws from the global generator.
    subprocess.run([sys.executable, "-c", UNTOUCHED], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modulus": 1}, "modulus >= 2, got 1"),
        ({"modulus": 9, "operation": "div"}, "prime modulus for operation 'div', got 9"),
        ({"train_fraction": 0.0}, "0 < train_fraction < 1, got 0.0"),
        ({"train_fraction": 1.5}, "0 < train_fraction < 1, got 1.5"),
        ({"train_fraction": float("nan")}, "0 < train_fraction < 1, got nan"),
        ({"validation_share": 1.0}, "0 < validation_share < 1, got 1.0"),
        ({"modulus": 7, "train_fraction": 0.001}, "got train 0, validation 2., test 2."),
        ({"modulus": 7, "train_fraction": 0.99}, "validation 0, test 0"),
        ({"modulus": 2, "operation": "mul"}, "got train 0, validation 0, test 1"),
        ({"operation": "ad"}, "unknown operation 'ad'; known: add, sub, .*; closest: add"),
        ({"split": "order"}, "unknown split 'order'; known: unordered, ordered; closest: ordered"),
        ({"form": "3_token"}, "unknown form '3_token'; .*closest: three_token|two_token"),
    ],
)
def test_errors_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        ModularArithmetic(**arguments)


def test_a_negative_seed_is_refused():
    # random.Random(-1) is random.Random(1): two names for one split.
    with pytest.raises(ValueError, match="seed >= 0, got -1"):
        ModularArithmetic(7).dataset(-1)


def test_a_part_emptied_by_parity_is_refused():
    """Four rows in three units: under seed 0 the held-out rows are one mirrored pair."""
    with pytest.raises(ValueError, match="expected rows in every split, got train 2, validation 0"):
        ModularArithmetic(2).dataset(0)
