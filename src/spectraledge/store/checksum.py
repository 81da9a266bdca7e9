"""The checksum that tensor and table files carry in their own metadata.

It covers what a reader gets (names, types, shapes, values and metadata) and not the bytes of the
file, which differ between versions of the libraries that write it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["CHECKSUM", "Block", "checksum"]

CHECKSUM = "sha256"


class Block(NamedTuple):
    """One named array: its type, its shape and its values as bytes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    values: bytes


def checksum(blocks: Iterable[Block], metadata: Mapping[str, str]) -> str:
    """SHA-256 of named arrays and their metadata, whatever their order.

    Args:
        blocks: The arrays, with distinct names.
        metadata: The text kept with them, without the checksum.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: If the metadata has a ``sha256`` already.

    Example:
        >>> checksum([Block("w", "int8", (2,), b"ab")], {})[:8]
        'a9e55653'
    """
    if CHECKSUM in metadata:
        raise ValueError(f"{CHECKSUM!r} in the metadata is kept for the checksum; rename the key")
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for block in sorted(blocks):
        digest.update(json.dumps([block.name, block.kind, block.shape]).encode())
        digest.update(block.values)
    return digest.hexdigest()
