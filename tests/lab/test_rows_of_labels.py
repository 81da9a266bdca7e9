"""Curves of labelled outputs in rows, and instruments that look at every snapshot in runs."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from cases import EAGER, TINY_MODEL, tiny
from spectraledge.instruments import (
    Instrument,
    Output,
    SpectralEdge,
    TrajectoryPCA,
    UpdateDecomposition,
    WeightSpectrum,
    Window,
)
from spectraledge.lab import Plan, run
from spectraledge.lab.ledger_file import ledger_to_bytes, rows_from_bytes
from spectraledge.lab.recorder import read_saved
from spectraledge.lab.rows import stored_row
from spectraledge.models import PreNormEncoderSpec
from spectraledge.training import At, Every, Problem

SPEC = tiny(model=replace(TINY_MODEL, layers=1))


@dataclass(frozen=True)
class Labelled(Instrument):
    """Outputs of every kind of axes."""

    shift: float = 0.0
    path: str = ""

    name: ClassVar[str] = "labelled"
    outputs: ClassVar = {
        "number": Output("one number"),
        "mean": Output("a mean over matrices", axes=("matrix",)),
        "every": Output("every matrix", axes=("matrix",), each=True),
        "pair": Output("two axes", axes=("matrix", "side"), each=True),
        "bare": Output("an axis without names", axes=("index",), each=True),
        "left_out": Output("no mean", axes=("side",)),
    }

    def labels(self, window: Window):
        names = [n for n in window.now.layout.names if n.endswith("query.weight")]
        return {"matrix": (*names, "a/b"), "side": ("x", "y")}

    def measure(self, window: Window):
        R, now = window.now.runs, window.now.step + self.shift
        shapes = {"number": (), "mean": (2,), "every": (2,), "pair": (2, 2), "bare": (3,),
                  "left_out": (2,)}  # fmt: skip
        arrays = {}
        for name, shape in shapes.items():
            count = torch.arange(float(np.prod(shape, dtype=int)), dtype=torch.float64)
            arrays[name] = (now + count.reshape(shape)).expand(R, *shape).clone()
        return arrays


QUERY = "blocks.0.attention.query.weight"


def row_of(tmp_path, *instruments, spec=SPEC):
    plan = Plan(tmp_path, instruments=instruments, execution=EAGER)
    run([spec], plan)
    row = stored_row(spec, plan)
    assert row is not None
    return row


def test_rows_keep_numbers_means_and_the_labels_that_are_asked_for(tmp_path):
    row = row_of(tmp_path, Labelled())
    ours = {n: v.tolist() for n, v in row.curves.items() if n.startswith("labelled/")}
    at = np.array([0, 4, 8, 12])
    expected = {
        "labelled/step": at,
        "labelled/number": at,
        "labelled/mean": at + 0.5,
        "labelled/every": at + 0.5,
        f"labelled/every:{QUERY}": at,
        "labelled/every:a%2Fb": at + 1,
        f"labelled/pair:{QUERY},x": at,
        f"labelled/pair:{QUERY},y": at + 1,
        "labelled/pair:a%2Fb,x": at + 2,
        "labelled/pair:a%2Fb,y": at + 3,
        "labelled/bare:0": at,
        "labelled/bare:1": at + 1,
        "labelled/bare:2": at + 2,
    }
    assert ours == {name: values.tolist() for name, values in expected.items()}
    steps, values = row.curve("labelled/every:a%2Fb")
    assert steps.tolist() == at.tolist()
    assert values.tolist() == (at + 1).tolist()


def test_rows_with_labels_survive_the_ledger(tmp_path):
    row = row_of(tmp_path, Labelled())
    (again,) = rows_from_bytes(ledger_to_bytes([row]), tmp_path)
    assert set(again.curves) == set(row.curves)
    for name, values in row.curves.items():
        np.testing.assert_array_equal(again.curves[name], values)


def test_two_instruments_of_one_class_have_their_own_curves(tmp_path):
    row = row_of(tmp_path, Labelled(), Labelled(shift=100.0, path="a/b"))
    assert row.curve("labelled/number")[1].tolist() == [0, 4, 8, 12]
    other = "labelled(shift=100.0, path='a%2Fb')/number"
    steps, values = row.curve(other)
    assert steps.tolist() == [0, 4, 8, 12]
    assert values.tolist() == [100, 104, 108, 112]


def test_the_only_instrument_of_its_name_keeps_its_short_name(tmp_path):
    """As rows have called it before, whatever its fields are."""
    row = row_of(tmp_path, WeightSpectrum(kinds=("value",)))
    ours = {n for n in row.curves if "/" in n}
    matrices = {n for n, o in WeightSpectrum.outputs.items() if o.axes == ("matrix",)}
    assert ours == {"weight_spectrum/step"} | {f"weight_spectrum/{n}" for n in matrices}


@pytest.mark.parametrize("model", [TINY_MODEL, PreNormEncoderSpec(width=16, heads=2, mlp_width=24)])
def test_labels_come_from_the_spec(tmp_path, model):
    spec = tiny(model=model)
    row = row_of(tmp_path, TrajectoryPCA(components=2), spec=spec)
    layout = Problem([spec], EAGER).layout
    assert layout.names
    scopes = [n.partition(":")[2] for n in row.curves if n.startswith("trajectory_pca/z_score:")]
    assert {"layer0.attention.query", "layer1 mean", "attention", "model"} <= set(scopes)
    assert row.curve("trajectory_pca/snapshots")[1].tolist() == [1, 2, 3, 4]
    assert "trajectory_pca/share:layer1 mean,PC2" in row.curves
    assert not any(n.startswith("trajectory_pca/first_share_without_start:") for n in row.curves)


class Stop(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


@pytest.mark.parametrize("keep", [True, False])
def test_resumed_runs_measure_the_whole_trajectory(tmp_path, keep):
    specs = [replace(SPEC, seed=s) for s in (0, 1)]
    undisturbed = Plan(tmp_path / "a", (TrajectoryPCA(),), keep, EAGER)
    disturbed = replace(undisturbed, root=tmp_path / "b")

    def interrupt(progress):
        if progress.step == 10 and progress.snapshot is None:
            raise Stop

    with pytest.raises(Stop):
        run(specs, disturbed, interrupt)
    tensors, _ = disturbed.folder(specs[0]).read_checkpoint()
    held = sorted(n for n in tensors if n.startswith("window/") and n != "window/steps")
    # Snapshots that are on disk by themselves need not be in the checkpoint as well.
    assert held == ([] if keep else ["window/0", "window/4"])
    saved = read_saved(disturbed.folder(specs[0]))
    assert [step for step, _, _ in saved.window] == [0, 4, 8]
    for ours, theirs in zip(run(specs, disturbed), run(specs, undisturbed)):
        for a, b in zip(ours.reading(TrajectoryPCA()), theirs.reading(TrajectoryPCA())):
            np.testing.assert_equal(a, b)


def test_a_trajectory_newly_asked_for_begins_at_the_start(tmp_path):
    before, after = (Plan(tmp_path / "a", i, False, EAGER) for i in ((), (TrajectoryPCA(),)))

    def interrupt(progress):
        if progress.step == 10 and progress.snapshot is None:
            raise Stop

    with pytest.raises(Stop):
        run([SPEC], before, interrupt)
    with pytest.warns(UserWarning, match="start again from step 0: they stand at step 8"):
        late = run([SPEC], after)[0]
    whole = run([SPEC], replace(after, root=tmp_path / "b"))[0]
    np.testing.assert_equal(late.reading(TrajectoryPCA()), whole.reading(TrajectoryPCA()))
    np.testing.assert_equal(late.curve("train_loss"), whole.curve("train_loss"))


SKETCHED = (
    TrajectoryPCA(sketch=64),
    SpectralEdge(window=2, sketch=64),
    UpdateDecomposition(window=2, components=2, sketch=64),
)


def interrupted(specs, plan, step=10):
    def interrupt(progress):
        if progress.step == step and progress.snapshot is None:
            raise Stop

    with pytest.raises(Stop):
        run(specs, plan, interrupt)


def test_sketches_go_on_where_a_run_was_interrupted(tmp_path):
    specs = [SPEC, replace(SPEC, seed=SPEC.seed + 1)]
    undisturbed, disturbed = (Plan(tmp_path / n, SKETCHED, False, EAGER) for n in "ab")
    interrupted(specs, disturbed)
    saved = read_saved(disturbed.folder(specs[0]))
    assert {int(name.split("/")[1]) for name in saved.sketches} == {0, 4, 8}
    assert [step for step, _, _ in saved.window] == [8]
    for ours, theirs in zip(run(specs, disturbed), run(specs, undisturbed)):
        for instrument in SKETCHED:
            for a, b in zip(ours.reading(instrument), theirs.reading(instrument)):
                np.testing.assert_equal(a, b)


def test_a_sketch_whose_first_measurement_comes_later_goes_on(tmp_path, recwarn):
    measured = ((SKETCHED[0], Every(8)), (replace(SKETCHED[0], components=3), At((8, 12))))
    undisturbed, disturbed = (Plan(tmp_path / n, measured, False, EAGER) for n in "ab")
    interrupted([SPEC], disturbed)
    ours, theirs = (run([SPEC], plan)[0] for plan in (disturbed, undisturbed))
    for instrument, _ in measured:
        for a, b in zip(ours.reading(instrument), theirs.reading(instrument)):
            np.testing.assert_equal(a, b)
    assert not [w for w in recwarn if "start again" in str(w.message)]


def test_a_sketched_trajectory_newly_asked_for_begins_at_the_start(tmp_path):
    interrupted([SPEC], Plan(tmp_path / "a", (), False, EAGER))
    sketched = Plan(tmp_path / "a", SKETCHED[:1], False, EAGER)
    with pytest.warns(UserWarning, match="start again from step 0: they stand at step 8"):
        late = run([SPEC], sketched)[0]
    whole = run([SPEC], replace(sketched, root=tmp_path / "b"))[0]
    np.testing.assert_equal(late.reading(SKETCHED[0]), whole.reading(SKETCHED[0]))


def test_measuring_afterwards_equals_measuring_live(tmp_path):
    live = run([SPEC], Plan(tmp_path / "a", (TrajectoryPCA(),), True, EAGER))[0]
    run([SPEC], Plan(tmp_path / "b", (), True, EAGER))
    later = run([SPEC], Plan(tmp_path / "b", (TrajectoryPCA(),), True, EAGER))[0]
    np.testing.assert_equal(later.reading(TrajectoryPCA()), live.reading(TrajectoryPCA()))


def test_a_checkpoint_that_lost_a_snapshot_is_not_resumed_from(tmp_path):
    plan = Plan(tmp_path, (TrajectoryPCA(),), True, EAGER)

    def interrupt(progress):
        if progress.step == 10 and progress.snapshot is None:
            raise Stop

    with pytest.raises(Stop):
        run([SPEC], plan, interrupt)
    folder = plan.folder(SPEC)
    lost = next(p for p in folder.path.rglob("*") if p.is_file() and "4" in p.name.split(".")[0]
                and "snapshot" in str(p.relative_to(folder.path)))  # fmt: skip
    lost.unlink()
    assert read_saved(folder) is None
    assert run([SPEC], plan)[0].failure is None


def test_a_reading_of_another_shape_is_reported(tmp_path):
    plan = Plan(tmp_path, (Labelled(),), execution=EAGER)
    result = run([SPEC], plan)[0]
    steps, arrays = result.reading(Labelled())
    (tmp_path / "other").mkdir()
    from spectraledge.lab.reading_curves import reading_curves

    class Folder:
        def read_reading(self, instrument):
            return steps, {"every": arrays["every"][:, :1]}

    with pytest.raises(ValueError, match=r"expected 2 entries along 'matrix'.*got 1"):
        reading_curves(SPEC, Folder(), Labelled(), "labelled")
