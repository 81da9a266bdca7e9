"""Fourier energies over the token axis, and the published control that is not over it."""

from math import pi

import pytest
import torch
from planted import gaussian, generator, orthogonal

from spectraledge.linalg.fourier_alignment import (
    circuit_frequency_energy,
    discrete_logarithm_order,
    frequencies_for_share,
    frequency_energy,
    published_padded_frequency_energy,
    query_key_token_circuit,
    token_fourier_basis,
    value_output_token_circuit,
)


def wave(p, k, phase=0.3):
    return torch.cos(2 * pi * k * torch.arange(p, dtype=torch.float64) / p + phase)


def planted_embedding(p=97, d=128, frequencies=(3, 14), seed=0):
    """Tokens on one circle per frequency, in random planes of the model."""
    planes = orthogonal(d, seed)
    columns = [wave(p, k, phase) for k in frequencies for phase in (0.0, -pi / 2)]
    return torch.stack(columns, 1) @ planes[: len(columns)]


@pytest.mark.parametrize("p", [1, 2, 6, 7, 97])
def test_basis_is_orthonormal_and_its_modes_are_periodic(p):
    basis = token_fourier_basis(p)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(p).double(), rtol=0, atol=1e-12)
    for k in range(p // 2 + 1):
        energy = frequency_energy(wave(p, k)[:, None])
        assert energy[k] == pytest.approx(1, abs=1e-12)


def test_planted_frequencies_are_found():
    energy = frequency_energy(planted_embedding())
    assert energy.sum().item() == pytest.approx(1)
    assert energy[[3, 14]].tolist() == pytest.approx([0.5, 0.5])
    assert frequencies_for_share(energy).item() == 2


def test_energies_equal_those_of_the_fast_fourier_transform():
    weight = gaussian(2, 13, 5)
    square = torch.fft.fft(weight, dim=-2).abs().square().sum(-1)
    folded = torch.cat([square[:, :1], square[:, 1:7] + square[:, 7:].flip(-1)], -1)
    torch.testing.assert_close(frequency_energy(weight), folded / folded.sum(-1, keepdim=True))


def test_random_entries_spread_evenly():
    energy = frequency_energy(gaussian(13, 20_000))
    expected = torch.tensor([1 / 13] + [2 / 13] * 6, dtype=torch.float64)
    # Chi-square of 20,000 and more degrees of freedom: 1 % each, four standard errors.
    torch.testing.assert_close(energy, expected, rtol=0.04, atol=0)


def test_the_width_axis_may_be_rotated():
    """What hidden dimensions are called does not matter, as it must not."""
    weight = gaussian(97, 128)
    torch.testing.assert_close(
        frequency_energy(weight @ orthogonal(128, 3)), frequency_energy(weight)
    )


def test_the_published_control_depends_on_the_names_of_hidden_dimensions():
    column = torch.zeros(128, dtype=torch.float64)
    column[:97] = wave(97, 5)
    matrix = torch.outer(column, column)
    order = torch.randperm(128, generator=generator(0))
    aligned = published_padded_frequency_energy(matrix, 97)
    renamed = published_padded_frequency_energy(matrix[order][:, order], 97)
    assert aligned.argmax() == 5
    assert frequencies_for_share(aligned).item() == 1
    assert frequencies_for_share(renamed).item() > 5
    assert aligned.sum().item() == pytest.approx(1)


def test_the_published_control_written_out():
    W, p = gaussian(9, 9), 7
    a = torch.arange(7, dtype=torch.float64)
    modes = [(0, torch.ones(7).double())]
    for k in range(1, 5):
        modes += [(k, torch.cos(2 * pi * k * a / 7)), (k, torch.sin(2 * pi * k * a / 7))]
    B = torch.stack([torch.cat([m / m.norm(), torch.zeros(2).double()]) for _, m in modes])
    square = (B @ W @ B.mT).square()
    expected = torch.zeros(5, dtype=torch.float64)
    for i, (k, _) in enumerate(modes):
        for j, (m, _) in enumerate(modes):
            for frequency in {k, m}:
                expected[frequency] += square[i, j]
    found = published_padded_frequency_energy(W, p, frequencies=4)
    torch.testing.assert_close(found, expected / expected.sum())


def test_circuits_have_the_frequencies_of_the_embedding():
    W_E, W = planted_embedding(frequencies=(3,)), gaussian(32, 128)
    scores = query_key_token_circuit(W_E, W, gaussian(32, 128, seed=1))
    torch.testing.assert_close(scores, W_E @ W.mT @ gaussian(32, 128, seed=1) @ W_E.mT)
    energy = circuit_frequency_energy(scores)
    assert energy.shape == (49, 49)
    assert energy.sum().item() == pytest.approx(1)
    assert energy[3, 3].item() == pytest.approx(1)
    written = value_output_token_circuit(W_E, W, gaussian(128, 32, seed=2))
    assert frequency_energy(written)[3].item() == pytest.approx(1)


@pytest.mark.parametrize("p", [2, 3, 7, 97])
def test_discrete_logarithms_turn_products_into_sums(p):
    order = discrete_logarithm_order(p)
    assert sorted(order.tolist()) == list(range(1, p))
    position = {int(token): i for i, token in enumerate(order)}
    for a in range(1, p):
        for b in range(1, p):
            assert position[a * b % p] == (position[a] + position[b]) % (p - 1)


def test_a_multiplicative_wave_is_pure_in_that_order_only():
    order = discrete_logarithm_order(97)
    embedding = torch.zeros(97, 1, dtype=torch.float64)
    embedding[order, 0] = wave(96, 5)
    assert frequency_energy(embedding[order])[5].item() == pytest.approx(1)
    assert frequency_energy(embedding).max() < 0.2


def test_zero_and_broken_weights_are_nan():
    assert frequency_energy(torch.zeros(7, 3)).isnan().all()
    assert frequencies_for_share(frequency_energy(torch.zeros(7, 3))).isnan()
    assert circuit_frequency_energy(torch.full((7, 7), torch.nan)).isnan().all()


def test_errors():
    with pytest.raises(ValueError, match="prime modulus, got 9"):
        discrete_logarithm_order(9)
    with pytest.raises(ValueError, match="at least one token, got 0"):
        token_fourier_basis(0)
    with pytest.raises(ValueError, match="at least 97 wide, got 64"):
        published_padded_frequency_energy(torch.zeros(64, 64), 97)
    with pytest.raises(ValueError, match=r"share in \(0, 1\], got 2.0"):
        frequencies_for_share(torch.ones(3).double(), 2.0)
