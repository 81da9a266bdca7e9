"""Signatures: the identity of a run, read off its frozen specification.

A spec becomes canonical JSON (one text for equal specs), and the first eight hexadecimal digits of
its SHA-256 are the run's name on disk. Everything in the spec counts, and nothing else: where and
when a run was made is no part of its identity.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

__all__ = ["canonical_json", "folder_name", "from_canonical", "signature", "slug"]

TYPE = "type"
SLUG_LENGTH = 80


def canonical_json(spec: object) -> str:
    """One JSON text for equal specs, whatever the order of fields or keys.

    A frozen dataclass is an object with its class name under ``type`` and the arguments of its
    constructor; tuples are arrays. ``1`` and ``1.0`` differ, ``-0.0`` and ``0.0`` do not.

    Args:
        spec: Frozen dataclasses, tuples, mappings with `str` keys, `str`, `int`, finite `float`,
            `bool` and None, nested at will.

    Returns:
        ASCII text with sorted keys and no spaces; floats in their shortest exact form.

    Raises:
        TypeError: If another type occurs; the message gives the place and the type.
        ValueError: If a float is not finite, or a key is called ``type``.

    Example:
        >>> canonical_json({"rate": 1e-3, "heads": (2, 4)})
        '{"heads":[2,4],"rate":0.001}'
    """
    return json.dumps(_plain(spec, "spec"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_canonical(text: str, types: Iterable[type]) -> Any:
    """The spec that `canonical_json` wrote, rebuilt.

    Args:
        text: Canonical JSON.
        types: The dataclasses that may occur, with distinct names.

    Returns:
        An object equal to the one written; mappings come back as `dict`.

    Raises:
        KeyError: If a class is not among `types`; the message lists those that are.
        ValueError: If the text is no JSON, or a class has other fields now than when it was
            written.

    Example:
        >>> from_canonical('[1,[2.0,"a"]]', [])
        (1, (2.0, 'a'))
    """
    return _rebuild(json.loads(text), {kind.__name__: kind for kind in types})


def signature(spec: object) -> str:
    """Identity of a spec: eight hexadecimal digits of the SHA-256 of its canonical JSON.

    Args:
        spec: What `canonical_json` accepts.

    Returns:
        Eight digits, the same in every process, on every machine and Python version.

    Raises:
        TypeError: If the spec has no canonical JSON.
        ValueError: If the spec has no canonical JSON.

    Example:
        >>> signature({"modulus": 113})
        'e39b6460'
    """
    return text_signature(canonical_json(spec))


def text_signature(canonical: str) -> str:
    """Identity of a spec that is already canonical JSON."""
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:8]


def slug(name: str) -> str:
    """`name` as a readable file name: lower-case words and numbers, joined by hyphens.

    Args:
        name: Any text; CamelCase is split into words.

    Returns:
        Letters a-z, digits, dots and single hyphens, at most 80 of them.

    Raises:
        ValueError: If nothing is left of the name.

    Example:
        >>> slug("RankCollapse: L2, λ = 0.1")
        'rank-collapse-l2-0.1'
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    result = re.sub(r"[^a-z0-9.]+", "-", plain)[:SLUG_LENGTH].strip("-.")
    if not result:
        raise ValueError(f"expected a name with letters or digits, got {name!r}; choose another")
    return result


def folder_name(name: str, spec: object) -> str:
    """Folder of a run: its slug for people, its signature for the machine.

    Args:
        name: What to call the run; no part of its identity.
        spec: What `canonical_json` accepts.

    Returns:
        ``slug-signature``.

    Raises:
        TypeError: If the spec has no canonical JSON.
        ValueError: If the spec has no canonical JSON, or nothing is left of the name.

    Example:
        >>> folder_name("low rank", {"modulus": 113})
        'low-rank-e39b6460'
    """
    return f"{slug(name)}-{signature(spec)}"


def _plain(value: object, place: str) -> Any:
    # Exact types: a numpy float or an enumeration would print differently across versions.
    if value is None or type(value) in {bool, int, str}:
        return value
    if type(value) is float:
        return _finite(value, place)
    if type(value) is tuple:
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_dataclass(value, place)
    if isinstance(value, Mapping):
        return _plain_mapping(value, place)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(
        f"expected frozen dataclasses, tuples, mappings, str, int, float, bool or None in a spec, "
        f"got {kind} at {place}; convert it, e.g. a list with tuple() or a scalar with float()"
    )


def _finite(value: float, place: str) -> float:
    if not isfinite(value):
        raise ValueError(f"expected a finite float at {place}, got {value}; use None for 'unset'")
    return value + 0.0  # Adding zero turns -0.0 into 0.0 and changes nothing else.


def _plain_dataclass(value: Any, place: str) -> dict[str, Any]:
    kind = type(value).__name__
    if not value.__dataclass_params__.frozen:
        raise TypeError(
            f"expected frozen dataclasses in a spec, got {kind} at {place}; "
            "declare it with @dataclass(frozen=True)"
        )
    arguments = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return {TYPE: kind, **_plain_mapping(arguments, place)}


def _plain_mapping(value: Mapping[Any, object], place: str) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            raise TypeError(
                f"expected str keys at {place}, got {key!r} of type {type(key).__name__}; "
                "convert it with str()"
            )
    if TYPE in value:
        raise ValueError(f"{TYPE!r} is kept for class names, got it as a key at {place}; rename it")
    return {key: _plain(item, f"{place}.{key}") for key, item in value.items()}


def _rebuild(value: Any, types: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return tuple(_rebuild(item, types) for item in value)
    if not isinstance(value, dict):
        return value
    items = {key: _rebuild(item, types) for key, item in value.items() if key != TYPE}
    return _construct(value[TYPE], items, types) if TYPE in value else items


def _construct(name: str, arguments: dict[str, Any], types: Mapping[str, type]) -> Any:
    if name not in types:
        closest = get_close_matches(name, types, n=1, cutoff=0.0)
        raise KeyError(f"unknown class {name!r}; known: {sorted(types)}; closest: {closest}")
    expected = {field.name for field in fields(types[name]) if field.init}
    if expected != set(arguments):
        raise ValueError(
            f"expected {name} to have the fields {sorted(expected)}, got {sorted(arguments)}; "
            "the text was written by another version"
        )
    return types[name](**arguments)
