"""Decay that waits for the edge to lie along the weights: planted paths, batches, bad input."""

import pytest
import torch
from link_cases import GROUPS, LAYOUT, clock, parameters

from spectraledge.updates import Adam, EdgeBasis, RampStrengthAtEdge, WeightDecay, chain

EDGE = EdgeBasis(components=1, window=3, every=2, kinds=("query", "key", "value"))


def factors(update, steps, moved):
    """Factor of the decay at each step on paths ``moved(index)`` of every run."""
    runs = len(moved(0))
    theta = moved(0).clone()
    links, states = chain([(update,)] * runs, theta, LAYOUT, GROUPS)
    found = []
    for index in range(1, steps + 1):
        theta.copy_(moved(index))
        before = theta.clone()
        links.apply_(theta, torch.zeros_like(theta), states, clock(runs, index, lr=0.1), {})
        found.append(((before - theta) / before).mean(1) / 0.1)
    return torch.stack(found, 1)


def shrinking(index):
    """Weights that only shrink: every displacement lies along them."""
    return parameters(1).double() * 0.95**index


def wandering(index):
    """Weights that only move across themselves."""
    start, side = (
        parameters(1).double(),
        torch.randn(1, LAYOUT.size, generator=torch.Generator().manual_seed(7 + index)).double(),
    )
    return start + 0.01 * side


def test_it_waits_for_a_full_window_along_the_weights():
    update = RampStrengthAtEdge(WeightDecay(1.0, on="all"), 0.6, EDGE, before=1.0, after=0.25)
    found = factors(update, 12, shrinking)
    # Snapshots at steps 0, 2, 4 and 6 make three displacements: the event is at step 7.
    expected = torch.tensor([[1.0] * 6 + [0.25] * 6]).double()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    assert (factors(update, 12, wandering) - 1).abs().max() < 1e-9


def test_patience_counts_snapshots():
    update = RampStrengthAtEdge(WeightDecay(1.0, on="all"), 0.6, EDGE, patience=2)
    found = factors(update, 12, shrinking)[0]
    assert torch.nonzero(found < 0.5)[0].item() + 1 == 9


def test_runs_of_a_batch_wait_for_their_own():
    update = RampStrengthAtEdge(WeightDecay(1.0, on="all"), 0.6, EDGE)
    both = factors(update, 12, lambda i: torch.cat([shrinking(i), wandering(i)]))
    torch.testing.assert_close(both[:1], factors(update, 12, shrinking), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(both[1:], factors(update, 12, wandering), rtol=1e-9, atol=1e-9)


def test_bad_input():
    with pytest.raises(TypeError, match="update with a strength"):
        RampStrengthAtEdge(Adam())
    with pytest.raises(TypeError, match="expected an EdgeBasis, got None"):
        RampStrengthAtEdge(WeightDecay(1.0), basis=None)
    for field, value in (("threshold", 1.5), ("patience", 0), ("duration", 0.5), ("after", -1.0)):
        with pytest.raises(ValueError, match=field):
            RampStrengthAtEdge(WeightDecay(1.0), **{field: value})
