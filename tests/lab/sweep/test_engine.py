"""The engine: the same rows wherever runs are trained, and no run lost to trouble of any kind."""

import os
import signal
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from sweep_cases import (
    HALF,
    MIXED,
    counts,
    lines_of,
    plan_at,
    result,
    results,
    small,
    troubled,
)
from sweep_drivers import drive, gone, started, until, workers_of

from spectraledge.lab.ledger import Ledger
from spectraledge.lab.sweep import Board, Ended, Executor, Inline, Job, Processes, Sweep
from spectraledge.lab.sweep.vital_signs import VitalSigns
from spectraledge.training import Trainer


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    """A sweep whose first batch shows what all executors must give."""
    plan = plan_at(tmp_path_factory.mktemp("inline"), until=HALF, save_every=60.0)
    return plan, Sweep(MIXED, Inline(plan)).run()


# --- the same everywhere ---------------------------------------------------------------------


def test_rows_do_not_depend_on_the_executor(inline, tmp_path):
    _, theirs = inline
    plan = plan_at(tmp_path, until=HALF, save_every=60.0, largest_batch=2)
    board = Board()
    ours = Sweep(MIXED, Processes(plan, 2), board=board).run()
    assert results(ours) == results(theirs)
    assert set(counts(ours)) == {"done", "decided"}
    standing = board.standing()
    assert (standing.total, standing.done, standing.failed) == (5, 5, 0)
    assert (standing.running, standing.retries, standing.remaining) == (0, 0, 0)


def test_a_second_sweep_trains_nothing(inline, monkeypatch):
    plan, first = inline
    monkeypatch.setattr(Trainer, "step_", lambda self: pytest.fail("trained again"))
    for known in (None, first):
        executor = Refusing(plan)
        again = Sweep([*MIXED, *MIXED], executor, ledger=known).run()
        assert results(again) == results(first)


