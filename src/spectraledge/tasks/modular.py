"""Modular arithmetic: the complete table of a binary operation modulo m, split into three parts.

The task on which grokking is studied. All operand pairs are rows; the model sees the two operands
and predicts the result. Two things vary between published set-ups and are named choices here: the
form of the input, and whether a pair and its mirror may be split apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

import torch
from jaxtyping import Int64
from torch import Tensor

from spectraledge.tasks.pairs import PairTable, check_name

__all__ = ["OPERATIONS", "ModularArithmetic", "check_operation"]

# Operands come reduced modulo m, so that nothing exceeds 2·m³ before the final remainder.
OPERATIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "add": lambda a, b, m: (a + b) % m,
    "sub": lambda a, b, m: (a - b) % m,
    "mul": lambda a, b, m: (a * b) % m,
    "div": lambda a, b, m: (a * _inverses(m)[b]) % m,
    "x2_y2": lambda a, b, m: (a * a + b * b) % m,
    "x2_xy_y2": lambda a, b, m: (a * a + a * b + b * b) % m,
    "x3_xy": lambda a, b, m: (a * a * a + a * b) % m,
}


@dataclass(frozen=True)
class ModularArithmetic(PairTable):
    """The table of ``a ∘ b mod m`` over all operand pairs.

    Labels: ``add`` a+b, ``sub`` a−b, ``mul`` a·b, ``div`` a·b⁻¹, ``x2_y2`` a²+b²,
    ``x2_xy_y2`` a²+ab+b², ``x3_xy`` a³+ab, all as non-negative residues. Operands run over
    0..m−1; both operands of ``mul`` and the denominator of ``div`` leave out 0.

    Subsets of the dataset, over all rows: ``mirror`` (a ≠ b, and (b, a) is a training pair),
    ``non_mirror`` (a ≠ b, and it is not) and ``diagonal`` (a = b).

    Args:
        modulus: m ≥ 2; a prime for ``div``.
        operation: One of the seven names above.
        form: ``three_token`` is (a, b, "=") with token m for "=", and as many classes as tokens;
            ``two_token`` is (a, b) with m tokens and m classes.
        train_fraction: Share f of the ordered pairs to train on, in (0, 1).
        split: ``unordered`` keeps a pair and its mirror in one part; ``ordered`` is the published
            split, in which a share f of the held-out pairs has its mirror in training.
        validation_share: Share of the held-out pairs that goes to validation, in (0, 1); the
            others are the test part.

    Raises:
        ValueError: If a name is unknown, a number is out of its range, ``div`` has a composite
            modulus, or a part of the split would be empty.

    Source:
        The operations are those of Power et al., "Grokking" (arXiv 2201.02177). Published code
        calls all held-out pairs validation; here they are divided, so that early stopping does not
        touch the test part.

    Example:
        >>> data = ModularArithmetic(modulus=7).dataset(seed=0)
        >>> data.tokens[9].tolist(), int(data.labels[9])
        ([1, 2, 7], 3)
    """

    modulus: int = 113
    operation: str = "add"
    form: str = "three_token"
    train_fraction: float = 0.5
    split: str = "unordered"
    validation_share: float = 0.5

    def __post_init__(self) -> None:
        check_operation(self.operation, self.modulus)
        self.check_table()

    @property
    def size(self) -> int:
        """Number of residues m."""
        return self.modulus

    def operands(self) -> tuple[range, range]:
        """Residues on either side; `mul` and the denominator of `div` leave out 0."""
        first = range(1 if self.operation == "mul" else 0, self.modulus)
        second = range(1 if self.operation in {"mul", "div"} else 0, self.modulus)
        return first, second

    def results(self, a: Int64[Tensor, " N"], b: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """Residues of a ∘ b."""
        return OPERATIONS[self.operation](a, b, self.modulus)


def check_operation(operation: str, modulus: int) -> None:
    """Refuse an operation that there is not, or not for this modulus.

    Args:
        operation: A name among `OPERATIONS`.
        modulus: m.

    Raises:
        ValueError: If the name is unknown, m is below 2, or it is composite and the operation
            ``div``.
    """
    check_name("operation", operation, OPERATIONS)
    if modulus < 2:
        raise ValueError(f"expected modulus >= 2, got {modulus}; take a prime such as 113")
    if operation == "div" and not _is_prime(modulus):
        raise ValueError(
            f"expected a prime modulus for operation 'div', got {modulus}: not every denominator "
            "has an inverse; take a prime or another operation"
        )


def _inverses(modulus: int) -> Int64[Tensor, " m"]:
    """Table of b⁻¹ modulo a prime; the entry of 0 is a placeholder."""
    return torch.tensor([0] + [pow(b, -1, modulus) for b in range(1, modulus)])


def _is_prime(number: int) -> bool:
    return number >= 2 and all(number % factor for factor in range(2, isqrt(number) + 1))
