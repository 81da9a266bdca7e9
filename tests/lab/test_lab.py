"""The laboratory: asked twice trains once, resumes exactly, reports damage, isolates failures."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from cases import EAGER, TINY, tiny
from spectraledge.instruments import Instrument, Output
from spectraledge.lab import Plan, batches, run
from spectraledge.lab.processes import run_in_processes
from spectraledge.lab.saved import layout_from, layout_text, read_snapshots
from spectraledge.snapshots import Layout
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, Update, WeightDecay


@dataclass(frozen=True)
class Displacement(Instrument):
    """Distance moved since the snapshot before, and the norm of the decay part."""

    name: ClassVar[str] = "displacement"
    history: ClassVar[int] = 2
    parts: ClassVar[frozenset[str]] = frozenset({"weight_decay"})
    outputs: ClassVar = {"moved": Output("distance"), "decayed": Output("decay part")}

    def labels(self, window):
        return {}

    def measure(self, window):
        now = window.now.parameters.double()
        before = now if window.before is None else window.before.parameters.double()
        decay = window.now.parts.get("weight_decay", torch.zeros_like(now))
        return {"moved": (now - before).norm(dim=1), "decayed": decay.norm(dim=1)}


@pytest.fixture
def plan(tmp_path):
    return Plan(tmp_path, instruments=(Displacement(),), execution=EAGER, keep_snapshots=True)


SPECS = [tiny(seed=s) for s in (0, 1)] + [tiny(seed=0, updates=(Adam(),))]


def final_weights(result):
    tensors, _ = result.folder.read_snapshot(result.spec.steps)
    return tensors["parameters"]


def test_runs_are_stored_and_equal_the_trainer(plan):
    results = run(SPECS, plan)
    for result in results:
        assert result.failure is None
        *_, last = Trainer(Problem([result.spec], EAGER)).snapshots()
        assert torch.equal(final_weights(result), last.parameters[0])
        steps, accuracy = result.curve("validation_accuracy")
        assert steps.tolist() == [0, 4, 8, 12]
        assert accuracy[-1] == last.metrics["validation_accuracy"][0]
        assert result.diverged_at is None
        moved = result.reading(Displacement())[1]["moved"]
        assert moved[0] == 0
        assert (moved[1:] > 0).all()


def test_asking_twice_trains_once(plan, monkeypatch):
    run(SPECS, plan)
    monkeypatch.setattr(Trainer, "step_", lambda self: pytest.fail("trained again"))
    assert [r.failure for r in run(SPECS, plan)] == [None] * 3


def test_batches_group_what_can_share(plan):
    groups = batches([*SPECS, SPECS[0]], plan)
    assert [len(g) for g in groups] == [2, 1]
    small = Plan(plan.root, largest_batch=1)
    assert [len(g) for g in batches(SPECS, small)] == [1, 1, 1]
    with pytest.raises(ValueError, match="largest_batch >= 1, got 0"):
        Plan(plan.root, largest_batch=0)


class Stop(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


@pytest.mark.parametrize("stop", [1, 4, 6, 11])
def test_interrupted_runs_resume_exactly(plan, tmp_path, stop):
    undisturbed = run(SPECS, Plan(tmp_path / "a", (Displacement(),), True, EAGER))

    def interrupt(progress):
        if progress.step == stop and progress.snapshot is None:
            raise Stop

    disturbed = Plan(tmp_path / "b", (Displacement(),), True, EAGER)
    with pytest.raises(Stop):
        run(SPECS, disturbed, interrupt)
    for ours, theirs in zip(run(SPECS, disturbed), undisturbed):
        assert torch.equal(final_weights(ours), final_weights(theirs))
        for name, values in theirs.curves.items():
            np.testing.assert_array_equal(ours.curves[name], values)
        for ours_of, theirs_of in zip(ours.reading(Displacement()), theirs.reading(Displacement())):
            np.testing.assert_equal(ours_of, theirs_of)


def test_runs_go_on_under_a_version_that_measures_something_else(tmp_path, monkeypatch):
    # Without snapshots, of which everything would be measured anew.
    plan = Plan(tmp_path, (Displacement(),), execution=EAGER)

    def interrupt(progress):
        if progress.step == 6 and progress.snapshot is None:
            raise Stop

    with pytest.raises(Stop):
        run(SPECS[:2], plan, interrupt)
    first = Displacement.measure

    def later(self, window):
        norm = window.now.parameters.double().norm(dim=1)
        return {"moved": first(self, window)["moved"], "norm": norm}

    monkeypatch.setattr(Displacement, "measure", later)
    monkeypatch.setattr(Displacement, "outputs", {"moved": Output("way"), "norm": Output("norm")})
    for result in run(SPECS[:2], plan):
        assert result.failure is None
        steps, arrays = result.reading(Displacement())
        assert steps.tolist() == [0, 4, 8, 12]
        assert np.isfinite(arrays["moved"]).all()
        assert np.isnan(arrays["norm"]).tolist() == [True, True, False, False]
        assert np.isnan(arrays["decayed"]).tolist() == [False, False, True, True]


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from cases import EAGER, tiny
from spectraledge.lab import Plan, run
run([tiny(seed=s, steps=400, record_every=10) for s in (0, 1)],
    Plan({root!r}, execution=EAGER, keep_snapshots=True))
"""


