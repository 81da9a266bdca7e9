"""Radial and tangential parts, angles."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import gaussian

from spectraledge.linalg import (
    angular_step,
    frobenius_norm,
    radial_part,
    tangential_fraction,
    tangential_part,
)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    exponent=st.integers(-100, 100),
)
def test_parts_add_up_and_are_orthogonal(rows, columns, seed, exponent):
    D = gaussian(2, rows, columns, seed=seed)
    W = gaussian(2, rows, columns, seed=seed + 1) * 10.0**exponent
    radial, tangential = radial_part(D, W), tangential_part(D, W)
    torch.testing.assert_close(radial + tangential, D, atol=1e-14, rtol=0)
    unit = W / frobenius_norm(W)[:, None, None]
    assert (tangential * unit).sum((-2, -1)).abs().max() < 1e-14
    assert frobenius_norm(tangential_part(radial, W)).max() < 1e-14
    pythagoras = frobenius_norm(radial) ** 2 + frobenius_norm(tangential) ** 2
    torch.testing.assert_close(pythagoras, frobenius_norm(D) ** 2)


def test_weight_decay_is_purely_radial():
    W = gaussian(3, 5, 4)
    assert tangential_fraction(-0.3 * W, W).max() < 1e-15
    assert angular_step(W, 0.7 * W).max() < 1e-15
    assert angular_step(W, -0.7 * W).tolist() == pytest.approx([math.pi] * 3)


@pytest.mark.parametrize("angle", [1e-12, 1e-6, 0.3, 1.5, 3.0])
def test_angles_are_accurate_from_tiny_to_obtuse(angle):
    W = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    V = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    assert angular_step(W, 5 * V).item() == pytest.approx(angle, rel=1e-12)
    assert tangential_fraction(V, W).item() == pytest.approx(math.sin(angle), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_keep_the_dtype_and_fractions_are_float64(dtype):
    D, W = gaussian(3, 4, seed=1).to(dtype), gaussian(3, 4, seed=2)
    assert radial_part(D, W).dtype == tangential_part(D, W).dtype == dtype
    assert tangential_fraction(D, W).dtype == torch.float64


def test_zero_matrices():
    D, zero = gaussian(3, 4), torch.zeros(3, 4, dtype=torch.float64)
    assert (radial_part(D, zero) == 0).all()
    torch.testing.assert_close(tangential_part(D, zero), D)
    assert tangential_fraction(zero, D) == 0
    assert angular_step(zero, zero) == 0
    assert angular_step(D, zero).item() == pytest.approx(math.pi / 2)
