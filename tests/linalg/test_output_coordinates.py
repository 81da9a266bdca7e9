"""Planted coordinates are found from outputs alone, and nothing where there is nothing."""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

from spectraledge.linalg.output_coordinates import METHODS, output_coordinates

N, D = 600, 20
ROWS = torch.arange(N) // 6


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlation(a, b):
    return torch.corrcoef(torch.stack([a, b]))[0, 1].abs().item()


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_coordinate_is_found_beneath_larger_features(method):
    x = gaussian(N, D) * torch.logspace(0, 3, D).double()
    z = x[:, 0] - 2 * x[:, 1] / 10 ** (3 / 19)
    outputs = torch.tanh(z)[:, None] * gaussian(1, 5, seed=1) + 0.01 * gaussian(N, 5, seed=2)
    found = output_coordinates(x, outputs, ROWS, count=3, method=method)
    # tanh is not linear, and 300 points fit 20 features: a few per cent of the variance.
    assert correlation(found.values[:, 0], z) > 0.97
    assert found.correlation[0] > 0.8
    assert found.null_correlation[0] < 0.3
    assert (found.correlation[1:].abs() < 0.3).all()


def test_reduced_rank_orders_by_the_variance_of_outputs():
    x = gaussian(N, D)
    outputs = torch.stack([10 * x[:, 3], 3 * x[:, 5], x[:, 7]], 1)
    found = output_coordinates(x, outputs, ROWS, count=4)
    for k, feature in enumerate((3, 5, 7)):
        # Sample correlations of the three, about 1/√300, mix the coordinates a little.
        assert correlation(found.values[:, k], x[:, feature]) > 0.98
    assert found.output_share[:3].tolist() == pytest.approx(np.array([100, 9, 1]) / 110, abs=0.02)
    assert found.correlation[3].isnan()


def test_canonical_correlations_are_those_of_scikit_learn():
    x = gaussian(N, 4)
    outputs = torch.stack([100 * x[:, 0] + 100 * gaussian(N, seed=3), x[:, 1]], 1)
    outputs[:, 1] += 0.3 * gaussian(N, seed=4)
    found = output_coordinates(x, outputs, ROWS, count=2, method="canonical")
    left, right = CCA(2).fit_transform(x.numpy(), outputs.numpy())
    expected = [np.corrcoef(left[:, k], right[:, k])[0, 1] for k in range(2)]
    # Held-out correlations of 180 points scatter by (1 − ρ²)/√180.
    assert found.correlation.tolist() == pytest.approx(expected, abs=0.1)
    assert correlation(found.values[:, 0], x[:, 1]) > 0.99


def test_scale_and_sign_of_features_do_not_matter():
    x, outputs = gaussian(N, D), gaussian(N, 3, seed=1)
    outputs[:, 0] += x[:, 0]
    plain, scaled = (output_coordinates(c * x, outputs, ROWS) for c in (1.0, -1e-3))
    torch.testing.assert_close(plain.correlation, scaled.correlation, equal_nan=True)
    torch.testing.assert_close(plain.values.abs(), scaled.values.abs(), equal_nan=True)


def test_unrelated_outputs_are_within_their_null():
    found = output_coordinates(gaussian(N, D), gaussian(N, 4, seed=1), ROWS, shuffles=50)
    assert found.correlation[0].abs() < 2 * found.null_correlation[0]
    assert (found.output_share < 0.05).all()


def test_what_depends_on_positions_only_is_broken_by_the_null():
    # A coordinate that alternates along every row, as outputs do.
    wave = (-1.0) ** torch.arange(N).double()
    x = torch.cat([wave[:, None], gaussian(N, 3)], 1)
    found = output_coordinates(x, wave[:, None], ROWS, count=1)
    assert found.correlation[0] > 0.99
    assert found.null_correlation[0] < 0.5


def test_nothing_to_find_is_none():
    x, y = gaussian(N, 3), gaussian(N, 2)
    assert output_coordinates(x * torch.nan, y, ROWS) is None
    assert output_coordinates(x, torch.ones(N, 2).double(), ROWS) is None
    assert output_coordinates(torch.ones(N, 3).double(), y, ROWS) is None
    assert output_coordinates(x, y, torch.zeros(N, dtype=torch.int64)) is None
    with pytest.raises(ValueError, match="unknown method 'cca'; known: reduced_rank, canonical"):
        output_coordinates(x, y, ROWS, method="cca")
