"""Hessian eigenvalues and curvature along directions, on quadratics and on real modules."""

from dataclasses import replace

import pytest
import torch
from quadratic import LAYOUT, RUNS, P, Quadratic, gaussian, run
from torch import nn

from spectraledge.block_basis import gradient_basis, singular_basis
from spectraledge.instruments import Curvature, Observer, Window, curvature_of, instrument_key
from spectraledge.snapshots import Layout, flatten_parameters

INSTRUMENT = Curvature(eigenvalues=2, iterations=P, components=1, kinds=("query", "key"))


def observed(problem, snapshots, instrument=INSTRUMENT) -> dict[str, torch.Tensor]:
    observer = Observer([instrument], problem)
    return [observer.observe(s)[instrument_key(instrument)] for s in snapshots][-1]


def quotient(H: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ri,rij,rj->r", v, H, v) / v.square().sum(1)


def test_planted_eigenvalues_of_every_run():
    spectrum = 0.1 * gaussian(RUNS, P)
    spectrum[:, :4] = torch.tensor([[7.0, 3.0, -2.0, -5.0], [70.0, 30.0, -20.0, -50.0]])
    found = observed(Quadratic(spectrum), run(1))
    # Lanczos over the whole space: eps times the norm and a small multiple.
    close = {"rtol": 1e-11, "atol": 0}
    torch.testing.assert_close(found["largest"], spectrum[:, :2], **close)
    torch.testing.assert_close(found["smallest"], spectrum[:, [3, 2]], **close)


def test_residuals_bound_the_error_of_a_short_iteration():
    spectrum = gaussian(RUNS, P)
    found = observed(Quadratic(spectrum), run(1), replace(INSTRUMENT, iterations=6))
    for end in ("largest", "smallest"):
        distance = (found[end][:, :, None] - spectrum[:, None]).abs().amin(-1)
        assert bool((distance <= found[f"{end}_residual"] + 1e-12).all())
        assert float(found[f"{end}_residual"].max()) > 1e-6


@pytest.mark.parametrize("basis", ["singular", "gradient"])
def test_curvature_along_directions_of_the_mean_hessian(basis):
    problem, snapshots = Quadratic(), run(2)
    instrument = replace(INSTRUMENT, basis=basis, batches=2)
    found = observed(problem, snapshots, instrument)
    before, theta = (s.parameters for s in snapshots)
    batches = [problem.batch(10, f"curvature{b}") for b in range(2)]
    H = sum(problem.hessian(tokens) for tokens, _ in batches) / 2
    gradient = sum(problem.gradient(theta, *batch)[0] for batch in batches) / 2
    made = {"singular": singular_basis, "gradient": gradient_basis}[basis](
        theta if basis == "singular" else gradient, LAYOUT, ("query", "key"), 1
    )
    directions = made.embed(torch.eye(2, dtype=torch.float64).expand(RUNS, -1, -1))
    along = torch.stack([quotient(H, v) for v in directions.unbind(1)], 1)
    # The same sums of P² products in another order; quotients may be small by cancellation.
    close = {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close(found["along_basis"], along, **close)
    torch.testing.assert_close(found["along_gradient"], quotient(H, gradient), **close)
    torch.testing.assert_close(found["along_displacement"], quotient(H, theta - before), **close)


def test_labels_and_empty_directions():
    window = Window(tuple(run(1)), Quadratic())
    assert replace(INSTRUMENT, components=2).labels(window) == {
        "end": ("1", "2"),
        "direction": tuple(f"layer0.attention.{m}.{i}" for m in ("query", "key") for i in (1, 2)),
    }
    none = replace(INSTRUMENT, components=0)
    assert none.labels(window)["direction"] == ()
    found = observed(Quadratic(), run(1), none)
    assert found["along_basis"].shape == (RUNS, 0)
    assert found["along_displacement"].isnan().all()


def transformer() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True).double().eval()
    return layer, (gaussian(3, 2, 4), gaussian(3, 2, 4, seed=1))


def test_any_module_agrees_with_its_dense_hessian():
    """Attention kernels without a second derivative are switched off on the way."""
    model, (inputs, targets) = transformer()
    layout, theta = Layout.of(model), flatten_parameters(model)

    def loss(flat):
        output = torch.func.functional_call(model, layout.views(flat), (inputs,))
        return nn.functional.mse_loss(output, targets)

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        H = torch.autograd.functional.hessian(loss, theta)
    values = torch.linalg.eigvalsh(H)
    before = theta.clone()
    found = curvature_of(
        model, nn.functional.mse_loss, (inputs, targets), eigenvalues=2, iterations=50
    )
    assert found["largest"] == pytest.approx(values.flip(0)[:2].tolist(), rel=1e-8)
    assert found["smallest"] == pytest.approx(values[:2].tolist(), rel=1e-6)
    g = torch.autograd.functional.jacobian(loss, theta)
    assert found["gradient"] == [pytest.approx(float(g @ H @ g / (g @ g)), rel=1e-9)]
    assert torch.equal(flatten_parameters(model), before)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_residuals_of_a_module_include_the_rounding_of_its_type(dtype):
    """A linear model has one Hessian, and 21 iterations its whole spectrum."""
    torch.manual_seed(0)
    model = nn.Linear(20, 1).to(dtype)
    batch = gaussian(64, 20).to(dtype), gaussian(64, 1, seed=1).to(dtype)
    found = curvature_of(model, nn.functional.mse_loss, batch, eigenvalues=3)
    wide = torch.cat([batch[0].double(), torch.ones(64, 1)], 1)
    expected = torch.linalg.eigvalsh(2 * wide.mT @ wide / 64).flip(0)
    for value, residual, true in zip(found["largest"], found["largest_residual"], expected):
        assert abs(value - true.item()) <= residual < 10 * torch.finfo(dtype).eps * expected[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Curvature(eigenvalues=5, iterations=4), "5 eigenvalues from 4 iterations"),
        (lambda: Curvature(basis="gradiant"), "did you mean 'gradient'"),
        (lambda: Curvature(kinds=("querry",)), "did you mean 'query'"),
        (lambda: Curvature(batches=0), "batches >= 1 and components >= 0, got 0 and 1"),
        (lambda: INSTRUMENT.measure(Window(tuple(run(1)))), "evaluates the model"),
        (lambda: curvature_of(nn.Linear(1, 1), nn.functional.mse_loss, (0, 0), iterations=2),
         "curvature_of: expected 1 <= eigenvalues"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_directions_by_parameter_and_what_is_left_out_stays():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 1))
    inputs, targets = gaussian(20, 3).float(), gaussian(20, 1).float()
    towards = [{"0.weight": gaussian(2, 3)}, {"1.bias": torch.ones(1), "1.weight": gaussian(1, 2)}]
    found = curvature_of(model, nn.functional.mse_loss, (inputs, targets), directions=towards)
    layout = Layout.of(model)

    def loss(flat):
        out = torch.func.functional_call(model, layout.views(flat), (inputs,))
        return nn.functional.mse_loss(out, targets)

    H = torch.autograd.functional.hessian(loss, flatten_parameters(model)).double()
    for direction, curvature in zip(towards, found["directions"]):
        d = torch.zeros(layout.size).double()
        for name, values in direction.items():
            d[layout.span(name)] = values.double().flatten()
        # Float32 products of unit vectors.
        assert curvature == pytest.approx(float(d @ H @ d / (d @ d)), rel=1e-4)


@pytest.mark.parametrize(
    "direction", [{"weigth": torch.ones(1, 1)}, {"weight": torch.ones(2)}], ids=["name", "shape"]
)
def test_directions_of_no_parameter_are_refused(direction):
    with pytest.raises(ValueError, match=r"expected directions by parameter, one of weight \(1, 1"):
        curvature_of(
            nn.Linear(1, 1), nn.functional.mse_loss, (torch.ones(2, 1), torch.ones(2, 1)),
            eigenvalues=1, directions=[direction],
        )  # fmt: skip


def test_a_module_without_second_derivatives_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.ReLU(inplace=True))
    with pytest.raises(ValueError, match=r"curvature_of: .*module '2' \(ReLU\) changes its input"):
        curvature_of(
            model, nn.functional.mse_loss, (torch.ones(3, 2), torch.ones(3, 2)), eigenvalues=1
        )
