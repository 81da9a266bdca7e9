"""Measured once a run is complete: whenever that is, whoever interrupts it, and never by halves."""

import os
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from cases import EAGER, tiny
from spectraledge.instruments import (
    Hindsight,
    Output,
    SubspaceProjection,
    WeightSpectrum,
    WholeRunProjection,
    whole_run_projections,
)
from spectraledge.instruments.hindsight import KNOWN_UNTIL
from spectraledge.lab import Plan, run
from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.measure import is_measured
from spectraledge.lab.rows import stored_row
from spectraledge.lab.saved import read_snapshots
from spectraledge.lab.sweep import Inline, Sweep
from spectraledge.store import manifest
from spectraledge.training import Every, Problem, Trainer
from spectraledge.updates import Adam, Update, WeightDecay


@dataclass(frozen=True)
class Remaining(Hindsight):
    """Distance to where the run ends."""

    name: ClassVar[str] = "remaining"
    outputs: ClassVar = {"distance": Output("distance"), KNOWN_UNTIL: Output("last step", "steps")}

    def labels(self, window):
        return {}

    def measure_whole(self, snapshots, steps, problem=None):
        assert not any(s.parts for s in snapshots)
        last = snapshots[-1]
        end = torch.full((last.runs,), float(last.step), dtype=torch.float64)
        return [
            {"distance": (s.parameters - last.parameters).double().norm(dim=1), KNOWN_UNTIL: end}
            for s in snapshots
            if s.step in steps
        ]


REMAINING = Remaining()
SPECS = [tiny(seed=seed) for seed in (0, 1)]
PROJECTION = SubspaceProjection(basis="trajectory", components=2, sweep=(1, 2), pairs=3)


def plan_at(root, **changes):
    chosen = {"instruments": ((REMAINING, Every(8)),), "execution": EAGER, "keep_snapshots": True}
    return Plan(root, **chosen | changes)


def at(step):
    """Complete at a step, whatever the run does."""
    return Decision("validation_accuracy", threshold=2.0, patience=1, horizon=step)


def no_training(monkeypatch):
    monkeypatch.setattr(Trainer, "step_", lambda self: pytest.fail("trained again"))


def check(folder, end, steps):
    """The reading is of the run up to its end, at these steps."""
    found, arrays = folder.read_reading(REMAINING)
    assert found.tolist() == steps
    assert set(arrays[KNOWN_UNTIL]) == {end}
    saved = {s.step: s.parameters for s in read_snapshots(folder)}
    expected = [float((saved[s] - saved[end]).double().norm()) for s in steps]
    np.testing.assert_array_equal(arrays["distance"], expected)


def test_it_is_what_the_function_gives_by_hand(tmp_path):
    whole = WholeRunProjection(PROJECTION)
    plan = plan_at(tmp_path, instruments=((PROJECTION, Every(8)), (whole, Every(8))))
    for result in run(SPECS, plan):
        steps, arrays = result.reading(whole)
        assert steps.tolist() == [0, 8]
        snapshots = list(read_snapshots(result.folder))
        assert [s.step for s in snapshots] == [0, 4, 8, 12]
        by_hand = whole_run_projections(PROJECTION, snapshots, Problem([result.spec], EAGER))
        for place, expected in ((0, by_hand[0]), (1, by_hand[2])):
            for name, values in expected.items():
                np.testing.assert_array_equal(arrays[name][place], values[0].numpy())
        assert np.isfinite(arrays["ratio"]).all()  # also at step 0, which has only a future
        assert np.isnan(result.reading(PROJECTION)[1]["ratio"][0])


def test_training_does_not_change(tmp_path):
    live = (WeightSpectrum(),)
    without = run(SPECS, plan_at(tmp_path / "a", instruments=live))
    beside = run(SPECS, plan_at(tmp_path / "b", instruments=(*live, REMAINING)))
    for ours, theirs in zip(beside, without):
        for name, values in theirs.curves.items():
            np.testing.assert_array_equal(ours.curves[name], values)
        np.testing.assert_equal(ours.reading(*live), theirs.reading(*live))
        check(ours.folder, 12, [0, 4, 8, 12])


