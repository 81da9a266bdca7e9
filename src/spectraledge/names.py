"""The check for a known method name, with the same error everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["check_name"]


def check_name(kind: str, got: str, known: Sequence[str]) -> None:
    """Refuse an unknown name with an error that lists the known ones and the closest.

    Args:
        kind: What is named, e.g. ``"method"``.
        got: The name to check.
        known: The names accepted.

    Raises:
        ValueError: If the name is not among the known ones.

    Example:
        >>> check_name("method", "svf", ("svd", "huber"))
        Traceback (most recent call last):
        ValueError: unknown method 'svf'; known: svd, huber; did you mean 'svd'?
    """
    if got in known:
        return
    close = get_close_matches(str(got), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {got!r}; known: {', '.join(known)}{hint}")
