"""Fourier sparsity of the token embedding and the attention circuits, along the axis of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.token_circuits import token_axes, token_embedding
from spectraledge.linalg import (
    discrete_logarithm_order,
    expected_frequency_measures,
    frequencies_for_share,
    frequency_energy,
    isotropic_concentration,
    rotated_concentration,
)
from spectraledge.linalg.fourier_nulls import ROUNDING_OF_MEAN
from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = ["FourierStructure", "fourier_measures"]

AXIS = ("token_axis",)
ORDERS = ("natural", "discrete_logarithm")


def fourier_measures(weight: Tensor, share: float = 0.8) -> dict[str, Tensor]:
    """How few frequencies of the tokens hold a weight, beside what chance gives.

    Definition: with ``e_k`` the squared entries in the modes of frequency k, all but
    ``constant_share = e_0 / sum_k e_k`` are of ``q_k = e_k / sum_{k > 0} e_k``.

    Args:
        weight: ``(..., p, d)``, tokens along the first of the two axes, p >= 3.
        share: Of the energy, in (0, 1).

    Returns:
        Arrays ``(...)`` float64 named as the outputs of `FourierStructure`; NaN where the weight
        is zero, the same for all tokens, or not finite, except for ``isotropic_*``.

    Example:
        >>> wave = torch.cos(2 * torch.pi * 2 * torch.arange(7.0) / 7)
        >>> found = fourier_measures(3 + wave[:, None].double())
        >>> [round(found[name].item(), 3) for name in ("frequencies", "largest_frequency")]
        [1.0, 2.0]
    """
    tokens, width = weight.shape[-2:]
    energy = frequency_energy(weight)
    moving = energy[..., 1:].sum(-1, keepdim=True)
    shares = (energy[..., 1:] / moving).where(moving > ROUNDING_OF_MEAN, torch.nan)
    largest = shares.max(-1)
    known = largest.values.isfinite()
    rotated = expected_frequency_measures(rotated_concentration(weight), tokens, share)
    return {
        "constant_share": energy[..., 0],
        "frequencies": frequencies_for_share(shares, share),
        "effective_frequencies": torch.special.entr(shares).sum(-1).exp(),
        "largest_share": largest.values,
        "largest_frequency": (largest.indices + 1).double().where(known, torch.nan),
        **{
            f"isotropic_{name}": shares.new_full(known.shape, expected)
            for name, expected in _isotropic(tokens, width, share).items()
        },
        **{f"rotated_{name}": expected for name, expected in rotated.items()},
    }


@lru_cache(maxsize=64)
def _isotropic(tokens: int, width: int, share: float) -> dict[str, float]:
    # Asked for again at every snapshot.
    law = torch.tensor(isotropic_concentration(tokens, width), dtype=torch.float64)
    found = expected_frequency_measures(law, tokens, share)
    return {name: expected.item() for name, expected in found.items()}


@dataclass(frozen=True)
class FourierStructure(Instrument):
    """How few Fourier modes of Z_p hold the token embedding and the attention circuits.

    A network that has learned addition modulo p represents token a by cos and sin of 2πka/p for
    few k. Measured along the axis of tokens of ``embedding`` (W_E), of each layer's
    ``query_key`` circuit W_E W_Qᵀ W_K W_Eᵀ (``.query_tokens``, ``.key_tokens``: either axis) and of
    its ``value_output`` circuit W_E W_Vᵀ W_Oᵀ, summed over heads, without norms, biases and
    positions. Circuits of later layers are those of the direct path from the embedding. A layer
    whose matrices do not fit together, as in grouped-query attention, has none.

    The mean over tokens, frequency 0, is given as ``constant_share`` and left out of all else.
    What is sparse by chance is given twice: for a random (isotropic) matrix of the same shape, and
    for the matrix itself with its token axis turned at random (``rotated``): of few directions,
    as after weight decay, or in a product of matrices, fewer frequencies are enough.

    Args:
        modulus: p >= 3; rows 0 to p - 1 of the embedding are the numbers. None for all rows, which
            is right only if every token is a number.
        order: ``natural`` for addition; ``discrete_logarithm`` for multiplication modulo a prime,
            where frequencies are those of Z_{p-1} and token 0 is left out.
        share: Share of the energy that ``frequencies`` must hold, in (0, 1).
        embedding: Name of the token embedding, as `weight_matrices` gives it; None for the only
            matrix of that kind.

    Raises:
        ValueError: For numbers out of range or an unknown order; at the first snapshot if the
            model has no token embedding or several, or fewer rows than p.

    Cost: 21 ms per run for p = 97 and the published two layers on one CPU core.

    Source: the code of arXiv:2602.16746 has a Fourier control, not in its figures, that pads the
    modes of Z_p to the width of the model and applies them to the first principal direction of an
    attention matrix, whose axes are not tokens. That needs a trajectory and measures nothing, so it
    is left to `published_padded_frequency_energy` with `principal_directions`. Fourier modes over
    tokens as in arXiv:2301.05217, section 4; both nulls are derived here.
    """

    modulus: int | None = None
    order: str = "natural"
    share: float = 0.8
    embedding: str | None = None

    name: ClassVar[str] = "fourier_structure"
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(meaning, axes=AXIS, each=True)
        for name, meaning in {
            "constant_share": "share of the squared entries in frequency 0, the mean over tokens",
            "frequencies": "number of frequencies that hold the share (80 %) of the rest",
            "effective_frequencies": "exp(−Σ q ln q), q = shares of the frequencies above 0",
            "largest_share": "share of the frequency that has most",
            "largest_frequency": "which frequency has most, 1 to p // 2",
            "isotropic_frequencies": "expected number for a random matrix of the same shape",
            "isotropic_effective_frequencies": "expected effective number for a random matrix",
            "isotropic_largest_share": "expected largest share for a random matrix",
            "rotated_frequencies": "expected number with the tokens turned at random",
            "rotated_effective_frequencies": "expected effective number with the tokens turned",
            "rotated_largest_share": "expected largest share with the tokens turned",
        }.items()
    }

    def __post_init__(self) -> None:
        check_name("order of tokens for FourierStructure", self.order, ORDERS)
        if not 0 < self.share < 1:
            raise ValueError(f"FourierStructure: expected share in (0, 1), got {self.share}")
        if self.modulus is not None:
            self._tokens(self.modulus)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the token axes."""
        layout = window.now.layout
        nothing = torch.empty(layout.size, device="meta")
        return {"token_axis": tuple(self._token_axes(nothing, layout))}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """All measures of the newest snapshot."""
        now = window.now
        # Run by run: products of stacks of other sizes may round differently.
        runs = [self._token_axes(flat, now.layout).values() for flat in now.parameters]
        measured = [[fourier_measures(weight, self.share) for weight in axes] for axes in runs]
        return {
            name: torch.stack([torch.stack([axis[name] for axis in axes]) for axes in measured])
            for name in self.outputs
        }

    def _token_axes(self, flat: Tensor, layout: Layout) -> dict[str, Tensor]:
        embedding = token_embedding(layout, self.embedding)
        numbers = embedding.rows if self.modulus is None else self.modulus
        if embedding.rows < numbers:
            raise ValueError(
                f"FourierStructure: expected at least {numbers} tokens, got {embedding.rows} in "
                f"{embedding.name}; known parameters: {dict(zip(layout.names, layout.shapes))}"
            )
        return token_axes(flat, layout, embedding, self._tokens(numbers))

    def _tokens(self, modulus: int) -> Tensor:
        natural = self.order == "natural"
        tokens = torch.arange(modulus) if natural else discrete_logarithm_order(modulus)
        if len(tokens) < 3:
            raise ValueError(f"FourierStructure: expected at least 3 tokens, got {len(tokens)}")
        return tokens
