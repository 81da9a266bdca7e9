"""What holds for every instrument, found by walking the package: add a file and it is tested."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, replace
from math import prod

import pytest
import torch

import spectraledge.instruments as package
from cases import EAGER, TINY_MODEL, tiny
from spectraledge.instruments import (
    CommutatorDefect,
    Curvature,
    CurvatureAlignment,
    FourierStructure,
    GapFlow,
    Instrument,
    Observer,
    RepresentationProbe,
    SpectralEdge,
    SubspaceProjection,
    TrajectoryPCA,
    UpdateDecomposition,
    Window,
    instrument_key,
)
from spectraledge.snapshots import Snapshot
from spectraledge.store.tensors import tensors_from_bytes, tensors_to_bytes
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, LowRank, WeightDecay

UPDATES = (WeightDecay(0.1), Adam(), LowRank(0.01, scale="absolute", coupled=False, method="svd"))
MODEL = replace(TINY_MODEL, layers=1)
# Five snapshots, which is what a short window of updates needs to turn once.
SPECS = [
    tiny(seed=seed, updates=UPDATES, model=MODEL, steps=8, record_every=2) for seed in range(3)
]


def every_instrument() -> list[type[Instrument]]:
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return sorted(
        (c for c in Instrument.__subclasses__() if c.__module__.startswith(package.__name__)),
        key=lambda c: c.name,
    )


KINDS = every_instrument()
# Defaults, and arguments that fill outputs which the defaults leave empty.
# Windows that the few snapshots here can fill.
SHORT = {
    SpectralEdge: {"window": 3},
    GapFlow: {"window": 3},
    # What holds of the iteration holds of a short one, and of many pairs holds of three.
    Curvature: {"iterations": 3},
    CommutatorDefect: {"pairs": 3},
    SubspaceProjection: {"pairs": 3},
    CurvatureAlignment: {"pairs": 3},
    # Small networks take a minute here; tests of the probes have them.
    RepresentationProbe: {"readers": ("linear", "quadratic")},
}
VARIANTS = [kind(**SHORT.get(kind, {})) for kind in KINDS] + [
    kind(heads=MODEL.heads) for kind in KINDS if "heads" in {f.name for f in fields(kind)}
]
# The tokens of the numbers alone, in an even and an odd number.
VARIANTS += [FourierStructure(modulus=7), FourierStructure(modulus=7, order="discrete_logarithm")]
VARIANTS += [SpectralEdge(window=3, sketch=64), UpdateDecomposition(sketch=64)]
VARIANTS += [TrajectoryPCA(sketch=64)]
# What this task has none of: only one token is read out, so that no two can be told apart nor a
# wave over positions be seen, and it is no bracket.
ABSENT = {
    "functional_response": {"position_mean_share", "position_concentration", "position_peak"},
    "singular_probe": {"separation"},
    "depth_composition": {"published_score", "score"},
}
each = pytest.mark.parametrize("instrument", VARIANTS, ids=instrument_key)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem(SPECS, EAGER)


@pytest.fixture(scope="module")
def snapshots(problem) -> list[Snapshot]:
    return list(Trainer(problem, record_parts=True).snapshots())


def observed(instrument, snapshots, problem) -> list[dict[str, torch.Tensor]]:
    observer = Observer([instrument], problem)
    return [observer.observe(s)[instrument_key(instrument)] for s in snapshots]


def differing(first, second) -> list[str]:
    """Outputs that are not equal bit for bit, NaN equal to NaN."""
    return [
        f"{name} at snapshot {index}"
        for index, (a, b) in enumerate(zip(first, second, strict=True))
        for name in a
        if not torch.equal(a[name].nan_to_num(nan=-7.0), b[name].nan_to_num(nan=-7.0))
    ]


def run_of(snapshot: Snapshot, run: int) -> Snapshot:
    one = slice(run, run + 1)
    return replace(
        snapshot,
        parameters=snapshot.parameters[one],
        parts={name: part[one] for name, part in snapshot.parts.items()},
        metrics={name: metric[one] for name, metric in snapshot.metrics.items()},
        alive=snapshot.alive[one],
        lr=snapshot.lr[one],
    )


def saved_and_loaded(snapshots) -> Iterator[Snapshot]:
    for snapshot in snapshots:
        tensors = {"parameters": snapshot.parameters, "lr": snapshot.lr, **snapshot.parts}
        loaded, _ = tensors_from_bytes(tensors_to_bytes(tensors, {}), "memory")
        parameters, lr = loaded.pop("parameters"), loaded.pop("lr")
        yield Snapshot(snapshot.step, snapshot.layout, parameters, parts=loaded, lr=lr)


def test_every_instrument_is_exported():
    assert KINDS
    assert {kind.__name__ for kind in KINDS} <= set(package.__all__)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@each
def test_frozen_and_documented(instrument):
    with pytest.raises(FrozenInstanceError):
        instrument.name = "other"
    assert hash(instrument) == hash(replace(instrument))
    for name, output in instrument.outputs.items():
        assert output.meaning, name
        assert output.unit, name


@each
def test_arrays_are_as_declared_at_every_snapshot(instrument, snapshots, problem):
    """Shapes must not change over steps either, or readings cannot be stacked."""
    for index, reading in enumerate(observed(instrument, snapshots, problem)):
        history = instrument.history or 0  # None looks at all, as the slice [-0:] does
        window = Window(tuple(snapshots[: index + 1])[-history:], problem)
        labels = instrument.labels(window)
        sizes = {axis: len(names) for axis, names in labels.items()}
        assert all(len(set(names)) == len(names) for names in labels.values())
        for name, array in reading.items():
            axes = instrument.outputs[name].axes
            assert array.dtype == torch.float64, name
            assert array.device.type == "cpu", name
            assert array.shape[0] == len(SPECS), name
            assert array.ndim == 1 + len(axes), name
            for axis, size in zip(axes, array.shape[1:]):
                assert sizes.setdefault(axis, size) == size, (name, axis)


@each
def test_something_is_measured(instrument, snapshots, problem):
    """At the last snapshot each output has a finite number, unless it is empty by choice."""
    last = observed(instrument, snapshots, problem)[-1]
    for name in last.keys() - ABSENT.get(instrument.name, set()):
        array = last[name]
        assert bool(array.isfinite().any()) or prod(array.shape) == 0, name


@each
def test_live_equals_post_hoc_bit_for_bit(instrument, snapshots, problem):
    live = observed(instrument, Trainer(problem, record_parts=True).snapshots(), problem)
    post_hoc = observed(instrument, saved_and_loaded(snapshots), problem)
    assert not differing(live, post_hoc)


@each
def test_observing_changes_nothing(instrument, snapshots, problem):
    watched = Trainer(problem, record_parts=True)
    observed(instrument, watched.snapshots(), problem)
    assert torch.equal(watched.state.theta, snapshots[-1].parameters)


@each
def test_snapshots_are_not_written_to(instrument, snapshots, problem):
    before = [(s.parameters.clone(), {n: p.clone() for n, p in s.parts.items()}) for s in snapshots]
    observed(instrument, snapshots, problem)
    for snapshot, (parameters, parts) in zip(snapshots, before):
        assert torch.equal(snapshot.parameters, parameters)
        assert all(torch.equal(snapshot.parts[name], part) for name, part in parts.items())


@each
def test_independent_of_batch_mates(instrument, snapshots, problem):
    together = observed(instrument, snapshots, problem)
    for run, spec in enumerate(SPECS):
        alone = [run_of(s, run) for s in snapshots]
        single = observed(instrument, alone, Problem([spec], EAGER))
        mine = [{name: a[run : run + 1] for name, a in r.items()} for r in together]
        if not instrument.needs_problem:
            assert not differing(single, mine)
            continue
        for a, b in zip(single, mine):
            for name in a:
                # Products of stacked and of single matrices round differently: float32 eps times
                # the square root of the number of terms, amplified by the norms of the network.
                torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5, equal_nan=True)


@each
def test_a_broken_run_does_not_touch_the_others(instrument, snapshots, problem):
    """Decompositions refuse a whole batch for one NaN, so each instrument must mask it."""
    broken = []
    for snapshot in snapshots:
        parameters = snapshot.parameters.clone()
        parameters[1] = torch.nan
        broken.append(replace(snapshot, parameters=parameters))
    healthy = torch.tensor([0, 2])

    def kept(readings):
        return [{name: a[healthy] for name, a in reading.items()} for reading in readings]

    assert not differing(
        kept(observed(instrument, snapshots, problem)), kept(observed(instrument, broken, problem))
    )
