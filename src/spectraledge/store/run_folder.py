"""One run on disk: what was asked for, what came out, and proof that it is whole.

Every file appears in one rename (`paths` shows which lie where). A folder without ``done`` is
unfinished and may be resumed; one whose files do not match its ``done`` is damaged, is never read,
and is put aside by `reset`. Whoever writes holds the `claim`; readers need none.
"""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spectraledge.store import manifest
from spectraledge.store.atomic import replace_bytes, sweep
from spectraledge.store.damage import DamagedError
from spectraledge.store.inspection import Status, inspect, json_from_bytes, problems
from spectraledge.store.lock import claim
from spectraledge.store.origin import Origin
from spectraledge.store.paths import (
    CHECKPOINT,
    CURVES,
    FAILURE,
    ORIGIN,
    READINGS,
    SPEC,
    reading_path,
    snapshot_path,
    snapshot_step,
    split_folder_name,
)
from spectraledge.store.signature import canonical_json, from_canonical, signature, slug
from spectraledge.store.tables import Column, table_from_bytes, table_to_bytes
from spectraledge.store.tensors import tensors_from_bytes, tensors_to_bytes

__all__ = ["RunFolder", "Status"]

STEP = "step"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; made on the first write.

    Use `RunFolder.of` for a spec, and `RunFolder.at` for a folder that exists.

    Args:
        root: Folder that holds all runs.
        name: Readable part of the folder's name; no part of the identity.
        signature: Identity of the spec.
        spec_json: Canonical JSON of the spec; None to take it from the folder.

    Example:
        >>> from tempfile import mkdtemp
        >>> run = RunFolder.of(mkdtemp(), "demo", {"modulus": 7})
        >>> run.write_curves({"step": [0, 5], "loss": [2.0, 0.5]}); str(run.status())
        'partial'
    """

    root: Path
    name: str
    signature: str
    spec_json: str | None = None

    @classmethod
    def of(cls, root: Path | str, name: str, spec: object) -> RunFolder:
        """The folder for a spec below `root`, existing or not."""
        return cls(Path(root), slug(name), signature(spec), canonical_json(spec))

    @classmethod
    def at(cls, path: Path | str) -> RunFolder:
        """An existing folder.

        Args:
            path: The folder.

        Returns:
            The run in it.

        Raises:
            ValueError: If its name is not that of a run's folder.
        """
        path = Path(path)
        parts = split_folder_name(path.name)
        if parts is None:
            raise ValueError(
                f"expected a folder named slug-xxxxxxxx, got {path}; name a run's folder"
            )
        return cls(path.parent, *parts)

    @property
    def path(self) -> Path:
        """The folder. A run stored under another readable name is found by its signature."""
        own = self.root / f"{self.name}-{self.signature}"
        others = [] if own.exists() else sorted(self.root.glob(f"[!.]*-{self.signature}"))
        return others[0] if others else own

    def claim(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Exclusive right to write this run, see `claim`; `reset` does not move the lock file."""
        return claim(self.root / ".locks" / f"{self.signature}.lock", wait=wait)

    # State

    def status(self) -> Status:
        """Missing, partial, done, failed or damaged; reads every file once.

        Returns:
            The state and its reasons.

        Raises:
            RuntimeError: If the folder belongs to another spec with the same signature.
        """
        found = inspect(self.path)
        if found.state not in {"missing", "damaged"}:
            self._check_spec()
        return found

    def is_done(self) -> bool:
        """Whether the run is finished and every file is as it was written."""
        return self.status().state == "done"

    def verify(self) -> list[str]:
        """What is missing, cut short or altered; empty if nothing is."""
        return problems(self.path)

    def has_checkpoint(self) -> bool:
        """Whether there is a state to resume from."""
        return (self.path / CHECKPOINT).exists()

    def finish(self, origin: Origin) -> None:
        """Seal the run: record its origin, write ``done``, drop the checkpoint and leftovers.

        Args:
            origin: Where and when it was made.

        Raises:
            DamagedError: If a file is damaged already.
        """
        self._write(ORIGIN, _pretty(canonical_json(origin)))
        found = self.verify()
        if found:
            raise DamagedError(self.path, found)
        folder = self.path
        sweep(folder)
        # The checkpoint goes last: until `done` is there, it is what a killed run resumes from.
        manifest.seal(folder, leave_out={CHECKPOINT, FAILURE})
        for name in (CHECKPOINT, FAILURE):
            (folder / name).unlink(missing_ok=True)

    def reset(self, *, keep: bool = True) -> Path | None:
        """Make room to train again, in one rename.

        Args:
            keep: Keep the old folder under ``.set-aside`` beside the runs; otherwise delete it.

        Returns:
            Where the old folder is now; None if there was none or it was deleted.
        """
        folder = self.path
        if not folder.exists():
            return None
        places = (self.root / ".set-aside" / f"{folder.name}.{k}" for k in count(1))
        place = next(place for place in places if not place.exists())
        place.parent.mkdir(exist_ok=True)
        folder.rename(place)
        if keep:
            return place
        shutil.rmtree(place)
        return None

    def write_failure(self, error: BaseException) -> None:
        """Record the error that ended the run; the checkpoint stays."""
        record = {
            "kind": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write(FAILURE, _pretty(json.dumps(record)))

    def clear_failure(self) -> None:
        """Forget the recorded error, before another attempt."""
        (self.path / FAILURE).unlink(missing_ok=True)

    # Content

    def read_spec(self) -> str:
        """Canonical JSON of the spec on disk, for `from_canonical`."""
        content = json_from_bytes(self._read(SPEC), str(self.path / SPEC))
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    def read_origin(self) -> Origin:
        """Where and when a finished run was made."""
        origin: Origin = from_canonical(self._read(ORIGIN).decode(), [Origin])
        return origin

    def read_failure(self) -> dict[str, str]:
        """The recorded error: ``kind``, ``message``, ``traceback`` and ``when``."""
        error: dict[str, str] = json_from_bytes(self._read(FAILURE), str(self.path / FAILURE))
        return error

    def write_snapshot(
        self, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Save tensors at a step, e.g. the ``(P,)`` parameters with their layout as metadata."""
        self._write(snapshot_path(step), tensors_to_bytes(tensors, metadata or {}))

    def read_snapshot(self, step: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and metadata saved at a step."""
        name = snapshot_path(step)
        return tensors_from_bytes(self._read(name), str(self.path / name))

    def snapshot_steps(self) -> list[int]:
        """Steps with a snapshot, ascending."""
        steps = (snapshot_step(name) for name in self._names())
        return sorted(step for step in steps if step is not None)

    def write_checkpoint(
        self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Save the state to resume from, in place of the last one."""
        self._write(CHECKPOINT, tensors_to_bytes(tensors, metadata or {}))

    def read_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and metadata of the state to resume from."""
        return tensors_from_bytes(self._read(CHECKPOINT), str(self.path / CHECKPOINT))

    def write_curves(self, columns: Mapping[str, Column]) -> None:
        """Save all metrics so far, in place of the last ones.

        Args:
            columns: ``(T,)`` numbers by name; ``step`` is one of them, and ascends.
        """
        self._write(CURVES, _table(columns, {}))

    def read_curves(self) -> dict[str, NDArray[Any]]:
        """Metrics by name, ``(T,)``, with their ``step``."""
        return table_from_bytes(self._read(CURVES), str(self.path / CURVES))[0]

    def write_reading(
        self, instrument: object, steps: Column, arrays: Mapping[str, Column]
    ) -> None:
        """Save what an instrument measured; also possible on a finished run.

        Args:
            instrument: Its frozen dataclass; other fields make another reading.
            steps: ``(T,)`` ascending steps.
            arrays: ``(T, ...)`` by name.
        """
        name = reading_path(instrument)
        data = _table({STEP: steps, **arrays}, {"instrument": canonical_json(instrument)})
        folder = self.path
        if (folder / manifest.DONE).exists():
            manifest.amend(folder, name, data)
        else:
            self._write(name, data)
