"""What a run holds: reading and writing the files below its folder.

Each kind of file has one pair of methods. Writing replaces a file in one rename; reading a file of
a finished run compares it with ``done`` first, so that damage raises and is never returned.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spectraledge.store import manifest
from spectraledge.store.atomic import replace_bytes
from spectraledge.store.inspection import file_names, json_from_bytes
from spectraledge.store.origin import Origin
from spectraledge.store.paths import (
    CHECKPOINT,
    CURVES,
    FAILURE,
    ORIGIN,
    SPEC,
    reading_name,
    reading_path,
    snapshot_path,
    snapshot_step,
)
from spectraledge.store.signature import canonical_json, from_canonical
from spectraledge.store.tables import Column, as_array, table_from_bytes, table_to_bytes
from spectraledge.store.tensors import tensors_from_bytes, tensors_to_bytes

__all__ = ["Contents"]

STEP = "step"
Saved = tuple[dict[str, Tensor], dict[str, str]]
Texts = Mapping[str, str]


class Contents(ABC):
    """Files of one run; `RunFolder` says where they are and what state they are in."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder."""

    def write_snapshot(
        self, step: int, tensors: Mapping[str, Tensor], metadata: Texts | None = None
    ) -> None:
        """Save tensors at a step, e.g. the ``(P,)`` parameters with their layout as metadata."""
        self._write(snapshot_path(step), tensors_to_bytes(tensors, metadata or {}))

    def read_snapshot(self, step: int) -> Saved:
        """Tensors and metadata saved at a step."""
        name = snapshot_path(step)
        return tensors_from_bytes(self._read(name), self._where(name))

    def snapshot_steps(self) -> list[int]:
        """Steps with a snapshot, ascending."""
        steps = (snapshot_step(name) for name in self._names())
        return sorted(step for step in steps if step is not None)

    def write_checkpoint(
        self, tensors: Mapping[str, Tensor], metadata: Texts | None = None
    ) -> None:
        """Save the state to resume from, in place of the last one."""
        self._write(CHECKPOINT, tensors_to_bytes(tensors, metadata or {}))

    def read_checkpoint(self) -> Saved:
        """Tensors and metadata of the state to resume from."""
        return tensors_from_bytes(self._read(CHECKPOINT), self._where(CHECKPOINT))

    def has_checkpoint(self) -> bool:
        """Whether there is a state to resume from."""
        return (self.path / CHECKPOINT).exists()

    def write_curves(self, columns: Mapping[str, Column]) -> None:
        """Save all metrics so far, in place of the last ones.

        Args:
            columns: ``(T,)`` numbers by name; ``step`` is one of them, and ascends.

        Raises:
            ValueError: If there is no ``step``, it does not ascend, or the columns differ in T.
        """
        self._write(CURVES, _table(columns, {}))

    def read_curves(self) -> dict[str, NDArray[Any]]:
        """Metrics by name, ``(T,)``, with their ``step``."""
        return table_from_bytes(self._read(CURVES), self._where(CURVES))[0]

    def write_reading(
        self, instrument: object, steps: Column, arrays: Mapping[str, Column]
    ) -> None:
        """Save what an instrument measured; also possible on a finished run.

        Args:
            instrument: Its frozen dataclass; other fields make another reading.
            steps: ``(T,)`` ascending steps.
            arrays: ``(T, ...)`` by name.

        Raises:
            ValueError: If the steps do not ascend.
        """
        name = reading_path(instrument)
        data = _table({STEP: steps} | dict(arrays), {"instrument": canonical_json(instrument)})
        if (self.path / manifest.DONE).exists():
            manifest.amend(self.path, name, data)
        else:
            self._write(name, data)

    def read_reading(
        self, instrument: object
    ) -> tuple[NDArray[np.integer[Any]], dict[str, NDArray[Any]]]:
        """Steps ``(T,)`` and arrays ``(T, ...)`` of an instrument, or of a name of `readings`."""
        name = reading_path(instrument)
        columns, _ = table_from_bytes(self._read(name), self._where(name))
        return columns.pop(STEP), columns

    def has_reading(self, instrument: object) -> bool:
        """Whether there is a reading of an instrument; does not look into it."""
        return reading_path(instrument) in self._names()

    def readings(self) -> list[str]:
        """Names of the stored readings: instrument and signature of its fields."""
        names = (reading_name(name) for name in self._names())
        return sorted(name for name in names if name is not None)

    def read_spec(self) -> str:
        """Canonical JSON of the spec on disk, for `from_canonical`."""
        content = json_from_bytes(self._read(SPEC), self._where(SPEC))
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    def has_origin(self) -> bool:
        """Whether the run was finished or paused."""
        return (self.path / ORIGIN).exists()

    def read_origin(self) -> Origin:
        """Where, when and with what a finished run was made."""
        origin: Origin = from_canonical(self._read(ORIGIN).decode(), [Origin])
        return origin

    def read_failure(self) -> dict[str, str]:
        """The recorded error: ``kind``, ``message``, ``traceback`` and ``when``."""
        error: dict[str, str] = json_from_bytes(self._read(FAILURE), self._where(FAILURE))
        return error

    def _write(self, name: str, data: bytes) -> None:
        if (self.path / manifest.DONE).exists():
            raise RuntimeError(f"{self.path} is done, got a new {name}; reset() it to train again")
        if not (self.path / SPEC).exists():
            raise RuntimeError(f"{self.path} has no {SPEC}, got {name}; begin() the run first")
        replace_bytes(self.path / name, data)

    def _write_json(self, name: str, text: str) -> None:
        self._write(name, pretty(text))

    def _read(self, name: str) -> bytes:
        folder = self.path
        if (folder / manifest.DONE).exists():
            return manifest.read(folder, name)
        try:
            return (folder / name).read_bytes()
        except FileNotFoundError as error:
            found = ", ".join(file_names(folder)) or "no file"
            raise FileNotFoundError(f"no {name} in {folder}; it holds {found}") from error

    def _names(self) -> list[str]:
        # In a finished run a file counts once it is listed: a killed `write_reading` leaves more.
        done = (self.path / manifest.DONE).exists()
        return sorted(manifest.entries(self.path)) if done else file_names(self.path)

    def _where(self, name: str) -> str:
        return str(self.path / name)


def pretty(text: str) -> bytes:
    """JSON for people: the same content with one entry a line."""
    return (json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n").encode()


def _table(columns: Mapping[str, Column], metadata: Texts) -> bytes:
    if STEP not in columns:
        raise ValueError(f"expected a column {STEP!r}, got {sorted(columns)}; add the steps")
    steps = as_array(STEP, columns[STEP])
    if steps.ndim != 1 or steps.dtype.kind not in "iu" or (steps[1:] <= steps[:-1]).any():
        raise ValueError(
            f"expected ascending whole steps in one row, got {steps}; write each step once"
        )
    return table_to_bytes(columns, metadata)
