"""Parameters chosen by kind and by name."""

import pytest
import torch

from spectraledge.instruments import Observer, SpectralEdge, UpdateDecomposition
from spectraledge.instruments.parameter_subset import (
    check_subset,
    chosen_columns,
    chosen_parameters,
    chosen_stretches,
)
from spectraledge.models import CausalDecoderSpec, PreNormEncoderSpec
from spectraledge.snapshots import Layout, Snapshot

LAYOUT = Layout.of(PreNormEncoderSpec(width=8, heads=2, mlp_width=16).build(
    vocabulary=5, length=2, classes=5, seed=0
))  # fmt: skip


def by_name(*kinds):
    return chosen_columns(LAYOUT, kinds).tolist()


def span(name):
    return list(range(LAYOUT.size))[LAYOUT.span(name)]


def test_patterns_choose_whole_parameters_by_name():
    assert by_name("parameters:final_norm.*") == span("final_norm.weight") + span("final_norm.bias")
    assert by_name("parameters:*") == list(range(LAYOUT.size))
    assert chosen_parameters(LAYOUT, ("parameters:head.*",)) == {"head.weight", "head.bias"}


def test_kinds_and_patterns_join_and_count_nothing_twice():
    query = set(chosen_columns(LAYOUT, ("query",)).tolist())
    both = by_name("query", "parameters:blocks.0.attention.qkv.weight", "parameters:head.bias")
    expected = query | set(span("blocks.0.attention.qkv.weight")) | set(span("head.bias"))
    assert both == sorted(expected)
    pieces = [list(range(LAYOUT.size))[s] for s in chosen_stretches(LAYOUT, ("query", "value"))]
    assert [column for piece in pieces for column in piece] == by_name("query", "value")


def test_the_edge_of_any_subset():
    layout = Layout.of(CausalDecoderSpec(width=8, heads=2, layers=1, mlp_width=8).build(
        vocabulary=3, length=4, classes=4, seed=0
    ))  # fmt: skip
    subset = ("parameters:*.mlp.*", "parameters:*norm*")
    columns = chosen_columns(layout, subset)
    chance = torch.Generator().manual_seed(0)
    points = torch.randn(7, 1, layout.size, generator=chance).double().cumsum(0)
    edge, split = SpectralEdge(window=4, kinds=subset), UpdateDecomposition(window=4, kinds=subset)
    observer = Observer([edge, split])
    assert set(observer.parts_wanted(layout)) == chosen_parameters(layout, subset)
    for t, point in enumerate(points):
        reading = observer.observe(Snapshot(t, layout, point))
    expected = torch.linalg.svdvals(points[2:, 0, columns].diff(dim=0))
    (found,) = (value["singular_values"] for key, value in reading.items() if "edge" in key)
    torch.testing.assert_close(found[0], expected, rtol=1e-9, atol=1e-9)


def test_what_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"names like 'decoder.\*', got none; the model has posit"):
        chosen_columns(LAYOUT, ("parameters:decoder.*",))
    with pytest.raises(ValueError, match=r"write 'parameters:\*.mlp.\*'"):
        check_subset("SpectralEdge", ("parameters:",))
    with pytest.raises(ValueError, match="SpectralEdge"):
        SpectralEdge(kinds=("queries",))
