"""Runs that need another run's trajectory: trained once, first, and never needed again."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from cases import EAGER, tiny
from spectraledge.lab import Plan, run
from spectraledge.training import Problem, Trainer, batch_key
from spectraledge.updates import Adam, ProjectGradient, TrajectoryBasis, Update, trajectories_from

REFERENCES = [tiny(seed=seed) for seed in (0, 1)]


def steered(reference):
    basis = TrajectoryBasis(reference, components=1)
    return replace(reference, updates=(ProjectGradient(basis, 0.9), Adam()))


SPECS = [steered(reference) for reference in REFERENCES]


@pytest.fixture
def plan(tmp_path):
    return Plan(tmp_path, execution=EAGER)


def by_hand(spec):
    """The same run, with the reference run trained in memory."""

    def loader(reference):
        return list(Trainer(Problem([reference], EAGER)).snapshots())

    with trajectories_from(loader):
        trainer = Trainer(Problem([spec], EAGER))
    *_, last = trainer.snapshots()
    return last.metrics["train_loss"]


def check(results):
    for result in results:
        assert result.failure is None
        assert result.curves["train_loss"][-1] == by_hand(result.spec)[0]


def test_missing_reference_runs_are_trained_first_and_once(plan, monkeypatch):
    check(run(SPECS, plan))
    for reference in REFERENCES:
        folder = plan.folder(reference)
        assert folder.is_done()
        assert folder.snapshot_steps() == [0, 4, 8, 12]
        assert not plan.folder(steered(reference)).snapshot_steps()
    monkeypatch.setattr(Trainer, "step_", lambda self: pytest.fail("trained again"))
    assert [r.failure for r in run([*SPECS, *REFERENCES], plan)] == [None] * 4


def test_a_reference_run_without_snapshots_is_put_aside_and_trained_again(plan):
    before = run(REFERENCES[:1], plan)[0].curves
    check(run(SPECS[:1], plan))
    assert len(list((plan.root / ".set-aside").iterdir())) == 1
    after = plan.folder(REFERENCES[0]).read_curves()
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_a_reference_run_with_snapshots_is_used_as_it_is(plan):
    run(REFERENCES[:1], replace(plan, keep_snapshots=True))
    origin = plan.folder(REFERENCES[0]).read_origin()
    check(run(SPECS[:1], plan))
    assert plan.folder(REFERENCES[0]).read_origin() == origin


def test_a_reference_run_is_trained_as_far_as_it_is_looked_at(plan):
    def looking(until):
        basis = TrajectoryBasis(REFERENCES[0], components=1, until=until)
        return replace(REFERENCES[0], updates=(ProjectGradient(basis, 0.9), Adam()))

    check(run([looking(5)], plan))
    folder = plan.folder(REFERENCES[0])
    assert folder.snapshot_steps() == [0, 4, 8]
    # Runs that look differently far share a batch, and the reference goes on from where it stood.
    assert batch_key(looking(4)) == batch_key(looking(12))
    check(run([looking(4), looking(12)], plan))
    assert folder.snapshot_steps() == [0, 4, 8, 12]
    check(run([looking(99)], plan))
    assert folder.is_done()


class Stop(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


def interrupt_after(step, spec):
    def display(progress):
        if progress.step == step and progress.snapshot is not None and spec in progress.specs:
            raise Stop

    return display


def test_a_run_that_resumes_needs_no_reference_run(plan):
    with pytest.raises(Stop):
        run(SPECS[:1], plan, interrupt_after(8, SPECS[0]))
    plan.folder(REFERENCES[0]).reset(keep=False)
    check(run(SPECS[:1], plan))
    assert plan.folder(REFERENCES[0]).status().state == "missing"


@pytest.mark.parametrize("keep", [True, False])
def test_an_interrupted_reference_run_goes_on_if_it_kept_its_snapshots(plan, keep):
    kept = replace(plan, keep_snapshots=keep)
    with pytest.raises(Stop):
        run(REFERENCES[:1], kept, interrupt_after(8, REFERENCES[0]))
    check(run(SPECS[:1], plan))
    assert (plan.root / ".set-aside").exists() != keep


@dataclass(frozen=True)
class Broken(Update):
    """Raises at its first step."""

    part: ClassVar[str | None] = None

    def apply_(self, theta, gradient, state, hyper, clock):
        raise ArithmeticError("no step today")


def test_a_failing_reference_run_is_named(plan):
    reference = tiny(updates=(Broken(), Adam()))
    spec = tiny(updates=(ProjectGradient(TrajectoryBasis(reference), 0.5), Adam()))
    (result,) = run([spec], plan)
    assert result.failure is not None
    assert "expected a reference run with snapshots, got failed: ArithmeticError" in result.failure
