"""Responses of a model that is linear in its weights, where each of them is known."""

from dataclasses import replace
from itertools import combinations
from math import isnan, pi

import pytest
import torch
from lookup_problem import PAD, LookupProblem, depths, gaussian, labelled, snapshots

from cases import EAGER, tiny
from spectraledge.instruments import FunctionalResponse, Observer, Window
from spectraledge.instruments.functional_response import (
    displaced_representations,
    response_measures,
)
from spectraledge.instruments.labelled_tokens import LabelledTokens, held_out_runs
from spectraledge.instruments.parameter_subset import chosen_columns
from spectraledge.linalg import discrete_logarithm_order
from spectraledge.training import Problem, Trainer

EDGE = FunctionalResponse(window=2, count=2, module="blocks.0", rows=80, step=0.01)
TOKENS = depths(80, 20)[None].repeat(2, 1, 1)


def planted(frequency, symbols=PAD + 1, seed=0):
    """A matrix whose columns have squared lengths 2 + cos of a frequency over 11 depths."""
    angle = 2 * pi * frequency * torch.arange(symbols).double() / PAD
    return gaussian(symbols, 1, seed=seed).div(gaussian(symbols, 1, seed=seed).norm()) * (
        (2 + angle.cos()).sqrt()
    )


def walk(steps=3, runs=2, frequency=3):
    """Weights that move along one planted direction, and a little along another."""
    start = gaussian(runs, 12, 12, seed=1)
    first, second = planted(frequency), planted(1, seed=5)
    return [start + t * first + 0.1 * (t**2 % 5) * second for t in range(steps)]


def measured(instrument, taken, problem):
    observer = Observer([instrument], problem)
    return [next(iter(observer.observe(s).values())) for s in taken]


def test_a_linear_model_moves_by_the_direction_itself():
    problem = LookupProblem(TOKENS)
    (start,) = snapshots(gaussian(2, 12, 12))
    rows = list(held_out_runs(problem, 80))
    direction = gaussian(3, 144, seed=3)
    direction[2] = torch.nan
    found = displaced_representations(
        problem, start.layout, start.parameters[0], direction, 0.01, rows[0], "blocks.0"
    )
    for v, change in zip(direction[:2], found):
        expected = 0.01 * v.reshape(12, 12)[:, change.labels].mT
        torch.testing.assert_close(change.features, expected, rtol=1e-9, atol=1e-12)
    assert found[2] is None


def test_the_response_along_the_edge_is_the_planted_wave():
    taken = snapshots(*walk())
    found = measured(EDGE, taken, LookupProblem(TOKENS))
    assert EDGE.labels(Window((taken[0],)))["direction"] == ("v1", "v2", "random", "weights")
    # Nothing has moved at first, then one displacement, then two.
    assert found[0]["size"][:, :2].isnan().all()
    assert found[0]["size"][:, 2:].isfinite().all()
    assert found[1]["size"][:, 1].isnan().all()
    last = found[2]
    assert last["peak"][:, 0].tolist() == last["weighted_peak"][:, 0].tolist() == [3, 3]
    # A second direction of a few per cent is mixed in.
    assert (last["concentration"][:, 0] > 0.95).all()
    assert (last["weighted_concentration"][:, 0] > 0.95).all()
    assert (last["elevation"][:, 0] > 0.95 * 6).all()
    # Eleven random columns of twelve entries have no frequency that stands out like that.
    assert (last["concentration"][:, 2:] < 0.9).all()


def test_sizes_are_in_units_of_the_weights():
    taken = snapshots(*walk())
    found = measured(EDGE, taken, LookupProblem(TOKENS))[2]
    theta, depth = taken[2].parameters[0], TOKENS[0, :80].flatten()
    size = 0.01 * theta.norm()
    # Along the weights h grows by 1 %.
    columns = theta.reshape(12, 12)[:, depth].norm(dim=0)
    expected = 0.01 * columns.square().mean().sqrt()
    assert found["size"][0, 3].item() == pytest.approx(expected.item(), rel=1e-9)
    assert found["size"][0, 2] < size


def test_parts_of_directions_are_not_scaled_up():
    taken = snapshots(*walk())
    problem = LookupProblem(TOKENS)
    parts = replace(EDGE, blocks=("query",))
    assert parts.labels(Window((taken[0],)))["direction"][-3:] == (
        "v1 query", "random query", "weights query",
    )  # fmt: skip
    found = measured(parts, taken, problem)[2]
    # All of the chosen weights are queries here, so the part is the whole.
    for part, whole in ((4, 0), (5, 2), (6, 3)):
        assert torch.equal(found["size"][:, part], found["size"][:, whole])


def test_parts_of_a_direction_add_up_to_it():
    instrument = FunctionalResponse(window=2, count=1, blocks=("query", "key", "value"))
    spec = tiny()
    taken = list(Trainer(Problem([spec], EAGER)).snapshots())
    columns = chosen_columns(taken[0].layout, instrument.kinds)
    found = instrument._directions(Window(tuple(taken[:3])), columns)
    names = instrument.labels(Window((taken[0],)))["direction"]
    by_name = dict(zip(names, found[0]))
    for whole in ("v1", "random", "weights"):
        parts = [by_name[f"{whole} {kind}"] for kind in instrument.blocks]
        for one, other in combinations(parts, 2):
            assert not (one * other).any()
        rest = by_name[whole] - sum(parts)
        inside = torch.isin(columns, chosen_columns(taken[0].layout, ("attention_output",)))
        assert not rest[~inside].any()
        assert torch.equal(rest[inside], by_name[whole][inside])


