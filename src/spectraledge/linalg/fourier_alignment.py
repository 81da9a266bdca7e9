"""How much of a weight lies along the Fourier modes of the tokens, per frequency.

A model of addition modulo p that has generalised represents token a by cos and sin of
``2 pi k a / p`` for few k. That axis is the axis of tokens: the rows of the token embedding, or of
an attention circuit multiplied by it on either side. For multiplication the tokens are put into the
order of their discrete logarithms first, where products become sums.
"""

from __future__ import annotations

from math import pi, sqrt

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

__all__ = [
    "circuit_frequency_energy",
    "discrete_logarithm_order",
    "frequencies_for_share",
    "frequency_energy",
    "published_padded_frequency_energy",
    "query_key_token_circuit",
    "token_fourier_basis",
    "value_output_token_circuit",
]

Energy = Float64[Tensor, "*batch F"]


def token_fourier_basis(tokens: int) -> Float64[Tensor, "p p"]:
    """Orthonormal real Fourier basis of Z_p, one mode a row.

    Args:
        tokens: p >= 1.

    Returns:
        Rows: constant, cos 1, sin 1, cos 2, sin 2, ..., and the alternating row for even p.

    Raises:
        ValueError: For p below 1.

    Example:
        >>> basis = token_fourier_basis(5)
        >>> torch.allclose(basis @ basis.mT, torch.eye(5, dtype=torch.float64))
        True
    """
    if tokens < 1:
        raise ValueError(f"expected at least one token, got {tokens}")
    mode = _frequencies(tokens)
    angle = _angles(mode.tolist(), tokens)
    is_sine = torch.arange(tokens) % 2 == 0
    rows = torch.where(is_sine[:, None] & (mode > 0)[:, None], angle.sin(), angle.cos())
    alone = (mode == 0) | (2 * mode == tokens)
    return rows * ((2 - alone.double()) / tokens).sqrt()[:, None]


def discrete_logarithm_order(modulus: int) -> Int64[Tensor, " p"]:
    """Tokens 1, g, g^2, ... of the multiplicative group of a prime, g its smallest generator.

    Args:
        modulus: A prime p.

    Returns:
        ``(p - 1,)`` int64, every non-zero residue once; index the token axis with it, so that
        multiplication becomes addition modulo p - 1.

    Raises:
        ValueError: If the modulus is no prime.

    Example:
        >>> discrete_logarithm_order(5).tolist()
        [1, 2, 4, 3]
    """
    if modulus < 2 or any(modulus % d == 0 for d in range(2, int(sqrt(modulus)) + 1)):
        raise ValueError(f"expected a prime modulus, got {modulus}")
    for generator in range(1, modulus):
        powers = [1]
        while (power := powers[-1] * generator % modulus) != 1:
            powers.append(power)
        if len(powers) == modulus - 1:
            break
    return torch.tensor(powers)


def frequency_energy(weight: Float[Tensor, "*batch p d"]) -> Energy:
    """Share of the squared entries in each Fourier mode of the first of the two axes.

    Args:
        weight: ``(..., p, d)`` with tokens along the first axis, e.g. the rows of the token
            embedding of the p numbers, indexed by `discrete_logarithm_order` for multiplication.

    Returns:
        ``(..., p // 2 + 1)`` for the frequencies 0, 1, ..., float64, summing to 1; 0 is the mean
        over tokens. Independent random entries give ``1/p`` to frequency 0 and ``2/p`` to each
        other (1/p to the last one for even p). NaN for a zero or non-finite weight.

    Source: corrects the Fourier control in the code of arXiv:2602.16746, see
    `published_padded_frequency_energy`.

    Example:
        >>> wave = torch.cos(2 * pi * 2 * torch.arange(7) / 7)
        >>> frequency_energy(wave[:, None]).round(decimals=6).tolist()
        [0.0, 0.0, 1.0, 0.0]
    """
    modes = token_fourier_basis(weight.shape[-2]).to(weight.device) @ weight.double()
    return _normalised(_by_frequency(modes.square().sum(-1), weight.shape[-2]))


def circuit_frequency_energy(circuit: Float[Tensor, "*batch p p"]) -> Float64[Tensor, "*batch F F"]:
    """Share of the squared entries in each pair of Fourier modes of both token axes.

    Args:
        circuit: ``(..., p, p)`` from tokens to tokens, e.g. `query_key_token_circuit`.

    Returns:
        ``(..., F, F)`` with ``F = p // 2 + 1``, summing to 1; sum over either axis for the
        energies of the other.
    """
    tokens = circuit.shape[-1]
    basis = token_fourier_basis(tokens).to(circuit.device)
    square = (basis @ circuit.double() @ basis.mT).square()
    energy = _by_frequency(_by_frequency(square, tokens).mT, tokens).mT
    total = energy.sum((-2, -1), keepdim=True)
    return torch.where(total > 0, energy / total, torch.nan)


