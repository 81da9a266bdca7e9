"""Group composition: axioms and elements by brute force, split laws, how many pairs commute."""

import re
import runpy
from itertools import permutations, product
from math import cos, pi, sin, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import EAGER, tiny
from spectraledge.lab.names import run_name
from spectraledge.store import canonical_json, folder_name, from_canonical, signature
from spectraledge.tasks import GroupComposition, ModularArithmetic, Task
from spectraledge.tasks.group import composition_table
from spectraledge.training import Problem, RunSpec, train

# Order and number of conjugacy classes: partitions of n for S_n; textbook values for A4 and A5;
# (n + 3)/2 for odd and n/2 + 3 for even n of D_n; every element for itself in C_n.
GROUPS = {
    "S3": (6, 3), "S4": (24, 5), "S5": (120, 7), "A4": (12, 4), "A5": (60, 5),
    "D3": (6, 3), "D4": (8, 5), "D5": (10, 4), "D12": (24, 9), "D13": (26, 8),
    "C2": (2, 2), "C3": (3, 3), "C12": (12, 12), "C13": (13, 13),
}  # fmt: skip
PERMUTATION_GROUPS = ["S3", "S4", "S5", "A4", "A5"]
PAGE = Path(__file__).parents[2] / "docs" / "add_a_task.md"


def parts(data):
    return [getattr(data, name).tolist() for name in ("train", "validation", "test")]


def cycles(images):
    """Number of cycles of a permutation."""
    left, count = set(range(len(images))), 0
    while left:
        x, count = left.pop(), count + 1
        while (x := images[x]) in left:
            left.remove(x)
    return count


def elements(group):
    """Permutations of a named group in the documented order."""
    degree = int(group[1:])
    found = sorted(permutations(range(degree)))
    # A permutation of n things with c cycles is a product of n - c transpositions.
    return [p for p in found if group[0] == "S" or (degree - cycles(p)) % 2 == 0]


# --- the groups ------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_group_axioms(group):
    table = composition_table(group)
    order, _ = GROUPS[group]
    everything = torch.arange(order)
    assert table.shape == (order, order)
    assert torch.equal(table[0], everything)  # element 0 is the identity, from both sides
    assert torch.equal(table[:, 0], everything)
    a, b, c = torch.meshgrid(everything, everything, everything, indexing="ij")
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    # Every element has an inverse, the same on both sides.
    identities = table == 0
    assert torch.equal(identities.sum(1), torch.ones(order, dtype=torch.int64))
    assert torch.equal(identities, identities.T)


@pytest.mark.parametrize("group", PERMUTATION_GROUPS)
def test_permutations_by_brute_force(group):
    images = elements(group)
    number = {p: i for i, p in enumerate(images)}
    table = [[number[tuple(p[x] for x in q)] for q in images] for p in images]  # q first, then p
    assert composition_table(group).tolist() == table


@pytest.mark.parametrize("n", [3, 4, 5, 12])
def test_dihedral_groups_are_the_symmetries_of_a_polygon(n):
    """As real 2×2 matrices, whose product applies the right one first."""
    turns = [2 * pi * i / n for i in range(n)]
    rotations = [np.array([[cos(t), -sin(t)], [sin(t), cos(t)]]) for t in turns]
    # x -> -x mirrors vertex x at the axis through vertex 0; i steps of rotation follow.
    matrices = np.array(rotations + [r @ np.diag([1.0, -1.0]) for r in rotations])
    products = np.einsum("aij,bjk->abik", matrices, matrices)
    distance = np.abs(products[:, :, None] - matrices).max(axis=(-1, -2))
    # Other elements are at least sin(pi / 12) away, rounding is of the order of 1e-15.
    assert distance.min(axis=-1).max() < 1e-12
    assert composition_table(f"D{n}").tolist() == distance.argmin(axis=-1).tolist()


@pytest.mark.parametrize("split", ["ordered", "unordered"])
@pytest.mark.parametrize("form", ["three_token", "two_token"])
@pytest.mark.parametrize("n", [5, 12])
def test_a_cyclic_group_is_modular_addition(n, form, split):
    ours = GroupComposition(f"C{n}", form, 0.4, split, 0.3)
    theirs = ModularArithmetic(n, "add", form, 0.4, split, 0.3)
    sizes = [(task.vocabulary, task.classes, task.length) for task in (ours, theirs)]
    assert sizes[0] == sizes[1]
    ours, theirs = ours.dataset(3), theirs.dataset(3)
    assert torch.equal(ours.tokens, theirs.tokens)
    assert torch.equal(ours.labels, theirs.labels)
    assert parts(ours) == parts(theirs)
    for name, mask in theirs.subsets.items():
        assert torch.equal(ours.subsets[name], mask)
    assert torch.equal(ours.subsets["commuting"], ~ours.subsets["diagonal"])


