"""Angles of overlapping windows without structure."""

import pytest
import torch

from spectraledge.linalg import direction_cosines, drift_ratio, rotation_null, update_spectrum


def gram(ratio, count, draws=1, dimensions=20_000, seed=1):
    chance = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws, count, dimensions, generator=chance).double() / dimensions**0.5
    noise[..., 0] += ratio
    return noise @ noise.mT


@pytest.mark.parametrize(
    ("window", "ratio", "angles"),
    [
        (5, 0.0, (38.7, 57.4, 53.9)),
        (3, 0.0, (48, 60, 52)),
        (10, 0.0, (34, 49, 53)),
        (5, 0.5, (24, 45, 56)),
        (5, 1.0, (14.9, 44.8, 55.8)),
        (5, 2.0, (7.8, 45, 56)),
    ],
)
def test_angles_are_those_of_an_independent_simulation(window, ratio, angles):
    # Simulated elsewhere; single angles scatter by some 25°, so 60 windows leave 3° each.
    found = rotation_null(window, torch.tensor(ratio).double()).mean[:3].tolist()
    assert found == pytest.approx(angles, abs=6)


def test_lasting_noise_turns_its_first_direction_less_and_its_third_more():
    still = torch.tensor(0.0).double()
    found = rotation_null(5, still, autocorrelation=0.9).mean[:3].tolist()
    # Simulated elsewhere, as above.
    assert found == pytest.approx((11, 39, 74), abs=6)
    for wrong in (1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"in \(-1, 1\), got"):
            rotation_null(5, still, autocorrelation=wrong)


def test_the_null_does_not_depend_on_the_dimension():
    # 300 windows: the mean angle of one direction scatters by 25°/√300 = 1.4°.
    products = gram(1.0, 6, draws=300, dimensions=4000)
    cosines = direction_cosines(products, 5).diagonal(dim1=-2, dim2=-1).abs()
    angles = cosines.clamp(max=1).arccos().mean(0) * 180 / torch.pi
    expected = rotation_null(5, torch.tensor(1.0).double()).mean
    torch.testing.assert_close(angles[:3], expected[:3], atol=4.5, rtol=0)


def test_the_ratio_is_that_of_drift_and_noise():
    for ratio in (0.0, 0.5, 3.0):
        # Products of noise scatter by 1/√(10·20000) = 0.002, those with the drift by ratio/√20000.
        assert drift_ratio(gram(ratio, 5))[0].item() ** 2 == pytest.approx(
            ratio**2, abs=0.02 + 0.02 * ratio**2
        )
    assert drift_ratio(torch.ones(3, 3).double()).isinf()


def test_quantiles_are_ordered_and_nan_stays():
    null = rotation_null(4, torch.tensor([0.3, float("nan"), 50.0]).double())
    assert (null.low[0] <= null.mean[0]).all()
    assert (null.mean[0] <= null.high[0]).all()
    assert null.mean[1].isnan().all()
    assert null.mean[2].equal(rotation_null(4, torch.tensor(16.0).double()).mean)


def test_a_window_of_one_has_no_neighbour():
    with pytest.raises(ValueError, match="at least 2 updates, got 1"):
        rotation_null(1, torch.tensor(0.0).double())


@pytest.mark.parametrize("window", [3, 5, 10])
def test_pure_noise_has_rank_one_in_three_quarters_of_its_windows(window):
    # 400 windows: a share of 0.74 scatters by 0.022.
    ranks = update_spectrum(gram(0.0, window, draws=400, dimensions=2000)).rank_at_gap()
    assert (ranks == 1).double().mean().item() == pytest.approx(0.74, abs=0.09)
