"""Soft thresholds: exactness, no overshoot, extinction of the tail, edge cases."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import SPECTRA, gaussian, orthogonal, planted, spectrum

from spectraledge.linalg import (
    gain,
    halley,
    polar_express,
    polar_factor,
    published_step,
    soft_threshold_singular_values,
)

METHODS = {  # name: keywords
    "svd": {"method": "svd"},
    "floored": {"method": "floored"},
    "floored8": {"method": "floored", "steps": 8},
    "floored6": {"method": "floored", "steps": 6},
    "huber": {"method": "huber"},
    "huber10": {"method": "huber", "steps": 10},
    "two_sign": {"method": "two_sign"},
}
SAFE = tuple(METHODS)
FAST = SAFE[:-1]
SHAPES = [(20, 20), (30, 14), (14, 30), (1, 7), (7, 1)]


def shrink(name, W, amount):
    return soft_threshold_singular_values(W, amount, **METHODS[name])


def core(U, V, W):
    return (U.mT @ W.double() @ V).diagonal()


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("amount", [1e-4, 7.1e-4, 5e-3, 0.2])
def test_no_singular_value_passes_zero(name, kind, amount):
    U, V, W = planted(spectrum(kind, 64), 64, 64)
    assert core(U, V, shrink(name, W, amount)).min() >= -1e-6 * amount


@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("amount", [1e-4, 5e-3])
def test_values_just_below_the_amount_do_not_pass_zero(name, amount):
    # Where an approximate sign function is in the middle of its jump.
    near = amount * (1 - torch.logspace(-9, 0, 60, dtype=torch.float64).flip(0))
    values = torch.cat([torch.ones(4, dtype=torch.float64), near])
    U, V, W = planted(values / 2, 64, 64)
    assert core(U, V, shrink(name, W, amount / 2)).min() >= -1e-6 * amount / 2


@pytest.mark.parametrize("name", FAST)
def test_no_singular_value_passes_zero_in_float32(name):
    U, V, W = planted(spectrum("lowrank", 128), 128, 128)
    amount = 1e-3
    after = core(U, V, shrink(name, W.float(), amount))
    # The entries of W are rounded to 6e-8 of themselves, whatever the method does.
    assert after.min() >= -1e-6 * amount - 1e-7


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("n", [64, 256])
def test_svd_is_the_exact_soft_threshold(kind, n):
    values = spectrum(kind, n)
    U, V, W = planted(values, n, n)
    expected = U @ torch.diag((values - 1e-3).clamp(min=0)) @ V.mT
    torch.testing.assert_close(shrink("svd", W, 1e-3), expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize(
    ("kind", "n"),
    [(kind, n) for kind in SPECTRA for n in (64, 128)] + [("gauss", 512), ("geo6", 512)],
)
@pytest.mark.parametrize(
    ("name", "bound"),
    # Worst deviations of the scalar functions; for floored, given an active floor.
    [("floored", 0.1847), ("floored8", 0.2105), ("huber", 0.2929)],
)
def test_distance_from_the_exact_step(name, bound, kind, n):
    U, V, W = planted(spectrum(kind, n), n, n)
    amount = 1.02 / gain(halley())  # norm 1: the floor G t exceeds 1.01 for both schedules
    error = shrink(name, W, amount) - shrink("svd", W, amount)
    # 1e-4 of the amount for rounding.
    assert core(U, V, error).abs().max() <= (bound + 1e-4) * amount
    assert (error - (U * core(U, V, error)) @ V.mT).abs().max() <= 1e-4 * amount


@pytest.mark.parametrize(
    ("kind", "n", "amount", "dtype"),
    [(kind, 64, 7.1e-4, torch.float64) for kind in SPECTRA]
    + [(kind, 128, 7.1e-4, torch.float32) for kind in SPECTRA]
    + [("geo6", 512, 3.5e-4, torch.float32)],
)
def test_two_signs_agree_with_the_svd(kind, n, amount, dtype):
    U, V, W = planted(spectrum(kind, n), n, n)
    error = shrink("two_sign", W.to(dtype), amount).double() - shrink("svd", W, amount)
    assert core(U, V, error).abs().max() <= 0.02 * amount


@pytest.mark.parametrize(("ratio", "worst"), [(0.6, 0.45), (0.3, 0.71), (0.1, 0.90)])
def test_below_the_floor_the_tail_is_only_removed_more_slowly(ratio, worst):
    # t so small that G t = ratio * 1.01 F; a large first value makes the Gram bound equal to F.
    schedule, amount = polar_express(8), ratio * 1.01 / gain(polar_express(8))
    values = torch.cat([torch.ones(1), torch.logspace(-6, -2, 39).flip(0)]).double()
    U, V, W = planted(values, 40, 40)
    after = core(U, V, shrink("floored8", W, amount))
    excess = (after - (values - amount).clamp(min=0)) / amount
    assert excess.min() >= -1e-6
    # A grid of 39 values catches the worst one to 10 %.
    assert excess.max().item() == pytest.approx(worst, rel=0.1)
    assert gain(schedule) * amount < 1.01


@pytest.mark.parametrize("kind", SPECTRA)
def test_stacked_and_decomposed_huber_agree(kind):
    W = planted(spectrum(kind, 64), 64, 80)[2]
    # Ten rows bring every singular value of the stack, at least 7e-4 of its norm, to 1.
    torch.testing.assert_close(
        shrink("huber10", W, 7.1e-4), shrink("huber", W, 7.1e-4), atol=1e-12, rtol=0
    )


@settings(max_examples=20, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 10_000),
    name=st.sampled_from(("svd", "floored", "floored8", "huber", "huber10")),
    amount=st.floats(1e-3, 10.0),
)
def test_equivariances(shape, seed, name, amount):
    W = gaussian(*shape, seed=seed)
    after = shrink(name, W, amount)
    P, Q = orthogonal(shape[0], seed + 1), orthogonal(shape[1], seed + 2)
    # Rounding of float64 times the gain of 8 to 10 rows, at most 2e4.
    close = {"atol": 1e-9, "rtol": 0}
    torch.testing.assert_close(shrink(name, P @ W @ Q, amount), P @ after @ Q, **close)
    torch.testing.assert_close(shrink(name, W.mT, amount), after.mT, **close)
    torch.testing.assert_close(shrink(name, 3 * W, 3 * amount), 3 * after, **close)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), a=st.floats(0.0, 2.0), b=st.floats(0.0, 2.0))
def test_steps_of_the_exact_threshold_add_up(seed, a, b):
    W = gaussian(9, 6, seed=seed)
    twice = shrink("svd", shrink("svd", W, a), b)
    torch.testing.assert_close(twice, shrink("svd", W, a + b), atol=1e-12, rtol=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), amount=st.floats(0.01, 3.0))
def test_exact_threshold_is_what_is_left_of_a_projection(seed, amount):
    # Moreau: W - prox(W) is the projection of W on the spectral ball of radius t.
    W = gaussian(6, 8, seed=seed)
    clipped = W - shrink("svd", W, amount)
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    torch.testing.assert_close(clipped, (U * S.clamp(max=amount)) @ Vh, atol=1e-12, rtol=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), amount=st.floats(0.05, 2.0))
def test_huber_is_a_gradient_step_on_its_potential(seed, amount):
    W = gaussian(4, 5, seed=seed).requires_grad_()
    potential = (torch.linalg.svdvals(W).square() + amount**2).sqrt().sum()
    (gradient,) = torch.autograd.grad(potential, W)
    W = W.detach()
    torch.testing.assert_close(
        shrink("huber", W, amount), W - amount * gradient, atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("name", SAFE)
def test_tail_dies_once_the_amounts_exceed_the_largest_value(name):
    W = gaussian(32, 32, seed=1)
    W = W / torch.linalg.matrix_norm(W, 2)
    amount = 0.02
    W = iterate(lambda X: shrink(name, X, amount), W, round(1 / amount) + 20)
    assert torch.linalg.matrix_norm(W, 2) < 1e-6 * amount


@pytest.mark.parametrize("name", ["svd", "floored", "floored8", "huber"])
def test_tail_dies_faster_than_any_exponential(name):
    W = gaussian(64, 64, seed=1)
    W = 0.98 * W / torch.linalg.matrix_norm(W, 2)
    W = iterate(lambda X: shrink(name, X, 0.01), W, 125)
    assert torch.linalg.matrix_norm(W, 2) < 1e-160


@pytest.mark.parametrize(
    ("step", "low", "high"),
    [
        (lambda W: W - 0.01 * polar_factor(W), 0.5, 1.11),
        (lambda W: W - 0.01 * polar_factor(W, method="polar_express"), 0.5, 1.11),
        (lambda W: W - 0.01 * polar_factor(W, method="newton_schulz", steps=15), 0.5, 1.11),
        (lambda W: published_step(W, 0.01), 0.05, 0.5),
    ],
)
def test_polar_steps_hover_instead(step, low, high):
    W = gaussian(64, 64, seed=1)
    W = 0.98 * W / torch.linalg.matrix_norm(W, 2)
    W = iterate(step, W, 150)
    assert low <= torch.linalg.matrix_norm(W, 2) / 0.01 <= high


def iterate(step, W, times):
    for _ in range(times):
        W = step(W)
    return W


@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_amount_per_matrix_and_batches_equal_single_matrices(name, shape):
    W = gaussian(2, 3, *shape, seed=3)
    amounts = torch.tensor([[0.0, 0.1, 1.0], [0.3, 2.0, 100.0]], dtype=torch.float64)
    after = shrink(name, W, amounts)
    torch.testing.assert_close(after[0, 0], W[0, 0], atol=1e-12, rtol=0)
    for i in range(2):
        for j in range(3):
            single = shrink(name, W[i, j], amounts[i, j].item())
            torch.testing.assert_close(after[i, j], single, atol=1e-9, rtol=0)
    shared = shrink(name, W, torch.tensor(0.3))
    torch.testing.assert_close(shared[1, 0], after[1, 0], atol=1e-6, rtol=0)  # 0.3 in float32


@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_zero_and_non_finite_matrices_leave_the_batch_alone(name, dtype, bad):
    W = gaussian(4, 10, 6, seed=7).to(dtype)
    clean = shrink(name, W, 0.1)
    dirty = W.clone()
    dirty[1] = 0
    dirty[2, 3, 5] = bad
    before = dirty.clone()
    after = shrink(name, dirty, 0.1)
    assert after.dtype == dtype
    assert (after[1] == 0).all()
    exact = {"atol": 0, "rtol": 0, "equal_nan": True}
    torch.testing.assert_close(after[2], before[2], **exact)
    torch.testing.assert_close(dirty, before, **exact)
    torch.testing.assert_close(after[[0, 3]], clean[[0, 3]], **exact)


@pytest.mark.parametrize("name", ["svd", "floored", "floored8", "huber", "two_sign"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_norms_in_float32(name, scale):
    W = gaussian(10, 6, seed=2).float()
    after = shrink(name, W * scale, 0.5 * scale)
    torch.testing.assert_close(after / scale, shrink(name, W, 0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["svd", "floored", "floored8", "huber"])
def test_an_amount_far_above_the_norm_leaves_almost_nothing(name):
    W = gaussian(10, 6, seed=2).float() * 1e-20
    assert shrink(name, W, 1.0).abs().max() <= 1e-26


def test_published_step_multiplies_the_tail_and_subtracts_from_the_head():
    values = torch.cat([torch.tensor([1.0]), torch.full((19,), 1e-4)]).double()
    U, V, W = planted(values, 20, 20)
    after = core(U, V, published_step(W, 0.01))
    assert after[0].item() == pytest.approx(0.99, abs=1e-6)
    # 7.59 t/F to first order; the cubic terms are of size (7.59e-4)^2.
    assert (after[1:] / values[1:] - (1 - 1.5**5 * 0.01)).abs().max() < 1e-6


def test_published_step_leaves_non_finite_matrices():
    W = gaussian(2, 3, 3)
    W[1, 0, 0] = torch.nan
    torch.testing.assert_close(published_step(W, 0.1)[1], W[1], equal_nan=True, atol=0, rtol=0)


COMPILED = """
import torch
from spectraledge.linalg import soft_threshold_singular_values as shrink
W = torch.randn(3, 24, 16, generator=torch.Generator().manual_seed(0))
amounts = torch.tensor([0.0, 0.1, 2.0])
for steps in (None, 8):
    step = lambda W, amount: shrink(W, amount, method="floored", steps=steps)
    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    assert (compiled(W, amounts) - step(W, amounts)).abs().max() < 1e-6
    assert (torch.vmap(step)(W, amounts) - step(W, amounts)).abs().max() < 1e-6
print("same")
"""


def test_floored_compiles_to_one_graph():
    # In a process of its own: the shape checks that tests install cannot be traced.
    result = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "same", result.stderr


def test_bad_arguments_are_refused():
    W, untyped = torch.eye(2), soft_threshold_singular_values.__wrapped__
    with pytest.raises(ValueError, match=r"unknown method 'floord'.*did you mean 'floored'"):
        untyped(W, 0.1, method="floord")
    with pytest.raises(ValueError, match=r"amount >= 0, got amount=-0.1"):
        soft_threshold_singular_values(W, -0.1)
    with pytest.raises(ValueError, match="'svd' is exact and has no steps, got steps=5"):
        soft_threshold_singular_values(W, 0.1, steps=5)
    with pytest.raises(ValueError, match="at least 8 steps for 'huber', got steps=5"):
        soft_threshold_singular_values(W, 0.1, method="huber", steps=5)