def test_sigkill_at_random_moments_loses_nothing(tmp_path):
    specs = [tiny(seed=s, steps=400, record_every=10) for s in (0, 1)]
    script = KILLED.format(tests=str(Path(__file__).parents[1]), root=str(tmp_path / "killed"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    chance = np.random.default_rng(7)
    kills = 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        deadline = time.monotonic() + 180
        # Wait for the first checkpoint, so that the kill falls into training, not into imports.
        while process.poll() is None and not list((tmp_path / "killed").glob("*/checkpoint*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        try:
            process.wait(timeout=chance.uniform(1.5, 4.0))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 1
    plan = Plan(tmp_path / "killed", execution=EAGER, keep_snapshots=True)
    undisturbed = run(specs, Plan(tmp_path / "calm", execution=EAGER, keep_snapshots=True))
    for ours, theirs in zip(run(specs, plan), undisturbed):
        assert torch.equal(final_weights(ours), final_weights(theirs))
        np.testing.assert_array_equal(ours.curves["step"], theirs.curves["step"])


def test_two_processes_train_a_run_once(tmp_path):
    script = KILLED.format(tests=str(Path(__file__).parents[1]), root=str(tmp_path))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    script += "\nprint(sorted((p.stat().st_ino for p in __import__('pathlib').Path("
    script += f"{str(tmp_path)!r}).glob('*/done'))))"
    both = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [p.communicate(timeout=200)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    # The file `done` of each run was written once: both processes saw the same inodes.
    assert outputs[0] == outputs[1]
    assert len(eval(outputs[0])) == 2


def test_damage_is_reported_and_redone(plan):
    result = run(SPECS[:1], plan)[0]
    expected = final_weights(result)
    curves = next(result.folder.path.glob("curves*"))
    curves.write_bytes(curves.read_bytes()[:-3])
    with pytest.warns(UserWarning, match="damaged run is trained again"):
        again = run(SPECS[:1], plan)[0]
    assert again.failure is None
    assert torch.equal(final_weights(again), expected)


@dataclass(frozen=True)
class Explodes(Update):
    """Raises at step 6 in batches that hold a run with this rate."""

    rate: float = 0.0
    part: ClassVar[str | None] = None

    @property
    def compiled(self):
        return False

    def apply_(self, theta, gradient, state, hyper, clock):
        if clock.index == 6 and bool((hyper["rate"] > 0).any()):
            raise RuntimeError("boom at step 6")


def test_a_failing_run_spares_its_batch_mates(plan):
    specs = [tiny(seed=s, updates=(Explodes(float(s == 1)), Adam())) for s in (0, 1, 2)]
    with pytest.warns(UserWarning, match="boom at step 6"):
        results = run(specs, plan)
    assert [r.failure is None for r in results] == [True, False, True]
    failure = results[1].folder.read_failure()
    assert failure["kind"] == "RuntimeError"
    assert "boom at step 6" in failure["traceback"]
    alone = Trainer(Problem([specs[2]], EAGER))
    *_, last = alone.snapshots()
    assert torch.equal(final_weights(results[2]), last.parameters[0])


def test_measuring_afterwards_equals_measuring_live(tmp_path, plan):
    live = run(SPECS[:2], plan)
    later_plan = Plan(tmp_path / "later", execution=EAGER, keep_snapshots=True)
    run(SPECS[:2], later_plan)
    with_readings = Plan(tmp_path / "later", (Displacement(),), True, EAGER)
    for ours, theirs in zip(run(SPECS[:2], with_readings), live):
        np.testing.assert_equal(ours.reading(Displacement()), theirs.reading(Displacement()))


def test_missing_readings_without_snapshots_train_again(tmp_path):
    run(SPECS[:1], Plan(tmp_path, execution=EAGER))
    with pytest.warns(UserWarning, match="lacks readings"):
        again = run(SPECS[:1], Plan(tmp_path, (Displacement(),), execution=EAGER))[0]
    assert len(again.reading(Displacement())[0]) == 4


def test_a_diverged_run_is_marked(plan):
    bad = tiny(updates=(WeightDecay(1.0), Adam()), lr=1e30)
    result = run([bad, tiny()], plan)[0]
    assert result.failure is None
    assert 1 <= result.diverged_at <= TINY.steps


def test_snapshots_come_back_as_they_were(plan):
    result = run(SPECS[:1], plan)[0]
    saved = list(read_snapshots(result.folder))
    live = list(Trainer(Problem(SPECS[:1], EAGER), record_parts=True).snapshots())
    for ours, theirs in zip(saved, live, strict=True):
        assert torch.equal(ours.parameters, theirs.parameters)
        assert ours.layout == theirs.layout
        for name, part in theirs.parts.items():
            assert torch.equal(ours.parts[name], part)


def test_layout_text_round_trip():
    layout = Layout(("a.b", "c", "scalar"), ((2, 3), (4,), ()))
    assert layout_from(layout_text(layout)) == layout


def test_processes_give_the_same_results(tmp_path, plan):
    apart = run_in_processes(
        SPECS, Plan(tmp_path / "apart", execution=EAGER, keep_snapshots=True), 2
    )
    for ours, theirs in zip(apart, run(SPECS, plan)):
        assert torch.equal(final_weights(ours), final_weights(theirs))
    with pytest.raises(ValueError, match="workers >= 1, got 0"):
        run_in_processes(SPECS, plan, 0)


def test_unknown_metric_lists_the_known(plan):
    with pytest.raises(KeyError, match="validation_accuracy"):
        run(SPECS[:1], plan)[0].curve("accuracy")
