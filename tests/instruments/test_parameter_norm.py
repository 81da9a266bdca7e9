"""Norms of parameters against their definition."""

import pytest
import torch

from spectraledge.instruments import ParameterNorm, Window
from spectraledge.snapshots import Layout, Snapshot

LAYOUT = Layout(("a.query.weight", "a.key.weight", "norm.bias"), ((2, 2), (2, 2), (3,)))


def measured(theta, **fields):
    return ParameterNorm(**fields).measure(Window((Snapshot(0, LAYOUT, theta),)))


def test_the_whole_and_a_part_of_each_run():
    theta = torch.randn(3, LAYOUT.size, generator=torch.Generator().manual_seed(0))
    found = measured(theta, kinds=("query", "parameters:norm.*"))
    own = torch.cat([theta[:, :4], theta[:, 8:]], 1).double()
    assert torch.allclose(found["norm"], theta.double().norm(dim=1))
    assert torch.allclose(found["subset_norm"], own.norm(dim=1))


def test_squares_below_the_range_of_float32_count():
    # 1e-30 squared is no float32 number.
    assert measured(torch.full((1, LAYOUT.size), 1e-30), kinds=("key",))[
        "subset_norm"
    ].item() == pytest.approx(2e-30)


def test_a_model_without_the_subset_is_named():
    with pytest.raises(ValueError, match="value"):
        measured(torch.zeros(1, LAYOUT.size), kinds=("value",))
    with pytest.raises(ValueError, match="kind"):
        ParameterNorm(kinds=("nothing",))
