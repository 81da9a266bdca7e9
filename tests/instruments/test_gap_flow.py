"""Terms of the gap flow on quadratic losses, whose curvatures and slopes are known."""

import itertools
from dataclasses import replace

import pytest
import torch

from instruments.quadratic import LAYOUT, RUNS, Quadratic, gaussian, run
from spectraledge.instruments import GapFlow, Observer, Window, instrument_key
from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import Snapshot
from spectraledge.tasks import DyckDepth
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, WeightDecay

FLOW = GapFlow(window=4, gaps=2, kinds=("query", "key"))
CHOSEN = 4 * 3 + 3 * 3  # the first columns of the layout
LR, EVERY = 1e-2, 10


def snapshots(decay=0.03) -> list[Snapshot]:
    """A random walk, of which each interval's decay was a share of the weights at its middle."""
    walk = run(6)
    found = [walk[0]]
    for before, now in itertools.pairwise(walk):
        middle = (before.parameters + now.parameters) / 2
        lr = torch.full((RUNS,), LR).double()
        found.append(replace(now, parts={"weight_decay": -decay * middle}, lr=lr))
    return found


def reading(flow=FLOW, path=None):
    return flow.measure(Window(tuple(path or snapshots())[-flow.history :], Quadratic()))


def oracle(path):
    """σ, curvatures and slopes along the right singular vectors, by the thin SVD."""
    problem = Quadratic()
    batch = problem.batch(0, "gap flow")
    points = torch.stack([s.parameters[:, :CHOSEN] for s in path[-5:]], 1)
    _, values, right = torch.linalg.svd(points.diff(dim=1), full_matrices=False)
    hessian = problem.hessian(batch[0])[:, :CHOSEN, :CHOSEN]
    gradient = problem.gradient(path[-1].parameters, *batch)[0][:, :CHOSEN]
    curvature = torch.einsum("rki,rij,rkj->rk", right, hessian, right)
    return values[:, :3], curvature[:, :3], torch.einsum("rki,ri->rk", right, gradient)[:, :3]


def test_terms_are_the_formulas_on_known_curvatures():
    path = snapshots()
    found, (d, h, G) = reading(path=path), oracle(path)
    torch.testing.assert_close(found["curvature"], h)
    torch.testing.assert_close(found["slope"], G.abs())
    torch.testing.assert_close(found["decay_rate"], torch.full((RUNS,), 0.03).double())
    rate = LR * EVERY
    for k in range(2):
        gap = d[:, k] - d[:, k + 1]
        curving = -rate * (h[:, k] - h[:, k + 1]) * (d[:, k] + d[:, k + 1]) / 2
        damping = -(rate * (h[:, k] + h[:, k + 1]) / 2 + 0.03) * gap
        driving = rate * 4 * (G[:, k] ** 2 / d[:, k] - G[:, k + 1] ** 2 / d[:, k + 1])
        torch.testing.assert_close(found["gap"][:, k], gap)
        torch.testing.assert_close(found["curvature_term"][:, k], curving)
        torch.testing.assert_close(found["damping_term"][:, k], damping)
        torch.testing.assert_close(found["driving_term"][:, k], driving)


def test_decay_alone_closes_a_gap_as_the_damping_term_says():
    # Without a loss, weights and so all displacements shrink by the same share an interval.
    rate, start = 0.02, gaussian(RUNS, LAYOUT.size)
    chance = torch.Generator().manual_seed(5)
    first = torch.randn(4, RUNS, LAYOUT.size, generator=chance).double()
    first[..., CHOSEN:] = 0

    class Flat(Quadratic):
        def hessian(self, tokens):
            return torch.zeros(RUNS, LAYOUT.size, LAYOUT.size).double()

    def path(scale):
        points = torch.cat([start[None], start + scale * first.cumsum(0)])
        lr = torch.full((RUNS,), LR).double()
        found = [Snapshot(0, LAYOUT, points[0])]
        for t, (before, now) in enumerate(itertools.pairwise(points), 1):
            parts = {"weight_decay": -rate * (before + now) / 2}
            found.append(Snapshot(EVERY * t, LAYOUT, now, parts=parts, lr=lr))
        return Window(tuple(found), Flat())

    now, later = FLOW.measure(path(1.0)), FLOW.measure(path(1.0 - rate))
    predicted = now["curvature_term"] + now["damping_term"] + now["driving_term"]
    torch.testing.assert_close(later["gap"] - now["gap"], predicted)


def test_directions_that_are_not_there_yet_have_no_terms():
    few = reading(path=snapshots()[:3])
    assert few["gap"][:, 0].isfinite().all()
    assert few["driving_term"][:, 1].isnan().all()
    assert all(a.isnan().all() for a in reading(path=snapshots()[:2]).values())


def test_it_reads_a_training_run():
    spec = RunSpec(
        task=DyckDepth(pairs=3, train=4, held_out=4),
        model=CausalDecoderSpec(width=8, heads=2, mlp_width=8, layers=1, positions=6),
        updates=(WeightDecay(1.0, on="all"), Adam()),
        lr=1e-2,
        batch_size=6,
        steps=40,
        record_every=10,
    )
    problem = Problem([spec], Execution(compile=False))
    flow = GapFlow(window=3)
    observer = Observer([flow], problem)
    for snapshot in Trainer(
        problem, record_parts=observer.parts_wanted(problem.layout)
    ).snapshots():
        found = observer.observe(snapshot)[instrument_key(flow)]
    assert all(array.isfinite().all() for array in found.values())
    # ηωN = 0.1, of weights that also move otherwise within the interval.
    assert found["decay_rate"].item() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("options", [{"window": 1}, {"gaps": 0}, {"gaps": 5}, {"batches": 0}])
def test_bad_fields(options):
    with pytest.raises(ValueError, match=r"GapFlow: expected window >= 2, gaps in 1\.\.window"):
        GapFlow(**options)
    with pytest.raises(ValueError, match="needs a problem"):
        Observer([GapFlow()])
