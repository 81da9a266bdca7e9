"""Ridge regression against scikit-learn, explicit products, and its own dual."""

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from spectraledge.linalg.ridge import (
    product_features,
    r_squared,
    ridge_predictions,
    standardised,
)


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oracle(x, y, at, alpha):
    return torch.from_numpy(Ridge(alpha=alpha).fit(x.numpy(), y.numpy()).predict(at.numpy()))


@pytest.mark.parametrize("points", [12, 80])
@pytest.mark.parametrize("products", [False, True])
def test_primal_and_dual_are_those_of_scikit_learn(points, products):
    x, at, y = 3 + gaussian(points, 20), gaussian(7, 20, seed=1), 5 + gaussian(points, 2, seed=2)
    found = ridge_predictions(x, y, at, [0.1, 10.0], products=products)
    wide, there = (product_features(f) if products else f for f in (x, at))
    for alpha, guess in zip((0.1, 10.0), found):
        # Equations of condition 1e4 in float64.
        torch.testing.assert_close(guess, oracle(wide, y, there, alpha), rtol=1e-7, atol=1e-7)


def test_products_are_of_two_different_features():
    x = torch.tensor([[2.0, 3.0, 5.0]]).double()
    assert product_features(x).tolist() == [[2, 3, 5, 6, 10, 15]]
    assert product_features(gaussian(2, 128)).shape == (2, 8256)


def test_targets_are_fitted_independently():
    x, y = gaussian(30, 4), gaussian(30, 3, seed=1)
    together = ridge_predictions(x, y, x, [1.0])
    alone = [ridge_predictions(x, y[:, [i]], x, [1.0]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone, -1))


def test_penalties_must_be_positive_and_hopeless_equations_are_nan():
    x = torch.ones(5, 2).double()
    with pytest.raises(ValueError, match=r"penalties > 0, got \[1.0, 0.0\]"):
        ridge_predictions(x, x, x, [1.0, 0.0])
    assert ridge_predictions(x * torch.nan, x, x, [1.0]).isnan().all()


def test_r_squared_is_that_of_scikit_learn():
    y, guess = gaussian(20, 1), gaussian(20, 1, seed=1)
    expected = r2_score(y.numpy(), guess.numpy())
    assert r_squared(y, guess).item() == pytest.approx(expected, rel=1e-12)
    both, guesses = gaussian(20, 3), gaussian(2, 20, 3, seed=1)
    pooled = r2_score(both.numpy(), guesses[1].numpy(), multioutput="variance_weighted")
    assert r_squared(both, guesses)[1].item() == pytest.approx(pooled, rel=1e-12)
    assert r_squared(torch.ones(4, 1).double(), torch.ones(4, 1).double()).isnan()


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_standard_units_do_not_know_the_scale_and_constants_are_zero(factor):
    x, other = 4 + gaussian(50, 3), gaussian(5, 3, seed=1)
    x[:, 2], other[:, 2] = 0.1, 0.3
    own, there = standardised(factor * x, factor * other)
    torch.testing.assert_close(own.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(own[:, :2].std(0, correction=0), torch.ones(2).double())
    assert not own[:, 2].any()
    assert not there[:, 2].any()
    torch.testing.assert_close(there, standardised(x, other)[1])