def test_a_response_in_one_direction_of_the_representation_tells_the_depth_by_its_length():
    depth = depths(60, 12)
    along = labelled(1e-3 * depth[..., None] * gaussian(1, 8), depth)
    found = response_measures(along)
    assert found["score"] == pytest.approx(1, abs=1e-4)
    assert found["published_score"] < 0.1
    big = response_measures(labelled(depth[..., None] * gaussian(1, 8), depth))
    assert big["published_score"] > 0.99
    # f = depth² ‖·‖²: lowest and highest token that occur.
    low, high = depth.min().item(), depth.max().item()
    assert found["token_ratio"] == pytest.approx((low / high) ** 2, rel=1e-9)


def test_products_have_waves_in_the_order_of_logarithms():
    order = discrete_logarithm_order(11)
    length = torch.zeros(11).double()
    length[order] = 2 + torch.cos(2 * pi * 4 * torch.arange(10).double() / 10)
    residues = torch.arange(1, 11).repeat(60, 2)
    tokens = labelled(length[residues].sqrt()[..., None] * torch.ones(1).double(), residues)
    found = response_measures(tokens, order="discrete_logarithm", modulus=11)
    assert found["peak"] == 4
    assert found["concentration"] == pytest.approx(1, abs=1e-12)


def test_a_broken_run_is_nan_and_leaves_the_other_alone():
    whole, broken = walk(), walk()
    for matrix in broken:
        matrix[1] = torch.nan
    problem = LookupProblem(TOKENS)
    good = measured(EDGE, snapshots(*whole), problem)[2]
    bad = measured(EDGE, snapshots(*broken), problem)[2]
    for name in good:
        assert bad[name][1].isnan().all(), name
        assert torch.equal(bad[name][0], good[name][0]), name


def test_the_sign_of_a_direction_is_that_of_the_last_displacement():
    taken = snapshots(*walk())
    columns = torch.arange(144)
    directions = EDGE._directions(Window(tuple(taken)), columns)
    last = taken[2].parameters - taken[1].parameters
    assert (directions[:, 0] * last).sum(-1).gt(0).all()
    norms = directions.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_float32_snapshots_of_a_real_model_have_more_digits_than_float32():
    problem = Problem([tiny(record_every=4)], EAGER)
    taken = list(Trainer(problem).snapshots())
    instrument = FunctionalResponse(window=2, count=1, categorical=True, step=1e-6)
    small = instrument.measure(Window(tuple(taken), problem))["size"]
    large = replace(instrument, step=1e-5).measure(Window(tuple(taken), problem))["size"]
    # Ten times the step, ten times the response; 1e-4 of curvature.
    torch.testing.assert_close(large, 10 * small, rtol=1e-3, atol=0)


def test_errors():
    with pytest.raises(ValueError, match="1 <= count <= window, got 4 directions of 2"):
        FunctionalResponse(window=2)
    with pytest.raises(ValueError, match=r"step > 0, rows >= 1 and seeds >= 1, got 0.0, 300 and 3"):
        FunctionalResponse(step=0.0)
    with pytest.raises(ValueError, match="expected modulus=p for order 'discrete_logarithm'"):
        FunctionalResponse(order="discrete_logarithm")
    with pytest.raises(ValueError, match="unknown order of classes for FunctionalResponse 'log'"):
        FunctionalResponse(order="log")
    window = Window(tuple(snapshots(gaussian(2, 12, 12))), LookupProblem(TOKENS))
    with pytest.raises(ValueError, match=r"FunctionalResponse.* .final_norm.; known: .*blocks"):
        FunctionalResponse().measure(window)


def test_the_wave_over_positions_is_the_planted_one():
    position = torch.arange(12).repeat(30)
    wave = 2 + (2 * pi * 3 * position.double() / 12).cos()
    rows = torch.arange(30).repeat_interleave(12)
    labels = torch.randint(4, (360,), generator=torch.Generator().manual_seed(0))
    known = torch.zeros(360, dtype=torch.bool)
    features = gaussian(360, 3, seed=7)
    features *= (wave.sqrt() / features.norm(dim=1))[:, None]
    change = LabelledTokens(features, labels, labels % 2, rows, position, known)
    found = response_measures(change, seeds=1)
    # |rfft| is 12 * 2 at frequency 0 and 12 / 2 at 3.
    assert found["position_peak"] == 3
    assert found["position_concentration"] == pytest.approx(1)
    assert found["position_mean_share"] == pytest.approx(576 / 612)
    alone = replace(change, position=torch.zeros_like(position))
    found = response_measures(alone, seeds=1)
    assert all(isnan(value) for name, value in found.items() if name.startswith("position"))