def test_an_interrupt_while_the_ledger_is_saved_loses_no_row(inline, tmp_path, monkeypatch):
    plan, theirs = inline
    path, write = tmp_path / "ledger.parquet", Ledger.write

    def interrupted(self, where):
        # Once half-way, and once more while the sweep cleans up.
        signal.raise_signal(signal.SIGINT)
        write(self, where)

    monkeypatch.setattr(Ledger, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Sweep(MIXED, Refusing(plan), path=path).run()
    assert results(Ledger.read(path)) == results(theirs)


class Refusing(Executor):
    """Takes no jobs."""

    def __init__(self, plan):
        super().__init__(plan, 1)

    def submit(self, number, job):
        pytest.fail("a job was given out")

    wait = abandon = submit

    def __exit__(self, *error):
        pass


def test_what_is_wanted_may_depend_on_what_is_known(tmp_path):
    """Bisection: one seed a round, chosen by the outcome of the round before."""
    plan = plan_at(tmp_path, until=HALF, save_every=60.0)
    asked = []

    def wanted(ledger):
        low, high, specs = 0, 8, []
        while high - low > 1:
            middle = (low + high) // 2
            specs.append(small(seed=middle))
            row = ledger.get(specs[-1], HALF)
            if row is None:
                break
            low, high = (low, middle) if row.steps_taken < 30 else (middle, high)
        asked.append([spec.seed for spec in specs])
        return specs

    path = tmp_path / "ledger.parquet"
    ledger = Sweep(wanted, Inline(plan), path=path).run()
    # Eight seeds are three halvings; the fourth time it asks for nothing new.
    assert [len(seeds) for seeds in asked] == [1, 2, 3, 3]
    assert all(after[: len(before)] == before for before, after in pairwise(asked))
    assert len(ledger) == 3
    # Killed and started again, it plans the same: nothing is trained, in one round.
    again = Sweep(wanted, Refusing(plan), path=path).run()
    assert results(again) == results(ledger)
    assert asked[4:] == [asked[3]]
    # Without the ledger it finds one run after the other in the store.
    assert results(Sweep(wanted, Refusing(plan)).run()) == results(ledger)
    assert asked[5:] == asked[:4]
    # So it does where the ledger knows all of them, but not as far.
    sooner = Ledger(row.until(replace(HALF, threshold=0.1, patience=1)) for row in ledger)
    assert all(sooner.get(small(seed=s), HALF) is None for s in asked[3])
    assert results(Sweep(wanted, Refusing(plan), ledger=sooner).run()) == results(ledger)


# --- trouble ---------------------------------------------------------------------------------


def test_a_run_that_raises_is_tried_and_then_marked(tmp_path):
    plan = plan_at(tmp_path, save_every=60.0, largest_batch=1)
    bad, notes = troubled(tmp_path, "raise")
    with pytest.warns(UserWarning, match="these data cannot be had"):
        ledger = Sweep([bad, *MIXED[:1]], Inline(plan), attempts=3).run()
    assert len(lines_of(notes)) == 3
    row = ledger.get(bad)
    assert row.state == "failed"
    assert row.failure.startswith("given up after 3 attempts; the last: Traceback")
    assert "RuntimeError: these data cannot be had" in row.failure
    assert ledger.get(MIXED[0]).state == "done"
    # It stays marked until it is forgotten.
    assert results(Sweep([bad], Refusing(plan), ledger=ledger).run()) == results(ledger)
    ledger.forget(row)
    with pytest.warns(UserWarning, match="these data cannot be had"):
        Sweep([bad], Inline(plan), ledger=ledger, attempts=1).run()
    assert len(lines_of(notes)) == 4


def test_a_run_that_raises_sometimes_is_trained(tmp_path):
    plan = plan_at(tmp_path, save_every=60.0)
    bad, notes = troubled(tmp_path, "raise", times=2)
    board = Board()
    with pytest.warns(UserWarning, match="these data cannot be had"):
        ledger = Sweep([bad], Inline(plan), board=board).run()
    assert ledger.get(bad).state == "done"
    assert len(lines_of(notes)) == 3
    assert board.standing().retries == 2


def test_a_decided_run_that_raises_when_it_goes_on_ends_the_sweep(tmp_path, monkeypatch):
    """Its row as decided stays, and is no reason to try for ever."""
    plan = plan_at(tmp_path, until=HALF, save_every=60.0)
    spec = small(seed=3)
    ledger = Sweep([spec], Inline(plan)).run()
    tries = []

    def step_(self):
        tries.append(self.state.step)
        raise RuntimeError("no further")

    monkeypatch.setattr(Trainer, "step_", step_)
    board = Board()
    with pytest.warns(UserWarning, match="no further"):
        Sweep([spec], Inline(replace(plan, until=None)), ledger=ledger, board=board).run()
    decided = ledger.get(spec, HALF)
    assert decided.state == "decided"
    assert tries == [decided.steps_taken] * 3
    assert ledger.get(spec) is None
    assert board.standing().failed == 1


def test_batch_mates_of_a_run_that_kills_its_worker_are_trained(tmp_path, inline):
    """Tried twice in its batch and three times alone; the others lose nothing."""
    plan = plan_at(tmp_path, until=HALF, save_every=60.0)
    bad, notes = troubled(tmp_path, "die")
    once, notes_once = troubled(tmp_path, "die", times=1, seed=1)
    ledger = Sweep([bad, *MIXED[:3], once], Processes(plan, 2), attempts=3).run()
    assert counts(ledger)["failed"] == 1
    assert "its worker ended with exit code -9" in ledger.get(bad, HALF).failure
    assert len(lines_of(notes)) == len(set(lines_of(notes))) == 5  # a new worker each time
    assert ledger.get(once, HALF).state in ("done", "decided")
    assert len(lines_of(notes_once)) == 2
    for spec in MIXED[:3]:
        assert result(ledger.get(spec, HALF)) == result(inline[1].get(spec, HALF))


def test_a_hung_job_is_abandoned_and_given_out_again(tmp_path):
    plan = plan_at(tmp_path, save_every=60.0, largest_batch=1)
    once, notes = troubled(tmp_path, "hang", times=1)
    always, _ = troubled(tmp_path, "hang", seed=1)
    start = time.monotonic()
    ledger = Sweep([once, always], Processes(plan, 2), attempts=2, silence=5.0).run()
    assert ledger.get(once).state == "done"
    assert len(set(lines_of(notes))) == 2
    assert "no sign of life for 5 seconds" in ledger.get(always).failure
    # Two silences one after the other; the rest is starting workers on a busy machine.
    assert 10 < time.monotonic() - start < 150


class Idle(Executor):
    """Says that jobs have ended, without having run them."""

    def __init__(self, plan, lost=""):
        super().__init__(plan, 1)
        self.lost, self.jobs, self.sizes, self.abandoned = lost, {}, [], []

    def submit(self, number, job):
        self.jobs[number] = job
        self.sizes.append(len(job.specs))

    def wait(self, seconds):
        return [Ended(number, self.lost) for number in [*self.jobs] if self.jobs.pop(number)]

    def abandon(self, number):
        self.abandoned.append(number)

    def __exit__(self, *error):
        pass


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_nobody_is_given_up_for_what_others_did(tmp_path, attempts):
    """Lost together twice, runs are given out alone, and only that counts."""
    executor = Idle(plan_at(tmp_path), lost="the lights went out")
    ledger = Sweep(MIXED[:3], executor, attempts=attempts).run()
    assert counts(ledger) == {"failed": 3}
    assert executor.sizes == [3, 3] + [1] * 3 * attempts
    assert all("the lights went out" in row.failure for row in ledger)


def test_a_job_that_leaves_nothing_says_so(tmp_path):
    ledger = Sweep(MIXED[:1], Idle(plan_at(tmp_path)), attempts=1).run()
    assert "it ended missing" in ledger.get(MIXED[0]).failure


def test_jobs_that_wait_for_room_are_not_hung(tmp_path):
    class Busy(Idle):
        begun = time.monotonic()

        def queued(self):
            return set(self.jobs) if time.monotonic() - self.begun < 1.0 else ()

        def wait(self, seconds):
            time.sleep(0.1)
            return super().wait(seconds) if self.abandoned else []

    executor = Busy(plan_at(tmp_path))
    Sweep(MIXED[:1], executor, attempts=1, silence=0.5).run()
    # It is silent from when it has begun, not from when it was given out.
    assert time.monotonic() - Busy.begun > 1.5


def test_what_is_written_is_a_sign_of_life(tmp_path):
    """A job that waits for the runs of another sweep tells no steps, and lives while they do."""
    plan = plan_at(tmp_path)
    (row,) = Sweep(MIXED[:1], Inline(plan)).run()
    folder = plan.folder(MIXED[0])
    assert folder.signature == row.signature
    signs = VitalSigns(Job((MIXED[0], MIXED[1])), plan, silence=0.5)
    for tick in range(12):
        time.sleep(0.1)
        os.utime(folder.path / "curves.parquet", (tick, 2e9 + tick))
        assert not signs.are_gone(steps=0)
    told = time.monotonic()
    until(lambda: signs.are_gone(steps=7), seconds=10)  # one more sign: the first steps told
    assert 0.5 <= time.monotonic() - told < 5
    assert signs.reason == "no sign of life for 0.5 seconds"


# --- endings ---------------------------------------------------------------------------------


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    process = started(drive, tmp_path, long_runs())
    pids = until(lambda: workers_of(tmp_path, at_least=2))
    process.kill()
    process.join()
    killed = time.monotonic()
    until(lambda: all(gone(pid) for pid in pids))
    assert time.monotonic() - killed < 2.0


def test_an_interrupt_ends_workers_and_saves_the_ledger(tmp_path):
    process = started(drive, tmp_path, [MIXED[0], *long_runs()], {"workers": 3})
    pids = until(lambda: workers_of(tmp_path, at_least=2))
    # The short run is done, and the ledger has not been saved since.
    until(lambda: plan_at(tmp_path).folder(MIXED[0]).status().state == "done")
    time.sleep(2.0)
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=60)
    assert process.exitcode == 130
    assert all(gone(pid) for pid in pids)
    saved = Ledger.read(tmp_path / "ledger.parquet")
    assert [row.state for row in saved] == ["done"]


