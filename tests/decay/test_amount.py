"""How much a rate subtracts, against closed forms."""

import pytest
import torch
from decay_models import matrix
from scipy.optimize import brentq

from spectraledge.decay import decay_amount, decay_step

METHODS = ("svd", "floored", "huber", "two_sign", "subgradient", "published")


def rate(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("value", [1e-4, 0.03, 0.4, 0.9])
@pytest.mark.parametrize("shape", [(12, 12), (20, 7), (5, 16)])
def test_exact_adaptive_amount_solves_its_equation(shape: tuple[int, int], value: float) -> None:
    W = matrix(*shape)
    s = torch.linalg.svdvals(W)

    def excess(t: float) -> float:
        return float(s.clamp_max(t).square().sum() - (value * s.norm()) ** 2)

    root = brentq(excess, 0.0, float(s[0]), xtol=1e-15)
    # brentq stops at 4 eps relative; the closed form adds a few roundings.
    assert decay_amount(W, value, method="svd").item() == pytest.approx(root, rel=1e-12)


def test_a_rate_of_one_removes_the_whole_matrix() -> None:
    W = matrix(6, 9)
    after, _ = decay_step(W, rate(1.0), rate(6.0), "adaptive", "svd")
    # At the largest singular value itself rounding may leave an ulp of it.
    assert after.abs().max() < 1e-14


@pytest.mark.parametrize("value", [1e-3, 0.1])
def test_svd_step_has_the_norm_of_a_weight_decay_step(value: float) -> None:
    W = matrix(3, 24, 16)
    after, _ = decay_step(W, rate(value).expand(3), rate(16.0).expand(3), "adaptive", "svd")
    moved, norm = (torch.linalg.matrix_norm(x) for x in (W - after, W))
    # fp64: W - W' loses 1e-16/1e-3 of the step, and a spectrum of 16 values adds rounding.
    torch.testing.assert_close(moved / norm, rate(value).expand(3), rtol=1e-11, atol=0)


def test_published_adaptive_step_has_the_norm_of_a_weight_decay_step() -> None:
    W = matrix(24, 24)
    after, _ = decay_step(W, rate(0.01), rate(24.0), "adaptive", "published")
    # X does not depend on the amount, so this holds to fp64 rounding from the first step.
    assert float((W - after).norm() / W.norm()) == pytest.approx(0.01, rel=1e-10)


@pytest.mark.parametrize("method", ["floored", "huber", "two_sign"])
def test_lagged_adaptive_steps_have_the_norm_of_weight_decay_to_one_percent(method: str) -> None:
    W, rho, ratios = matrix(24, 24), rate(24.0), []
    for _ in range(400):
        after, new = decay_step(W, rate(3e-3), rho, "adaptive", method)
        ratios.append(float((W - after).norm() / W.norm()) / 3e-3)
        # A singular value that reaches zero lowers rho by 1 before the amount follows; two may
        # coincide, and the smooth knees of these methods add the drift of the other values.
        assert abs(ratios[-1] - 1) < 1.2 / float(rho)
        W, rho = after, new
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.01)
    assert rho < 12  # the rank has halved, so the lag was really tested


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", ["adaptive", "spectral"])
@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e5])
def test_scaled_steps_commute_with_rescaling(method: str, scale: str, factor: float) -> None:
    if method == "published":
        factor = 7.0  # its 1e-8 beside the norm breaks the law at other scales
    W = matrix(20, 12)
    after, rho = decay_step(W, rate(0.02), rate(12.0), scale, method)
    scaled, scaled_rho = decay_step(factor * W, rate(0.02), rate(12.0), scale, method)
    # fp64 through up to 24 products; 1e-6 is the law's tolerance, 1e-9 what is reached.
    torch.testing.assert_close(scaled / factor, after, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(scaled_rho, rho, rtol=1e-8, atol=0)


def test_absolute_amount_is_the_rate() -> None:
    amount = decay_amount(matrix(4, 5, 5), 0.3, "absolute")
    assert amount.tolist() == [0.3] * 4


def test_spectral_amount() -> None:
    W = matrix(40, 30)
    largest = float(torch.linalg.svdvals(W)[0])
    assert decay_amount(W, 0.1, "spectral", method="svd").item() == pytest.approx(0.1 * largest)
    estimate = decay_amount(W, 0.1, "spectral").item() / (0.1 * largest)
    assert 1.0 - 1e-12 <= estimate <= 30 ** (1 / 64)
    # All singular values equal: the bound is attained, here exactly 30^(1/64).
    worst = decay_amount(torch.eye(30, dtype=torch.float64), 1.0, "spectral").item()
    assert worst == pytest.approx(30 ** (1 / 64), rel=1e-12)


@pytest.mark.parametrize("scale", ["adaptive", "spectral"])
@pytest.mark.parametrize("method", METHODS)
def test_zero_and_non_finite_matrices_get_no_amount_and_keep_their_memory(
    scale: str, method: str
) -> None:
    batch = torch.stack([torch.zeros(4, 4), torch.full((4, 4), torch.nan), torch.eye(4)])
    amount = decay_amount(batch, 0.1, scale, method=method)
    assert amount[:2].tolist() == [0.0, 0.0]
    assert amount[2] > 0
    after, rho = decay_step(batch, rate(0.1).expand(3), rate(3.0).expand(3), scale, method)
    assert torch.equal(after[:2], batch[:2]) or torch.isnan(after[1]).all()
    assert after[0].abs().sum() == 0
    assert rho[:2].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("magnitude", [1e-30, 1e30])
def test_extreme_norms_in_float32(magnitude: float) -> None:
    W = (matrix(8, 8) * magnitude).float()
    exact = 0.1 * float(torch.linalg.svdvals(W)[0])
    estimate = decay_amount(W, 0.1, "spectral").item()
    # The estimate is between sigma_1 and 8^(1/64) = 1.033 times it; float32 entries.
    assert exact * (1 - 1e-6) <= estimate <= exact * 1.034


def test_a_step_lost_in_rounding_keeps_the_memory() -> None:
    W = matrix(8, 8).float()
    _, rho = decay_step(W, rate(1e-9), rate(5.0))
    assert rho.item() == 5.0


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"unknown scale 'adaptve'; known: .*did you mean 'adap"):
        decay_amount(matrix(3, 3), 0.1, "adaptve")
    with pytest.raises(ValueError, match=r"unknown method 'svf'; known: auto"):
        decay_amount(matrix(3, 3), 0.1, method="svf")
