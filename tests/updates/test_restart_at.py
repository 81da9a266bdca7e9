"""A restarted optimizer is a new one on the same weights."""

import pytest
import torch
from link_cases import applied, parameters

from spectraledge.updates import Adam, RestartAt


def slope(index):
    return parameters(2, seed=10 + index)


def test_it_is_a_new_optimizer_from_its_step_on():
    start = parameters(2)
    restarted, _ = applied([RestartAt(Adam(), 5)] * 2, start, range(1, 9), slope=slope)
    before, _ = applied([Adam()] * 2, start, range(1, 5), slope=slope)
    after, _ = applied([Adam()] * 2, before, range(1, 5), slope=lambda index: slope(index + 4))
    assert torch.equal(restarted, after)
    through, _ = applied([Adam()] * 2, start, range(1, 9), slope=slope)
    assert not torch.equal(restarted, through)


def test_a_restart_that_has_not_come_changes_nothing():
    start = parameters(1)
    one = lambda index: slope(index)[:1]  # noqa: E731
    plain, _ = applied([Adam()], start, range(1, 6), slope=one)
    later, _ = applied([RestartAt(Adam(), 6)], start, range(1, 6), slope=one)
    first, _ = applied([RestartAt(Adam(), 1)], start, range(1, 6), slope=one)
    assert torch.equal(plain, later)
    assert torch.equal(plain, first)


def test_runs_of_a_batch_restart_at_their_own_steps():
    start = parameters(2)
    updates = [RestartAt(Adam(), at) for at in (2, 4)]
    together, _ = applied(updates, start, range(1, 7), slope=slope)
    for run, update in enumerate(updates):
        own = lambda index, run=run: slope(index)[run : run + 1]  # noqa: E731
        alone, _ = applied([update], start[run : run + 1], range(1, 7), slope=own)
        assert torch.equal(together[run], alone[0])


def test_bad_input():
    with pytest.raises(TypeError, match=r"RestartAt\(Adam\(\), 1001.0\)"):
        RestartAt("adam", 3)
    with pytest.raises(ValueError, match="at"):
        RestartAt(Adam(), 0)
    with pytest.raises(ValueError, match=r"at to be a whole number, got 2\.5"):
        RestartAt(Adam(), 2.5)
