"""Terms of the gap flow on quadratic losses, whose curvatures and slopes are known."""

import itertools
from dataclasses import replace

import pytest
import torch

from instruments.quadratic import LAYOUT, RUNS, Quadratic, gaussian, run
from spectraledge.instruments import GapFlow, Observer, Window, instrument_key
from spectraledge.instruments.gap_flow import _square
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
    """σ, curvatures, slopes and squared slopes of right singular vectors, by the thin SVD."""
    problem = Quadratic()
    points = torch.stack([s.parameters[:, :CHOSEN] for s in path[-5:]], 1)
    _, values, right = torch.linalg.svd(points.diff(dim=1), full_matrices=False)
    curvatures, slopes = [], []
    for number in range(4):
        batch = problem.batch(number, "gap flow")
        hessian = problem.hessian(batch[0])[:, :CHOSEN, :CHOSEN]
        gradient = problem.gradient(path[-1].parameters, *batch)[0][:, :CHOSEN]
        curvatures.append(torch.einsum("rki,rij,rkj->rk", right, hessian, right))
        slopes.append(torch.einsum("rki,ri->rk", right, gradient))
    pairs = [a * b for i, a in enumerate(slopes) for b in slopes[:i]]
    means = (torch.stack(x).mean(0)[:, :3] for x in (curvatures, slopes, pairs))
    return values[:, :3], *means


def test_terms_are_the_formulas_on_known_curvatures():
    path = snapshots()
    found, (d, h, G, G2) = reading(path=path), oracle(path)
    torch.testing.assert_close(found["curvature"], h)
    torch.testing.assert_close(found["slope"], G.abs())
    torch.testing.assert_close(found["decay_rate"], torch.full((RUNS,), 0.03).double())
    rate = LR * EVERY
    for k in range(2):
        gap = d[:, k] - d[:, k + 1]
        curving = -rate * (h[:, k] - h[:, k + 1]) * (d[:, k] + d[:, k + 1]) / 2
        damping = -(rate * (h[:, k] + h[:, k + 1]) / 2 + 0.03) * gap
        driving = rate * 4 * (G2[:, k] / d[:, k] - G2[:, k + 1] / d[:, k + 1])
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


def test_a_window_that_is_not_full_has_no_terms():
    assert all(a.isnan().all() for a in reading(path=snapshots()[:4]).values())
    assert all(a.isfinite().all() for a in reading(path=snapshots()[:5]).values())


def test_sampling_does_not_inflate_squared_slopes():
    chance = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 20_000, 1, generator=chance).double()
    # Means of products of different batches: of slope 0.3 the square, whatever the noise.
    found = _square(0.3 + noise).mean()
    assert found == pytest.approx(0.09, abs=4 * (2 / 12 / 20_000) ** 0.5 * 1.5)


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


@pytest.mark.parametrize("options", [{"window": 1}, {"gaps": 0}, {"gaps": 5}, {"batches": 1}])
def test_bad_fields(options):
    with pytest.raises(ValueError, match=r"GapFlow: expected window >= 2, gaps in 1\.\.window"):
        GapFlow(**options)
    with pytest.raises(ValueError, match="needs a problem"):
        Observer([GapFlow()])
