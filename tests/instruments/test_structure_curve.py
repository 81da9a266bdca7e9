"""Entropy and commutators along directions: closed forms, and the model at each point."""

from dataclasses import replace
from math import log

import pytest
import torch

from cases import EAGER, tiny
from spectraledge.instruments import (
    AttentionStructure,
    FunctionalSite,
    Observer,
    StructureCurve,
    Window,
)
from spectraledge.instruments.structure_curve import query_key_commutator
from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.tasks import DyckDepth
from spectraledge.training import Problem, Trainer
from spectraledge.weight_matrices import weight_matrices

CURVES = StructureCurve(points=5, directions=2, window=3, rows=12)
SQUARE = Layout(("a.query.weight", "a.key.weight"), ((3, 3), (3, 3)))
MODEL = CausalDecoderSpec(width=8, heads=2, mlp_width=12, positions=8)


def dyck():
    return tiny(task=DyckDepth(4, 10, 60, "published"), model=MODEL, batch_size=8)


def taken():
    problem = Problem([dyck(), dyck()], EAGER)
    return problem, tuple(Trainer(problem).snapshots())[:4]


def flat(Q, K):
    return torch.cat([Q.flatten(), K.flatten()])


def test_matrices_that_commute_have_no_commutator():
    Q = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    K = 2 * Q @ Q - Q + 3 * torch.eye(3)
    found = query_key_commutator(flat(Q, K), SQUARE)
    # Of products near 10 in size, each entry rounds to 1e-15.
    assert found["commutator"].item() < 1e-13
    assert found["relative_commutator"].item() < 1e-14


def test_the_relative_commutator_is_at_most_one_and_knows_no_scale():
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randn(500, 18, generator=generator, dtype=torch.float64)
    found = query_key_commutator(pairs, SQUARE)
    assert found["relative_commutator"].min() > 0
    assert found["relative_commutator"].max() <= 1
    scaled = query_key_commutator(torch.cat([3 * pairs[:, :9], pairs[:, 9:] / 7], 1), SQUARE)
    torch.testing.assert_close(scaled["relative_commutator"], found["relative_commutator"])
    torch.testing.assert_close(scaled["commutator"], 3 / 7 * found["commutator"])
    assert query_key_commutator(0 * pairs[0], SQUARE)["relative_commutator"].isnan()


def test_models_without_square_matrices_are_refused():
    layout = Layout(("a.query.weight", "a.key.weight"), ((2, 3), (2, 3)))
    with pytest.raises(ValueError, match=r"square query and a square key.*\(2, 3\)"):
        query_key_commutator(torch.zeros(12).double(), layout)


def test_curves_are_the_model_at_each_displacement():
    problem, snapshots = taken()
    found = CURVES.measure(Window(snapshots, problem))
    site = FunctionalSite.of(CURVES, Window(snapshots, problem))
    directions = site.compared(1, seed=0, step=snapshots[-1].step)
    names = CURVES.labels(Window(snapshots))["direction"]
    assert names == ("v1", "v2", "theta", "random1")
    attention, layout = AttentionStructure(rows=12), snapshots[-1].layout
    matrices = weight_matrices(layout, ("query", "key"))
    for k, direction in enumerate(directions):
        for e in range(5):
            theta = snapshots[-1].parameters.double()
            theta[:, site.columns] += found["displacement"][:, e, None] * direction
            own = attention.measure(Window((Snapshot(0, layout, theta),), problem))
            for name in ("entropy", "published_entropy"):
                expected = own[name].flatten(1).mean(1)
                # Another order of summation in float64.
                torch.testing.assert_close(found[name][:, k, e], expected, rtol=1e-9, atol=0)
            norms = [
                torch.linalg.matrix_norm(Q @ K - K @ Q)
                for layer in range(2)
                for Q, K in [[
                    matrices[f"layer{layer}.attention.{kind}"].view(theta, layout)
                    for kind in ("query", "key")
                ]]
            ]  # fmt: skip
            torch.testing.assert_close(found["commutator"][:, k, e], torch.stack(norms).mean(0))


def test_attention_becomes_even_where_its_weights_vanish():
    problem, snapshots = taken()
    found = CURVES.measure(Window(snapshots, problem))
    # At −‖θ‖ along θ nothing is left of the attention weights, but biases are 0 as well
    # at the start only.
    start = Observer([CURVES], problem).observe(snapshots[0])
    entropy = next(iter(start.values()))["published_entropy"][:, 2, 0]
    rows = torch.arange(1, problem.held_out(1)[0].shape[-1] + 1).double()
    torch.testing.assert_close(entropy, rows.log().mean().expand(2), rtol=1e-9, atol=0)
    assert (found["entropy"] <= log(len(rows)) + 1e-9).all()
    assert (found["commutator"][:, 2, 0] < 1e-12).all()


def test_published_displacements_are_not_relative():
    problem, snapshots = taken()
    found = replace(CURVES, steps="published").measure(Window(snapshots, problem))
    assert found["displacement"].tolist() == [[-0.03, -0.015, 0.0, 0.015, 0.03]] * 2
    still = found["entropy"][..., 2]
    torch.testing.assert_close(still, still[:, :1].expand_as(still), rtol=0, atol=0)


def test_a_broken_run_and_missing_directions_are_not_known():
    problem, snapshots = taken()
    first = CURVES.measure(Window(snapshots[:1], problem))
    assert first["entropy"][:, :2].isnan().all()
    assert first["entropy"][:, 2:].isfinite().all()
    broken = snapshots[-1].parameters.clone()
    broken[0] = torch.nan
    last = Snapshot(99, snapshots[-1].layout, broken)
    found = CURVES.measure(Window((*snapshots[:-1], last), problem))
    assert found["entropy"][0].isnan().all()
    assert found["commutator"][0].isnan().all()
    whole = CURVES.measure(
        Window((*snapshots[:-1], Snapshot(99, last.layout, snapshots[-1].parameters)), problem)
    )
    assert torch.equal(found["entropy"][1], whole["entropy"][1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 4}, "odd number of points"),
        ({"steps": "relativ"}, "did you mean 'relative'"),
        ({"random": 0}, "random >= 1, got 0"),
        ({"kinds": ("quary",)}, "did you mean 'query'"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        StructureCurve(**options)
