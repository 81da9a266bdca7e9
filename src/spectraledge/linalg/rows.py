"""Rows of a schedule: odd scalar functions that act on the singular values of a matrix.

An odd function leaves the singular vectors alone. A polynomial needs matrix products only; the
rational Halley step needs one Cholesky inverse and replaces several products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Halley", "Polynomial", "Row", "Scalars"]

Scalars = TypeVar("Scalars", float, Tensor)


@dataclass(frozen=True)
class Polynomial:
    """The odd polynomial ``a x + b x^3 + c x^5``; two matrix products if c is 0, else three.

    Args:
        a: Coefficient of x, the slope at zero.
        b: Coefficient of x^3.
        c: Coefficient of x^5.
    """

    a: float
    b: float
    c: float = 0.0

    def __call__(self, x: Scalars) -> Scalars:
        """Value at a scalar or, elementwise, at a tensor."""
        return x * (self.a + self.b * x**2 + self.c * x**4)

    def apply(
        self, matrix: Float[Tensor, "B m n"], gram: Float[Tensor, "B n n"] | None = None
    ) -> Float[Tensor, "B m n"]:
        """Apply to the singular values; `gram` is ``matrix^T matrix`` if the caller has it."""
        A = matrix.mT @ matrix if gram is None else gram
        if self.c == 0.0:
            return torch.baddbmm(matrix, matrix, A, beta=self.a, alpha=self.b)
        B = torch.baddbmm(A, A, A, beta=self.b, alpha=self.c)
        return torch.baddbmm(matrix, matrix, B, beta=self.a)


@dataclass(frozen=True)
class Halley:
    """The rational function ``x (a + b x^2) / (1 + c x^2)``, applied by a Cholesky inverse.

    It costs two products and the inverse of ``I + c X^T X``, which is well conditioned as long
    as c is far below 1/eps. One such step replaces the three or four most expensive polynomial
    rows: with ``l = 5e-4`` it carries ``[l, 1]`` to ``[0.2, 1]``.

    Args:
        a: Slope at zero.
        b: Coefficient of x^3 in the numerator.
        c: Coefficient of x^2 in the denominator, positive; below 1e5 for float32.
    """

    a: float
    b: float
    c: float

    def __call__(self, x: Scalars) -> Scalars:
        """Value at a scalar or, elementwise, at a tensor."""
        return x * (self.a + self.b * x**2) / (1 + self.c * x**2)

    def apply(
        self, matrix: Float[Tensor, "B m n"], gram: Float[Tensor, "B n n"] | None = None
    ) -> Float[Tensor, "B m n"]:
        """Apply to the singular values; `gram` is ``matrix^T matrix`` if the caller has it."""
        A = matrix.mT @ matrix if gram is None else gram
        dtype = torch.promote_types(A.dtype, torch.float32)  # no Cholesky in half precision
        eye = torch.eye(A.shape[-1], dtype=dtype, device=A.device)
        # The upper factor: for the lower one torch copies twice more on CPU.
        factor, _ = torch.linalg.cholesky_ex(torch.add(eye, A.to(dtype), alpha=self.c), upper=True)
        inverse = torch.cholesky_inverse(factor, upper=True).to(matrix.dtype)
        tail = self.b / self.c
        return torch.baddbmm(matrix, matrix, inverse, beta=tail, alpha=self.a - tail)


Row = Polynomial | Halley
