"""Polar factors: the scalar identity, symmetries, edge cases and number types."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import SPECTRA, default_linear, gaussian, orthogonal, planted, published_loop, spectrum

from spectraledge.linalg import (
    evaluate,
    frobenius_norm,
    gain,
    halley,
    muon,
    newton_schulz,
    normaliser_value,
    polar_express,
    polar_factor,
    polar_polynomial,
    tangential_fraction,
)

POLYNOMIAL = ("newton_schulz", "polar_express", "halley", "published")
SHAPES = [(24, 24), (40, 24), (24, 40), (1, 9), (9, 1), (1, 1)]
SCHEDULES = {"cubic": newton_schulz(8), "express": polar_express(8), "halley": halley()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_singular_values_follow_the_scalar_function(name, shape, dtype, tolerance):
    # Tolerances: rounding of the type times the gain, about 5e3 * 6e-8/sqrt(n), and for the
    # diagonal only its square matters.
    values = spectrum("power", min(shape))
    U, V, W = planted(values, *shape)
    bound = torch.tensor(1.01, dtype=torch.float64)
    X = polar_polynomial(W.to(dtype), bound, SCHEDULES[name]).double()
    core = (U.mT @ X @ V).diagonal()
    torch.testing.assert_close(
        core, evaluate(SCHEDULES[name], values / bound), atol=tolerance, rtol=0
    )


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("name", SCHEDULES)
def test_scalar_identity_on_ill_conditioned_matrices(kind, name):
    values = spectrum(kind, 64)
    U, V, W = planted(values, 64, 64)
    X = polar_polynomial(W, torch.tensor(1.01, dtype=torch.float64), SCHEDULES[name])
    expected = evaluate(SCHEDULES[name], values / 1.01)
    # Gain of 6e3 on float64 rounding is 1e-12; the off-diagonal part is bounded as well.
    torch.testing.assert_close(U.mT @ X @ V, torch.diag(expected), atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["svd", *POLYNOMIAL])
@pytest.mark.parametrize("shape", SHAPES)
def test_batches_equal_single_matrices(method, shape):
    W = gaussian(2, 3, *shape, seed=1)
    batched = polar_factor(W, method=method)
    for i in range(2):
        for j in range(3):
            single = polar_factor(W[i, j], method=method)
            # Rounding of float64 times the gain of 30 cubic steps, 2e5.
            torch.testing.assert_close(batched[i, j], single, atol=1e-9, rtol=0)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    method=st.sampled_from(("svd", *POLYNOMIAL)),
)
def test_orthogonal_equivariance(rows, columns, seed, method):
    W = gaussian(rows, columns, seed=seed)
    P, Q = orthogonal(rows, seed + 1), orthogonal(columns, seed + 2)
    left = polar_factor(P @ W @ Q, method=method)
    # 2e5 (largest gain) times float64 rounding times the dimension.
    torch.testing.assert_close(left, P @ polar_factor(W, method=method) @ Q, atol=1e-8, rtol=0)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    method=st.sampled_from(("svd", *POLYNOMIAL)),
    exponent=st.integers(-20, 20),
)
def test_transposition_sign_and_scale(rows, columns, seed, method, exponent):
    W = gaussian(rows, columns, seed=seed)
    X = polar_factor(W, method=method)
    torch.testing.assert_close(polar_factor(W.mT, method=method), X.mT, atol=1e-9, rtol=0)
    torch.testing.assert_close(polar_factor(-W, method=method), -X, atol=1e-9, rtol=0)
    if method != "published":  # its eps of 1e-8 breaks scale invariance for small matrices
        scaled = polar_factor(W * 10.0**exponent, method=method)
        torch.testing.assert_close(scaled, X, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (24, 24)])
def test_svd_is_the_isometry_closest_to_the_matrix(shape):
    W = gaussian(*shape, seed=3)
    X = polar_factor(W)
    small = X.mT @ X if shape[0] >= shape[1] else X @ X.mT
    torch.testing.assert_close(small, torch.eye(24).double(), atol=1e-13, rtol=0)
    inner = (X * W).sum()  # the nuclear norm, by duality
    torch.testing.assert_close(inner, torch.linalg.svdvals(W).sum(), atol=1e-11, rtol=0)


def test_svd_drops_the_directions_of_zero_singular_values():
    values = torch.tensor([2.0, 1.0, 0.0, 0.0]).double()
    U, V, W = planted(values, 6, 4)
    torch.testing.assert_close(polar_factor(W), U[:, :2] @ V[:, :2].mT, atol=1e-13, rtol=0)


@pytest.mark.parametrize("method", ["polar_express", "halley"])
@pytest.mark.parametrize("n", [64, 128, 256, 512])
def test_production_methods_turn_as_much_as_the_exact_factor(method, n):
    W = gaussian(n, n, seed=n).float()
    exact = tangential_fraction(polar_factor(W), W)
    for normaliser in ("frobenius", "gram"):
        ours = tangential_fraction(polar_factor(W, method=method, normaliser=normaliser), W)
        assert ours.item() == pytest.approx(exact.item(), rel=0.02)


TURN = {  # n: cubic5 with Frobenius, Gram and power normalisers, express5, express8, exact
    32: (0.245, 0.380, 0.424, 0.532, 0.528, 0.528),
    128: (0.098, 0.321, 0.421, 0.527, 0.529, 0.529),
    512: (0.028, 0.245, 0.420, 0.516, 0.527, 0.529),
}


@pytest.mark.parametrize("n", TURN)
def test_table_of_tangential_fractions(n):
    W = gaussian(2, n, n, seed=n).float()
    cubics = [
        polar_factor(W, method="newton_schulz", steps=5, normaliser=normaliser)
        for normaliser in ("frobenius", "gram", "power")
    ]
    expresses = [polar_factor(W, method="polar_express", steps=steps) for steps in (5, 8)]
    ours = [tangential_fraction(X, W).mean().item() for X in (*cubics, *expresses, polar_factor(W))]
    # Sampling: relative spread of one Gaussian matrix about 1/n, plus 3 % for the 5-step rows
    # whose f wobbles and for the estimate of sigma_1.
    assert ours == pytest.approx(list(TURN[n]), rel=0.03 + 2 / n)


def test_published_is_the_published_loop():
    W = default_linear(seed=5).float()
    torch.testing.assert_close(
        polar_factor(W, method="published"), published_loop(W), atol=1e-6, rtol=0
    )


def test_published_direction_is_nearly_radial():
    W = default_linear()
    cosine = (1 - tangential_fraction(polar_factor(W, method="published"), W) ** 2).sqrt()
    assert cosine.item() == pytest.approx(0.9951, abs=3e-4)  # spread over seeds


@pytest.mark.parametrize("normaliser", ["frobenius", "gram", "power"])
def test_normalisers_are_upper_bounds(normaliser):
    for kind in SPECTRA:
        for scale in (1e-30, 1.0, 1e30):
            W = planted(spectrum(kind, 48), 48, 64)[2].float() * scale
            top = torch.linalg.matrix_norm(W.double(), 2)
            bound = normaliser_value(W, normaliser)
            assert top * 1.009 <= bound
            assert bound <= 1.011 * frobenius_norm(W)


def test_normalisers_are_ordered_and_tight():
    W = gaussian(256, 256, seed=9)
    top = torch.linalg.matrix_norm(W, 2)
    loose = [(normaliser_value(W, name) / top).item() for name in ("frobenius", "gram", "power")]
    # 1.01 sqrt(n)/2, 1.01 (2n)^(1/4)/2 and at most 1.05 for a large Gaussian matrix; sigma_1 falls
    # short of 2 sqrt(n) by about n^(-2/3) = 2.5 %.
    assert loose == pytest.approx([8.08, 2.40, 1.04], rel=0.03)


def test_power_normaliser_falls_back_when_the_estimate_is_too_low():
    # A top direction orthogonal to the fixed start vector: the iteration cannot see it.
    start = torch.cos(torch.arange(16).double() ** 2)
    hidden = torch.linalg.qr(torch.stack([start, gaussian(16, seed=1)], dim=1))[0][:, 1]
    # 1.3^2 to the power of 30 iterations does not lift rounding, 1e-16, to the surface.
    W = 1.3 * torch.outer(hidden, hidden) + torch.outer(start, start) / (start @ start)
    blind = polar_factor(W, method="polar_express", normaliser="power")
    assert normaliser_value(W, "power") >= 1.3
    torch.testing.assert_close(blind, polar_factor(W), atol=1e-9, rtol=0)


@pytest.mark.parametrize("method", ["svd", *POLYNOMIAL])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_zero_and_non_finite_matrices_leave_the_batch_alone(method, dtype, bad):
    W = gaussian(4, 12, 8, seed=7).to(dtype)
    clean = polar_factor(W, method=method)
    dirty = W.clone()
    dirty[1] = 0
    dirty[2, 3, 5] = bad
    before = dirty.clone()
    X = polar_factor(dirty, method=method)
    assert X.dtype == dtype
    assert (X[1] == 0).all()
    assert (X[2] == 0).all()
    torch.testing.assert_close(X[[0, 3]], clean[[0, 3]], atol=0, rtol=0)
    torch.testing.assert_close(dirty, before, equal_nan=True)


@pytest.mark.parametrize("method", ["svd", "newton_schulz", "polar_express", "halley"])
@pytest.mark.parametrize("normaliser", ["frobenius", "gram", "power"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_norms_in_float32(method, normaliser, scale):
    W = gaussian(10, 6, seed=2).float()
    scaled = polar_factor(W * scale, method=method, normaliser=normaliser)
    # Rounding of the scaled entries times the gain over the smallest singular value, about 1.
    torch.testing.assert_close(
        scaled, polar_factor(W, method=method, normaliser=normaliser), atol=1e-4, rtol=0
    )


def test_published_degenerates_where_the_right_guard_does_not():
    W = gaussian(6, 6, seed=2) * 1e-10
    assert frobenius_norm(polar_factor(W, method="published")) < 1
    assert frobenius_norm(polar_factor(W, method="polar_express")) > 2.4


def test_bfloat16_noise_needs_the_float32_head():
    U, V, W = planted(spectrum("lowrank", 128), 128, 128)
    X = [
        polar_factor(W.float(), method="polar_express", dtype=torch.bfloat16, fp32_head=head)
        for head in (0, 4)
    ]
    null = [frobenius_norm((U.mT @ x.double() @ V)[8:, 8:]) / 128**0.5 for x in X]
    assert null[0] > 0.1  # f is at most 6e-3 there: this is lifted rounding noise
    assert null[1] < 0.02


def test_bfloat16_matrices_come_close_on_a_gaussian():
    W = gaussian(64, 64, seed=4).bfloat16()
    X = polar_factor(W, method="polar_express")
    assert X.dtype == torch.bfloat16
    values = torch.linalg.svdvals(X.double())
    assert values.max() < 1.03  # rows after the head round to 8 bits
    assert values.median() > 0.97


def test_muon_does_not_converge():
    values = spectrum("gauss", 64)
    for steps in (5, 20):
        f = evaluate(muon(steps), values[:32])
        assert f.min() > 0.65
        assert f.max() < 1.21
        assert f.max() - f.min() > 0.1


def test_a_larger_normaliser_lowers_the_slope():
    W = torch.eye(3).double() * 1e-9
    X = polar_polynomial(W, torch.tensor(2.0, dtype=torch.float64), polar_express(8))
    torch.testing.assert_close(X, W * gain(polar_express(8)) / 2, rtol=1e-6, atol=0)


def test_polar_factor_of_a_batch_is_differentiable():
    W = gaussian(2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w: polar_factor(w, method="newton_schulz", steps=4), (W,), atol=1e-5
    )


def test_unknown_names_and_useless_steps_are_refused():
    W = torch.eye(2)
    with pytest.raises(ValueError, match=r"unknown method 'polar_expres'.*did you mean 'polar_ex"):
        untyped(polar_factor)(W, method="polar_expres")
    with pytest.raises(ValueError, match=r"unknown normaliser 'grm'.*did you mean 'gram'"):
        untyped(polar_factor)(W, method="halley", normaliser="grm")
    with pytest.raises(ValueError, match=r"unknown normaliser 'x'; known: frobenius, gram, power$"):
        untyped(normaliser_value)(W, "x")
    for method in ("svd", "published"):
        with pytest.raises(ValueError, match=f"method '{method}' has no steps, got steps=3"):
            polar_factor(W, method=method, steps=3)


def untyped(function):
    """Without the shape and type checks that only tests install."""
    return getattr(function, "__wrapped__", function)
