"""The published basis in hindsight: the function of the whole run, at chosen steps."""

import pytest
import torch
from quadratic import RUNS, Quadratic, run

from spectraledge.instruments import (
    SubspaceProjection,
    WholeRunProjection,
    whole_run_projections,
)
from spectraledge.instruments.hindsight import KNOWN_UNTIL

PROJECTION = SubspaceProjection(
    basis="trajectory", components=2, sweep=(1, 2), pairs=3, kinds=("query", "key")
)
PROBLEM = Quadratic()


def test_it_is_the_function_of_the_whole_run_at_chosen_steps():
    snapshots = run(6)
    chosen = [snapshots[1].step, snapshots[4].step]
    by_hand = whole_run_projections(PROJECTION, snapshots, PROBLEM)
    found = WholeRunProjection(PROJECTION).measure_whole(snapshots, chosen, PROBLEM)
    for reading, expected in zip(found, (by_hand[1], by_hand[4]), strict=True):
        assert reading.pop(KNOWN_UNTIL).tolist() == [snapshots[-1].step] * RUNS
        assert set(reading) == set(expected)
        assert all(torch.equal(reading[n], expected[n]) for n in expected)


def test_the_published_one_has_two_directions_a_matrix():
    assert WholeRunProjection().projection.components == 2


def test_errors():
    with pytest.raises(ValueError, match=r"basis='singular', which does not depend on other"):
        WholeRunProjection(SubspaceProjection())
    with pytest.raises(ValueError, match="evaluates the model"):
        WholeRunProjection(PROJECTION).measure_whole(run(2), [0])
