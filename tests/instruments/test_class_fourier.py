"""Planted waves over classes and positions, against shares of a plain transform."""

from math import pi

import pytest
import torch
from lookup_problem import LookupProblem, gaussian, snapshots

from spectraledge.instruments import PositionalFourier, Window
from spectraledge.instruments.class_fourier import (
    class_fourier,
    class_means,
    class_order,
    positional_power,
)
from spectraledge.linalg import discrete_logarithm_order


def ones(count):
    return torch.ones(count, dtype=torch.float64)


def wave(size, frequency, phase=0.4):
    return torch.cos(2 * pi * frequency * torch.arange(size).double() / size + phase)


@pytest.mark.parametrize("size", [11, 12])
@pytest.mark.parametrize("frequency", [1, 3, 5])
def test_one_planted_frequency_holds_everything(size, frequency):
    found = class_fourier(7 + wave(size, frequency), 3 * ones(size))
    for name in ("concentration", "weighted_concentration"):
        assert found[name].item() == pytest.approx(1, abs=1e-12)
    assert found["peak"].item() == found["weighted_peak"].item() == frequency
    # Half of the frequencies and the zeroed mean.
    assert found["elevation"].item() == pytest.approx(size // 2 + 1, abs=1e-10)


@pytest.mark.parametrize("size", [11, 12])
def test_equal_weights_give_the_shares_of_the_transform(size):
    means = gaussian(4, size)
    power = torch.fft.rfft(means - means.mean(-1, keepdim=True)).abs().square()[:, 1:]
    # A frequency below half of an even size stands for two modes.
    energy = power * torch.where(2 * torch.arange(1, size // 2 + 1) == size, 1.0, 2.0)
    found = class_fourier(means, 5 * ones(size))
    expected = (energy / energy.sum(-1, keepdim=True)).amax(-1)
    torch.testing.assert_close(found["weighted_concentration"], expected)
    torch.testing.assert_close(found["concentration"], power.amax(-1) / power.sum(-1))


def test_a_rare_class_weighs_little():
    means, counts = wave(11, 2), 100 * ones(11)
    means[10], counts[10] = 50, 0.01
    found = class_fourier(means, counts)
    assert found["weighted_peak"].item() == 2
    assert found["weighted_concentration"].item() > 0.9
    assert found["concentration"].item() < 0.4


def test_a_straight_line_is_elevated_by_itself():
    found = class_fourier(torch.arange(11.0).double(), ones(11))
    assert found["peak"].item() == 1
    # Σ 1 / sin²(πω/D) in closed form: (D² − 1) / 6 over both halves of the spectrum.
    expected = 6 / torch.sin(torch.tensor(pi / 11)).item() ** 2 / ((11**2 - 1) / 6)
    assert found["elevation"].item() == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(3.78, abs=0.01)


def test_shift_and_factor_do_not_matter_and_directions_are_independent():
    means, counts = gaussian(3, 9), ones(9)
    plain, other = class_fourier(means, counts), class_fourier(5 - 1e-4 * means, counts)
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=1e-6, atol=1e-8)
        alone = [class_fourier(row, counts)[name] for row in means]
        torch.testing.assert_close(value, torch.stack(alone))


def test_no_variation_is_nan():
    for means in (ones(9), 1e3 * ones(9) / 3, ones(2), ones(9) * torch.nan):
        found = class_fourier(means, torch.ones_like(means))
        assert all(value.isnan() for value in found.values())


def test_means_are_of_each_class():
    values = torch.tensor([[1.0, 3.0, 10.0], [2.0, 4.0, 0.0]]).double()
    means, counts = class_means(values, torch.tensor([5, 5, 2]), torch.tensor([2, 5]))
    assert means.tolist() == [[10, 2], [0, 3]]
    assert counts.tolist() == [1, 2]


def test_products_are_waves_in_the_order_of_logarithms():
    order = discrete_logarithm_order(13)
    labels = torch.arange(13).repeat(2)
    values = torch.zeros(13, dtype=torch.float64)
    values[order] = wave(12, 2)
    classes = class_order(labels, "discrete_logarithm", 13)
    assert classes.tolist() == order.tolist()
    found = class_fourier(*class_means(values[labels], labels, classes))
    assert found["concentration"].item() == pytest.approx(1, abs=1e-12)
    natural = class_order(labels, "natural", None)
    assert class_fourier(*class_means(values[labels], labels, natural))["concentration"] < 0.9
    with pytest.raises(ValueError, match="expected a prime modulus, got None; pass modulus=p"):
        class_order(labels, "discrete_logarithm", None)


def test_power_over_positions_is_that_of_each_sequence():
    h = wave(24, 12, 0.0)[None, :, None] * gaussian(5, 1, 3)
    power = positional_power(h, torch.ones(5, 24, dtype=torch.bool))
    assert power.argmax().item() == 12
    assert (power[12] / power.sum()).item() == pytest.approx(1, abs=1e-12)
    half = torch.ones(5, 24, dtype=torch.bool)
    half[:, 12:] = False
    expected = torch.fft.rfft(h * half[..., None], dim=1).abs().square().mean((0, 2))
    torch.testing.assert_close(positional_power(h, half), expected)


def test_the_instrument_finds_alternation_and_leaves_padding_out():
    tokens = torch.tensor([[0, 1] * 6, [0, 1] * 3 + [11] * 6]).expand(2, 2, 12)
    # Opposite vectors for the two tokens, and a large one for padding.
    matrix = torch.zeros(2, 12, 12)
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 11] = 1, -1, 100
    matrix[1] = torch.nan
    (start,) = snapshots(matrix)
    instrument = PositionalFourier()
    window = Window((start,), LookupProblem(tokens))
    assert instrument.labels(window) == {"module": ("blocks.0",)}
    found = instrument.measure(window)
    assert found["largest_frequency"][0].item() == 6
    # The whole row is one frequency of power 144; the half row has 36 there and the same energy,
    # 6 · 12 / 2 = 36 in all frequencies beside it.
    assert 0.8 < found["largest_share"][0].item() < 1
    assert found["largest_three_share"][0] >= found["largest_share"][0]
    assert all(array[1].isnan().all() for array in found.values())
    with pytest.raises(ValueError, match="expected rows >= 1, got 0"):
        PositionalFourier(rows=0)
