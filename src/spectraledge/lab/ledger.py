"""The ledger: every finished run of many sweeps in one Parquet file, a row a run.

From it figures, intervals and verdicts are made again without training, and a later sweep goes on:
a run that has a row is not trained. It is small enough to be committed, and plain enough to be read
by any Parquet reader: scalars, and one list column ``curves/...`` per metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger_file import ledger_to_bytes, rows_from_bytes
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, replace_bytes, signature
from spectraledge.training import RunSpec

__all__ = ["Ledger"]


class Ledger:
    """Rows by identity of the spec.

    Args:
        rows: Rows to begin with; of two for one spec, the one that was trained further is kept,
            with what only the other one measured.

    Raises:
        RuntimeError: If two specs have the same signature.

    Example:
        >>> len(Ledger())
        0
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[str, Row] = {}
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        """Number of runs."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        """Rows, ordered by name."""
        return iter(sorted(self._rows.values(), key=lambda row: (row.name, row.signature)))

    def add(self, row: Row) -> None:
        """Take a row, or of two for one run the one that was trained further.

        What only the other one measured is kept beside it: studies that share runs measure
        different things, and the same spec gives the same run.

        Args:
            row: The row.

        Raises:
            RuntimeError: If there is a row of another spec with the same signature.
        """
        old = self._rows.get(row.signature)
        if old is not None:
            _check_spec(old, row.spec_json)
            further, other = (row, old) if _rank(row) >= _rank(old) else (old, row)
            row = further.with_readings_of(other)
        self._rows[row.signature] = row

    def get(self, spec: RunSpec, until: Decision | None = None) -> Row | None:
        """The row of a spec, as it stands at a decision.

        Args:
            spec: The run.
            until: When its outcome counts as known; None asks for every step.

        Returns:
            The row cut at the decision; None if there is none that was trained far enough.

        Raises:
            RuntimeError: If the row belongs to another spec with the same signature.
        """
        row = self._rows.get(signature(spec))
        if row is None:
            return None
        _check_spec(row, canonical_json(spec))
        return row.until(until) if row.answers(until) else None

    def furthest(self, spec: RunSpec, until: Decision) -> Row | None:
        """The row of a spec at a decision, or beyond its horizon if the run was trained further.

        Args:
            spec: The run.
            until: When its outcome counts as known.

        Returns:
            The row cut where the metric had held, or at the last record; None if there is none
            that came as far as the horizon.
        """
        row = self._rows.get(signature(spec))
        if row is None or until.horizon is None:
            return self.get(spec, until)
        return self.get(spec, replace(until, horizon=max(until.horizon, row.steps_taken)))

    def forget(self, row: Row) -> None:
        """Drop a row, so that its run is trained again."""
        self._rows.pop(row.signature, None)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger in a file; empty if there is none.

        Args:
            path: A Parquet file.

        Returns:
            The ledger.

        Raises:
            DamagedError: If the file is no ledger.
        """
        path = Path(path)
        return cls(rows_from_bytes(path.read_bytes(), path)) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Save all rows, in place of the last ones; folders are made as needed."""
        replace_bytes(Path(path), ledger_to_bytes(self))


def _rank(row: Row) -> tuple[int, int]:
    return ("failed", "decided", "done").index(row.state), row.steps_taken


def _check_spec(row: Row, spec_json: str) -> None:
    if row.spec_json != spec_json:
        raise RuntimeError(
            f"the ledger holds another spec with the signature {row.signature}: "
            f"{row.spec_json}; keep these two runs in different ledgers"
        )
