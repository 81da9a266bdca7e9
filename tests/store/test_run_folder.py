"""A run on disk: what is read is what was written, or nothing is."""

import json
import os
import pickle
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

import numpy as np
import pytest
import torch

from spectraledge.snapshots import Layout
from spectraledge.store import (
    DamagedError,
    Origin,
    RunFolder,
    Status,
    canonical_json,
    from_canonical,
    signature,
)


@dataclass(frozen=True)
class Spec:
    modulus: int = 7
    seed: int = 0


@dataclass(frozen=True)
class WeightSpectrum:
    name: str = "query"


LAYOUT = Layout(("a", "b"), ((2, 3), (2,)))
FILES = [
    "spec.json",
    "origin.json",
    "curves.parquet",
    "snapshots/step-00000000.safetensors",
    f"readings/weight-spectrum-{signature(WeightSpectrum())}.parquet",
]


def origin():
    return Origin.now(datetime.now(UTC), seconds=1.25, device="cpu")


def write(run):
    run.begin()
    for step in (0, 200):
        run.write_snapshot(
            step, {"parameters": torch.arange(8.0) + step}, {"layout": canonical_json(LAYOUT)}
        )
    run.write_curves(
        {"step": np.array([0, 100, 200]), "loss": torch.tensor([2.0, 1.0, float("nan")])}
    )
    run.write_reading(WeightSpectrum(), [0, 200], {"spectrum": torch.ones(2, 4, 3)})
    run.write_checkpoint({"momentum": torch.ones(3)}, {"step": "200"})


@pytest.fixture
def partial(tmp_path):
    run = RunFolder.of(tmp_path / "runs", "Rank collapse", Spec())
    write(run)
    return run


@pytest.fixture
def done(partial):
    partial.finish(origin())
    return partial


def test_life_of_a_run(tmp_path):
    run = RunFolder.of(tmp_path, "Rank collapse", Spec())
    assert run.status() == Status("missing")
    assert not run.is_done()
    write(run)
    assert run.status() == Status("partial")
    assert run.has_checkpoint()
    run.finish(origin())
    assert run.status() == Status("done")
    assert run.is_done()
    assert not run.has_checkpoint()
    assert run.path.name == f"rank-collapse-{signature(Spec())}"
    assert sorted(p.name for p in run.path.iterdir()) == [
        "curves.parquet", "done", "origin.json", "readings", "snapshots", "spec.json"
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["partial", "done"])
def test_everything_comes_back(state, request):
    run = request.getfixturevalue(state)
    tensors, metadata = run.read_snapshot(200)
    assert torch.equal(tensors["parameters"], torch.arange(8.0) + 200)
    assert from_canonical(metadata["layout"], [Layout]) == LAYOUT
    assert run.snapshot_steps() == [0, 200]
    curves = run.read_curves()
    assert curves["step"].tolist() == [0, 100, 200]
    assert np.isnan(curves["loss"][2])
    steps, arrays = run.read_reading(WeightSpectrum())
    assert steps.tolist() == [0, 200]
    assert arrays["spectrum"].shape == (2, 4, 3)
    assert run.readings() == [f"weight-spectrum-{signature(WeightSpectrum())}"]
    assert run.read_reading(run.readings()[0])[0].tolist() == [0, 200]
    assert from_canonical(run.read_spec(), [Spec]) == Spec()


def test_checkpoint_comes_back(partial):
    tensors, metadata = partial.read_checkpoint()
    assert tensors["momentum"].tolist() == [1, 1, 1]
    assert metadata == {"step": "200"}


def test_origin_comes_back(done):
    found = done.read_origin()
    assert found.seconds == 1.25
    assert found.versions["torch"] == torch.__version__
    assert datetime.fromisoformat(found.finished).tzinfo is not None


def test_origin_needs_a_time_zone():
    with pytest.raises(ValueError, match="a time with a time zone, got 2026"):
        Origin.now(datetime(2026, 1, 1), seconds=0.0, device="cpu")


def test_the_readable_name_is_no_part_of_the_identity(done):
    again = RunFolder.of(done.root, "another name", Spec())
    assert again.path == done.path
    assert again.is_done()
    assert not RunFolder.of(done.root, "Rank collapse", Spec(seed=1)).is_done()


def test_readings_can_be_added_to_a_finished_run(done):
    key = WeightSpectrum("key")
    done.write_reading(key, [0], {"rank": torch.ones(1)})
    done.write_reading(key, [0, 1], {"rank": torch.zeros(2)})
    assert done.is_done()
    assert done.read_reading(key)[1]["rank"].tolist() == [0, 0]
    assert len(done.readings()) == 2


