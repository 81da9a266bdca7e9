"""Bases of updates: what they hold, when they change, and that a checkpoint is enough."""

import pytest
import torch
from intervention_cases import KINDS, dense, slopes, walk
from link_cases import GROUPS, LAYOUT, clock, parameters

from cases import EAGER, tiny
from spectraledge.block_basis import singular_basis, trajectory_basis
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.training import Problem, Trainer, batch_key, merge_states
from spectraledge.updates import (
    SGD,
    Adam,
    During,
    EdgeBasis,
    InitialBasis,
    PastBasis,
    ProjectGradient,
    ProjectUpdate,
    RandomBasis,
    SingularBasis,
    TrajectoryBasis,
    chain,
    reference_runs_of,
    trajectories_from,
)


def projector(B: torch.Tensor) -> torch.Tensor:
    return B @ B.mT


def bases_over_time(basis, steps, wrap=lambda update: update):
    """Parameters before each step, and the projector that the update holds at it."""
    theta = parameters(1)
    recipe = (wrap(ProjectGradient(basis, 0.5)), SGD())
    links, states = chain([recipe], theta, LAYOUT, GROUPS)
    hyper = links.links[0].hyper
    span = hyper.get("update", hyper)["span"]
    seen, held = [], []
    for index in range(1, steps + 1):
        seen.append(theta.clone())
        links.apply_(theta, slopes(theta, index), states, clock(1, index), {})
        held.append(projector(dense(span.of(states[0]))))
    return seen, held


def close(first, second):
    # Principal directions of float64 trajectories by two routes; gaps of the spectra are O(1).
    torch.testing.assert_close(first, second, rtol=0, atol=1e-10)


def test_past_basis_is_the_trajectory_so_far():
    seen, held = bases_over_time(PastBasis(2, every=2, window=4, kinds=KINDS), 14)
    for index in range(5, 15):
        # Before steps 1, 3, 5, ... a snapshot is taken; the newest four count.
        taken = seen[0:index:2][-4:]
        close(held[index - 1], projector(dense(trajectory_basis(taken, LAYOUT, KINDS, 2))))


def test_past_basis_remembers_what_was_before_it_acts():
    _, held = bases_over_time(PastBasis(1, 1, kinds=KINDS), 6, lambda u: During(u, 5))
    seen, _ = bases_over_time(PastBasis(1, 1, kinds=KINDS), 6, lambda u: During(u, 5))
    for index in (4, 5, 6):
        taken = seen[:index]
        close(held[index - 1], projector(dense(trajectory_basis(taken, LAYOUT, KINDS, 1))))


def test_edge_basis_is_that_of_the_last_displacements():
    basis = EdgeBasis(2, window=3, every=2, kinds=KINDS)
    seen, held = bases_over_time(basis, 16)
    columns = basis.columns(LAYOUT)["edge"]
    for index in range(7, 17):
        # Before steps 1, 3, 5, ... a snapshot is taken; three displacements need four.
        taken = torch.stack(seen[0:index:2][-4:], 1)[0, :, columns].double()
        right = torch.linalg.svd(taken.diff(dim=0), full_matrices=False)[2][:2]
        expected = torch.zeros(LAYOUT.size, 2).double()
        expected[columns] = right.mT
        close(held[index - 1], projector(expected))


def test_edge_basis_has_no_direction_before_it_has_displacements():
    _, held = bases_over_time(EdgeBasis(2, window=3, every=2, kinds=KINDS), 5)
    assert not held[3].any()
    assert held[4].any()
    with pytest.raises(ValueError, match="window"):
        EdgeBasis(components=3, window=2)