def query_key_token_circuit(
    embedding: Float[Tensor, "*batch p d"],
    query: Float[Tensor, "*batch h d"],
    key: Float[Tensor, "*batch h d"],
) -> Float64[Tensor, "*batch p p"]:
    """Attention score of each pair of tokens, ``W_E W_Q^T W_K W_E^T``.

    Args:
        embedding: Token embedding, tokens by width.
        query: Query weights, outputs by inputs, of one head or all.
        key: Key weights, outputs by inputs.

    Returns:
        ``(..., p, p)`` float64, query tokens by key tokens; without norms, biases, positions.
    """
    tokens = embedding.double()
    return (tokens @ query.double().mT) @ (tokens @ key.double().mT).mT


def value_output_token_circuit(
    embedding: Float[Tensor, "*batch p d"],
    value: Float[Tensor, "*batch h d"],
    output: Float[Tensor, "*batch d h"],
) -> Float64[Tensor, "*batch p d"]:
    """What attending to each token writes to the residual stream, ``W_E W_V^T W_O^T``.

    Returns:
        ``(..., p, d)`` float64, tokens along the first axis as `frequency_energy` wants them.
    """
    return embedding.double() @ value.double().mT @ output.double().mT


def frequencies_for_share(energy: Energy, share: float = 0.8) -> Float64[Tensor, "*batch"]:
    """Smallest number of frequencies that together hold a share of the energy.

    Args:
        energy: Summing to 1.
        share: In (0, 1].

    Returns:
        A whole number in float64, at least 1; NaN where the energies are.

    Raises:
        ValueError: For a share out of range.

    Example:
        >>> frequencies_for_share(torch.tensor([0.1, 0.6, 0.3]).double()).item()
        2.0
    """
    if not 0 < share <= 1:
        raise ValueError(f"expected a share in (0, 1], got {share}")
    held = energy.sort(descending=True).values.cumsum(-1)
    count = 1 + (held < share - 1e-12).sum(-1).double()
    return torch.where(energy.isnan().any(-1), torch.nan, count.clamp(max=energy.shape[-1]))


def published_padded_frequency_energy(
    matrix: Float[Tensor, "*batch d d"], tokens: int, frequencies: int = 49
) -> Energy:
    """The published Fourier control of a principal direction, invalid as a measure of alignment.

    It pads the modes of Z_p with zeros to the width of the model and applies them to both axes of a
    d x d matrix, whose axes are hidden dimensions, not tokens. Nothing ties hidden dimension i to
    the number i: permuting the hidden dimensions leaves the model unchanged and this number not.
    For p = 97, frequencies 48 and 49 are one mode, so the modes are not independent either.

    Args:
        matrix: ``(..., d, d)`` with d >= tokens.
        tokens: p.
        frequencies: Largest k; 49 is published for p = 97.

    Returns:
        ``(..., frequencies + 1)`` for k = 0, 1, ...: the squared coefficients whose row or column
        is of frequency k, once each, divided by their sum over k.

    Raises:
        ValueError: If the matrix is smaller than the number of tokens.

    Source: code of arXiv:2602.16746; `frequency_energy` is the corrected control.
    """
    width = matrix.shape[-1]
    if width < tokens:
        raise ValueError(f"expected a matrix at least {tokens} wide, got {width}")
    k = torch.arange(1, frequencies + 1).repeat_interleave(2)
    mode = torch.cat([torch.zeros(1, dtype=k.dtype), k])
    angle = _angles(mode.tolist(), tokens)
    is_sine = (torch.arange(len(mode)) % 2 == 0) & (mode > 0)
    rows = torch.where(is_sine[:, None], angle.sin(), angle.cos())
    rows = torch.nn.functional.pad(rows / rows.norm(dim=1, keepdim=True), (0, width - tokens))
    rows = rows.to(matrix.device)
    square = (rows @ matrix.double() @ rows.mT).square()
    member = torch.nn.functional.one_hot(mode, frequencies + 1).double().to(matrix.device)
    of_rows = square.sum(-1) @ member
    of_columns = square.sum(-2) @ member
    both = torch.einsum("...ij,ik,jk->...k", square, member, member)
    return _normalised(of_rows + of_columns - both)


def _frequencies(tokens: int) -> Tensor:
    """Frequency of each row of the basis: 0, 1, 1, 2, 2, ..."""
    return (torch.arange(tokens) + 1) // 2


def _angles(modes: list[int], tokens: int) -> Tensor:
    # Whole numbers modulo p first: k a grows to p^2, where sines of large angles lose digits.
    turns = torch.outer(torch.tensor(modes), torch.arange(tokens)) % tokens
    return 2 * pi * turns.double() / tokens


def _by_frequency(energy: Tensor, tokens: int) -> Tensor:
    """Sum over the modes of each frequency along axis -1, or -2 of a square."""
    member = torch.nn.functional.one_hot(_frequencies(tokens), tokens // 2 + 1).double()
    return energy @ member.to(energy.device)


def _normalised(energy: Tensor) -> Tensor:
    total = energy.sum(-1, keepdim=True)
    return torch.where(total > 0, energy / total, torch.nan)