def test_a_quick_look_compares_sizes(done):
    assert done.status(thorough=False) == Status("done")
    curves = done.path / "curves.parquet"
    data = curves.read_bytes()
    curves.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert done.status(thorough=False).state == "done"
    assert done.status().state == "damaged"
    curves.write_bytes(data[:-1])
    assert str(done.status(thorough=False)).endswith(
        f"{len(data) - 1} bytes instead of {len(data)}"
    )
    curves.unlink()
    assert "curves.parquet is missing" in str(done.status(thorough=False))


def test_a_quick_look_at_an_unfinished_run(partial):
    assert partial.status(thorough=False) == Status("partial")
    (partial.path / "spec.json").unlink()
    assert str(partial.status(thorough=False)) == "damaged: spec.json is missing"


@pytest.fixture
def interrupt(monkeypatch):
    """Let n renames happen, then stop as Ctrl-C would."""

    def after(renames):
        real, calls = os.replace, count()

        def replace_until(*paths):
            if next(calls) == renames:
                raise KeyboardInterrupt
            real(*paths)

        monkeypatch.setattr(os, "replace", replace_until)

    return after


@pytest.mark.parametrize(("renames", "values"), [(0, [[1.0, 1.0]]), (1, []), (2, [])])
def test_replacing_a_reading_can_stop_anywhere(done, interrupt, renames, values):
    """The renames: forget the old reading, put the new one in place, list it."""
    key = WeightSpectrum("key")
    done.write_reading(key, [0, 1], {"rank": torch.ones(2)})
    interrupt(renames)
    with pytest.raises(KeyboardInterrupt):
        done.write_reading(key, [0, 1], {"rank": torch.zeros(2)})
    assert done.is_done()
    name = f"weight-spectrum-{signature(key)}"
    found = [done.read_reading(key)[1]["rank"].tolist()] if name in done.readings() else []
    assert found == values


@pytest.mark.parametrize("renames", [0, 1])
def test_finishing_can_stop_anywhere(partial, interrupt, renames):
    """The renames: origin.json, then done."""
    interrupt(renames)
    with pytest.raises(KeyboardInterrupt):
        partial.finish(origin())
    assert partial.status() == Status("partial")
    assert partial.has_checkpoint()


def test_a_finished_run_takes_nothing_else(done):
    with pytest.raises(RuntimeError, match=r"is done, got a new curves.parquet; reset\(\)"):
        done.write_curves({"step": [0]})
    with pytest.raises(RuntimeError, match=r"is done; read it, or reset\(\)"):
        done.begin()


def test_nothing_is_written_before_begin(tmp_path):
    run = RunFolder.of(tmp_path, "demo", Spec())
    with pytest.raises(RuntimeError, match=r"has no spec.json, got curves.parquet; begin\(\)"):
        run.write_curves({"step": [0]})
    assert run.status() == Status("missing")


@pytest.mark.parametrize("name", [*FILES, "done"])
def test_a_flipped_bit_in_a_finished_run_is_noticed(done, name):
    path = done.path / name
    whole = path.read_bytes()
    for position in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
        for bit in range(8):
            path.write_bytes(flipped(whole, position, bit))
            assert done.verify(), (position, bit)
            assert done.status().state == "damaged"
            assert not done.is_done()
            if name != "done":  # its entries are judged one by one; `verify` judges them all
                with pytest.raises(DamagedError, match="damaged"):
                    read(done, name)
    path.write_bytes(whole)
    assert done.verify() == []


@pytest.mark.parametrize("name", FILES)
def test_a_short_or_lost_file_of_a_finished_run_is_noticed(done, name):
    path = done.path / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert done.verify() == [f"{name} has {len(whole) - 1} bytes instead of {len(whole)}"]
    with pytest.raises(DamagedError, match="bytes instead of"):
        read(done, name)
    path.unlink()
    assert done.verify() == [f"{name} is missing (No such file or directory)"]
    assert done.status().state == "damaged"
    with pytest.raises(DamagedError, match="is missing"):
        read(done, name)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"files": 3}', b'{"files": {"a": {}}}', b"\xff"]
)
def test_an_unreadable_done_is_damage(done, content):
    (done.path / "done").write_bytes(content)
    assert done.status().state == "damaged"
    assert "done cannot be read" in done.status().reasons[0]
    for action in (done.read_curves, done.snapshot_steps, done.readings):
        with pytest.raises(DamagedError, match="done cannot be read"):
            action()


def test_a_file_that_done_does_not_list_is_not_there(done):
    """What is left when a process dies between writing a reading and listing it."""
    stray = done.path / "readings" / "weight-spectrum-00000000.parquet"
    stray.write_bytes((done.path / FILES[-1]).read_bytes())
    assert done.is_done()
    assert len(done.readings()) == 1
    with pytest.raises(
        FileNotFoundError,
        match=r"no readings/weight-spectrum-00000000.parquet in .*it holds curves",
    ):
        done.read_reading("weight-spectrum-00000000")


