"""Lanczos on planted spectra, several runs at once."""

import pytest
import torch

from spectraledge.linalg.lanczos import RitzValues, lanczos

# Eigenvalues of a symmetric matrix are found to a small multiple of eps times its norm; full
# reorthogonalisation keeps that for the Ritz values.
ROUNDING = 200 * torch.finfo(torch.float64).eps


def planted(spectra: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Symmetric matrices ``(R, P, P)`` with given eigenvalues ``(R, P)``."""
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(*spectra.shape, spectra.shape[1], generator=generator).double()
    Q = torch.linalg.qr(gaussian)[0]
    return Q @ torch.diag_embed(spectra.double()) @ Q.mT


def product_with(matrices: torch.Tensor):
    return lambda vectors: torch.einsum("rij,rj->ri", matrices, vectors)


def bulk_and_outliers(runs: int = 3, size: int = 120) -> torch.Tensor:
    """What a Hessian looks like: a bulk near zero, a few large values, a negative end."""
    generator = torch.Generator().manual_seed(1)
    spectra = 0.1 * torch.rand(runs, size, generator=generator, dtype=torch.float64)
    spectra[:, :3] = torch.tensor([9.0, 5.0, 2.0]) + torch.arange(runs)[:, None]
    spectra[:, 3:5] = -torch.tensor([3.0, 1.0]) - torch.arange(runs)[:, None]
    return spectra


def test_all_iterations_give_the_whole_spectrum():
    spectra = torch.randn(3, 12, generator=torch.Generator().manual_seed(2)).double()
    ritz = lanczos(product_with(planted(spectra)), 12, seeds=(0, 1, 2), iterations=99)
    assert ritz.values.shape == (3, 12)
    largest = spectra.abs().max()
    torch.testing.assert_close(
        ritz.values, spectra.sort(1, descending=True)[0], rtol=0, atol=float(largest) * ROUNDING
    )


def test_few_iterations_find_both_ends():
    spectra = bulk_and_outliers()
    ritz = lanczos(product_with(planted(spectra)), 120, seeds=(0, 1, 2), iterations=25)
    expected = spectra.sort(1, descending=True)[0]
    for ends, wanted in (
        (ritz.largest(3), expected[:, :3]),
        (ritz.smallest(2), expected.flip(1)[:, :2]),
    ):
        # A value converges with the square of its residual over the gap, here at least 0.9.
        assert float(ends.residuals.max()) < 1e-6
        torch.testing.assert_close(ends.values, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("iterations", [1, 2, 5, 9, 17])
def test_residuals_bound_the_distance_to_an_eigenvalue(iterations):
    spectra = bulk_and_outliers()
    ritz = lanczos(product_with(planted(spectra)), 120, seeds=(3, 4, 5), iterations=iterations)
    distance = (ritz.values[:, :, None] - spectra[:, None, :]).abs().amin(-1)
    assert bool((distance <= ritz.residuals + 12 * ROUNDING).all())
    assert bool((ritz.values[:, :1] <= spectra.amax(1, keepdim=True) + 12 * ROUNDING).all())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("iterations", [5, 17, 120])
def test_residuals_bound_the_distance_where_products_are_rounded(precision, iterations):
    """Their smallest would otherwise be 0 or far below the rounding of one product."""
    spectra = bulk_and_outliers()
    matrices, eps = planted(spectra), torch.finfo(precision).eps

    def rounded(vectors):
        return product_with(matrices)(vectors).to(precision).double()

    ritz = lanczos(rounded, 120, seeds=(3, 4, 5), iterations=iterations, precision=precision)
    distance = (ritz.values[:, :, None] - spectra[:, None, :]).abs().amin(-1)
    assert bool((distance <= ritz.residuals).all())
    exact = lanczos(rounded, 120, seeds=(3, 4, 5), iterations=iterations)
    added = iterations**0.5 * eps * ritz.values.abs().amax(1, keepdim=True)
    torch.testing.assert_close(ritz.residuals - exact.residuals, added.expand_as(ritz.residuals))
    if precision is torch.bfloat16 and iterations == 120:
        assert bool((distance > exact.residuals).any())


def test_a_closed_space_goes_on_and_finds_repeated_values():
    """Rank 2: the Krylov space has three dimensions, then fresh directions find the zeros."""
    spectra = torch.zeros(2, 30)
    spectra[0, :3] = torch.tensor([4.0, 4.0, -1.0])
    spectra[1, :3] = torch.tensor([2.0, 2.0, 2.0])
    ritz = lanczos(product_with(planted(spectra)), 30, seeds=(0, 1), iterations=30)
    expected = spectra.double().sort(1, descending=True)[0]
    # A direction counts as new down to 1e-12 of the norm of the matrix.
    torch.testing.assert_close(ritz.values, expected, rtol=0, atol=1e-11)


def test_the_zero_matrix_and_the_identity():
    ritz = lanczos(lambda v: 0 * v, 5, seeds=(0,), iterations=3)
    assert ritz.values.tolist() == [[0.0] * 3]
    assert ritz.residuals.tolist() == [[0.0] * 3]
    ones = lanczos(lambda v: v, 5, seeds=(0,), iterations=3).values
    torch.testing.assert_close(ones, torch.ones(1, 3, dtype=torch.float64), rtol=0, atol=ROUNDING)


def test_runs_are_independent_and_reproducible():
    matrices = planted(bulk_and_outliers())
    together = lanczos(product_with(matrices), 120, seeds=(7, 8, 9), iterations=12)
    again = lanczos(product_with(matrices), 120, seeds=(7, 8, 9), iterations=12)
    assert torch.equal(together.values, again.values)
    alone = lanczos(product_with(matrices[1:2]), 120, seeds=(8,), iterations=12)
    # Products of other shapes round differently; converged values move by rounding only.
    converged = together.residuals[1] < 1e-9
    torch.testing.assert_close(
        together.values[1][converged], alone.values[0][converged], rtol=0, atol=1e-10
    )


def test_a_broken_run_is_nan_and_alone():
    matrices = planted(bulk_and_outliers())
    healthy = lanczos(product_with(matrices), 120, seeds=(0, 1, 2), iterations=8)
    matrices[1] = torch.nan
    broken = lanczos(product_with(matrices), 120, seeds=(0, 1, 2), iterations=8)
    assert broken.values[1].isnan().all()
    assert broken.residuals[1].isnan().all()
    assert torch.equal(broken.values[[0, 2]], healthy.values[[0, 2]])


def test_ends_are_padded():
    ritz = RitzValues(torch.tensor([[2.0, 1.0]]).double(), torch.zeros(1, 2).double())
    assert ritz.largest(1).values.tolist() == [[2.0]]
    assert ritz.smallest(3).values[0, :2].tolist() == [1.0, 2.0]
    assert ritz.smallest(3).values[0, 2].isnan()


@pytest.mark.parametrize(
    "arguments",
    [
        {"parameters": 0, "seeds": (0,), "iterations": 1},
        {"parameters": 2, "seeds": (), "iterations": 1},
        {"parameters": 2, "seeds": (0,), "iterations": 0},
    ],
)
def test_errors(arguments):
    with pytest.raises(ValueError, match="iterations >= 1 and a seed per run"):
        lanczos(lambda v: v, **arguments)
