"""The ledger as Parquet: scalars a row, and one list column ``curves/...`` a metric."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectraledge.lab.rows import Row
from spectraledge.store import DamagedError

__all__ = ["ledger_to_bytes", "rows_from_bytes"]

CURVE = "curves/"
SCALARS = ("signature", "name", "state", "seconds", "threads", "device", "machine", "finished")
TEXTS = ("spec", "versions", "failure")
# Outcomes stand beside the curves they are read off, for readers of the file.
SUMMARISED = ("train_accuracy", "validation_accuracy", "test_accuracy")

Curve = NDArray[Any]


def ledger_to_bytes(rows: Iterable[Row]) -> bytes:
    """Content of a Parquet file that holds `rows`, with a checksum a page."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(rows)
    records = [_scalars(row) for row in rows]
    columns = {name: pa.array([r[name] for r in records]) for name in (records or [{}])[0]}
    for name in dict.fromkeys(name for row in rows for name in row.curves):
        columns[CURVE + name] = _lists(name, [row.curves.get(name) for row in rows])
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "compression_level": 9, "write_page_checksum": True}
    pq.write_table(pa.table(columns), sink, **options)
    return bytes(sink.getvalue().to_pybytes())


def rows_from_bytes(data: bytes, source: Path) -> list[Row]:
    """Rows out of `ledger_to_bytes`.

    Args:
        data: Content of the file.
        source: What to call it in an error.

    Returns:
        The rows, in order, with every number as it was written.

    Raises:
        DamagedError: If the bytes are no ledger.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        names = [name for name in table.column_names if name.startswith(CURVE)]
        curves = {name.removeprefix(CURVE): _curves(table[name]) for name in names}
        scalars = table.select([*SCALARS, *TEXTS] if table.num_rows else []).to_pylist()
        return [_row(record, _of_row(curves, i)) for i, record in enumerate(scalars)]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(source, [f"no ledger ({error!r})"]) from error


def _scalars(row: Row) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in SCALARS}
    record |= {"steps_taken": row.steps_taken, "diverged_at": row.diverged_at}
    for name in SUMMARISED:
        values = row.curves.get(name)
        some = values is not None and np.isfinite(values).any()
        record[f"best_{name}"] = float(np.nanmax(values)) if some else None  # type: ignore[arg-type]
        # What a decided run would have come to is not known, so nothing stands there.
        last = row.state == "done" and some
        record[f"last_{name}"] = float(values[-1]) if last else None  # type: ignore[index]
    versions = json.dumps(dict(row.versions or {}))
    return record | {"spec": row.spec_json, "versions": versions, "failure": row.failure}


def _lists(name: str, curves: Sequence[Curve | None]) -> Any:
    """One list a row, null where a row has no such curve."""
    import pyarrow as pa

    whole = name.rpartition("/")[2] == "step" or name == "lost_at"
    kind = np.int64 if whole else np.float64
    arrays = [np.zeros(0, kind) if c is None else np.asarray(c, dtype=kind) for c in curves]
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    missing = pa.array([c is None for c in curves])
    return pa.ListArray.from_arrays(offsets, np.concatenate(arrays), mask=missing)


def _curves(column: Any) -> list[Curve | None]:
    curves: list[Curve | None] = []
    for chunk in column.chunks:
        values, offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()
        valid = chunk.is_valid().to_pylist()
        curves += [
            values[start:stop] if there else None
            for start, stop, there in zip(offsets[:-1], offsets[1:], valid)
        ]
    return curves


def _of_row(curves: Mapping[str, Sequence[Curve | None]], index: int) -> dict[str, Curve]:
    found = ((name, column[index]) for name, column in curves.items())
    return {name: curve for name, curve in found if curve is not None}


def _row(record: dict[str, Any], curves: dict[str, Curve]) -> Row:
    return Row(
        **{name: record[name] for name in SCALARS},
        spec_json=record["spec"],
        curves=curves,
        versions=json.loads(record["versions"]),
        failure=record["failure"],
    )