@pytest.mark.parametrize(
    "name", ["spec.json", "curves.parquet", "checkpoint.safetensors", *FILES[3:]]
)
def test_damage_in_an_unfinished_run_is_noticed(partial, name):
    path = partial.path / name
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], flipped(whole, len(whole) // 2, 3), b""):
        path.write_bytes(damaged)
        assert partial.status().state == "damaged"
        with pytest.raises(DamagedError):
            partial.finish(origin())
    assert not (partial.path / "done").exists()


def test_a_lost_spec_is_damage(partial):
    (partial.path / "spec.json").unlink()
    assert partial.status() == Status("damaged", ("spec.json is missing",))


def test_an_edited_spec_is_damage(partial):
    (partial.path / "spec.json").write_text(canonical_json(Spec(modulus=11)))
    assert partial.status().state == "damaged"
    assert "its signature is not" in partial.status().reasons[0]


def test_leftovers_of_killed_writers_are_ignored_and_swept(partial):
    leftover = partial.path / "snapshots" / ".step-00000400.safetensors.123.unfinished"
    leftover.write_bytes(b"half")
    assert partial.status() == Status("partial")
    assert partial.snapshot_steps() == [0, 200]
    partial.begin()
    assert not leftover.exists()
    assert partial.has_checkpoint()


def test_a_folder_with_nothing_but_leftovers_is_missing(tmp_path):
    run = RunFolder.of(tmp_path, "demo", Spec())
    run.path.mkdir()
    (run.path / ".spec.json.1.unfinished").write_bytes(b"{")
    assert run.status() == Status("missing")


@pytest.mark.parametrize("keep", [True, False])
def test_a_damaged_run_is_reset_and_done_again(done, keep):
    (done.path / "curves.parquet").unlink()
    aside = done.reset(keep=keep)
    assert done.status() == Status("missing")
    assert (aside is not None and (aside / "done").exists()) == keep
    write(done)
    done.finish(origin())
    assert done.is_done()
    second = done.reset(keep=True)
    assert second is not None
    assert second != aside
    assert done.reset() is None


def test_failure_is_recorded_with_its_traceback(partial):
    try:
        raise ZeroDivisionError("loss / 0")
    except ZeroDivisionError as error:
        partial.fail(error)
    assert partial.status() == Status("failed", ("ZeroDivisionError: loss / 0",))
    assert "test_failure_is_recorded" in partial.read_failure()["traceback"]
    assert partial.has_checkpoint()
    partial.begin()
    assert partial.status() == Status("partial")


def test_a_failed_run_that_finishes_is_done(partial):
    partial.fail(RuntimeError("once"))
    partial.finish(origin())
    assert partial.is_done()
    assert not (partial.path / "failed.json").exists()


# {"x": 26717} and {"x": 31076} share the first 32 bits of their SHA-256 (found by search).
def test_two_specs_with_one_signature_are_told_apart(tmp_path):
    first, second = (RunFolder.of(tmp_path, "demo", {"x": x}) for x in (26717, 31076))
    assert first.path == second.path
    first.begin()
    for action in (second.begin, second.status):
        with pytest.raises(RuntimeError, match="another spec with the signature 6071f952"):
            action()


def test_a_folder_can_be_opened_by_its_path(done):
    run = RunFolder.at(done.path)
    assert run.is_done()
    assert run.path == done.path
    assert run == replace(done, spec_json=None)
    with pytest.raises(ValueError, match=r"expected a folder slug-xxxxxxxx, got .*elsewhere"):
        RunFolder.at(done.root / "elsewhere")


def test_absent_files_are_named_with_those_there_are(partial):
    with pytest.raises(
        FileNotFoundError, match=r"no snapshots/step-00000007.* it holds .*step-00000200"
    ):
        partial.read_snapshot(7)
    with pytest.raises(ValueError, match="step >= 0, got -1"):
        partial.write_snapshot(-1, {})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"loss": [1.0]}, r"a column 'step', got \['loss'\]"),
        ({"step": [0, 0]}, "ascending whole steps"),
        ({"step": [0.0, 1.0]}, "ascending whole steps"),
        ({"step": np.zeros((2, 1), int)}, "ascending whole steps"),
    ],
)
def test_curves_need_ascending_steps(partial, columns, message):
    with pytest.raises(ValueError, match=message):
        partial.write_curves(columns)


def test_errors_travel_between_processes():
    error = DamagedError("runs/a", ["done is cut short"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_spec_is_readable_by_people(partial):
    text = (partial.path / "spec.json").read_text()
    assert json.loads(text) == {"type": "Spec", "modulus": 7, "seed": 0}
    assert text.count("\n") == 5


def read(run, name):
    reader = {
        "spec.json": run.read_spec,
        "origin.json": run.read_origin,
        "curves.parquet": run.read_curves,
        FILES[3]: lambda: run.read_snapshot(0),
        FILES[4]: lambda: run.read_reading(WeightSpectrum()),
    }
    return reader[name]()


def flipped(data, position, bit):
    return data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]
