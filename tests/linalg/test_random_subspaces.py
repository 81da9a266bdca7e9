"""The law of the share of a vector in a random subspace."""

from math import pi, sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from spectraledge.block_basis import random_basis
from spectraledge.linalg import random_subspaces as law
from spectraledge.snapshots import Layout

# A right implementation fails a test at this level once in a million choices of the seed.
FALSE_ALARM = 1e-6
PUBLISHED_SIZE = 290_401


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("dimension", "parameters"), [(1, 3), (5, 40), (24, 500)])
def test_gaussian_vectors_follow_the_law(dimension, parameters):
    """A fixed subspace (the first axes) and random vectors, seen through our quantiles."""
    squares = gaussian(4000, parameters).square()
    shares = np.sort((squares[:, :dimension].sum(1) / squares.sum(1)).numpy())
    levels = np.linspace(0.05, 0.95, 19)
    quantiles = [law.share_quantile(p, dimension, parameters) for p in levels]
    below = np.searchsorted(shares, quantiles) / len(shares)
    exact = stats.beta(dimension / 2, (parameters - dimension) / 2).cdf
    assert stats.kstest(shares, exact).pvalue > FALSE_ALARM
    # Each fraction is binomial; 19 of them share the false alarm.
    for observed, p in zip(below, levels):
        assert stats.binomtest(round(observed * 4000), 4000, p).pvalue > FALSE_ALARM / 19
    deviation = shares.std() / sqrt(4000) * stats.norm.isf(FALSE_ALARM / 2)
    assert abs(shares.mean() - law.expected_share(dimension, parameters)) < deviation
    norms = np.sqrt(shares)
    deviation = norms.std() / sqrt(4000) * stats.norm.isf(FALSE_ALARM / 2)
    assert abs(norms.mean() - law.expected_norm_share(dimension, parameters)) < deviation


def test_a_fixed_vector_and_random_bases_follow_the_law():
    layout = Layout(("w",), ((60,),))
    basis = random_basis(layout, None, 7, seeds=range(1500))
    vector = gaussian(60, seed=3)
    parts = basis.coefficients(vector.expand(1500, -1)).square().sum(1) / vector.square().sum()
    assert stats.kstest(parts.numpy(), stats.beta(7 / 2, 53 / 2).cdf).pvalue > FALSE_ALARM


def test_block_matched_bases_have_the_matched_mean():
    """A vector that lives in the small block is held more than K/P says."""
    layout = Layout(("a.query.weight", "b.mlp.fc1.weight", "c"), ((4, 4), (10, 20), (50,)))
    basis = random_basis(layout, (), 2, seeds=range(1500))
    vector = torch.cat([3 * gaussian(16), gaussian(250, seed=1)])
    energies = basis.inside(vector.expand(1500, -1))[0].square() / vector.square().sum()
    shares = basis.coefficients(vector.expand(1500, -1)).square().sum(1) / vector.square().sum()
    expected = law.matched_share(energies.tolist(), [2, 2], [16, 200])
    deviation = float(shares.std()) / sqrt(1500) * stats.norm.isf(FALSE_ALARM / 2)
    assert abs(float(shares.mean()) - expected) < deviation
    assert expected > 3 * law.expected_share(4, layout.size)


def test_interval_holds_its_probability():
    lower, upper = law.share_interval(24, PUBLISHED_SIZE, confidence=0.9)
    exact = stats.beta(12, (PUBLISHED_SIZE - 24) / 2)
    # The inverse is accurate to 1e-8 in probability, far inside what a band needs.
    assert exact.cdf(lower) == pytest.approx(0.05, abs=1e-8)
    assert exact.cdf(upper) == pytest.approx(0.95, abs=1e-8)
    assert lower < law.expected_share(24, PUBLISHED_SIZE) < upper


def test_published_numbers():
    assert law.typical_norm_share(16, PUBLISHED_SIZE) == pytest.approx(0.00742, abs=5e-6)
    assert law.typical_norm_share(24, PUBLISHED_SIZE) == pytest.approx(0.00909, abs=5e-6)
    assert law.expected_cosine_approximate(PUBLISHED_SIZE) == pytest.approx(1.4806e-3, abs=5e-8)
    assert law.typical_norm_share(12, PUBLISHED_SIZE) == pytest.approx(6.43e-3, abs=5e-6)
    assert law.published_norm_share(12, PUBLISHED_SIZE) == pytest.approx(4.1e-5, abs=5e-7)


def test_mean_norms_in_closed_form():
    assert law.expected_cosine(1) == 1.0
    assert law.expected_cosine(2) == pytest.approx(2 / pi, rel=1e-14)
    assert law.expected_cosine(3) == pytest.approx(1 / 2, rel=1e-14)
    assert law.expected_norm_share(2, 3) == pytest.approx(pi / 4, rel=1e-14)


@pytest.mark.parametrize("parameters", [10, 100, 10_000, PUBLISHED_SIZE])
def test_the_approximate_cosine_is_one_quarter_over_p_too_low(parameters):
    """In the sense of the first correction; the next is of order 1/P²."""
    excess = law.expected_cosine_approximate(parameters) / law.expected_cosine(parameters) - 1
    # 1e-12: rounding of the gamma functions where P is large.
    assert excess == pytest.approx(-1 / (4 * parameters), rel=2 / parameters, abs=1e-12)


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_the_series_joins_the_gamma_functions(count):
    """Γ((n+2)/2)/Γ(n/2) = n/2 links neighbours on both sides of the switch."""
    total = law._log_gamma_step(count) + law._log_gamma_step(count + 1)
    # Gamma functions near 1000 are near exp(3000): their logarithms round at 3000 eps = 7e-13.
    assert total == pytest.approx(np.log(count / 2), abs=2e-12)


def test_the_whole_space_and_nothing():
    assert law.share_interval(0, 5) == (0.0, 0.0)
    assert law.share_interval(5, 5) == (1.0, 1.0)
    assert (law.expected_norm_share(0, 5), law.expected_norm_share(5, 5)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: law.expected_share(5, 4), "K = 5 directions in P = 4"),
        (lambda: law.expected_cosine(0), "P = 0"),
        (lambda: law.share_quantile(1.5, 1, 4), r"probability in \[0, 1\], got 1.5"),
        (lambda: law.share_interval(1, 4, 1.0), r"confidence in \(0, 1\), got 1.0"),
        (lambda: law.matched_share([1.0], [1, 2], [4]), "got 1, 2 and 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
