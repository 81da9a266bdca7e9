"""Low-rank decay in the batched trainer against the decay of single matrices."""

import pytest
import torch

from cases import EAGER, tiny
from spectraledge.decay import low_rank_decayed
from spectraledge.linalg import published_step
from spectraledge.snapshots import Layout
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, Clock, LowRank, chain

LAYOUT = Layout(("a.query", "b.key", "c.value"), ((8, 6), (8, 6), (4, 4)))
GROUPS = {"qk": ("a.query", "b.key"), "all": LAYOUT.names, "empty": ()}


def clock(runs: int, index: int = 1, lr: float = 0.1, alive: float = 1.0) -> Clock:
    column = torch.full((runs, 1), alive, dtype=torch.float64)
    return Clock(index, torch.tensor(float(index), dtype=torch.float64), lr * column, column)


def theta(runs: int) -> torch.Tensor:
    return torch.randn(runs, LAYOUT.size, generator=torch.Generator().manual_seed(0))


def decayed(updates: list[LowRank], start: torch.Tensor, times: int = 1, **when) -> torch.Tensor:
    moved = start.clone()
    links, states = chain([(u,) for u in updates], moved, LAYOUT, GROUPS)
    for index in range(1, times + 1):
        at = clock(len(updates), index=index, **when)
        links.apply_(moved, torch.zeros_like(moved), states, at, {})
    return moved


@pytest.mark.parametrize("method", ["svd", "floored"])
def test_equals_the_decay_of_each_matrix(method):
    strengths = (0.5, 2.0, 0.0)
    updates = [LowRank(s, scale="absolute", method=method) for s in strengths]
    start = theta(3)
    moved = decayed(updates, start)
    for run, strength in enumerate(strengths):
        for name in GROUPS["qk"]:
            expected = low_rank_decayed(
                LAYOUT.view(start, name)[run], 0.1 * strength, method=method
            )
            # float32 rounding of a batched against a single product.
            torch.testing.assert_close(LAYOUT.view(moved, name)[run], expected, rtol=0, atol=1e-5)
        assert torch.equal(LAYOUT.view(moved, "c.value")[run], LAYOUT.view(start, "c.value")[run])
    assert torch.equal(moved[2], start[2])  # strength 0 leaves every bit alone


def test_published_method_is_the_published_step():
    start = theta(1)
    moved = decayed([LowRank(0.05, scale="absolute", coupled=False, method="published")], start)
    query = LAYOUT.view(start, "a.query")[0]
    torch.testing.assert_close(
        LAYOUT.view(moved, "a.query")[0], published_step(query, 0.05), rtol=0, atol=1e-6
    )


def test_every_applies_the_sum():
    start = theta(1)
    often = decayed([LowRank(0.3, scale="absolute", method="svd")], start, times=6)
    rarely = decayed([LowRank(0.3, scale="absolute", method="svd", every=3)], start, times=6)
    # Proximal steps without gradient add up exactly; 6 float32 decompositions round.
    torch.testing.assert_close(often, rarely, rtol=0, atol=1e-5)
    waiting = decayed([LowRank(0.3, scale="absolute", method="svd", every=3)], start, times=2)
    assert torch.equal(waiting, start)


def test_heads_are_decayed_one_by_one():
    start = theta(1)
    moved = decayed([LowRank(2.0, scale="absolute", method="svd", heads=2)], start)
    blocks = LAYOUT.view(start, "b.key")[0].unflatten(0, (2, 4))
    expected = low_rank_decayed(blocks, 0.2, method="svd").flatten(0, 1)
    torch.testing.assert_close(LAYOUT.view(moved, "b.key")[0], expected, rtol=0, atol=1e-5)


def test_adaptive_step_is_as_long_as_weight_decay():
    start = theta(2)
    moved = decayed([LowRank(0.5, method="svd"), LowRank(0.1, method="svd")], start)
    for run, strength in enumerate((0.5, 0.1)):
        before, after = (LAYOUT.view(t, "a.query")[run] for t in (start, moved))
        # Exact for this method up to float32 rounding of the difference.
        expected = 0.1 * strength * before.norm().item()
        assert (before - after).norm().item() == pytest.approx(expected, rel=1e-4)


def test_diverged_runs_are_left_alone():
    start = theta(1)
    for coupled in (True, False):
        update = LowRank(1.0, scale="absolute", coupled=coupled, method="svd")
        assert torch.equal(decayed([update], start, lr=0.0, alive=0.0), start)


def test_rank_falls_in_training():
    spec = tiny(updates=(Adam(), LowRank(0.02, scale="absolute", coupled=False)), steps=80,
                record_every=80)  # fmt: skip
    first, last = Trainer(Problem([spec], EAGER)).snapshots()
    ranks = [
        torch.linalg.matrix_rank(s.matrix("blocks.0.attention.query.weight")[0], atol=0.06)
        for s in (first, last)
    ]
    assert ranks[1] < ranks[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowRank(-1.0), "strength < inf, got -1.0"),
        (lambda: LowRank(1.0, every=0), "every < inf, got 0"),
        (lambda: LowRank(1.0, heads=0), "heads < inf, got 0"),
        (lambda: LowRank(1.0, scale="relative"), "unknown scale 'relative'"),
        (lambda: LowRank(1.0, method="svf"), "did you mean 'svd'"),
        (lambda: decayed([LowRank(1.0, on="empty")], theta(1)), "holds no parameter"),
        (lambda: decayed([LowRank(1.0, heads=3)], theta(1)), "divide into heads=3"),
        (lambda: decayed([LowRank(1.0), LowRank(1.0, every=2)], theta(2)), "same updates in every"),
        (lambda: chain([(Adam(),)], theta(2), LAYOUT, GROUPS), "one recipe per run, got 1 for 2"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
