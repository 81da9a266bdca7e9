"""Projections of the commutators of foreign modules: planted subspaces, and the live instrument."""

import pytest
import torch
from torch import nn

from cases import EAGER, tiny
from instruments.foreign_regression import loss, regression
from spectraledge.instruments import (
    SubspaceProjection,
    Window,
    subspace_projection_of,
)
from spectraledge.instruments.commutator_defect import SALT
from spectraledge.training import Problem, Trainer


def walk(model, steps=6):
    """Checkpoints along one direction of each parameter, and no other."""
    way = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    return [
        {name: p.detach() + t * way[name] for name, p in model.named_parameters()}
        for t in range(steps)
    ], way


def test_a_trajectory_along_a_line_has_one_direction_a_matrix():
    model, batches = regression()
    checkpoints, way = walk(model)
    chosen = SubspaceProjection(basis="trajectory", components=1, sweep=(1, 4), kinds=())
    found = subspace_projection_of(model, loss, batches, chosen, checkpoints=checkpoints)
    assert found["rank"] == 2.0
    # Six points on a line have no more directions to give.
    assert found["sweep_rank"] == [2.0, 2.0]
    turned = [{n: w + 0.1 * way[n] for n, w in state.items()} for state in checkpoints]
    again = subspace_projection_of(model, loss, batches, chosen, checkpoints=turned)
    assert again["share"] == pytest.approx(found["share"], rel=1e-9)


@pytest.mark.parametrize("basis", ["trajectory", "displacement"])
def test_it_measures_what_the_live_instrument_does(basis):
    spec = tiny(steps=4, record_every=2)
    problem = Problem([spec], EAGER)
    snapshots = list(Trainer(problem).snapshots())
    instrument = SubspaceProjection(basis=basis, components=1, sweep=(1, 2), pairs=3)
    expected = instrument.measure(Window(tuple(snapshots), problem))
    now = snapshots[-1]
    task = spec.task
    model = spec.model.build(
        vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=0
    )
    states = [{n: v[0] for n, v in s.layout.views(s.parameters).items()} for s in snapshots]
    model.load_state_dict(states[-1], strict=False)
    batches = [problem.batch(now.step, f"{SALT}/{i}") for i in range(3)]
    found = subspace_projection_of(
        model,
        lambda model, batch: nn.functional.cross_entropy(model(batch[0][0]), batch[1][0]),
        batches,
        instrument,
        checkpoints=states,
    )
    for name in ("rank", "share", "ratio", "inside", "residual"):
        # Two orders of float32 operations.
        assert found[name] == pytest.approx(expected[name].item(), rel=1e-3), name


@pytest.mark.parametrize(
    ("basis", "rank"), [("singular", 2.0), ("gradient", 2.0)], ids=["singular", "gradient"]
)
def test_other_bases_need_no_checkpoints(basis, rank):
    model, batches = regression(2)
    chosen = SubspaceProjection(basis=basis, components=1, sweep=(1,), kinds=(), pairs=6)
    assert subspace_projection_of(model, loss, batches, chosen)["rank"] == rank


def test_errors_say_what_to_do():
    model, batches = regression()
    chosen = SubspaceProjection(basis="trajectory", kinds=())
    with pytest.raises(ValueError, match="two checkpoints at least, got 0; pass checkpoints="):
        subspace_projection_of(model, loss, batches, chosen)
    with pytest.raises(ValueError, match="displacement needs one checkpoint at least, got 0; pass"):
        subspace_projection_of(
            model, loss, batches, SubspaceProjection(basis="displacement", kinds=())
        )
    with pytest.raises(ValueError, match=r"checkpoint 0 has no 0\.weight, 0\.bias, 2\.weight"):
        subspace_projection_of(model, loss, batches, chosen, checkpoints=[{}, {}])
    with pytest.raises(ValueError, match="expected two batches at least, got 1"):
        subspace_projection_of(model, loss, batches[:1], chosen)
    faulty = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid(), nn.ReLU(inplace=True)).double()
    with pytest.raises(ValueError, match=r"module '2' \(ReLU\) changes its input in place"):
        subspace_projection_of(faulty, loss, batches, SubspaceProjection(kinds=()))
