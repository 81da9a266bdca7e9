"""A model with several answers at one position: measured whole, or refused by name."""

import pytest

from cases import EAGER, tiny
from spectraledge.instruments import (
    Ablation,
    AttentionStructure,
    FunctionalCoordinate,
    FunctionalResponse,
    InputProbe,
    ModuleProblem,
    PositionalFourier,
    Probe,
    RepresentationProbe,
    SingularProbe,
    SpectralEdge,
    StructureCurve,
    UpdateDecomposition,
    Window,
)
from spectraledge.models import MultiTaskEncoderSpec
from spectraledge.tasks import SeveralOperations
from spectraledge.training import Problem, Trainer

MODEL = MultiTaskEncoderSpec(width=8, layers=1, heads=2, mlp_width=12)
LOOKING_INSIDE = [
    AttentionStructure(rows=8),
    FunctionalCoordinate(rows=40, shuffles=2),
    FunctionalResponse(rows=8),
    InputProbe(rows=8),
    PositionalFourier(rows=8),
    RepresentationProbe(rows=8, readers=("linear",), seeds=1),
    SingularProbe(rows=8, seeds=1),
    StructureCurve(rows=8, points=3, directions=1),
]


def window():
    problem = Problem([tiny(task=SeveralOperations(5), model=MODEL, batch_size=8)], EAGER)
    return Window(tuple(Trainer(problem).snapshots())[:4], problem)


@pytest.mark.parametrize("instrument", LOOKING_INSIDE, ids=lambda i: i.name)
def test_what_pairs_labels_with_positions_says_so(instrument):
    with pytest.raises(ValueError, match=f"{instrument.name}.*one label a row.*answers add, mul"):
        instrument.measure(window())


def test_of_a_module_its_owner_says_that_labels_are_answers():
    rows = SeveralOperations(5).dataset(0)
    batch = rows.tokens, rows.labels
    model = MODEL.build(vocabulary=5, length=2, classes=5, seed=0)
    problem = ModuleProblem(model, train=batch, held_out=batch, answers=("sum", "product"))
    probe = Probe(model, [InputProbe(rows=8)], every=1, problem=problem)
    with pytest.raises(ValueError, match=r"input_probe.*answers sum, product"):
        probe.step(0)
    with pytest.raises(ValueError, match=r"labels \(N, 3\) for the answers.*got \(25, 2\)"):
        ModuleProblem(model, train=batch, held_out=batch, answers=("a", "b", "c"))


@pytest.mark.parametrize(
    "instrument", [Ablation(rows=8, draws=2), SpectralEdge(), UpdateDecomposition()],
    ids=lambda i: i.name,
)  # fmt: skip
def test_what_does_not_goes_on(instrument):
    found = instrument.measure(window())
    assert any(values.isfinite().any() for values in found.values())
