"""Dyck-1: words by brute force, even draws, disjoint splits, and the published data set."""

from collections import Counter
from itertools import product

import pytest
import torch
from scipy.stats import chisquare

from spectraledge.tasks import UNLABELLED, DyckDepth
from spectraledge.tasks.bracket_words import completions, depths, word_of_rank, words_of

PUBLISHED = DyckDepth(sampling="published")


def balanced(word):
    depth = 0
    for token in word:
        depth += 1 if token == 0 else -1
        if depth < 0:
            return False
    return depth == 0


@pytest.mark.parametrize("pairs", [1, 2, 3, 4, 5])
def test_ranks_number_all_words_in_order(pairs):
    every = [word for word in product((0, 1), repeat=2 * pairs) if balanced(word)]
    assert [word_of_rank(pairs, rank) for rank in range(words_of(pairs))] == sorted(every)


@pytest.mark.parametrize(("opens", "depth"), [(0, 0), (0, 3), (2, 0), (2, 1), (3, 2)])
def test_completions_by_brute_force(opens, depth):
    ends = [
        end
        for end in product((0, 1), repeat=2 * opens + depth)
        if end.count(0) == opens and balanced((0,) * depth + end)
    ]
    assert completions(opens, depth) == len(ends)


def test_a_rank_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"rank in 0\.\.4, got 5"):
        word_of_rank(3, 5)


def words(data):
    return [tuple(row[row != 2].tolist()) for row in data.tokens]


def test_labels_are_depths_and_padding_has_none():
    data = DyckDepth(pairs=5, train=10, held_out=30).dataset(3)
    for word, row, labels in zip(words(data), data.tokens, data.labels):
        assert balanced(word)
        assert tuple(labels[: len(word)].tolist()) == depths(word)
        assert (labels[len(word) :] == UNLABELLED).all()
        assert (row[len(word) :] == 2).all()


def test_splits_share_no_word_and_are_those_of_the_seed():
    task = DyckDepth(train=50, held_out=2000)
    data, again, other = task.dataset(1), task.dataset(1), task.dataset(2)
    assert len(set(words(data))) == len(data) == 2050
    assert torch.equal(data.tokens, again.tokens)
    assert torch.equal(data.train, again.train)
    assert not torch.equal(data.tokens, other.tokens)
    assert data.subsets["new_word"].sum() == 2000
    assert (len(data.validation), len(data.test)) == (1000, 1000)


def test_words_of_a_size_are_drawn_evenly():
    # The first word of a data set; given its size, every word is as likely.
    task = DyckDepth(pairs=4, train=1, held_out=2)
    drawn = Counter(words(task.dataset(seed))[0] for seed in range(800))
    found = [drawn[word_of_rank(4, rank)] for rank in range(words_of(4))]
    # Fails once in 10,000 if it is so.
    assert chisquare(found).pvalue > 1e-4
    sizes = Counter(len(word) // 2 for word in drawn.elements())
    assert chisquare([sizes[n] for n in (1, 2, 3, 4)]).pvalue > 1e-4


def test_all_words_can_be_asked_for_but_not_one_more():
    every = sum(words_of(n) for n in range(1, 5))
    data = DyckDepth(pairs=4, train=3, held_out=every - 3).dataset(0)
    assert len(set(words(data))) == every == 22
    with pytest.raises(ValueError, match=r"at most 22 rows.*got train \+ held_out = 23"):
        DyckDepth(pairs=4, train=3, held_out=20)


def test_the_published_data_are_the_published_ones():
    data = PUBLISHED.dataset(0)
    # Numbers of the released data set.
    every = words(data)
    train = [every[row] for row in data.train.tolist()]
    held_out = torch.cat([data.validation, data.test])
    test = [every[row] for row in held_out.tolist()]
    assert (sum(map(len, train)), len(set(train))) == (576, 36)
    assert (sum(map(len, test)), len(set(test))) == (64_820, 2234)
    trained = set(train)
    assert sum(word in trained for word in test) == 1221
    assert train[0][:4] == (0, 0, 1, 1)
    assert [sum(map(len, test[:n])) for n in (200, 300, 500)] == [2664, 3978, 6536]
    assert data.subsets["new_word"][held_out].sum() == 5000 - 1221
    labels = data.labels[held_out]
    counts = torch.bincount(labels[labels != UNLABELLED]).double()
    # Printed to these digits; one token of depth 12 is too rare to show.
    assert [round(x, 3) for x in (counts / counts.sum()).tolist()[:8]] == [
        0.178, 0.303, 0.209, 0.135, 0.083, 0.048, 0.026, 0.012,
    ]  # fmt: skip
    assert data.labels[data.train].max() == 9
    assert [round(x, 4) for x in (counts / counts.sum()).tolist()[8:12]] == [
        0.0047, 0.0017, 0.0005, 0.0001,
    ]  # fmt: skip
    assert sum(len(word) for word in test if word not in trained) == 59_266


def test_what_a_table_of_the_published_data_would_know():
    data = PUBLISHED.dataset(0)
    every = words(data)
    train = [every[row] for row in data.train.tolist()]
    test = [every[row] for row in torch.cat([data.validation, data.test]).tolist()]
    prefixes = {word[:n] for word in train for n in range(1, len(word) + 1)}
    assert len(prefixes) == 321
    tokens = [(word, n) for word in test for n in range(1, len(word) + 1)]
    # A label follows from the prefix, so that a table of prefixes has these right.
    assert sum(word[:n] in prefixes for word, n in tokens) / len(tokens) == pytest.approx(
        0.496, abs=5e-4
    )
    seen: dict[tuple[int, int], Counter[int]] = {}
    for word in train:
        for n, depth in enumerate(depths(word)):
            seen.setdefault((n, word[n]), Counter())[depth] += 1
    usual = {key: counts.most_common(1)[0][0] for key, counts in seen.items()}
    most = sum(usual.get((n - 1, word[n - 1])) == depths(word)[n - 1] for word, n in tokens)
    assert most / len(tokens) == pytest.approx(0.570, abs=5e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pairs": 0}, "pairs >= 1, got 0"),
        ({"train": 0}, "train >= 1, got 0"),
        ({"held_out": 1}, "held_out >= 2, got 1"),
        ({"sampling": "leaky"}, "sampling to be one of .*got 'leaky'"),
    ],
)
def test_bad_sizes_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DyckDepth(**wrong)
