"""Whole numbers where an update wants a float: ``WeightDecay(1)`` is ``WeightDecay(1.0)``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from spectraledge.updates.base import Update

__all__ = ["with_floats"]


def with_floats(updates: Iterable[Update]) -> tuple[Update, ...]:
    """The same recipe with every whole number in a float field made a float.

    Float fields may differ between the runs of a batch and other fields may not, and equal recipes
    must be the same run; so it matters which of the two a number is.

    Args:
        updates: Links of a chain; wrapped ones are looked into.

    Returns:
        Equal links.

    Example:
        >>> from spectraledge.updates import WeightDecay
        >>> with_floats([WeightDecay(1)])[0].strength
        1.0
    """
    return tuple(map(_with_floats, updates))


def _with_floats(update: Update) -> Update:
    changes: dict[str, Any] = {}
    for field in fields(update):  # type: ignore[arg-type]
        value = getattr(update, field.name)
        if isinstance(value, Update):
            changes[field.name] = _with_floats(value)
        # Annotations are text, since evaluating them is postponed everywhere.
        elif field.type == "float" and _is_whole(value):
            changes[field.name] = float(value)
    return replace(update, **changes) if changes else update  # type: ignore[type-var]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
