"""What chance gives for Fourier energies, against matrices drawn and turned at random."""

import pytest
import torch
from planted import gaussian, orthogonal

from spectraledge.linalg.fourier_alignment import frequencies_for_share, frequency_energy
from spectraledge.linalg.fourier_nulls import (
    expected_frequency_measures,
    isotropic_concentration,
    rotated_concentration,
)

DRAWS = 400


def drawn_measures(weights):
    """The three measures of each of many matrices, frequency 0 left out."""
    shares = frequency_energy(weights)[..., 1:]
    shares = shares / shares.sum(-1, keepdim=True)
    return {
        "frequencies": frequencies_for_share(shares),
        "effective_frequencies": torch.special.entr(shares).sum(-1).exp(),
        "largest_share": shares.amax(-1),
    }


def assert_expected(weights, concentration, tokens):
    expected = expected_frequency_measures(concentration, tokens)
    for name, drawn in drawn_measures(weights).items():
        # Four standard errors of the mean of the draws, and what the law itself leaves out: 0.4
        # of a frequency; entropy is averaged before the exponential, which costs half its variance
        # (1 % for one column); 3 % of the largest share where moments alone are matched, as for
        # 3 columns of unequal length, where 400 draws of each gave 1 to 3 %.
        missing = {"frequencies": 0.4, "effective_frequencies": 0.012, "largest_share": 0.04}[name]
        scale = 1.0 if name == "frequencies" else float(drawn.mean())
        reach = 4 * float(drawn.std()) / len(drawn) ** 0.5 + missing * scale
        assert abs(float(drawn.mean()) - float(expected[name])) < reach, name


@pytest.mark.parametrize(("tokens", "width"), [(43, 64), (42, 64), (43, 1), (97, 3)])
def test_random_matrices_give_what_is_expected(tokens, width):
    concentration = torch.tensor(isotropic_concentration(tokens, width), dtype=torch.float64)
    assert_expected(gaussian(DRAWS, tokens, width), concentration, tokens)


@pytest.mark.parametrize(("tokens", "rank"), [(43, 1), (43, 3), (42, 10)])
def test_a_matrix_with_its_tokens_turned_gives_what_is_expected(tokens, rank):
    scales = torch.linspace(1, 0.2, rank, dtype=torch.float64)
    weight = gaussian(tokens, rank, seed=1) * scales @ gaussian(rank, 64, seed=2)
    weight = weight - weight.mean(0)
    # Turned within the vectors that sum to zero, so that the mean over tokens stays.
    start = torch.cat([torch.ones(tokens, 1).double(), gaussian(tokens, tokens - 1, seed=3)], 1)
    inside = torch.linalg.qr(start)[0][:, 1:]
    turned = torch.stack([
        inside @ orthogonal(tokens - 1, seed) @ inside.mT @ weight for seed in range(DRAWS)
    ])  # fmt: skip
    assert_expected(turned, rotated_concentration(weight), tokens)


def test_one_column_is_a_uniform_direction_and_many_are_isotropic():
    # N/2, the law of a uniform direction on the sphere of N = 42 dimensions; exact.
    assert rotated_concentration(gaussian(43, 1)).item() == pytest.approx(21)
    wide = rotated_concentration(gaussian(8, 43, 2000)) / isotropic_concentration(43, 2000)
    # The variance over modes is estimated from 42 of them: sqrt(2/42) = 22 % each, 8 % over 8.
    assert wide.mean().item() == pytest.approx(1, abs=0.24)


def test_what_stays_the_same_when_axes_are_turned():
    weight = gaussian(43, 20)
    law = rotated_concentration(weight)
    for same in (5 * weight, weight @ orthogonal(20, 1), weight + 3, weight.flip(0)):
        # float64 rounding of sums of 860 squares.
        torch.testing.assert_close(rotated_concentration(same), law, rtol=1e-9, atol=0)


def test_orthonormal_rows_are_spread_evenly():
    law = rotated_concentration(torch.eye(43))
    expected = expected_frequency_measures(law, 43)
    # 0.8 of 21 is 16.8; 17 are enough, and the half for rounding up is within the 0.4.
    assert expected["frequencies"].item() == pytest.approx(17, abs=0.4)
    # At the largest concentration, 1e8, shares still differ by 1e-4 of themselves.
    assert expected["effective_frequencies"].item() == pytest.approx(21, rel=1e-6)
    assert expected["largest_share"].item() == pytest.approx(1 / 21, rel=2e-3)


def test_nothing_to_turn_is_nan():
    broken = torch.full((7, 3), torch.nan)
    for weight in (torch.zeros(7, 3), torch.full((7, 3), 0.1), broken):
        law = rotated_concentration(weight)
        assert law.isnan()
        assert all(value.isnan() for value in expected_frequency_measures(law, 7).values())
