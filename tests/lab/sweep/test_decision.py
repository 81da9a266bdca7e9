"""Stopping a run when its outcome is known changes nothing that is reported of it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sweep_cases import HALF, counts, plan_at, result, results, small

from spectraledge.instruments import WeightSpectrum
from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.sweep import CostModel, Inline, Sweep, pack
from spectraledge.training import At
from spectraledge.updates import Adam, WeightDecay

# Batch-mates that are decided at different steps, one that never is, one that diverges.
SPECS = [small(seed=s) for s in range(5)] + [
    small(seed=0, lr=1e30),
    small(seed=0, updates=(WeightDecay(1.0), Adam()), lr=1e-4),
]
# A reading late enough that decided runs differ in whether they have it, and one at the end.
LATE = (WeightSpectrum(), At((24, 40)))


def swept(root, **changes):
    plan = plan_at(root, instruments=(LATE,), save_every=60.0, **changes)
    return plan, Sweep(SPECS, Inline(plan), path=root / "ledger.parquet").run()


def stored(plan, spec):
    """Everything stored of a run, to the bit."""
    folder = plan.folder(spec)
    steps, reading = folder.read_reading(WeightSpectrum())
    arrays = folder.read_curves() | reading | {"reading/step": steps}
    return {name: (array.dtype.str, array.tobytes()) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("decided"), until=HALF, largest_batch=2)


def test_early_stopping_changes_nothing_that_is_reported(full, decided):
    (_, theirs), (_, ours) = full, decided
    assert set(counts(theirs)) == {"done"}
    assert counts(ours)["decided"] >= 4
    assert counts(ours)["done"] >= 1
    steps = set()
    for spec in SPECS:
        stopped, cut = ours.get(spec, HALF), theirs.get(spec, HALF)
        assert result(stopped) == result(cut)
        assert HALF.decided_at(stopped.curves) == HALF.decided_at(theirs.get(spec).curves)
        assert stopped.diverged_at == cut.diverged_at
        steps.add(stopped.steps_taken)
    assert len(steps) >= 4
    assert ours.get(SPECS[5], HALF).diverged_at is not None
    # Cut before step 24, a row has only the reading of step 0.
    readings = {r.steps_taken: len(r.curves["weight_spectrum/step"]) for r in ours}
    assert {count for step, count in readings.items() if step < 24} == {1}
    assert {count for step, count in readings.items() if 24 <= step < 40} == {2}


def test_a_batch_ends_when_all_of_its_runs_are_decided(decided):
    plan, ledger = decided
    ends = []
    for job in pack(SPECS, CostModel(), workers=1, largest_batch=plan.largest_batch):
        known = [HALF.decided_at(ledger.get(spec, HALF).curves) for spec in job.specs]
        ends.append(max(40 if step is None else step for step in known))
        for spec in job.specs:
            folder = plan.folder(spec)
            assert folder.read_curves()["step"][-1] == ends[-1]
            assert folder.status().state == ("done" if ends[-1] == 40 else "partial")
            assert folder.has_checkpoint() == (ends[-1] < 40)
    assert min(ends) < 40 == max(ends)


def test_a_decided_run_goes_on_as_if_it_had_never_stopped(full, decided):
    (whole, theirs), (plan, stopped) = full, decided
    assert stopped.get(SPECS[1]) is None  # the decided row does not answer for all steps
    on = replace(plan, until=None)
    ours = Sweep(SPECS, Inline(on), ledger=Ledger(stopped)).run()
    assert results(ours) == results(theirs)
    for spec in SPECS:
        assert stored(on, spec) == stored(whole, spec)
    # A later decision of the first kind finds all it needs in the full rows.
    again = Sweep(SPECS, Inline(plan), ledger=ours).run()
    assert [result(again.get(s, HALF)) for s in SPECS] == [
        result(theirs.get(s, HALF)) for s in SPECS
    ]


def test_a_stricter_decision_goes_on_from_the_looser_one(tmp_path, full):
    loose, strict = (replace(HALF, threshold=t) for t in (0.3, 0.6))
    plan = plan_at(tmp_path, instruments=(LATE,), until=loose, save_every=60.0)
    first = Sweep(SPECS[:3], Inline(plan)).run()
    second = Sweep(SPECS[:3], Inline(replace(plan, until=strict)), ledger=Ledger(first)).run()
    for spec in SPECS[:3]:
        assert result(second.get(spec, strict)) == result(full[1].get(spec, strict))
        assert first.get(spec, loose).steps_taken < second.get(spec, strict).steps_taken


# --- the rule itself -------------------------------------------------------------------------


def curves(accuracy, lost=None):
    steps = np.arange(len(accuracy)) * 10
    at = np.full(len(accuracy), -1)
    if lost is not None:
        at[steps >= lost] = lost
    return {"step": steps, "train_accuracy": np.asarray(accuracy, dtype=float), "lost_at": at}


@pytest.mark.parametrize(
    ("accuracy", "lost", "expected"),
    [
        ([0, 1, 0, 1, 1, 1], None, 40),  # the second record of the first stretch of two
        ([1, 1], None, 10),
        ([0.5, 0.5], None, 10),  # reached means at least
        ([0, 1, 0, 1], None, None),
        ([1, np.nan, 1, 1], None, 30),  # nothing measured is nothing reached
        ([0, 0, 0, 0], 15, 20),  # the first record after it diverged
        ([0, 1, 1, 1], 35, 20),
        ([0, 0, 0, 1, 1], 15, 20),
        ([1], None, None),
        ([], None, None),
    ],
)
def test_where_a_run_is_decided(accuracy, lost, expected):
    assert HALF.decided_at(curves(accuracy, lost)) == expected


@pytest.mark.parametrize("seed", range(20))
def test_what_follows_a_decision_does_not_move_it(seed):
    chance = np.random.default_rng(seed)
    whole = curves(chance.random(30), lost=250 if seed % 3 == 0 else None)
    decided = HALF.decided_at(whole)
    found = [HALF.decided_at({n: v[:k] for n, v in whole.items()}) for k in range(1, 31)]
    seen = [step for step in found if step is not None]
    assert set(seen) <= {decided}
    # Known from its own record on, and from then on always.
    assert all(later is not None for earlier, later in pairwise(found) if earlier is not None)
    assert decided is None or found.index(decided) == decided // 10


def test_errors():
    with pytest.raises(ValueError, match="finite threshold, got nan"):
        Decision("a", threshold=float("nan"), patience=1)
    with pytest.raises(ValueError, match="patience >= 1, got 0"):
        Decision("a", threshold=0.5, patience=0)
    with pytest.raises(KeyError, match=r"no metric 'accuracy' to decide by; known: step, train_"):
        Decision("accuracy", threshold=0.5, patience=1).decided_at(curves([1.0]))