def long_runs():
    return [small(seed=s, steps=20_000, record_every=50, batch_size=8 + s) for s in range(2)]


def test_two_drivers_on_one_root_train_a_run_once(tmp_path, inline):
    specs = [small(seed=s, steps=100, record_every=20) for s in range(4)]
    both = [started(drive, tmp_path, specs, {"workers": 1, "name": n}) for n in ("a", "b")]
    for process in both:
        process.join(timeout=200)
        assert process.exitcode == 0
    ours, theirs = (Ledger.read(tmp_path / f"{name}.parquet") for name in ("a", "b"))
    assert len(ours) == 4
    # The same origin, to the hundredth of a second: what one has trained the other has read.
    assert [r.seconds for r in ours] == [r.seconds for r in theirs]
    assert [r.finished for r in ours] == [r.finished for r in theirs]
    assert results(ours) == results(theirs)
    assert not (tmp_path / ".set-aside").exists()
    undisturbed = plan_at(tmp_path / "calm", save_every=60.0)
    assert results(Sweep(specs, Inline(undisturbed)).run()) == results(ours)


def test_drivers_that_share_a_ledger_keep_the_rows_of_each_other(tmp_path):
    plan = plan_at(tmp_path / "runs", save_every=60.0)
    path = tmp_path / "no folder yet" / "ledger.parquet"
    first, second = (Sweep([s], Inline(plan), path=path) for s in MIXED[:2])
    first.run()  # the second was made before, and knows nothing of it
    second.run()
    signatures = {plan.folder(spec).signature for spec in MIXED[:2]}
    assert {row.signature for row in Ledger.read(path)} == signatures
    assert len(second.ledger) == 1
    # By default a sweep begins with what is in the file.
    assert len(Sweep([], Inline(plan), path=path).ledger) == 2
    assert not list(path.parent.glob(".*"))


# --- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attempts": 0}, "attempts >= 1 .*got attempts=0"),
        ({"silence": 0.0}, "silence > 0 seconds, got .*silence=0.0"),
        ({"silence": float("nan")}, "silence=nan"),
    ],
)
def test_numbers_out_of_range(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        Sweep(MIXED, Inline(plan_at(tmp_path)), **wrong)


def test_no_workers(tmp_path):
    with pytest.raises(ValueError, match="Processes: expected workers >= 1, got 0"):
        Processes(plan_at(tmp_path), 0)


def test_importing_the_engine_does_not_import_ray():
    from subprocess import run
    from sys import executable

    script = "import sys, spectraledge.lab.sweep; sys.exit('ray' in sys.modules)"
    assert run([executable, "-c", script], check=False).returncode == 0
