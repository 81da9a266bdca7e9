"""The error for an unknown method name, worded the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["unknown_name"]


def unknown_name(kind: str, got: str, known: Sequence[str]) -> ValueError:
    """A ValueError that lists the known names and the closest one.

    Args:
        kind: What is named, e.g. ``"method"``.
        got: The unknown name.
        known: The names that would have been accepted.

    Returns:
        The error, for the caller to raise.

    Example:
        >>> str(unknown_name("method", "svf", ("svd", "huber")))
        "unknown method 'svf'; known: svd, huber; did you mean 'svd'?"
    """
    close = get_close_matches(str(got), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return ValueError(f"unknown {kind} {got!r}; known: {', '.join(known)}{hint}")