def test_it_is_part_of_the_row_and_asked_for_once(tmp_path, monkeypatch):
    plan = plan_at(tmp_path, until=at(8))
    ledger = Sweep(SPECS, Inline(plan)).run()
    for spec in SPECS:
        row = ledger.get(spec, plan.until)
        assert row.curves["remaining/step"].tolist() == [0, 8]
        assert row.curves["remaining/distance"][-1] == 0
        check(plan.folder(spec), 8, [0, 8])
    no_training(monkeypatch)
    monkeypatch.setattr(Remaining, "measure_whole", lambda *_: pytest.fail("measured again"))
    assert len(Sweep(SPECS, Inline(plan)).run()) == len(SPECS)


class Killed(BaseException):
    """Not an Exception, as the end of a process is not."""


def killed(*_, **__):
    raise Killed


@pytest.mark.parametrize("until", [None, at(8)], ids=["finished", "decided"])
@pytest.mark.parametrize("place", ["before measuring", "while measuring", "while writing"])
def test_a_kill_between_the_end_and_the_reading_is_made_up_for(tmp_path, monkeypatch, until, place):
    plan = plan_at(tmp_path, until=until)
    with monkeypatch.context() as patch:
        if place == "before measuring":
            # The package exports a function of the module's name.
            patch.setattr(sys.modules["spectraledge.lab.run"], "_measure_complete", killed)
        elif place == "while measuring":
            patch.setattr(Remaining, "measure_whole", killed)
        elif until is None:
            # The file is there, and not yet listed.
            patch.setattr(manifest, "_write", _killed_at_second_write(manifest._write))
        else:
            patch.setattr(os, "replace", _killed_at_reading(os.replace))
        with pytest.raises(Killed):
            run(SPECS[:1], plan)
    folder = plan.folder(SPECS[0])
    assert folder.status().state == ("done" if until is None else "partial")
    assert not folder.has_reading(REMAINING)
    assert stored_row(SPECS[0], plan) is None
    no_training(monkeypatch)
    (result,) = run(SPECS[:1], plan)
    check(result.folder, 12 if until is None else 8, [0, 8])
    assert stored_row(SPECS[0], plan) is not None


def _killed_at_second_write(write):
    calls = []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise Killed
        write(*arguments)

    return once


def _killed_at_reading(replace_file):
    def rename(source, target, **options):
        if "readings" in str(target):
            raise Killed
        replace_file(source, target, **options)

    return rename


@pytest.mark.parametrize("stop", [1, 6, 11])
def test_a_run_that_was_resumed_has_the_same_reading(tmp_path, stop):
    def interrupt(progress):
        if progress.step == stop and progress.snapshot is None:
            raise Killed

    disturbed = plan_at(tmp_path / "disturbed")
    with pytest.raises(Killed):
        run(SPECS, disturbed, interrupt)
    calm = run(SPECS, plan_at(tmp_path / "calm"))
    for ours, theirs in zip(run(SPECS, disturbed), calm):
        np.testing.assert_equal(ours.reading(REMAINING), theirs.reading(REMAINING))


def test_a_decided_run_ends_at_its_decision_however_far_it_was_trained(tmp_path, monkeypatch):
    """Batch-mates may be decided later, and other plans may go further."""
    further = plan_at(tmp_path, instruments=())
    run(SPECS, further)
    no_training(monkeypatch)
    for result in run(SPECS, plan_at(tmp_path, until=at(8))):
        check(result.folder, 8, [0, 8])


def test_a_run_that_goes_on_is_measured_again(tmp_path):
    short, long = plan_at(tmp_path, until=at(8)), plan_at(tmp_path)
    run(SPECS, short)
    for result in run(SPECS, long):
        check(result.folder, 12, [0, 8])
    # Its end moved though no further step was due.
    assert not is_measured(result.folder, (REMAINING, Every(8)), short.until)
    assert is_measured(result.folder, (REMAINING, Every(8)), None)