@pytest.mark.parametrize("group", GROUPS)
def test_commuting_pairs_are_conjugacy_classes_times_order(group):
    """P(ab = ba) = k(G) / |G|, in S5 7/120: by the centralisers of the members of a class."""
    table, (order, classes) = composition_table(group), GROUPS[group]
    inverse = (table == 0).int().argmax(1)
    everything = torch.arange(order)
    conjugates = table[table, inverse[:, None]]  # g a g⁻¹ in row g and column a
    assert len({frozenset(conjugates[:, a].tolist()) for a in everything}) == classes
    assert int((table == table.T).sum()) == classes * order


@pytest.mark.parametrize("group", ["S3", "S4", "S5", "A5", "D12", "C13"])
def test_share_of_commuting_rows(group):
    order, classes = GROUPS[group]
    data = GroupComposition(group).dataset(0)
    assert len(data) == order**2
    # The diagonal commutes as well, but is a subset of its own.
    assert int(data.subsets["commuting"].sum()) == (classes - 1) * order


# --- rows and splits -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["three_token", "two_token"])
@pytest.mark.parametrize("group", ["S3", "A4", "D5"])
def test_rows_and_labels(group, form):
    data = GroupComposition(group, form).dataset(0)
    table, order = composition_table(group), GROUPS[group][0]
    tail = [order] if form == "three_token" else []
    pairs = list(product(range(order), repeat=2))
    assert data.tokens.tolist() == [[a, b, *tail] for a, b in pairs]
    assert data.labels.tolist() == [int(table[a, b]) for a, b in pairs]


def test_b_is_applied_first():
    """By hand: (1, 0, 2) after (0, 2, 1) takes 0, 1, 2 to 1, 2, 0; the other way round 2, 0, 1."""
    table = composition_table("S3")
    number = {p: i for i, p in enumerate(elements("S3"))}
    swap_first, swap_last = number[1, 0, 2], number[0, 2, 1]
    assert table[swap_first, swap_last] == number[1, 2, 0]
    assert table[swap_last, swap_first] == number[2, 0, 1]


@pytest.mark.parametrize(
    ("form", "classes", "length"), [("three_token", 121, 3), ("two_token", 120, 2)]
)
def test_sizes_of_s5(form, classes, length):
    task = GroupComposition(form=form)
    assert isinstance(task, Task)
    assert (task.vocabulary, task.classes, task.length) == (classes, classes, length)
    data = task.dataset(0)
    assert (len(data), len(data.train)) == (14400, 7200)
    assert (data.vocabulary, data.classes, data.length) == (classes, classes, length)


@settings(max_examples=40, deadline=None)
@given(
    group=st.sampled_from(["S3", "A4", "D4", "D5", "C12"]),
    split=st.sampled_from(["ordered", "unordered"]),
    fraction=st.floats(0.2, 0.8),
    share=st.floats(0.3, 0.7),
    seed=st.integers(0, 10**9),
)
def test_split_laws(group, split, fraction, share, seed):
    task = GroupComposition(group, "two_token", fraction, split, share)
    data = task.dataset(seed)
    train, validation, test = parts(data)
    assert sorted(train + validation + test) == list(range(len(data)))
    assert parts(task.dataset(seed)) == [train, validation, test]
    if split == "ordered":
        assert len(train) == int(fraction * len(data))
        assert len(validation) == int(share * (len(data) - len(train)))
    else:
        # Rounding and, for the held-out rows, the parity of pairs that stay together.
        assert abs(len(train) - fraction * len(data)) <= 0.5
        assert abs(len(validation) - share * (len(data) - len(train))) <= 1.5


@pytest.mark.parametrize("group", ["S5", "D12"])
def test_an_unordered_split_keeps_mirrors_together(group):
    data = GroupComposition(group, "two_token").dataset(42)
    side = {
        tuple(data.tokens[row].tolist()): k for k, part in enumerate(parts(data)) for row in part
    }
    assert all(side[b, a] == k for (a, b), k in side.items())
    held_out = torch.cat([data.validation, data.test])
    assert not data.subsets["mirror"][held_out].any()


@pytest.mark.parametrize("split", ["ordered", "unordered"])
@pytest.mark.parametrize("group", ["S3", "A4", "D5"])
def test_subsets_by_brute_force(group, split):
    data = GroupComposition(group, "two_token", 0.5, split).dataset(1)
    rows = [tuple(pair) for pair in data.tokens.tolist()]
    answer = dict(zip(rows, data.labels.tolist()))
    trained = {rows[row] for row in data.train.tolist()}
    for row, (a, b) in enumerate(rows):
        place = "diagonal" if a == b else "mirror" if (b, a) in trained else "non_mirror"
        expected = {place, "commuting"} if a != b and answer[a, b] == answer[b, a] else {place}
        assert {name for name, mask in data.subsets.items() if mask[row]} == expected


