"""The ledger: rows come back to the bit, merge as they should, and damage is noticed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sweep_cases import HALF, plan_at, result, results, small

from spectraledge.instruments import WeightSpectrum
from spectraledge.lab import run
from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.names import run_name
from spectraledge.lab.rows import Row, failed_row, stored_row
from spectraledge.store import DamagedError, canonical_json, signature

RECORDS = 11


def row_of(spec, chance, state="done", records=RECORDS):
    """A row as a sweep makes it, of random numbers that do not round."""
    curves = {
        "step": np.arange(records) * 4,
        "train_accuracy": chance.random(records),
        "validation_accuracy": chance.random(records),
        "validation_loss": chance.standard_normal(records) / 3,
        "lost_at": np.full(records, -1),
        "weight_spectrum/step": np.arange(records // 2) * 8,
        "weight_spectrum/stable_rank": chance.random(records // 2),
    }
    return Row(
        signature(spec), run_name(spec), canonical_json(spec), state, curves,
        seconds=1.25, threads=1, device="cpu", machine="Linux", finished="2026-01-01T00:00:00",
        versions={"python": "3.11", "torch": "2"},
    )  # fmt: skip


@pytest.fixture
def chance():
    return np.random.default_rng(0)


def written(tmp_path, rows):
    path = tmp_path / "not" / "yet" / "there.parquet"
    Ledger(rows).write(path)
    return path


def test_rows_come_back_to_the_bit(tmp_path, chance):
    rows = [row_of(small(seed=s), chance) for s in range(4)]
    rows[0].curves["validation_accuracy"][[0, 3]] = np.nan
    rows[1].curves["validation_loss"][2:5] = np.inf, -np.inf, -0.0
    rows[2].curves["lost_at"][-1] = 40
    rows[3].curves["validation_accuracy"][:] = np.nan
    del rows[3].curves["weight_spectrum/step"], rows[3].curves["weight_spectrum/stable_rank"]
    rows.append(failed_row(small(seed=4), "Traceback: ü"))
    back = Ledger.read(written(tmp_path, rows))
    assert results(back) == results(Ledger(rows))
    for ours, theirs in zip(back, Ledger(rows)):
        assert replace(ours, curves={}) == replace(
            theirs, curves={}, versions=theirs.versions or {}
        )
    assert back.get(small(seed=2)).diverged_at == 40
    assert back.get(small(seed=4)).failure == "Traceback: ü"
    assert back.get(small(seed=4)).steps_taken == 0
    assert back.get(small(seed=4)).diverged_at is None
    # What was read can be written again: the same bytes.
    again = tmp_path / "again.parquet"
    back.write(again)
    assert again.read_bytes() == (tmp_path / "not/yet/there.parquet").read_bytes()


def test_any_reader_sees_scalars_and_outcomes(tmp_path, chance):
    import pyarrow.parquet as pq

    done = row_of(small(seed=0), chance)
    decided = replace(row_of(small(seed=1), chance), state="decided")
    done.curves["validation_accuracy"][-1] = np.nan
    table = pq.read_table(written(tmp_path, [done, decided])).to_pylist()
    first, second = sorted(table, key=lambda record: record["name"])
    assert first["best_validation_accuracy"] == np.nanmax(done.curves["validation_accuracy"])
    assert np.isnan(first["last_validation_accuracy"])
    assert second["last_train_accuracy"] is None  # it was stopped: nobody knows
    assert second["best_train_accuracy"] == max(decided.curves["train_accuracy"])
    assert first["steps_taken"] == 4 * (RECORDS - 1)
    assert first["curves/step"] == done.curves["step"].tolist()


def test_no_file_and_no_rows_are_an_empty_ledger(tmp_path):
    assert len(Ledger.read(tmp_path / "nothing.parquet")) == 0
    assert len(Ledger.read(written(tmp_path, []))) == 0


def test_a_row_takes_few_bytes(tmp_path):
    # Two hundred rows of a study: 61 records of 9 accuracies that count multiples of 1/240, and
    # one loss and 9 means of 5 digits. Their entropy is about 8 · 9 · 61 + 17 · (61 + 31 · 9) bits
    # = 1.3 kB; the rest is identity. 4 kB a row keep thousands of runs in a committed file.
    chance = np.random.default_rng(1)
    steps = np.arange(61) * 50
    rows = []
    for seed in range(200):
        curves = {"step": steps, "lost_at": np.full(61, -1), "weight_spectrum/step": steps[::2]}
        for k in range(9):
            curves[f"a{k}_accuracy"] = chance.integers(0, 240, 61) / 240
            curves[f"weight_spectrum/{k}"] = np.round(chance.random(31), 5)
        curves["validation_loss"] = np.round(chance.random(61), 5)
        rows.append(replace(row_of(small(seed=seed), chance), curves=curves))
    size = written(tmp_path, rows).stat().st_size / len(rows)
    assert 1300 < size < 4000


# --- merging ---------------------------------------------------------------------------------


def test_of_two_rows_the_one_that_was_trained_further_stays(chance):
    spec = small()
    failed = failed_row(spec, "boom")
    short, long = (row_of(spec, chance, "decided", records) for records in (4, 6))
    done = row_of(spec, chance, "done")
    ranked = [failed, short, long, done]
    for worse, better in pairwise(ranked):
        for order in ([worse, better], [better, worse]):
            (kept,) = Ledger(order)
            assert result(kept) == result(better)
    # Of equals the newer one.
    other = row_of(spec, chance)
    (kept,) = Ledger([done, other])
    assert kept is other


def test_what_only_one_of_two_rows_measured_is_kept(chance):
    spec = small()
    short, long = (row_of(spec, chance, "decided", records) for records in (4, 6))
    extra = {"probe(rows=3)/step": np.array([0, 8]), "probe(rows=3)/r:a.b": np.array([0.5, 0.7])}
    measured = replace(short, curves={**short.curves, **extra})
    for order in ([measured, long], [long, measured]):
        (kept,) = Ledger(order)
        assert kept.steps_taken == long.steps_taken
        assert kept.curves.keys() == long.curves.keys() | extra.keys()
        for name, values in long.curves.items():
            assert kept.curves[name] is values
        assert kept.curve("probe(rows=3)/r:a.b")[0].tolist() == [0, 8]
    # The row that was trained further has its own readings, also those that end sooner.
    fewer = {n: v for n, v in long.curves.items() if not n.startswith("weight_spectrum")}
    (kept,) = Ledger([short, replace(long, curves=fewer)])
    assert kept.curves["weight_spectrum/step"] is short.curves["weight_spectrum/step"]


def test_a_forgotten_row_is_asked_for_again(chance):
    ledger = Ledger([row_of(small(), chance)])
    ledger.forget(ledger.get(small()))
    assert ledger.get(small()) is None
    ledger.forget(row_of(small(), chance))  # forgetting twice is no error


def test_a_decided_row_answers_only_decisions_that_it_has_reached(chance):
    row = row_of(small(), chance, "decided")
    row.curves["train_accuracy"][:] = np.linspace(0, 0.8, RECORDS)
    ledger = Ledger([row])
    assert ledger.get(small()) is None
    assert ledger.get(small(), HALF).steps_taken == 4 * 8  # 0.56 and 0.64 are records 7 and 8
    assert ledger.get(small(), replace(HALF, threshold=0.9)) is None
    assert ledger.get(small(seed=1), HALF) is None


# --- errors ----------------------------------------------------------------------------------


def test_two_specs_of_one_signature_clash(chance):
    row = row_of(small(seed=0), chance)
    thief = replace(row_of(small(seed=1), chance), signature=row.signature)
    with pytest.raises(RuntimeError, match=r"another spec with the signature .* different ledgers"):
        Ledger([row, thief])
    with pytest.raises(RuntimeError, match=f"another spec with the signature {row.signature}"):
        Ledger([thief]).get(small(seed=0))


@pytest.mark.parametrize("change", ["cut", "empty", "text", "foreign"])
def test_a_damaged_file_is_an_error_and_never_a_ledger(tmp_path, chance, change):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = written(tmp_path, [row_of(small(seed=s), chance) for s in range(3)])
    if change == "foreign":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        data = path.read_bytes()
        path.write_bytes({"cut": data[:-9], "empty": b"", "text": b"no ledger"}[change])
    with pytest.raises(DamagedError, match=f"{path.name}.*no ledger"):
        Ledger.read(path)


def test_altered_values_are_noticed(tmp_path, chance):
    import pyarrow.parquet as pq

    rows = [row_of(small(seed=s), chance) for s in range(3)]
    path = written(tmp_path, rows)
    data = path.read_bytes()
    metadata = pq.read_metadata(path)
    # The pages, whose checksums cover all values, end where the footer begins.
    pages = len(data) - metadata.serialized_size - 8
    noticed = 0
    for place in chance.integers(4, pages, size=60):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            back = Ledger.read(path)
        except DamagedError:
            noticed += 1
        else:  # a byte of a page's header that says nothing about its values
            assert results(back) == results(Ledger(rows))
    # Of pages of a hundred bytes, up to half is header.
    assert noticed >= 30


def test_unknown_curve_lists_the_known(chance):
    row = row_of(small(), chance)
    with pytest.raises(KeyError, match=r"no curve 'accuracy' in .*known: step, train_accuracy"):
        row.curve("accuracy")
    steps, ranks = row.curve("weight_spectrum/stable_rank")
    assert steps.tolist() == [0, 8, 16, 24, 32]
    assert ranks is row.curves["weight_spectrum/stable_rank"]


# --- rows of stored runs ---------------------------------------------------------------------


def test_a_row_is_what_was_stored(tmp_path):
    plan = plan_at(tmp_path)
    (stored,) = run([small(seed=3)], plan)
    row = stored_row(small(seed=3), plan)
    assert (row.state, row.steps_taken, row.signature) == ("done", 40, stored.folder.signature)
    for name in ("train_accuracy", "validation_accuracy_mirror", "test_accuracy", "step"):
        np.testing.assert_array_equal(row.curves[name], stored.curves[name])
    # Five digits of the loss: half a unit of the last one.
    loss = stored.curves["validation_loss"]
    np.testing.assert_allclose(row.curves["validation_loss"], loss, rtol=0.5e-4)
    steps, reading = stored.reading(WeightSpectrum())
    ours, mean = row.curve("weight_spectrum/stable_rank")
    assert ours.tolist() == steps.tolist() == [0, 8, 16, 24, 32, 40]
    np.testing.assert_allclose(mean, reading["stable_rank"].mean(axis=1), rtol=0.5e-4)
    assert row.seconds == pytest.approx(stored.folder.read_origin().seconds, abs=0.005)


def test_a_metric_that_decides_is_kept_exact(tmp_path):
    # The loss begins near log 8 = 2.1 and is above 1 for three records at once.
    until = Decision("train_loss", threshold=1.0, patience=3)
    plan = plan_at(tmp_path, until=until)
    (stored,) = run([small()], plan)
    row = stored_row(small(), plan)
    assert (row.state, row.steps_taken) == ("decided", 8)
    np.testing.assert_array_equal(row.curves["train_loss"], stored.curves["train_loss"])
    assert Ledger([row]).get(small(), until) is not None


def test_damaged_runs_have_no_row(tmp_path):
    plan = plan_at(tmp_path, keep_snapshots=True)
    (stored,) = run([small()], plan)
    assert stored_row(small(), plan) is not None
    snapshot = next(stored.folder.path.rglob("*40*.safetensors"))
    data = snapshot.read_bytes()
    snapshot.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # the same size, another value
    assert stored_row(small(), plan) is None


def test_runs_without_a_wanted_reading_have_no_row(tmp_path):
    bare = plan_at(tmp_path, instruments=())
    run([small()], bare)
    assert stored_row(small(), bare) is not None
    assert stored_row(small(), plan_at(tmp_path)) is None
    # An instrument whose turn never came is not missed.
    never = plan_at(tmp_path, instruments=((WeightSpectrum(), lambda step: step == 5),))
    assert stored_row(small(), never) is not None


def test_the_furthest_row_goes_beyond_the_horizon_and_no_further_than_the_decision(chance):
    until = Decision("validation_accuracy", threshold=0.9, patience=2, horizon=12)
    quiet, learned = (row_of(small(seed=s), chance, "decided") for s in (0, 1))
    quiet.curves["validation_accuracy"][:] = 0.5
    learned.curves["validation_accuracy"][:] = [0.5] * 5 + [1.0] * 6
    ledger = Ledger([quiet, learned])
    specs = small(seed=0), small(seed=1)
    assert [ledger.get(spec, until).steps_taken for spec in specs] == [12, 12]
    # One was trained to 40 and stayed quiet; the other held 0.9 at 20 and 24.
    assert [ledger.furthest(spec, until).steps_taken for spec in specs] == [40, 24]
    assert ledger.furthest(small(seed=2), until) is None
    assert ledger.furthest(specs[0], replace(until, horizon=100)) is None
