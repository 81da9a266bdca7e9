"""The spectrum of a window of parameter updates, from their Gram matrix alone.

With rows δ_1 … δ_w of updates in X, ``G = X Xᵀ = U diag(σ²) Uᵀ``, and ``v_j = Xᵀ u_j / σ_j`` are
directions in parameter space. Everything here needs G only, so no direction is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

__all__ = [
    "UpdateSpectrum",
    "direction_cosines",
    "half_window_stability",
    "update_spectrum",
]

Gram = Float64[Tensor, "*batch w w"]
Values = Float64[Tensor, "*batch w"]
Number = Float64[Tensor, "*batch"]


@dataclass(frozen=True, eq=False)
class UpdateSpectrum:
    """Singular values of a window of w updates, and what is read off them.

    Args:
        gram: ``G``, ``(..., w, w)``, in squared units of the weights.
        values: σ, largest first, ``(..., w)``, in units of the weights.
        left: U, columns in the order of `values`; a row for each update.

    Source: arXiv:2604.07380 and 2603.28964 for the numbers, restated. Windows are neither centred
    nor weighted. Differs from the published code where fewer than three updates are in a window:
    `gap23` is NaN there, not σ₂².
    """

    gram: Gram
    values: Values
    left: Gram

    @property
    def gap23(self) -> Number:
        """``σ₂² − σ₃²``; NaN for fewer than three updates."""
        if self.values.shape[-1] < 3:
            return torch.full_like(self.values[..., 0], torch.nan)
        return self.values[..., 1].square() - self.values[..., 2].square()

    @property
    def first_share(self) -> Number:
        """``σ₁² / Σ σ²``, in [1/w, 1]."""
        squares = self.values.square()
        return squares[..., 0] / squares.sum(-1)

    def rank_of_share(self, share: float) -> Number:
        """Smallest k with ``Σ_{j<=k} σ_j² >= share Σ σ²``; 0.95 is published.

        Args:
            share: In (0, 1].

        Returns:
            From 1 to w; NaN if nothing moved.

        Raises:
            ValueError: For a share out of range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"expected a share in (0, 1], got {share}")
        squares = self.values.square().cumsum(-1)
        # Counting what falls short, and not searching, keeps a share of 1 within w.
        short = squares[..., :-1] < share * squares[..., -1:]
        return torch.where(self.values[..., 0] > 0, short.sum(-1).double() + 1, torch.nan)

    def rank_at_gap(self, *, weighted: bool = True) -> Float64[Tensor, "*batch"]:
        """Number of directions before the largest relative gap.

        ``argmax_j (σ_j / Σσ)(σ_j / σ_{j+1})`` over ``1 <= j < w``; without the first factor if not
        weighted. Pure noise gives 1 in about three quarters of the windows when weighted.

        Args:
            weighted: Whether larger values count for more, as published for training runs.

        Returns:
            From 1 to w − 1; NaN for one update, or if nothing moved.
        """
        if self.values.shape[-1] < 2:
            return torch.full_like(self.values[..., 0], torch.nan)
        # An index is never NaN; that of a broken run, or of one that stands still, must be.
        rank = self._at_gap(weighted).double() + 1
        return torch.where(self.values[..., 0] > 0, rank, torch.nan)

    def gap_ratio(self, *, weighted: bool = True) -> Number:
        """``σ_k / σ_{k+1}`` at `rank_at_gap`.

        A Gram matrix resolves σ down to ``√(w ε) σ₁`` only, some 3e-8 of the largest; what lies
        below counts as that much, and the ratio is then a lower bound. The published code puts
        1e6 where ``σ_{k+1} < 1e-12``.

        Args:
            weighted: As there.

        Returns:
            The ratio, >= 1; NaN for one update, or if nothing moved.
        """
        if self.values.shape[-1] < 2:
            return torch.full_like(self.values[..., 0], torch.nan)
        ratio = self._ratios().gather(-1, self._at_gap(weighted).unsqueeze(-1)).squeeze(-1)
        return torch.where(self.values[..., 0] > 0, ratio, torch.nan)

    @property
    def drift(self) -> Number:
        """Norm of the mean update, ``√(1ᵀG1) / w``."""
        return self.gram.sum((-1, -2)).clamp(min=0).sqrt() / self.gram.shape[-1]

    @property
    def excess_over_orthogonal(self) -> Number:
        """``σ₁`` over that of orthogonal updates of the same lengths, which is the longest one.

        Independent directions in many dimensions are orthogonal, so this is the null: 1 says that
        the window holds no common direction, √w that equal updates point the same way.
        """
        longest = self.gram.diagonal(dim1=-2, dim2=-1).amax(-1).sqrt()
        return self.values[..., 0] / longest

    def published_threshold_ratio(self, parameters: int) -> Number:
        """``σ_w / d`` with ``d = ν (p (w − 1))^¼`` and ν² the mean of the smaller σ² over p.

        Vacuous: ν²p is of the size of σ_w² whatever the data, so it is near ``(p / (w − 1))^¼``
        for signal and for noise.

        Args:
            parameters: Their number p.

        Returns:
            The ratio; NaN for one update.

        Source: the test called BBP in the code of arXiv:2604.07380.
        """
        count = self.values.shape[-1]
        return self.values[..., -1] / (self._noise(parameters) * (parameters * (count - 1)) ** 0.25)

    def marchenko_pastur_ratio(self, parameters: int) -> Number:
        """``σ₁ / (ν (√p + √w))``, over the largest that w updates of noise of one level have.

        ν is that of `published_threshold_ratio`, from the smaller σ of the same window. With many
        more parameters than updates all σ of noise are the same up to ``√(w/p)``, and the edge says
        no more than the ratio of σ₁ to the smaller ones: 1 for noise, but also for equally long
        updates that are orthogonal for any other reason. See `sign_flip_values` for a null from
        the updates themselves.

        Args:
            parameters: Their number p.

        Returns:
            The ratio; NaN for one update.

        Source: Marchenko and Pastur (1967), the edge of their law.
        """
        edge = parameters**0.5 + self.values.shape[-1] ** 0.5
        return self.values[..., 0] / (self._noise(parameters) * edge)

    def _noise(self, parameters: int) -> Tensor:
        """ν, the published level of noise of an entry."""
        count = self.values.shape[-1]
        return (self.values[..., (count + 1) // 2 :].square().mean(-1) / parameters).sqrt()

    def _at_gap(self, weighted: bool) -> Tensor:
        ratios = self._ratios()
        return (ratios * self.values[..., :-1] if weighted else ratios).argmax(-1)

    def _ratios(self) -> Tensor:
        count, epsilon = self.values.shape[-1], torch.finfo(torch.float64).eps
        least = self.values[..., :1] * (count * epsilon) ** 0.5
        return self.values[..., :-1] / self.values[..., 1:].maximum(least)


def update_spectrum(gram: Gram) -> UpdateSpectrum:
    """Spectrum of a window from the Gram matrix of its updates.

    Args:
        gram: Inner products ``(..., w, w)`` float64, oldest update first.

    Returns:
        The spectrum; NaN where a product is not finite, as of a run that diverged.

    Example:
        >>> spectrum = update_spectrum(torch.diag(torch.tensor([1.0, 9.0, 4.0]).double()))
        >>> spectrum.values.tolist(), float(spectrum.gap23)
        ([3.0, 2.0, 1.0], 3.0)
    """
    finite = gram.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    squares, left = torch.linalg.eigh(torch.where(finite, gram, 0.0))
    values = torch.where(finite.squeeze(-1), squares.flip(-1).clamp(min=0).sqrt(), torch.nan)
    return UpdateSpectrum(gram, values, left.flip(-1))


def direction_cosines(gram: Gram, window: int) -> Float64[Tensor, "*batch k k"]:
    """Cosines ``⟨v_j, v_k'⟩`` of the directions of two windows, the second one update later.

    Args:
        gram: Inner products of all updates in either window, ``(..., w + 1, w + 1)``.
        window: w, updates in each of the two.

    Returns:
        ``(..., w, w)``: rows are directions of the earlier window; NaN where a direction has
        no length.

    Raises:
        ValueError: If the window does not fit the matrix.

    Example:
        >>> steps = torch.eye(3).double()
        >>> direction_cosines(steps @ steps.T, 2).abs().sum().round().item()
        1.0
    """
    if gram.shape[-1] != window + 1:
        raise ValueError(
            f"expected the Gram matrix of {window + 1} updates for windows of {window}, got "
            f"{gram.shape[-1]}"
        )
    before = update_spectrum(gram[..., :-1, :-1])
    after = update_spectrum(gram[..., 1:, 1:])
    products = before.left.mT @ gram[..., :-1, 1:] @ after.left
    lengths = before.values.unsqueeze(-1) * after.values.unsqueeze(-2)
    return torch.where(lengths > 0, products / lengths, torch.nan)


def half_window_stability(gram: Gram) -> Float64[Tensor, "*batch h"]:
    """``|⟨v_j, v_j'⟩|`` of the directions of the first and the second half of one window.

    The halves hold ⌊w/2⌋ and the other updates, so that there are ⌊w/2⌋ numbers. Updates that do
    not know of each other have numbers near 0, however much neighbouring windows overlap.

    Args:
        gram: Inner products of the updates ``(..., w, w)`` float64, oldest first.

    Returns:
        Numbers in [0, 1]; NaN where a direction has no length.

    Source: arXiv:2604.07380, stability coefficients α₁ and α₂; restated.

    Example:
        >>> steps = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]]).double()
        >>> half_window_stability(steps @ steps.T).tolist()
        [1.0, 1.0]
    """
    half = gram.shape[-1] // 2
    first = update_spectrum(gram[..., :half, :half])
    second = update_spectrum(gram[..., half:, half:])
    products = first.left.mT @ gram[..., :half, half:] @ second.left
    lengths = first.values.unsqueeze(-1) * second.values.unsqueeze(-2)
    cosines = torch.where(lengths > 0, products / lengths, torch.nan)
    return cosines.diagonal(dim1=-2, dim2=-1).abs().clamp(max=1)