def test_added_later_it_is_measured_from_what_was_saved(tmp_path, monkeypatch):
    run(SPECS, plan_at(tmp_path, instruments=()))
    no_training(monkeypatch)
    for result in run(SPECS, plan_at(tmp_path)):
        check(result.folder, 12, [0, 8])


def test_nothing_due_is_nothing_missing(tmp_path):
    plan = plan_at(tmp_path, instruments=((REMAINING, lambda step: step == 12),), until=at(8))
    ledger = Sweep(SPECS, Inline(plan)).run()
    assert not any("remaining/step" in row.curves for row in ledger)


def test_without_snapshots_the_plan_says_what_to_do(tmp_path):
    for instruments in ((REMAINING,), ((REMAINING, Every(8)),)):
        with pytest.raises(ValueError, match=r"remaining can only be .* keep_snapshots=False; set"):
            plan_at(tmp_path, instruments=instruments, keep_snapshots=False)


def test_a_finished_run_without_snapshots_is_trained_again(tmp_path):
    run(SPECS[:1], plan_at(tmp_path, instruments=(), keep_snapshots=False))
    with pytest.warns(UserWarning, match="lacks readings"):
        (result,) = run(SPECS[:1], plan_at(tmp_path))
    check(result.folder, 12, [0, 8])


def test_a_decided_run_without_snapshots_stays_as_it_is(tmp_path, monkeypatch):
    """It is a row without this reading; pages say that it was not measured."""
    run(SPECS, plan_at(tmp_path, instruments=(), keep_snapshots=False, until=at(8)))
    no_training(monkeypatch)
    ledger = Sweep(SPECS, Inline(plan_at(tmp_path, until=at(8)))).run()
    assert [row.state for row in ledger] == ["decided"] * 2
    assert not any("remaining/step" in row.curves for row in ledger)


def test_a_run_begun_without_snapshots_is_trained_again_in_a_sweep(tmp_path):
    run(SPECS[:1], plan_at(tmp_path, instruments=(), keep_snapshots=False, until=at(4)))
    plan = plan_at(tmp_path)
    with pytest.warns(UserWarning, match="lacks readings"):
        ledger = Sweep(SPECS[:1], Inline(plan)).run()
    assert [row.state for row in ledger] == ["done"]
    check(plan.folder(SPECS[0]), 12, [0, 8])


def test_rows_from_before_stay(tmp_path, monkeypatch):
    """A row of the ledger is complete; only the store is asked what is missing."""
    ledger = Sweep(SPECS, Inline(plan_at(tmp_path / "before", instruments=()))).run()
    no_training(monkeypatch)
    again = Sweep(SPECS, Inline(plan_at(tmp_path / "now")), ledger=Ledger(list(ledger))).run()
    assert [row.state for row in again] == ["done"] * 2


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


def test_a_failed_run_is_not_measured_and_its_mates_are(tmp_path):
    specs = [tiny(seed=s, updates=(Explodes(float(s == 1)), Adam())) for s in (0, 1, 2)]
    with pytest.warns(UserWarning, match="boom at step 6"):
        results = run(specs, plan_at(tmp_path))
    assert [r.folder.has_reading(REMAINING) for r in results] == [True, False, True]


def test_a_diverged_run_is_measured_as_far_as_it_can_be(tmp_path):
    bad = tiny(updates=(WeightDecay(1.0), Adam()), lr=1e30)
    plan = plan_at(tmp_path, instruments=((WholeRunProjection(PROJECTION), Every(8)),))
    result, _ = run([bad, replace(bad, lr=1e-3)], plan)
    assert result.diverged_at is not None
    assert result.reading(WholeRunProjection(PROJECTION))[0].tolist() == [0, 8]