def test_an_ordered_split_leaks_through_commuting_pairs_alone():
    """Who only learnt to ignore the order answers with the label of the trained mirror."""
    data = GroupComposition("S5", "two_token", split="ordered").dataset(42)
    held_out = torch.cat([data.validation, data.test])
    copied = held_out[data.subsets["mirror"][held_out]]
    a, b = data.tokens[copied].unbind(1)
    right = data.labels[b * 120 + a] == data.labels[copied]
    assert torch.equal(right, data.subsets["commuting"][copied])
    # 6·120 of 14,280 off-diagonal pairs commute. Every copied row is an unordered pair of its own,
    # drawn without replacement: four deviations of independent draws are on the safe side.
    share = 6 / 119
    deviation = sqrt(share * (1 - share) / len(copied))
    assert abs(right.double().mean().item() - share) < 4 * deviation


def test_different_seeds_split_differently():
    for split in ("ordered", "unordered"):
        task = GroupComposition("S4", split=split)
        assert parts(task.dataset(0)) != parts(task.dataset(1))


def test_the_global_generator_of_torch_is_left_alone():
    # That of `random` is drawn from by the type checker of the tests; the splits are tested apart.
    before = torch.get_rng_state()
    GroupComposition("S4").dataset(5)
    assert torch.equal(torch.get_rng_state(), before)


# --- identity and names ----------------------------------------------------------------------


def test_store_round_trip():
    task = GroupComposition("D12", "two_token", 0.3, "ordered", 0.25)
    text = canonical_json(task)
    assert from_canonical(text, [GroupComposition]) == task
    assert text == (
        '{"form":"two_token","group":"D12","split":"ordered","train_fraction":0.3,'
        '"type":"GroupComposition","validation_share":0.25}'
    )


def test_names_of_runs():
    spec = RunSpec(task=GroupComposition("S5"))
    assert run_name(spec) == "s5-unordered-weightdecay0.1-adam-seed0"
    assert folder_name(run_name(spec), spec).startswith("s5-unordered-weightdecay0.1-adam-seed0-")


def test_names_and_signatures_of_stored_modular_runs():
    """Changing these orphans stored runs."""
    assert run_name(RunSpec()) == "add113-unordered-weightdecay0.1-adam-seed0"
    assert signature(ModularArithmetic()) == "b27a93a0"


def test_training_on_a_group_measures_commuting_pairs():
    spec = tiny(task=GroupComposition("S3", split="ordered"), steps=2, record_every=2)
    *_, last = train(Problem([spec], EAGER))
    assert 0 <= float(last.metrics["validation_accuracy_commuting"][0]) <= 1


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "S6"}, r"unknown group 'S6'; known: S3, S4, S5 \(symmetric\), .*closest: S5"),
        ({"group": "A3"}, r"A4, A5 \(alternating\), D<n> with n >= 3 \(dihedral\), C<n> with n >="),
        ({"group": "s5"}, "unknown group 's5'.*closest: S5"),
        ({"group": "Z12"}, "unknown group 'Z12'.*closest: C12"),
        ({"group": "C07"}, "unknown group 'C07'.*closest: C7"),
        ({"group": "D2"}, "unknown group 'D2'.*closest: D3"),
        ({"group": "C1"}, "unknown group 'C1'.*closest: C2"),
        ({"group": "dihedral12"}, "closest: D12"),
        ({"group": "S5 "}, "unknown group 'S5 '.*closest: S5"),
        ({"group": ""}, "unknown group ''; known: S3"),
        ({"train_fraction": 0.0}, "0 < train_fraction < 1, got 0.0"),
        ({"train_fraction": float("nan")}, "0 < train_fraction < 1, got nan"),
        ({"validation_share": 1.0}, "0 < validation_share < 1, got 1.0"),
        ({"group": "S3", "train_fraction": 0.01}, "got train 0, validation 18, test 18 for Group"),
        ({"split": "order"}, "unknown split 'order'; known: unordered, ordered; closest: ordered"),
        ({"form": "two"}, "unknown form 'two'; .*closest: two_token"),
    ],
)
def test_errors_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupComposition(**arguments)


def test_the_table_of_an_unknown_group():
    with pytest.raises(ValueError, match="unknown group 'Q8'"):
        composition_table("Q8")


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed >= 0, got -1"):
        GroupComposition("S3").dataset(-1)


def test_a_part_emptied_by_parity_is_refused():
    with pytest.raises(ValueError, match="expected rows in every split, got train 2, validation 0"):
        GroupComposition("C2").dataset(0)


# --- the page on adding a task ---------------------------------------------------------------


def test_the_example_of_the_page_runs(tmp_path, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = tmp_path / "parity.py"
    script.write_text("\n".join(blocks))
    made = runpy.run_path(str(script))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "10", "20"]

    task = made["Parity"](5, 2)
    assert isinstance(task, Task)
    data = task.dataset(0)
    assert data.tokens.tolist() == [list(bits) for bits in product((0, 1), repeat=5)]
    assert data.labels.tolist() == [bits[0] ^ bits[1] for bits in data.tokens.tolist()]
    assert [len(part) for part in parts(data)] == [16, 8, 8]
    assert run_name(RunSpec(task=task)).startswith("parity2of5-")
    assert from_canonical(canonical_json(task), [made["Parity"]]) == task
    with pytest.raises(ValueError, match="got relevant 6 of 5 bits"):
        made["Parity"](5, 6)
