"""Several operations modulo m on the same pairs: one row, one label for each operation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from spectraledge.tasks.dataset import UNLABELLED
from spectraledge.tasks.modular import OPERATIONS, check_operation
from spectraledge.tasks.pairs import PairTable

__all__ = ["SeveralOperations"]


@dataclass(frozen=True)
class SeveralOperations(PairTable):
    """The tables of ``a ∘_1 b``, …, ``a ∘_L b`` mod m over all m² operand pairs.

    Labels are ``(N, L)``: column k is the result of operation k, as of `ModularArithmetic`. All
    operations share the rows, so both operands of each run over 0..m−1: ``mul`` keeps the operand
    0, which `ModularArithmetic` leaves out, and ``div`` has no label (`UNLABELLED`) where b = 0;
    leaving such rows out would take the labels of the other operations with them.

    The parts of the split hold whole rows: a pair is trained for all operations or for none.
    Subsets are those of `ModularArithmetic`; the mirror of a row gives away the labels of
    commutative operations only.

    Args:
        modulus: m ≥ 2; a prime if ``div`` is among the operations.
        operations: Two or more distinct names of operations of `ModularArithmetic`, in the order
            of the labels.
        form: ``two_token`` is (a, b) with m tokens and m classes; ``three_token`` is (a, b, "=")
            with token m for "=", and as many classes as tokens.
        train_fraction: Share f of the ordered pairs to train on, in (0, 1).
        split: ``unordered`` keeps a pair and its mirror in one part; ``ordered`` is the published
            split, in which a share f of the held-out pairs has its mirror in training.
        validation_share: Share of the held-out pairs that goes to validation, in (0, 1); the
            others are the test part.

    Raises:
        ValueError: If there are fewer than two operations or one of them twice; otherwise as
            `ModularArithmetic`.

    Source:
        The multi-task version of the modular tasks beside arXiv:2604.07380, restated: p = 97, a
        shared trunk and a head for each operation, for (``add``, ``mul``) and with a third, "sq".
        That "sq" is ``x2_y2``, the operand 0 of ``mul`` and the split of whole rows are our
        reading.

    Example:
        >>> data = SeveralOperations(modulus=7, operations=("add", "mul", "div")).dataset(seed=0)
        >>> data.tokens[16].tolist(), data.labels[16].tolist()
        ([2, 2], [4, 4, 1])
        >>> data.labels[14].tolist()  # 2 / 0
        [2, 0, -100]
    """

    modulus: int = 97
    operations: tuple[str, ...] = ("add", "mul")
    form: str = "two_token"
    train_fraction: float = 0.5
    split: str = "unordered"
    validation_share: float = 0.5

    def __post_init__(self) -> None:
        for operation in self.operations:
            check_operation(operation, self.modulus)
        if len(self.operations) < 2 or len(set(self.operations)) < len(self.operations):
            raise ValueError(
                "SeveralOperations: expected two or more distinct operations, got "
                f"{self.operations}; for a single one take ModularArithmetic"
            )
        self.check_table()

    @property
    def name(self) -> str:
        """What names of runs call the task, such as ``add-mul97-unordered``."""
        return f"{'-'.join(self.operations)}{self.modulus}-{self.split}"

    @property
    def size(self) -> int:
        """Number of residues m."""
        return self.modulus

    @property
    def answers(self) -> tuple[str, ...]:
        """The operations: there is an accuracy of each, such as ``validation_accuracy_mul``."""
        return self.operations

    def operands(self) -> tuple[range, range]:
        """All residues on both sides."""
        return range(self.modulus), range(self.modulus)

    def results(self, a: Int64[Tensor, " N"], b: Int64[Tensor, " N"]) -> Int64[Tensor, "N L"]:
        """Residues of every operation, a column each; `UNLABELLED` for a / 0."""
        return torch.stack([self._results(name, a, b) for name in self.operations], dim=1)

    def _results(self, operation: str, a: Tensor, b: Tensor) -> Tensor:
        found = OPERATIONS[operation](a, b, self.modulus)
        return torch.where(b == 0, UNLABELLED, found) if operation == "div" else found
