"""The check that the arguments of an instrument are of the types that it declares."""

from __future__ import annotations

from dataclasses import fields
from math import isnan
from numbers import Integral, Real
from typing import Any

__all__ = ["check_field_types"]

NONE = " | None"
TUPLES = {"tuple[str, ...]": str, "tuple[int, ...]": Integral, "tuple[float, ...]": Real}
NUMBERS = {"int": Integral, "float": Real}


def check_field_types(instrument: Any) -> None:
    """Refuse arguments that would fail, or be NaN, at the first snapshot only.

    Whole numbers, numbers, texts and tuples of them, as the fields are annotated; other types are
    not looked at. No number may be NaN.

    Args:
        instrument: A dataclass.

    Raises:
        TypeError: For a value of another type, such as a list for a tuple.
        ValueError: For NaN.
    """
    owner = type(instrument).__name__
    for field in fields(instrument):
        value, kind = getattr(instrument, field.name), str(field.type)
        if value is None and kind.endswith(NONE):
            continue
        if not _fits(value, kind.removesuffix(NONE)):
            raise TypeError(f"{owner}: expected {field.name} as {kind}, got {value!r}")
        if isinstance(value, float) and isnan(value):
            raise ValueError(f"{owner}: expected a number for {field.name}, got nan")


def _fits(value: Any, kind: str) -> bool:
    if kind in TUPLES:
        # A single text is a sequence of letters; which kinds there are, its own check says better.
        if isinstance(value, str):
            return TUPLES[kind] is str
        return isinstance(value, tuple) and all(isinstance(item, TUPLES[kind]) for item in value)
    if kind in NUMBERS:
        return isinstance(value, NUMBERS[kind]) and not isinstance(value, bool)
    return kind != "str" or isinstance(value, str)
