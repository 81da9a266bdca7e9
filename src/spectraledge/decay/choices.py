"""The one wording for a name that is not among the known ones."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["check_choice", "closest"]


def check_choice(what: str, value: object, known: Sequence[str], otherwise: str = "") -> None:
    """Refuse a name that is not known, and say which one was probably meant.

    Args:
        what: The argument's name, for the message.
        value: What was passed.
        known: The names that are allowed.
        otherwise: What else is allowed, for the message.

    Raises:
        ValueError: If `value` is not one of `known`.
    """
    if value not in known:
        raise ValueError(
            f"expected {what} to be one of {', '.join(map(repr, known))}"
            + (f", or {otherwise}" if otherwise else "")
            + f"; got {value!r}"
            + closest(str(value), known)
        )


def closest(value: str, known: Sequence[str]) -> str:
    """The end of an error message: the most similar known names, or nothing."""
    similar = get_close_matches(value, known, n=3)
    return f"; closest: {', '.join(map(repr, similar))}" if similar else ""
