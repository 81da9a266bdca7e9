"""The norm of a group from a step on: closed forms of weights that grow."""

import pytest
import torch
from link_cases import GROUPS, LAYOUT, MATRICES, applied, clock, matrix, parameters

from spectraledge.updates import During, HoldNorm, chain

# A norm in float32 after one rounding of the factor and one of each product.
FLOAT32 = 1e-6


def grow(theta):
    theta.mul_(1.3)


def group_norm(theta, run=0):
    return torch.cat([matrix(theta, name, run).flatten() for name in MATRICES]).double().norm()


def test_the_norm_stays_as_it_was_at_the_last_step_before():
    start = parameters(2)
    updates = [HoldNorm(at, on="matrices") for at in (3, 5)]
    for last, powers in ((2, (2, 2)), (3, (2, 3)), (4, (2, 4)), (9, (2, 4))):
        moved, _ = applied(updates, start, range(1, last + 1), between=grow)
        for run, power in enumerate(powers):
            expected = 1.3**power * group_norm(start, run).item()
            assert group_norm(moved, run).item() == pytest.approx(expected, rel=last * FLOAT32)
            # What is not in the group grows on.
            gain = 1.3**last * matrix(start, "gain", run)
            torch.testing.assert_close(matrix(moved, "gain", run), gain)


def test_matrices_may_grow_at_each_others_cost():
    start = parameters(1)

    def uneven(theta):
        LAYOUT.view(theta, "a.query").mul_(2)

    moved, _ = applied([HoldNorm(1, on="matrices")], start, range(1, 4), between=uneven)
    assert group_norm(moved).item() == pytest.approx(group_norm(start).item(), rel=FLOAT32)
    assert matrix(moved, "a.query").norm() > matrix(start, "a.query").norm()
    assert matrix(moved, "b.key").norm() < matrix(start, "b.key").norm()


def test_nothing_changes_before_its_step():
    start = parameters(1)
    moved, _ = applied([HoldNorm(4, on="all")], start, range(1, 4), between=grow)
    assert torch.equal(moved, start * 1.3 * 1.3 * 1.3)


def test_a_zero_group_and_a_broken_run_are_left_alone():
    start = parameters(2)
    start[0] = 0.0
    start[1, 0] = torch.nan
    moved, _ = applied([HoldNorm(1, on="all")] * 2, start, range(1, 3), between=grow)
    assert not moved[0].any()
    assert torch.equal(moved[1].isnan(), start[1].isnan())


def test_a_run_that_diverged_keeps_its_norm():
    theta = parameters(1)
    links, (state,) = chain([(HoldNorm(9),)], theta, LAYOUT, GROUPS | {"attention": MATRICES})
    known = state["norm"].clone()
    dead = clock(1, 2)
    dead.active.zero_()
    links.apply_(theta * 3, torch.zeros_like(theta), [state], dead, {})
    assert torch.equal(state["norm"], known)


def test_a_wrapper_that_leaves_it_out_lets_it_watch():
    start = parameters(1)
    inside = During(HoldNorm(1, on="matrices"), 4)
    moved, _ = applied([inside], start, range(1, 7), between=grow)
    expected = 1.3**3 * group_norm(start).item()
    assert group_norm(moved).item() == pytest.approx(expected, rel=6 * FLOAT32)


def test_bad_input():
    with pytest.raises(ValueError, match="at"):
        HoldNorm(0)
    with pytest.raises(ValueError, match=r"at to be a whole number, got 2\.5"):
        HoldNorm(2.5)
    with pytest.raises(ValueError, match="closest: 'matrices'"):
        applied([HoldNorm(1, on="matrixes")], parameters(1))
