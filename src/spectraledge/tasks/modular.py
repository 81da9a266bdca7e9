"""Modular arithmetic: the complete table of a binary operation modulo m, split into three parts.

The task on which grokking is studied. All operand pairs are rows; the model sees the two operands
and predicts the result. Two things vary between published set-ups and are named choices here: the
form of the input, and whether a pair and its mirror may be split apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from math import isqrt

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from spectraledge.tasks.dataset import Dataset
from spectraledge.tasks.splits import nearest, ordered_split, unordered_split

__all__ = ["ModularArithmetic"]

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
FORMS = ("three_token", "two_token")
SPLITS = {"unordered": unordered_split, "ordered": ordered_split}


@dataclass(frozen=True)
class ModularArithmetic:
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
        _check_name("operation", self.operation, OPERATIONS)
        _check_name("form", self.form, FORMS)
        _check_name("split", self.split, SPLITS)
        if self.modulus < 2:
            raise ValueError(f"expected modulus >= 2, got {self.modulus}; take a prime such as 113")
        if self.operation == "div" and not _is_prime(self.modulus):
            raise ValueError(
                f"expected a prime modulus for operation 'div', got {self.modulus}: not every "
                "denominator has an inverse; take a prime or another operation"
            )
        _check_open_unit("train_fraction", self.train_fraction, "no pairs to train on or hold out")
        _check_open_unit("validation_share", self.validation_share, "an empty validation or test")
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Reject what is empty under most seeds; `Dataset` rejects a part that parity empties."""
        total = len(self._operands()[0]) * len(self._operands()[1])
        rounded = nearest if self.split == "unordered" else int
        train = rounded(self.train_fraction * total)
        validation = rounded(self.validation_share * (total - train))
        test = total - train - validation
        if not (train and validation and test):
            raise ValueError(
                f"expected rows in every split, got train {train}, validation {validation}, test "
                f"{test} with modulus {self.modulus}, train_fraction {self.train_fraction} and "
                f"validation_share {self.validation_share}; change the fractions or take a larger "
                "modulus"
            )

    @property
    def vocabulary(self) -> int:
        """Number of token ids: the residues, and "=" in the three-token form."""
        return self.modulus + (self.form == "three_token")

    @property
    def classes(self) -> int:
        """Number of outputs, the same as `vocabulary`; a class for "=" is never right."""
        return self.vocabulary

    @property
    def length(self) -> int:
        """Number of tokens in a row, 3 or 2."""
        return 3 if self.form == "three_token" else 2

    def dataset(self, seed: int) -> Dataset:
        """All rows in row-major order (a outer), split by `seed`.

        Args:
            seed: Seed of the split, ≥ 0. Neither the global generators nor the row order depend
                on it.

        Returns:
            The dataset; equal seeds give equal ones.

        Raises:
            ValueError: If the seed is negative, or the modulus is so small that this seed leaves
                a part of the split empty.
        """
        if seed < 0:
            raise ValueError(f"expected seed >= 0, got {seed}; use a non-negative integer")
        first, second = self._operands()
        pairs = [(a, b) for a in first for b in second]
        parts = SPLITS[self.split](pairs, self.train_fraction, self.validation_share, seed)
        train, validation, test = (torch.tensor(part, dtype=torch.int64) for part in parts)
        operands = torch.tensor(pairs)
        return Dataset(
            tokens=self._tokens(operands),
            labels=OPERATIONS[self.operation](operands[:, 0], operands[:, 1], self.modulus),
            train=train,
            validation=validation,
            test=test,
            vocabulary=self.vocabulary,
            classes=self.classes,
            subsets=_subsets(operands, train, self.modulus),
        )

    def _operands(self) -> tuple[range, range]:
        first = range(1 if self.operation == "mul" else 0, self.modulus)
        second = range(1 if self.operation in {"mul", "div"} else 0, self.modulus)
        return first, second

    def _tokens(self, operands: Int64[Tensor, "N 2"]) -> Int64[Tensor, "N T"]:
        if self.form == "two_token":
            return operands
        equals = torch.full((len(operands), 1), self.modulus)
        return torch.cat([operands, equals], dim=1)


def _subsets(
    operands: Int64[Tensor, "N 2"], train: Int64[Tensor, " n_train"], modulus: int
) -> dict[str, Bool[Tensor, " N"]]:
    a, b = operands.unbind(1)
    trained = torch.zeros(modulus, modulus, dtype=torch.bool)
    trained[a[train], b[train]] = True
    diagonal = a == b
    mirror = trained[b, a] & ~diagonal
    return {"mirror": mirror, "non_mirror": ~mirror & ~diagonal, "diagonal": diagonal}


def _inverses(modulus: int) -> Int64[Tensor, " m"]:
    """Table of b⁻¹ modulo a prime; the entry of 0 is a placeholder."""
    return torch.tensor([0] + [pow(b, -1, modulus) for b in range(1, modulus)])


def _is_prime(number: int) -> bool:
    return number >= 2 and all(number % factor for factor in range(2, isqrt(number) + 1))


def _check_open_unit(name: str, value: float, otherwise: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"expected 0 < {name} < 1, got {value}: it would leave {otherwise}")


def _check_name(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        closest = get_close_matches(name, known, n=1, cutoff=0.0)
        raise ValueError(
            f"unknown {kind} {name!r}; known: {', '.join(known)}; closest: {closest[0]}"
        )
