"""Count sketches: vectors too long to keep, as short ones with nearly the same inner products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

__all__ = ["CountSketch"]

# Columns whose buckets and signs are drawn at once: 16 MB, whatever the model.
CHUNK = 1 << 20


@dataclass(frozen=True)
class CountSketch:
    """The linear map ``(Sx)_b = Σ_{i: h(i) = b} s(i) x_i`` onto m buckets.

    Each coordinate has one bucket h(i), uniform, and one sign s(i); both follow from the seed and
    are drawn piece by piece, so that nothing as long as x is kept. Over seeds the mean of
    ``⟨Sx, Sy⟩`` is ``⟨x, y⟩`` and its variance ``(‖x‖²‖y‖² + ⟨x, y⟩² − 2 Σ x_i² y_i²) / m``.

    Args:
        size: Buckets m >= 1.
        seed: Of buckets and signs; vectors that are compared need the same one and the same
            length.

    Raises:
        ValueError: For fewer buckets than one.

    Cost: one pass over x and one drawing of random numbers; memory of m numbers a vector.

    Example:
        >>> sketch = CountSketch(256)
        >>> x = torch.randn(1, 10_000, generator=torch.Generator().manual_seed(0))
        >>> bool((sketch(2 * x) == 2 * sketch(x)).all())
        True
        >>> round(sketch.relative_error, 3)
        0.044

    Source: Charikar, Chen and Farach-Colton (2002); the use for windows of updates is that of
    arXiv:2604.07380 and 2603.15678, whose sketches are Gaussian.
    """

    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"CountSketch: expected size >= 1, got {self.size}")

    def __call__(self, x: Float[Tensor, "R D"]) -> Float64[Tensor, "R m"]:
        """The sketch of each row, summed in float64."""
        found = torch.zeros(x.shape[0], self.size, dtype=torch.float64, device=x.device)
        for number, piece in enumerate(x.split(CHUNK, dim=1)):
            drawn = _draws(self.size, self.seed, number, piece.shape[1])
            bucket, sign = (t.to(x.device) for t in drawn)
            found.index_add_(1, bucket, piece.double() * sign)
        return found

    @property
    def relative_error(self) -> float:
        """Standard deviation of a singular value over the value, ``1/√(2m)``.

        Of rows sketched together, to first order: ``σ_k² = u_kᵀ G u_k`` is the squared length of
        one vector, whose sketch has a relative variance of at most 2/m.
        """
        return sqrt(0.5 / self.size)


@lru_cache(maxsize=2)
def _draws(
    size: int, seed: int, number: int, count: int
) -> tuple[Int[Tensor, " C"], Float64[Tensor, " C"]]:
    chance = torch.Generator().manual_seed(seed * 1_000_003 + number)
    bucket = torch.randint(size, (count,), generator=chance)
    sign = torch.randint(2, (count,), generator=chance).double().mul_(2).sub_(1)
    return bucket, sign
