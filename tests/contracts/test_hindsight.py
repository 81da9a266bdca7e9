"""What holds for everything measured in hindsight, found by walking the package."""

import importlib
import pkgutil
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

import spectraledge.instruments as package
from cases import EAGER, TINY_MODEL, tiny
from spectraledge.instruments import Hindsight, Window
from spectraledge.instruments.hindsight import KNOWN_UNTIL
from spectraledge.training import Problem, Trainer

MODEL = replace(TINY_MODEL, layers=1)
SPECS = [tiny(seed=seed, model=MODEL) for seed in range(3)]
STEPS = (0, 8, 12)


def every_hindsight() -> list[type[Hindsight]]:
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return [c for c in Hindsight.__subclasses__() if c.__module__.startswith(package.__name__)]


KINDS = every_hindsight()
each = pytest.mark.parametrize("hindsight", [kind() for kind in KINDS], ids=lambda h: h.name)


@pytest.fixture(scope="module")
def problem():
    return Problem(SPECS, EAGER)


@pytest.fixture(scope="module")
def snapshots(problem):
    return list(Trainer(problem).snapshots())


def part_of(readings, runs):
    return [{name: a[runs].nan_to_num(nan=-7.0) for name, a in r.items()} for r in readings]


def equal(first, second):
    return all(
        torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a
    )


def test_all_are_exported():
    assert KINDS
    assert {kind.__name__ for kind in KINDS} <= set(package.__all__)


@each
def test_frozen_and_documented(hindsight):
    with pytest.raises(FrozenInstanceError):
        hindsight.name = "other"
    assert hash(hindsight) == hash(replace(hindsight))
    assert all(output.meaning and output.unit for output in hindsight.outputs.values())


@each
def test_arrays_are_as_declared_at_every_step_that_was_asked_for(hindsight, snapshots, problem):
    readings = hindsight.measure_whole(snapshots, STEPS, problem)
    labels = hindsight.labels(Window(tuple(snapshots), problem))
    assert len(readings) == len(STEPS)
    for reading in readings:
        assert set(reading) == set(hindsight.outputs)
        for name, array in reading.items():
            sizes = [len(labels[axis]) for axis in hindsight.outputs[name].axes]
            assert array.dtype == torch.float64, name
            assert array.shape == (len(SPECS), *sizes), name


@each
def test_a_reading_says_where_the_run_ended(hindsight, snapshots, problem):
    for end in (2, 4):
        (reading,) = hindsight.measure_whole(snapshots[:end], [4], problem)
        assert reading[KNOWN_UNTIL].tolist() == [snapshots[end - 1].step] * len(SPECS)


@each
def test_snapshots_are_not_written_to(hindsight, snapshots, problem):
    before = [s.parameters.clone() for s in snapshots]
    hindsight.measure_whole(snapshots, STEPS, problem)
    assert all(torch.equal(s.parameters, theta) for s, theta in zip(snapshots, before))


@each
def test_a_broken_run_does_not_touch_the_others(hindsight, snapshots, problem):
    broken = []
    for snapshot in snapshots:
        parameters = snapshot.parameters.clone()
        parameters[1] = torch.nan
        broken.append(replace(snapshot, parameters=parameters))
    healthy = torch.tensor([0, 2])
    found, expected = (hindsight.measure_whole(s, STEPS, problem) for s in (broken, snapshots))
    assert equal(part_of(found, healthy), part_of(expected, healthy))
