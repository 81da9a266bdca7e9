"""Functions on foreign modules measure what trains, and say what they cannot measure."""

import pytest
import torch
from torch import nn

from instruments.foreign_regression import loss, regression
from spectraledge.instruments import (
    CurvatureAlignment,
    SubspaceProjection,
    commutator_defect_of,
    curvature_alignment_of,
    curvature_of,
    subspace_projection_of,
)
from spectraledge.instruments.trained_parameters import trained_parameters

EVERY = SubspaceProjection(basis="singular", components=1, sweep=(1,), kinds=())


def measures(model, batches, loss=loss):
    """Each function on modules, by name."""
    state = {name: 1.1 * x for name, x in model.state_dict().items()}
    aligned = CurvatureAlignment(kinds=())
    return {
        "commutator_defect_of": lambda: commutator_defect_of(model, loss, batches),
        "subspace_projection_of": lambda: subspace_projection_of(model, loss, batches, EVERY),
        "curvature_alignment_of": lambda: curvature_alignment_of(
            model, loss, batches, state, aligned
        ),
        "curvature_of": lambda: curvature_of(
            model, nn.functional.mse_loss, batches[0], eigenvalues=1
        ),
    }


def test_frozen_parameters_are_constants():
    """A model with a frozen first layer is its second layer on fixed inputs."""
    model, batches = regression()
    model[0].requires_grad_(False)
    with torch.no_grad():
        fixed = [(model[:2](x), y) for x, y in batches]
    whole, part = measures(model, batches), measures(model[2:], fixed)
    defects = [found["commutator_defect_of"]().pair_defects for found in (whole, part)]
    assert defects[0] == pytest.approx(defects[1], rel=1e-12)
    shares, expected = (found["subspace_projection_of"]() for found in (whole, part))
    assert shares["rank"] == 1.0
    assert shares["ratio"] == pytest.approx(expected["ratio"], rel=1e-9)
    found, expected = (found["curvature_alignment_of"]() for found in (whole, part))
    assert found["displacement"]["all"] == pytest.approx(expected["displacement"]["all"])
    assert found["subspace_ratio"]["all"] == pytest.approx(expected["subspace_ratio"]["all"])
    found, expected = (found["curvature_of"]() for found in (whole, part))
    assert found["largest"] == pytest.approx(expected["largest"], rel=1e-9)
    assert all(p.grad is None for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


def test_biases_of_frozen_attention_are_attention():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).double()
    batches = [(torch.randn(3, 5, 4).double(), torch.randn(3, 5, 4).double()) for _ in range(2)]
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    assert 0 < commutator_defect_of(layer, loss, batches).attention_fraction < 1


def test_directions_of_frozen_parameters_are_zero_or_refused():
    model, (batch, *_) = regression(2)
    model[0].requires_grad_(False)
    moved = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    moved["2.weight"] = torch.ones(2, 6).double()
    options = {"eigenvalues": 1, "directions": [moved, {"2.weight": moved["2.weight"]}]}
    found = curvature_of(model, nn.functional.mse_loss, batch, **options)["directions"]
    assert found[0] == found[1] > 0
    moved["0.bias"] = torch.ones(6)
    with pytest.raises(ValueError, match=r"one of 2\.weight \(2, 6\), 2\.bias .* got 0\.bias"):
        curvature_of(model, nn.functional.mse_loss, batch, **options)


def complex_one():
    model = nn.Linear(4, 2)
    model.phase = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    return model


def mixed():
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2).double())


def lazy():
    return nn.Sequential(nn.Linear(4, 6), nn.LazyLinear(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nn.ReLU, "a model with parameters, got ReLU without any"),
        (
            lambda: nn.Linear(4, 2).requires_grad_(False),
            r"that train, got 2 frozen ones; call requires_grad_\(True\)",
        ),
        (mixed, r"one real floating type .*float32 on cpu \(0\.bias\), torch.float64 on"),
        (complex_one, r"torch.complex64 on cpu \(phase\)"),
        (lazy, r"1\.weight has none yet; call the model on a batch first"),
    ],
)
def test_what_cannot_be_measured_is_refused(make, message):
    _, batches = regression(2)
    model = make()
    if make is lazy:
        with pytest.raises(ValueError, match=message):
            trained_parameters("test", model)
        return
    for owner, measure in measures(model, batches).items():
        with pytest.raises(ValueError, match=f"{owner}: .*{message}"):
            measure()


def test_inference_mode_is_refused():
    model, batches = regression(2)
    with torch.inference_mode():
        born = [(x.clone(), y.clone()) for x, y in batches]
        for owner, measure in measures(model, batches).items():
            with pytest.raises(ValueError, match=rf"{owner}: .*outside of torch\.inference_mode"):
                measure()
    with pytest.raises(ValueError, match=r"a batch or a parameter was made in torch\.inference_m"):
        commutator_defect_of(model, loss, born)


@pytest.mark.parametrize(
    "form", [nn.functional.mse_loss, nn.MSELoss(), lambda x, y: (x - y).mean()]
)
def test_a_loss_of_the_output_is_refused_where_one_of_the_module_is_meant(form):
    model, batches = regression(2)
    found = measures(model, batches, form)
    del found["curvature_of"]
    for owner, measure in found.items():
        with pytest.raises(
            TypeError, match=f"{owner}: expected a loss of the module and one batch"
        ):
            measure()


def test_a_loss_of_the_module_is_refused_where_one_of_the_output_is_meant():
    model, (batch, *_) = regression(2)
    with pytest.raises(TypeError, match="curvature_of: expected a loss of the module's output and"):
        curvature_of(model, loss, batch)


class Faulty(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2).double()

    def forward(self, x):
        return self.inner(x).missing


def test_errors_of_the_model_are_its_own():
    _, batches = regression(2)
    for measure in measures(Faulty(), batches).values():
        with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'missing'"):
            measure()
