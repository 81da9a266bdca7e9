"""Singular values of weight matrices, and every rank and norm made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from spectraledge import linalg
from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.head_ranks import attention_layers, head_ranks
from spectraledge.instruments.shape_batches import check_kinds, map_by_shape
from spectraledge.linalg import frobenius_norm, numerical_rank, singular_values
from spectraledge.weight_matrices import weight_matrices

__all__ = ["WeightSpectrum", "spectrum_measures"]

MATRIX, HEAD = ("matrix",), ("layer", "head")


def spectrum_measures(matrix: Tensor, threshold: float = 1e-2) -> dict[str, Tensor]:
    """Every rank and norm of a stack of matrices, from one decomposition in float64.

    Float64 because the tail of a decayed spectrum lies below the rounding of float32, and because
    it costs little: 6.7 ms against 5.7 ms for four 128 x 128 matrices on one CPU core.

    Args:
        matrix: ``(..., m, n)``.
        threshold: c of the threshold rank, in (0, 1).

    Returns:
        ``singular_values`` ``(..., q)``, largest first, and measures ``(...,)``, all float64; NaN
        for matrices that are not finite.

    Example:
        >>> spectrum_measures(torch.diag(torch.tensor([2.0, 1.0, 0.0])))["stable_rank"].item()
        1.25
    """
    values = singular_values(matrix)
    return {
        "singular_values": values,
        "stable_rank": linalg.stable_rank(singular_values=values),
        "entropy_rank": linalg.entropy_rank(singular_values=values),
        "nuclear_rank": linalg.nuclear_rank(singular_values=values),
        "participation_ratio": linalg.participation_ratio(singular_values=values),
        "threshold_rank": linalg.threshold_rank(threshold=threshold, singular_values=values),
        "numerical_rank": numerical_rank(matrix, singular_values=values),
        "frobenius_norm": frobenius_norm(matrix),
        "nuclear_norm": linalg.nuclear_norm(singular_values=values),
        "spectral_norm": values[..., 0],
    }


@dataclass(frozen=True)
class WeightSpectrum(Instrument):
    """Spectra, ranks and norms of chosen weight matrices.

    The ranks disagree strongly, so all are given: the stable rank of the grokking papers follows
    the largest singular value alone, the entropy rank follows the bulk.

    Args:
        kinds: Kinds of matrices; empty for every matrix.
        heads: Number of query heads, to add the ranks of each head's query and key rows and of
            its circuit ``W_Q^T diag(g_Q g_K) W_K`` (gains of the QK-norm as stored). None leaves
            these outputs empty.
        threshold: c of the threshold rank, relative to the largest singular value, in (0, 1).

    Raises:
        ValueError: For unknown kinds, heads below 1, or a threshold outside (0, 1); at the first
            snapshot if the model has no such matrix or the heads do not divide its rows.

    Cost: 7 ms per run for four 128 x 128 matrices on one CPU core, 10 ms more with heads.
    """

    kinds: tuple[str, ...] = ("query", "key")
    heads: int | None = None
    threshold: float = 1e-2

    name: ClassVar[str] = "weight_spectrum"
    outputs: ClassVar[Mapping[str, Output]] = {
        "singular_values": Output(
            "singular values, largest first, NaN beyond the last", "weight", ("matrix", "index")
        ),
        "stable_rank": Output("F²/σ₁²", axes=MATRIX),
        "entropy_rank": Output("exp(−Σ p ln p), p = σ/N₁", axes=MATRIX),
        "nuclear_rank": Output("N₁²/F²", axes=MATRIX),
        "participation_ratio": Output("(Σσ²)²/Σσ⁴", axes=MATRIX),
        "threshold_rank": Output("number of σ above threshold · σ₁", axes=MATRIX),
        "numerical_rank": Output("number of σ above rounding of the stored weights", axes=MATRIX),
        "frobenius_norm": Output("F = √Σσ²", "weight", MATRIX),
        "nuclear_norm": Output("N₁ = Σσ", "weight", MATRIX),
        "spectral_norm": Output("σ₁", "weight", MATRIX),
        "query_head_stable_rank": Output("stable rank of a head's query rows", axes=HEAD),
        "query_head_entropy_rank": Output("entropy rank of a head's query rows", axes=HEAD),
        "key_head_stable_rank": Output("stable rank of a head's key rows", axes=HEAD),
        "key_head_entropy_rank": Output("entropy rank of a head's key rows", axes=HEAD),
        "circuit_stable_rank": Output("stable rank of a head's query-key circuit", axes=HEAD),
        "circuit_entropy_rank": Output("entropy rank of a head's query-key circuit", axes=HEAD),
    }

    def __post_init__(self) -> None:
        check_kinds("WeightSpectrum", self.kinds)
        if self.heads is not None and self.heads < 1:
            raise ValueError(f"WeightSpectrum: expected heads >= 1 or None, got {self.heads}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"WeightSpectrum: expected threshold in (0, 1), got {self.threshold}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the matrices, attention layers and heads."""
        layout = window.now.layout
        names = tuple(weight_matrices(layout, self.kinds))
        if self.heads is None:
            return {"matrix": names, "layer": (), "head": ()}
        heads = tuple(f"head{h}" for h in range(self.heads))
        return {"matrix": names, "layer": tuple(attention_layers(layout)), "head": heads}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """All measures of the newest snapshot."""
        now = window.now
        matrices = tuple(weight_matrices(now.layout, self.kinds).values())
        longest = max(min(m.view(now.parameters, now.layout).shape[-2:]) for m in matrices)
        measures = partial(_padded_measures, threshold=self.threshold, longest=longest)
        arrays = map_by_shape(measures, matrices, now.layout, now.parameters)
        arrays["singular_values"] = arrays["singular_values"].mT
        if self.heads is not None:
            return arrays | head_ranks(now, self.heads)
        empty = torch.zeros(now.runs, 0, 0, dtype=torch.float64)
        return arrays | {n: empty for n, output in self.outputs.items() if output.axes == HEAD}


def _padded_measures(matrix: Tensor, threshold: float, longest: int) -> dict[str, Tensor]:
    arrays = spectrum_measures(matrix, threshold)
    values = arrays["singular_values"]
    # The matrix axis goes last, where `map_by_shape` puts the shapes together again.
    arrays["singular_values"] = pad(values, (0, longest - values.shape[-1]), value=torch.nan).mT
    return arrays
