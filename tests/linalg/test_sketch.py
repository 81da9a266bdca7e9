"""Count sketches against the dense matrix that they are, and their closed-form variance."""

import math

import pytest
import torch

from spectraledge.linalg import CountSketch, sketch


def vectors(rows=2, size=40):
    chance = torch.Generator().manual_seed(0)
    return torch.randn(rows, size, generator=chance).double()


def dense(found, size):
    """The matrix of a sketch, column by column."""
    return found(torch.eye(size).double()).T


def test_each_coordinate_has_one_bucket_and_a_sign():
    matrix = dense(CountSketch(7), 40)
    assert ((matrix != 0).sum(0) == 1).all()
    assert (matrix.abs().sum(0) == 1).all()


def test_rows_are_multiplied_by_one_matrix():
    x = vectors()
    # Sums of the same 40 float64 numbers in another order.
    torch.testing.assert_close(
        CountSketch(7)(x), x @ dense(CountSketch(7), 40).T, rtol=1e-13, atol=1e-13
    )


def test_pieces_are_drawn_apart(monkeypatch):
    monkeypatch.setattr(sketch, "CHUNK", 16)
    sketch._draws.cache_clear()
    matrix = dense(CountSketch(500), 40)
    sketch._draws.cache_clear()
    assert ((matrix != 0).sum(0) == 1).all()
    # Were the draws of every piece the same, buckets would repeat with period 16.
    buckets = matrix.abs().argmax(0)
    assert (buckets[:16] != buckets[16:32]).sum() > 12


def test_inner_products_have_the_stated_mean_and_variance():
    x, y = vectors()
    size, seeds = 16, 4000
    products = torch.tensor(
        [float(s(x[None]) @ s(y[None]).T) for s in (CountSketch(size, i) for i in range(seeds))]
    )
    variance = float(x @ x * (y @ y) + (x @ y) ** 2 - 2 * (x**2 @ y**2)) / size
    # Four standard errors of a mean, and of a variance of nearly Gaussian numbers.
    assert abs(products.mean() - x @ y) < 4 * math.sqrt(variance / seeds)
    assert abs(products.var() / variance - 1) < 4 * math.sqrt(2 / seeds) * 1.5


def test_singular_values_scatter_as_stated():
    chance = torch.Generator().manual_seed(1)
    rows = torch.randn(4, 3000, generator=chance).double() * torch.tensor([8.0, 4, 2, 1])[:, None]
    exact = torch.linalg.svdvals(rows)
    size, seeds = 512, 200
    found = torch.stack([torch.linalg.svdvals(CountSketch(size, i)(rows)) for i in range(seeds)])
    scatter = (found / exact - 1).square().mean(0).sqrt()
    # First order in the error of 3 %: a tenth of it, and four standard errors of a scatter.
    allowed = 0.1 + 4 / math.sqrt(2 * seeds)
    assert ((scatter / CountSketch(size).relative_error - 1).abs() < allowed).all()


def test_no_bucket_is_an_error():
    with pytest.raises(ValueError, match="size >= 1, got 0"):
        CountSketch(0)
