"""The scalar functions: bounds that the matrix functions rely on, and published tables."""

import pytest
import torch
from planted import spectrum

from spectraledge.linalg import (
    Halley,
    Polynomial,
    cans,
    evaluate,
    gain,
    halley,
    muon,
    newton_schulz,
    polar_express,
)

SCHEDULES = {
    "cubic5": newton_schulz(5),
    "cubic10": newton_schulz(10),
    "cubic15": newton_schulz(15),
    "cubic30": newton_schulz(30),
    "muon5": muon(5),
    "express5": polar_express(5),
    "express6": polar_express(6),
    "express8": polar_express(8),
    "express10": polar_express(10),
    "express12": polar_express(12),
    "cans9": cans(9, 1e-3),
    "halley": halley(),
    "halley2": halley(2, 1e-3),
    "halley4": halley(4, 3e-4),
}
MARGIN = 1.01  # Frobenius normaliser


def grid(low: float = 1e-7) -> torch.Tensor:
    logarithmic = torch.logspace(torch.tensor(low).log10().item(), 0, 20_000, dtype=torch.float64)
    return torch.cat([logarithmic, torch.linspace(low, 1, 20_000, dtype=torch.float64)])


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_between_zero_and_its_tangent(name):
    x = grid()
    ratio = evaluate(SCHEDULES[name], x) / (gain(SCHEDULES[name]) * x)
    assert ratio.min() >= 0
    assert ratio.max() <= 1 + 1e-12  # rounding of about ten multiplications in float64


@pytest.mark.parametrize(
    ("name", "value", "digit"),
    [
        ("cubic5", 7.59, 0.01),
        ("cubic10", 57.7, 0.1),
        ("cubic15", 438, 1),
        ("cubic30", 191751, 1),
        ("muon5", 485, 1),
    ],
)
def test_gains(name, value, digit):
    # One unit of the last digit given.
    assert gain(SCHEDULES[name]) == pytest.approx(value, abs=digit)


@pytest.mark.parametrize(
    ("steps", "value"),
    [(5, 967), (6, 1810), (7, 3360), (8, 6300), (10, 22150), (12, 77870)],
)
def test_gains_of_polar_express(steps, value):
    # 1.01^3: published numbers divide up to two rows more or fewer by the safety factor, and
    # include the margin of the normaliser.
    assert gain(polar_express(steps)) == pytest.approx(value, rel=0.031)


# x = sigma / ||W||_F: cubic5, cubic10, cubic15, cubic30, muon5, express5, express6, express8
APPLIED = {
    0.5: (1.0000, 1, 1, 1, 0.765, 1.105, 0.999, 1),
    0.177: (0.908, 1, 1, 1, 1.017, 1.053, 0.999, 1),
    0.1: (0.659, 1, 1, 1, 0.712, 0.891, 0.999, 1),
    0.05: (0.366, 1.000, 1, 1, 0.758, 0.936, 1.001, 1),
    0.01: (0.076, 0.529, 1.000, 1, 0.699, 1.054, 0.999, 1),
    1e-3: (0.0076, 0.058, 0.417, 1.000, 0.471, 0.840, 0.994, 1),
    1e-4: (0.0008, 0.006, 0.044, 1.000, 0.049, 0.097, 0.180, 0.570),
    1e-5: (8e-5, 6e-4, 0.004, 0.982, 0.005, 0.010, 0.018, 0.063),
}
COLUMNS = ("cubic5", "cubic10", "cubic15", "cubic30", "muon5", "express5", "express6", "express8")


@pytest.mark.parametrize("x", APPLIED)
def test_table_of_applied_functions(x):
    for name, value in zip(COLUMNS, APPLIED[x], strict=True):
        margin = MARGIN if name.startswith("express") else 1.0
        ours = evaluate(SCHEDULES[name], x / margin)
        # Three decimals; for Polar Express also 1 %, the table does not say whether its last row
        # is divided by the safety factor 1.01.
        tolerance = 6e-4 + (0.01 * value if name.startswith("express") else 0)
        assert ours == pytest.approx(value, abs=tolerance), name


def deviation(name: str, values: torch.Tensor, amount: float, floor: bool = False) -> float:
    """Largest distance from the exact soft threshold, in units of the amount."""
    schedule = SCHEDULES[name]
    bound = MARGIN * values.norm()
    if floor:
        bound = torch.maximum(bound, torch.tensor(gain(schedule) * amount))
    step = values - amount * evaluate(schedule, values / bound)
    return ((step - (values - amount).clamp(min=0)).abs().max() / amount).item()


