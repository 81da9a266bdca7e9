"""SCAN: the whole language by its known counts, meanings by hand, splits that share nothing."""

from collections import Counter

import pytest
import torch

from spectraledge.tasks import UNLABELLED, Scan
from spectraledge.tasks.scan_language import ACTIONS, WORDS, actions_of, commands, verbs_of


def means(text: str) -> str:
    return " ".join(a.removeprefix("I_") for a in actions_of(tuple(text.split())))


@pytest.mark.parametrize(
    ("command", "actions"),
    [
        ("walk", "WALK"),
        ("turn right", "TURN_RIGHT"),
        ("jump left", "TURN_LEFT JUMP"),
        ("turn opposite left", "TURN_LEFT TURN_LEFT"),
        ("run opposite right", "TURN_RIGHT TURN_RIGHT RUN"),
        ("turn around left", "TURN_LEFT TURN_LEFT TURN_LEFT TURN_LEFT"),
        ("look around right", "TURN_RIGHT LOOK TURN_RIGHT LOOK TURN_RIGHT LOOK TURN_RIGHT LOOK"),
        ("walk left twice", "TURN_LEFT WALK TURN_LEFT WALK"),
        ("jump thrice and run", "JUMP JUMP JUMP RUN"),
        ("jump after walk twice", "WALK WALK JUMP"),
    ],
)
def test_meanings(command, actions):
    assert means(command) == actions


def test_the_language_has_its_known_size():
    every = commands()
    assert len(every) == len(set(every)) == 20_910
    # 34 verbs, each once, twice or thrice, alone or as one of a pair in two ways.
    sentences = [c for c in every if not {"and", "after"} & set(c)]
    assert (len({verbs_of(c) for c in sentences}), len(sentences)) == (34, 102)
    lengths = [len(actions_of(c)) for c in every]
    assert (min(lengths), max(lengths), max(map(len, every))) == (1, 48, 9)
    # Printed means, which seem to be those of the training file: 80 % of the commands.
    assert sum(map(len, every)) / len(every) == pytest.approx(7.26, abs=0.01)
    assert sum(lengths) / len(lengths) == pytest.approx(14.33, abs=0.02)
    assert (sum(n > 40 for n in lengths), sum(n <= 16 for n in lengths)) == (128, 14_142)
    assert {word for c in every for word in c} == set(WORDS)
    assert {action for c in every for action in actions_of(c)} == set(ACTIONS)


# Held-out commands of the published files; repeats of primitives there are not counted.
@pytest.mark.parametrize(
    ("split", "held_out"),
    [("simple", 4182), ("length", 3920), ("add_jump", 7706), ("add_turn_left", 1208)],
)
def test_splits_have_their_known_sizes(split, held_out):
    data = Scan(split, train=None, held_out=None).dataset(0)
    assert len(data.validation) + len(data.test) == held_out
    assert len(data.train) == 20_910 - held_out


@pytest.mark.parametrize(
    ("split", "held_out", "train", "form"),
    [
        ("jump_around_right", 1173, 18_528, "jump around right"),
        ("primitive_right", 4476, 15_225, "X right"),
        ("primitive_opposite_right", 4476, 15_225, "X opposite right"),
        ("primitive_around_right", 4476, 15_225, "X around right"),
    ],
)
def test_templates_have_their_published_sizes_and_train_without_their_form(
    split, held_out, train, form
):
    data = Scan(f"template_{split}", train=None, held_out=None).dataset(0)
    trained = {command_of(row) for row in data.tokens[data.train]}
    others = {command_of(data.tokens[row]) for row in (*data.validation, *data.test)}
    assert (len(data.train), len(data.validation) + len(data.test)) == (train, held_out)
    # 1209 commands turn in that form, and are nowhere.
    assert len(trained | others) == train + held_out == 20_910 - 1209
    verbs = {
        command: {" ".join(verb) for verb in verbs_of(command)} for command in trained | others
    }
    held = {form.replace("X", word) for word in ("walk", "look", "run", "jump")}
    assert all(verbs[command] & held for command in others)
    assert not any(verbs[command] & held for command in trained)
    turned = f"turn {form.partition(' ')[2]}"
    assert not any(turned in own for own in verbs.values())


def test_templates_train_with_their_parts_apart():
    data = Scan("template_jump_around_right", train=None, held_out=None).dataset(0)
    trained = {command_of(row) for row in data.tokens[data.train]}
    for text in ("jump around left", "jump right", "jump opposite right", "run around right"):
        assert tuple(text.split()) in trained
    data = Scan("template_primitive_right", train=None, held_out=None).dataset(0)
    trained = {command_of(row) for row in data.tokens[data.train]}
    for text in ("jump left", "walk opposite right", "turn around right"):
        assert tuple(text.split()) in trained


def command_of(row):
    return tuple(WORDS[token - 3] for token in row[:11].tolist() if token)


def test_rows_are_the_command_the_start_and_the_actions_and_labels_come_one_later():
    data = Scan(train=20, held_out=10).dataset(0)
    for row, labels in zip(data.tokens, data.labels):
        command = command_of(row)
        done = [3 + ACTIONS.index(a) for a in actions_of(command)]
        source, target = row.split([11, 50])
        assert source.tolist() == [3 + WORDS.index(w) for w in command] + [0] * (11 - len(command))
        assert target.tolist() == [1, *done] + [0] * (49 - len(done))
        assert labels.tolist() == [*done, 2] + [UNLABELLED] * (49 - len(done))
    assert len({command_of(row) for row in data.tokens}) == 30


def test_the_seed_decides_what_is_kept():
    task = Scan(train=100, held_out=50)
    first, again, other = task.dataset(1), task.dataset(1), task.dataset(2)
    assert torch.equal(first.tokens, again.tokens)
    assert not torch.equal(first.tokens, other.tokens)
    assert (len(first.train), len(first.validation), len(first.test)) == (100, 25, 25)
    assert task.classes == 9
    assert task.vocabulary == 16


def test_added_primitives_train_alone():
    data = Scan("add_jump", train=None, held_out=None).dataset(0)
    trained = [command_of(row) for row in data.tokens[data.train]]
    assert Counter("jump" in command for command in trained)[True] == 1
    assert ("jump",) in trained


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "hard"}, "split to be one of .*got 'hard'"),
        ({"train": 0}, "train >= 1 or None, got 0"),
        ({"held_out": 1}, "held_out >= 2 or None, got 1"),
    ],
)
def test_bad_fields_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Scan(**wrong)


def test_more_rows_than_there_are_and_unknown_commands_are_refused():
    with pytest.raises(ValueError, match=r"held_out <= 1208.*'add_turn_left' has, got 1209"):
        Scan("add_turn_left", held_out=1209).dataset(0)
    with pytest.raises(ValueError, match=r"part of a SCAN command.*got 'turn'"):
        actions_of(("turn",))


@pytest.mark.parametrize(
    ("command", "verbs"),
    [
        ("walk", ["walk"]),
        ("turn left thrice", ["turn left"]),
        ("jump around right and walk twice", ["jump around right", "walk"]),
        ("run after look opposite left thrice", ["run", "look opposite left"]),
    ],
)
def test_verbs_stand_without_how_often(command, verbs):
    assert [" ".join(verb) for verb in verbs_of(tuple(command.split()))] == verbs


def test_long_commands_can_be_left_out():
    whole = Scan(train=None, held_out=None, longest=16).dataset(0)
    assert len(whole) == 14_142
    assert (whole.labels != UNLABELLED).sum(1).max() == 17  # and an end
    with pytest.raises(ValueError, match="longest >= 1 or None, got 0"):
        Scan(longest=0)