def test_singular_basis_is_renewed_at_its_steps():
    seen, held = bases_over_time(SingularBasis(2, every=3, kinds=KINDS), 8)
    for index in range(1, 9):
        weights = seen[(index - 1) // 3 * 3]
        close(held[index - 1], projector(dense(singular_basis(weights, LAYOUT, KINDS, 2))))
    _, held = bases_over_time(SingularBasis(1, every=None, kinds=KINDS), 4)
    assert torch.equal(held[0], held[-1])


def test_initial_basis_is_the_direction_of_the_weights():
    theta = parameters(2)
    LAYOUT.view(theta, "b.key")[1].zero_()
    found = InitialBasis(KINDS).directions(theta, LAYOUT)
    assert found.ranks.tolist() == [3, 2]
    inside = found.parallel(theta)
    for name in ("a.query", "b.key", "c.value"):
        # A vector is in its own span, up to float32.
        torch.testing.assert_close(
            LAYOUT.view(inside, name), LAYOUT.view(theta, name), rtol=1e-6, atol=1e-6
        )


def test_random_basis_depends_on_its_seed_alone():
    theta = parameters(2)
    for kinds in (None, KINDS):
        first, again = (RandomBasis(2, kinds, 5).directions(theta[:n], LAYOUT) for n in (1, 2))
        assert torch.equal(dense(first), dense(again, 1))
        other = dense(RandomBasis(2, kinds, 6).directions(theta, LAYOUT))
        assert not torch.equal(dense(first), other)
        assert first.rank == (2 if kinds is None else 6)


def test_trajectory_basis_is_that_of_the_reference_run():
    with trajectories_from(walk):
        for until in (None, 30):
            basis = TrajectoryBasis("somebody", 2, KINDS, until)
            rows = [s.parameters for s in walk("somebody") if until is None or s.step <= until]
            expected = trajectory_basis(rows, LAYOUT, KINDS, 2)
            found = basis.directions(parameters(3), LAYOUT)
            assert found.runs == 3
            assert torch.equal(dense(found, 2), dense(expected))


def test_runs_of_a_batch_have_their_own_reference_runs():
    theta = parameters(2)
    recipes = [(ProjectGradient(TrajectoryBasis(n, 1, KINDS), 1.0),) for n in "ab"]
    with trajectories_from(walk):
        links, states = chain(recipes, theta, LAYOUT, GROUPS)
        span = links.links[0].hyper["span"]
        for run, name in enumerate("ab"):
            alone = TrajectoryBasis(name, 1, KINDS).directions(theta[:1], LAYOUT)
            assert torch.equal(dense(span.of(states[0]), run), dense(alone))
        specs = [
            tiny(updates=(ProjectUpdate(Adam(), b, 0.5),))
            for b in (TrajectoryBasis(tiny(seed=1)), TrajectoryBasis(tiny(seed=2)))
        ]
        assert batch_key(specs[0]) == batch_key(specs[1])
        assert specs[0] != specs[1]
        assert list(reference_runs_of(specs[0].updates)) == [tiny(seed=1)]
        two = tiny(updates=(ProjectUpdate(Adam(), TrajectoryBasis(tiny(seed=1), 1), 0.5),))
        assert batch_key(two) != batch_key(specs[0])


def test_a_checkpoint_is_enough_to_go_on():
    """The loader is asked when a run starts, and never again."""
    reference = tiny(steps=4, record_every=1)

    def loader(run):
        return list(Trainer(Problem([run], EAGER)).snapshots())

    updates = (ProjectGradient(TrajectoryBasis(reference), 0.9), Adam())
    problem = Problem([tiny(updates=updates, steps=6, record_every=3)], EAGER)
    with trajectories_from(loader):
        whole = Trainer(problem)
        steps = whole.snapshots()
        next(steps)
        next(steps)
        saved = whole.state.tensors(0)
        *_, last = steps
    resumed = Trainer(problem, state=merge_states([saved], links=2))
    *_, again = resumed.snapshots()
    assert torch.equal(again.parameters, last.parameters)


def resolve(run, **fields):
    return TrajectoryBasis(run, **fields).directions(parameters(1), LAYOUT)


def other_model(run):
    return [Snapshot(t, Layout(("b.query",), ((2, 2),)), torch.rand(1, 4)) for t in range(3)]


def nested():
    inner = tiny(updates=(During(ProjectGradient(TrajectoryBasis(tiny()), 0.5), 3), Adam()))
    return TrajectoryBasis(inner)


@pytest.mark.parametrize(
    ("loader", "make", "error", "message"),
    [
        (None, lambda: resolve("run 7"), RuntimeError, "expected a loader .* the run is run 7"),
        (lambda run: [], lambda: resolve("run 7"), RuntimeError, "keep_snapshots=True; .* run 7"),
        (walk, lambda: resolve("r", until=5), ValueError, r"up to step 5, got those of steps \[0"),
        (other_model, lambda: resolve("r"), ValueError, "with 4 parameters for"),
        (walk, nested, ValueError, "needs no reference run itself, got RunSpec"),
        (walk, lambda: TrajectoryBasis("r", 0), ValueError, "components < inf, got 0"),
        (walk, lambda: TrajectoryBasis("r", until=0), ValueError, "until < inf, got 0"),
        (walk, lambda: PastBasis(2, every=0), ValueError, "every < inf, got 0"),
        (walk, lambda: PastBasis(4, window=4), ValueError, "5 <= window < inf, got 4"),
        (walk, lambda: SingularBasis(0), ValueError, "components < inf, got 0"),
        (walk, lambda: SingularBasis(1, 0), ValueError, "every < inf, got 0"),
        (walk, lambda: PastBasis(2, 1.5), ValueError, "every to be a whole number, got 1.5"),
        (walk, lambda: SingularBasis(1, 1.5), ValueError, "every to be a whole number, got 1.5"),
        (walk, lambda: RandomBasis(2.5), ValueError, "components to be a whole number, got 2.5"),
        (walk, lambda: RandomBasis(2, ("querry",)), ValueError, "RandomBasis.*mean 'query'"),
        (walk, lambda: SingularBasis(2, kinds=("valeu",)), ValueError, "mean 'value'"),
        (walk, lambda: PastBasis(kinds=("keey",)), ValueError, "mean 'key'"),
        (walk, lambda: TrajectoryBasis("r", kinds=("querry",)), ValueError, "mean 'query'"),
        (walk, lambda: EdgeBasis(kinds=("querry",)), ValueError, "mean 'query'"),
        (walk, lambda: InitialBasis(("querry",)), ValueError, "mean 'query'"),
        (walk, lambda: InitialBasis("query"), TypeError, r"write \('query',\)"),
        (walk, lambda: RandomBasis(0), ValueError, "components < inf, got 0"),
    ],
)
def test_errors(loader, make, error, message):
    with trajectories_from(loader), pytest.raises(error, match=message):
        make()
