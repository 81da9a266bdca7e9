"""Group composition: the complete table of a finite group, split into three parts.

The non-commutative relative of modular arithmetic: b ∘ a is as a rule another element than a ∘ b.
In S5 the two agree for 7 in 120 of all pairs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import permutations
from math import factorial

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from spectraledge.tasks.pairs import PairTable

__all__ = ["GroupComposition", "composition_table"]


@dataclass(frozen=True)
class GroupComposition(PairTable):
    """The table of ``a ∘ b`` over all pairs of elements of a finite group.

    Composition applies b first: (a ∘ b)(x) = a(b(x)). Elements are numbered so that 0 is the
    identity:

    ``S<n>``, n = 3..5: the n! permutations of 0..n−1 as tuples of images, in lexicographic order.
    ``A<n>``, n = 4, 5: the n!/2 even ones among them, in the same order.
    ``D<n>``, n ≥ 3: the 2n symmetries of a regular n-gon, so ``D12`` has 24 elements. With
    vertices 0..n−1 in turn, element i < n is the rotation x → i + x, and element n + i the
    reflection x → i − x, modulo n.
    ``C<n>``, n ≥ 2: the n rotations by i steps, which is addition modulo n.

    Subsets of the dataset, over all rows: ``mirror`` (a ≠ b, and (b, a) is a training pair),
    ``non_mirror`` (a ≠ b, and it is not), ``diagonal`` (a = b), and across the first two
    ``commuting`` (a ≠ b, and a ∘ b = b ∘ a). Under the ordered split a model that only learnt to
    ignore the order is right on the held-out rows that are both ``mirror`` and ``commuting``, a
    share ``train_fraction`` of the ``commuting`` ones.

    Args:
        group: One of the names above.
        form: ``three_token`` is (a, b, "=") with the order of the group as token for "=", and as
            many classes as tokens; ``two_token`` is (a, b) with one token and class an element.
        train_fraction: Share f of the ordered pairs to train on, in (0, 1).
        split: ``unordered`` keeps a pair and its mirror in one part; ``ordered`` assigns every
            ordered pair by itself.
        validation_share: Share of the held-out pairs that goes to validation, in (0, 1); the
            others are the test part.

    Raises:
        ValueError: If a name is unknown, a number is out of its range, or a part of the split
            would be empty.

    Source:
        Composition in S5 is a task of Power et al., "Grokking" (arXiv 2201.02177). The share of
        commuting pairs is the number of conjugacy classes over the order (Gustafson 1973, "What
        is the probability that two group elements commute?").

    Example:
        >>> data = GroupComposition("S3").dataset(seed=0)
        >>> data.tokens[13].tolist(), int(data.labels[13])  # (1, 0, 2) ∘ (0, 2, 1) = (1, 2, 0)
        ([2, 1, 6], 3)
    """

    group: str = "S5"
    form: str = "three_token"
    train_fraction: float = 0.5
    split: str = "unordered"
    validation_share: float = 0.5

    def __post_init__(self) -> None:
        _family_and_degree(self.group)
        self.check_table()

    @property
    def name(self) -> str:
        """What names of runs call the task, such as ``s5-unordered``."""
        return f"{self.group.lower()}-{self.split}"

    @property
    def size(self) -> int:
        """Order of the group: its number of elements."""
        family, degree = _family_and_degree(self.group)
        return family.order(degree)

    def operands(self) -> tuple[range, range]:
        """All elements on both sides."""
        return range(self.size), range(self.size)

    def results(self, a: Int64[Tensor, " N"], b: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """Numbers of a ∘ b."""
        return composition_table(self.group)[a, b]

    def subsets(
        self, operands: Int64[Tensor, "N 2"], train: Int64[Tensor, " n_train"]
    ) -> dict[str, Bool[Tensor, " N"]]:
        """Where the mirror of a row stands, and whether it has the same result.

        Args:
            operands: The pairs (a, b), one a row.
            train: Rows to train on.

        Returns:
            The four subsets of the class.
        """
        a, b = operands.unbind(1)
        commuting = (a != b) & (self.results(a, b) == self.results(b, a))
        return super().subsets(operands, train) | {"commuting": commuting}


def composition_table(group: str) -> Int64[Tensor, "n n"]:
    """Multiplication table of a group.

    Args:
        group: A name as in `GroupComposition`.

    Returns:
        Number of a ∘ b in row a and column b; row and column 0 belong to the identity.

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> composition_table("C3").tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    family, degree = _family_and_degree(group)
    return family.table(degree)


def _symmetric(degree: int) -> Int64[Tensor, "n n"]:
    return _permutation_table(_permutations(degree))


def _alternating(degree: int) -> Int64[Tensor, "n n"]:
    images = _permutations(degree)
    inversions = (images[:, :, None] > images[:, None, :]).triu(diagonal=1).sum((1, 2))
    return _permutation_table(images[inversions % 2 == 0])


def _dihedral(degree: int) -> Int64[Tensor, "n n"]:
    number = torch.arange(2 * degree)
    step, flip = number % degree, number // degree
    steps = (step[:, None] + (1 - 2 * flip[:, None]) * step) % degree
    return steps + degree * (flip[:, None] ^ flip)


def _cyclic(degree: int) -> Int64[Tensor, "n n"]:
    step = torch.arange(degree)
    return (step[:, None] + step) % degree


def _permutations(degree: int) -> Int64[Tensor, "n degree"]:
    return torch.tensor(list(permutations(range(degree))))


def _permutation_table(images: Int64[Tensor, "n degree"]) -> Int64[Tensor, "n n"]:
    """Table of permutations in lexicographic order that are closed under composition."""
    degree = images.shape[1]
    # Read as numbers to the base `degree`, images in lexicographic order ascend.
    place = degree ** torch.arange(degree - 1, -1, -1)
    composed = images[:, images]
    return torch.searchsorted((images * place).sum(1), (composed * place).sum(2))


@dataclass(frozen=True)
class _Family:
    kind: str
    smallest: int
    largest: int | None
    order: Callable[[int], int]
    table: Callable[[int], Tensor]


# Beyond S5 and A5 a full table has 10⁵ rows and more.
FAMILIES = {
    "S": _Family("symmetric", 3, 5, factorial, _symmetric),
    "A": _Family("alternating", 4, 5, lambda n: factorial(n) // 2, _alternating),
    "D": _Family("dihedral", 3, None, lambda n: 2 * n, _dihedral),
    "C": _Family("cyclic", 2, None, lambda n: n, _cyclic),
}


def _family_and_degree(group: str) -> tuple[_Family, int]:
    # No leading zeros: "C07" would be a second name, and a second stored run, for "C7".
    found = re.fullmatch(r"([SADC])([1-9][0-9]*)", group)
    family, degree = (FAMILIES[found[1]], int(found[2])) if found else (None, 0)
    if family is None or degree < family.smallest or degree > (family.largest or degree):
        known = ", ".join(_members(letter) for letter in FAMILIES)
        raise ValueError(f"unknown group {group!r}; known: {known}; closest: {_closest(group)}")
    return family, degree


def _members(letter: str) -> str:
    family = FAMILIES[letter]
    if family.largest is None:
        return f"{letter}<n> with n >= {family.smallest} ({family.kind})"
    names = [f"{letter}{n}" for n in range(family.smallest, family.largest + 1)]
    return f"{', '.join(names)} ({family.kind})"


def _closest(group: str) -> str:
    """The known name most like the given one, with its number where the family allows it."""
    digits = re.search(r"[0-9]+", group)
    candidates = []
    for letter, family in FAMILIES.items():
        wanted = max(family.smallest, int(digits[0]) if digits else 0)
        candidates.append(f"{letter}{min(wanted, family.largest or wanted)}")
    # Z is the other usual letter for cyclic groups.
    (closest,) = get_close_matches(group.upper().replace("Z", "C"), candidates, 1, cutoff=0.0)
    return closest