@pytest.mark.parametrize(
    ("name", "error", "floored_error"),
    [
        ("cubic5", 0.995, None),
        ("cubic15", 0.695, None),
        ("cubic30", 0.979, None),
        ("cans9", 0.091, None),
        ("muon5", 0.659, None),
        ("express5", 0.352, None),
        ("express6", 0.084, None),
        ("express8", 0.606, 0.201),
    ],
)
def test_table_of_deviations_on_a_geometric_spectrum(name, error, floored_error):
    values = spectrum("geo6", 128)
    # Two decimals: the largest error sits on one of 128 grid points and moves with the margin.
    assert deviation(name, values, 7.1e-4) == pytest.approx(error, abs=0.015)
    if floored_error is not None:
        assert deviation(name, values, 7.1e-4, floor=True) == pytest.approx(floored_error, abs=0.01)


@pytest.mark.parametrize(
    ("name", "worst"),
    [("express8", 0.2105), ("express6", 0.2105), ("halley", 0.185), ("halley4", 0.199)],
)
def test_worst_deviation_once_the_floor_is_active(name, worst):
    # Over all sigma in (0, N], N = gain * amount: a property of the schedule alone, so the worst
    # value of a fine grid is the number itself to four digits.
    schedule = SCHEDULES[name]
    u = gain(schedule) * grid(1e-6)
    error = (u - evaluate(schedule, u / gain(schedule)) - (u - 1).clamp(min=0)).abs().max()
    assert error <= worst


def test_express_worst_deviation_is_the_published_one():
    schedule = SCHEDULES["express8"]
    u = torch.linspace(0.5, 2, 100_001, dtype=torch.float64)
    error = (u - evaluate(schedule, u / gain(schedule)) - (u - 1).clamp(min=0)).abs().max()
    assert error.item() == pytest.approx(0.2104, abs=1e-4)


@pytest.mark.parametrize(
    ("lower", "cubic", "quintic"), [(1e-2, 14, 9), (1e-3, 19, 13), (1e-4, 25, 16)]
)
def test_iterations_to_one_percent(lower, cubic, quintic):
    x = grid(lower)

    def first(row: Polynomial) -> int:
        return next(k for k in range(50) if (evaluate((row,) * k, x) - 1).abs().max() < 1e-2)

    assert first(newton_schulz(1)[0]) == cubic
    assert first(Polynomial(1.875, -1.25, 0.375)) == quintic


@pytest.mark.parametrize(("lower", "steps"), [(1e-2, 7), (1e-3, 9), (1e-4, 12)])
def test_optimal_cubics_reach_one_percent(lower, steps):
    x = grid(lower)
    assert (evaluate(cans(steps, lower), x) - 1).abs().max() < 1e-2
    assert (evaluate(cans(steps - 1, lower), x) - 1).abs().max() > 1e-2


def test_optimal_cubic_touches_its_error_three_times():
    # Equioscillation at both ends and at the interior maximum: the mark of the best cubic.
    lower = 0.2
    (row,) = cans(1, lower)
    peak = (row.a / (-3 * row.b)) ** 0.5
    errors = [row(lower) - 1, row(peak) - 1, row(1.0) - 1]
    assert errors == pytest.approx([errors[0], -errors[0], errors[0]], abs=1e-14)


def test_default_halley_schedule_is_within_one_percent():
    x = grid(5e-4)
    assert (evaluate(halley(), x) - 1).abs().max() < 0.01
    assert gain(halley()) == pytest.approx(3182, abs=1)


def test_halley_step_is_the_best_of_its_family():
    # Maximin: no x (a + b x^2)/(1 + c x^2) has a larger ratio of minimum to maximum on [l, 1].
    x = grid(1e-2)
    best = halley(1, 1e-2)[0]
    assert best(x).max() == pytest.approx(1.0, abs=1e-12)
    assert best(x).min() == pytest.approx(best(1e-2), rel=1e-12)
    factors = 1 + 0.2 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
    for fa, fb, fc in factors.tolist():
        values = Halley(best.a * fa, best.b * fb, best.c * fc)(x)
        assert values.min() / values.max() < best(x).min()


def test_step_counts_and_bounds_are_checked():
    with pytest.raises(ValueError, match=r"at least 1 step, got steps=0"):
        polar_express(0)
    with pytest.raises(ValueError, match=r"lower in \(0, 1\), got lower=1.5"):
        cans(3, 1.5)
    with pytest.raises(ValueError, match=r"lower in \(0, 1\), got lower=0"):
        halley(3, 0.0)
