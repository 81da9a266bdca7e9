"""Arrays with one entry per run: as many in each, labels that are bools, runs of both kinds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Shaped

__all__ = ["Labels", "as_bools", "check_kinds", "check_lengths"]

# Of any type and length: both are refused by name and number, below.
Labels = Shaped[np.ndarray, " _"]


def as_bools(name: str, labels: Shaped[np.ndarray, "*n"]) -> Bool[np.ndarray, "*n"]:
    """Labels as bools, so that ``~`` turns them round and an index picks runs.

    Of integers ``~`` flips the bits and an index picks places: 0 and 1 would be two runs, and
    every number computed from them wrong without an error.

    Args:
        name: What they are, for the error.
        labels: Bools, or numbers that are exactly 0 or 1.

    Returns:
        The same as bools.

    Raises:
        ValueError: For anything else.

    Example:
        >>> as_bools("positive", np.array([0, 1, 1])).tolist()
        [False, True, True]
    """
    found = np.asarray(labels)
    if found.dtype == bool:
        return found
    if found.dtype.kind not in "iuf":
        raise ValueError(f"expected {name} as bools or as 0 and 1, got dtype {found.dtype}")
    odd = np.unique(found[(found != 0) & (found != 1)])
    if odd.size:
        raise ValueError(
            f"expected {name} as bools or as 0 and 1, got {odd[:3].tolist()}; say which runs are "
            "meant, e.g. by a comparison"
        )
    return found.astype(bool)


def check_lengths(**arrays: Shaped[np.ndarray, "*_"]) -> None:
    """Refuse arrays whose last axis does not count the same runs, by name and number.

    Args:
        arrays: By name, one entry per run along the last axis.

    Raises:
        ValueError: For unequal lengths.

    Example:
        >>> check_lengths(scores=np.ones(3), positive=np.ones(2))
        Traceback (most recent call last):
        ValueError: expected one entry per run in each, got 3 in scores, 2 in positive
    """
    sizes = {name: np.shape(array)[-1] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        got = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ValueError(f"expected one entry per run in each, got {got}")


def check_kinds(positives: int, negatives: int) -> None:
    """Refuse runs of one kind only, among which nothing can be told apart."""
    if not positives or not negatives:
        raise ValueError(
            f"expected grokking and non-grokking runs, got {positives} and {negatives}"
        )
