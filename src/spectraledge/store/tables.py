"""Columns over steps as one block of Parquet bytes; a column may hold an array at every step.

An ``(T, a, b)`` array becomes a column of T lists of a lists of b numbers, which any Parquet reader
opens. The shapes are kept beside, so that empty axes and empty tables come back as they were, and
so is a checksum, so that damage is noticed wherever the file is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spectraledge.store.checksum import CHECKSUM, Block, checksum
from spectraledge.store.damage import DamagedError

__all__ = ["Column", "as_array", "table_from_bytes", "table_to_bytes"]

Column = NDArray[Any] | Tensor | Sequence[float]
SHAPES = "shapes"


def table_to_bytes(columns: Mapping[str, Column], metadata: Mapping[str, str]) -> bytes:
    """Parquet bytes of columns with one entry a step.

    Args:
        columns: ``(T, ...)`` arrays, tensors or sequences of real numbers or booleans, with
            the same T.
        metadata: Text to keep with them; the keys ``shapes`` and ``sha256`` are taken.

    Returns:
        The content of a Parquet file, compressed.

    Raises:
        TypeError: If a column holds something else than real numbers or booleans.
        ValueError: If the columns differ in T, a column is a scalar, or a key is taken.

    Example:
        >>> data = table_to_bytes({"step": np.arange(2), "rank": np.ones((2, 3))}, {})
        >>> table_from_bytes(data, "memory")[0]["rank"].shape
        (2, 3)
    """
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {name: as_array(name, column) for name, column in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected columns of one length, got {lengths}; one entry a step")
    if SHAPES in metadata:
        raise ValueError(f"{SHAPES!r} in the metadata is kept for the shapes; rename the key")
    shapes = json.dumps({name: array.shape[1:] for name, array in arrays.items()})
    table = pa.table({name: _nested(array) for name, array in arrays.items()})
    kept = {**metadata, SHAPES: shapes, CHECKSUM: _checksum(arrays, metadata)}
    sink = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(kept), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def table_from_bytes(data: bytes, source: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Columns and metadata out of `table_to_bytes`.

    Args:
        data: The content of a Parquet file.
        source: What to call it in an error.

    Returns:
        ``(T, ...)`` arrays by name, in the order and types written, and the metadata.

    Raises:
        DamagedError: If the bytes are cut short, altered or carry no checksum.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        metadata = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
        shapes, expected = json.loads(metadata.pop(SHAPES)), metadata.pop(CHECKSUM)
        T = table.num_rows
        columns = {name: _flat(table[name]).reshape(T, *shapes[name]) for name in shapes}
    except (pa.ArrowException, OSError, ValueError, LookupError, AttributeError) as error:
        raise DamagedError(source, [f"no checked Parquet file ({error})"]) from error
    if _checksum(columns, metadata) != expected:
        raise DamagedError(source, ["its values do not match their checksum"])
    return columns, metadata


def as_array(name: str, column: Column) -> NDArray[Any]:
    """A column as a contiguous array on the CPU.

    Args:
        name: What to call it in an error.
        column: ``(T, ...)`` real numbers or booleans.

    Returns:
        The same values in the same type.

    Raises:
        TypeError: If it holds something else.
        ValueError: If it is a scalar.
    """
    array = column.detach().cpu().numpy() if isinstance(column, Tensor) else np.asarray(column)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"expected real numbers or booleans in column {name!r}, got {array.dtype}; "
            "store real and imaginary parts, or names and values, as columns of their own"
        )
    if array.ndim == 0:
        raise ValueError(f"expected one entry a step in column {name!r}, got a scalar")
    return np.ascontiguousarray(array)


def _checksum(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    blocks = (Block(name, str(a.dtype), a.shape, a.tobytes()) for name, a in arrays.items())
    return checksum(blocks, metadata)


def _nested(array: NDArray[Any]) -> Any:
    import pyarrow as pa

    column = pa.array(array.reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        count, size = prod(array.shape[:axis]), array.shape[axis]
        column = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * size, column)
    return column


def _flat(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    while pa.types.is_list(column.type):
        column = pa.chunked_array([c.flatten() for c in column.chunks], column.type.value_type)
    return np.array(column.to_numpy())
