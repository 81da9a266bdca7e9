"""Predicted importance and cost on quadratic losses, where Taylor's series ends."""

import pytest
import torch
from functional_problems import RUNS, D, P, QuadraticLoss, gaussian, quadratic_run

from spectraledge.instruments import EdgeImportance, UpdateWindow, Window
from spectraledge.instruments.edge_importance import published_correlation
from spectraledge.linalg.update_spectrum import half_window_stability

INSTRUMENT = EdgeImportance(directions=3, batches=2, window=4, rows=6, kinds=("query",))
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


class SlopedLoss(QuadraticLoss):
    """The quadratic on held-out rows, and in training one of its own for each batch."""

    def batch(self, step: int, salt: str = "train"):
        tokens = torch.full((RUNS, 1, 1), 100 + step)
        return tokens, tokens[..., 0]

    def gradient(self, theta, tokens, labels):
        kind = int(tokens.flatten()[-1])
        held_out = torch.einsum("rij,rj->ri", self.H, theta)
        gradient = self.training(kind, theta) if kind >= 100 else held_out
        return gradient, torch.zeros(RUNS), torch.zeros(RUNS)

    def training(self, kind, theta):
        return gaussian(RUNS, P, seed=kind) + 0.5 * theta


def measured(snapshots=None, instrument=INSTRUMENT):
    snapshots = quadratic_run() if snapshots is None else snapshots
    return instrument.measure(Window(tuple(snapshots), SlopedLoss()))


def parts():
    """Directions, θ, and both gradients, from their definitions."""
    snapshots, problem = quadratic_run(), SlopedLoss()
    theta = snapshots[-1].parameters
    updates = UpdateWindow.of(snapshots, ("query",), 4)
    train = torch.stack([problem.training(100 + n, theta) for n in range(2)]).mean(0)
    held_out = torch.einsum("rij,rj->ri", problem.H, theta)
    return problem, updates, theta, train[:, :D], held_out[:, :D]


def test_the_second_order_prediction_is_exact_for_a_quadratic_loss():
    found = measured()
    torch.testing.assert_close(found["second_order"], found["loss_change"], **CLOSE)
    # The slope alone is not: the quadratic bends.
    assert (found["first_order"] - found["loss_change"]).abs().min() > 1e-3


def test_slopes_products_and_costs_are_those_of_their_definitions():
    problem, updates, theta, train, held_out = parts()
    found, v = measured(), updates.directions(3)
    ours, theirs = ((v @ g.unsqueeze(-1)).squeeze(-1) for g in (train, held_out))
    torch.testing.assert_close(found["train_slope"], ours.abs(), **CLOSE)
    torch.testing.assert_close(found["held_out_slope"], theirs.abs(), **CLOSE)
    torch.testing.assert_close(found["agreement"], ours * theirs, **CLOSE)
    c = (v @ theta[:, :D].unsqueeze(-1)).squeeze(-1)
    share = c.abs() / theta[:, :D].norm(dim=1, keepdim=True)
    torch.testing.assert_close(found["held"], share, **CLOSE)
    without = theta[:, None].repeat(1, 3, 1)
    without[..., :D] -= c.unsqueeze(-1) * v
    change = torch.stack([problem.loss(p, run) for run, p in enumerate(without)])
    change -= torch.stack([problem.loss(p, run) for run, p in enumerate(theta)])[:, None]
    torch.testing.assert_close(found["loss_change"], change, **CLOSE)


def test_the_published_importance_knows_half_of_the_window():
    _, updates, *_ = parts()
    found = measured()
    stable = half_window_stability(updates.spectrum.gram)
    expected = stable * found["agreement"][:, :2]
    torch.testing.assert_close(found["importance"][:, :2], expected, **CLOSE)
    # Four displacements have two halves of two, so that no third direction has an α ...
    assert found["importance"][:, 2].isnan().all()
    # ... and two points are too few for the published script, which then says 0.
    assert not found["published_correlation"].any()


def test_a_window_with_three_halves_correlates():
    instrument = EdgeImportance(directions=3, batches=2, window=6, rows=6, kinds=("query",))
    found = measured(instrument=instrument)
    for run in range(RUNS):
        pair = torch.stack([found["importance"][run].abs(), found["loss_change"][run].abs()])
        expected = torch.corrcoef(pair)[0, 1]
        torch.testing.assert_close(found["published_correlation"][run], expected, **CLOSE)


def test_what_a_window_lacks_is_not_known():
    first = measured(quadratic_run()[:1])
    assert first["loss_change"].isnan().all()
    assert first["train_slope"].shape == (RUNS, 3)
    second = measured(quadratic_run()[:2])
    assert second["agreement"][:, 0].isfinite().all()
    assert second["agreement"][:, 1:].isnan().all()
    # One displacement has no halves.
    assert second["importance"].isnan().all()


def test_correlation_of_what_does_not_vary_is_not_known():
    constant = torch.ones(1, 4, dtype=torch.float64)
    rising = torch.arange(4.0, dtype=torch.float64)[None]
    assert published_correlation(constant, rising).isnan().all()
    gap = rising.clone()
    gap[0, 1] = torch.nan
    assert published_correlation(gap, -2 * rising).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": 0}, "directions >= 1, got 0"),
        ({"batches": 0}, "batches >= 1, got 0"),
        ({"window": 2}, "2 updates for 4 directions"),
        ({"kinds": ("quary",)}, "did you mean 'query'"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        EdgeImportance(**options)
