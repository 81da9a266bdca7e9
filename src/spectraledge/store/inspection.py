"""Inspection: is a stored run done, unfinished, failed or damaged, and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spectraledge.store import manifest
from spectraledge.store.atomic import is_unfinished
from spectraledge.store.damage import DamagedError
from spectraledge.store.paths import FAILURE, SPEC, split_folder_name
from spectraledge.store.signature import text_signature
from spectraledge.store.tables import table_from_bytes
from spectraledge.store.tensors import tensors_from_bytes

__all__ = ["Status", "file_names", "inspect", "json_from_bytes", "problems"]

State = Literal["missing", "partial", "done", "failed", "damaged"]


@dataclass(frozen=True)
class Status:
    """State of a run's folder.

    Args:
        state: ``missing``: nothing there. ``partial``: unfinished, may be resumed. ``done``:
            finished and whole. ``failed``: ended in an error, may be resumed. ``damaged``: not
            what was written; `RunFolder.reset` it and train again.
        reasons: What is damaged, or the error it ended in.

    Example:
        >>> print(Status("damaged", ("done cannot be read",)))
        damaged: done cannot be read
    """

    state: State
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.state}: {'; '.join(self.reasons)}" if self.reasons else self.state


def inspect(folder: Path, *, thorough: bool = True) -> Status:
    """State of the run in `folder`; reads every file once, or compares sizes only."""
    names = file_names(folder)
    if not names:
        return Status("missing")
    found = problems(folder, thorough=thorough)
    if found:
        return Status("damaged", tuple(found))
    if manifest.DONE in names:
        return Status("done")
    if FAILURE in names:
        error = json_from_bytes((folder / FAILURE).read_bytes(), FAILURE)
        return Status("failed", (f"{error.get('kind')}: {error.get('message')}",))
    return Status("partial")


def problems(folder: Path, *, thorough: bool = True) -> list[str]:
    """Everything that is wrong with the files of a run.

    A finished run is compared with its ``done``. The files of an unfinished one are opened:
    tensors, tables and the spec carry a checksum of their own.

    Args:
        folder: Folder of a run.
        thorough: Read the files; otherwise only missing ones and those of another size are found.

    Returns:
        One text a defect; empty if there is none.
    """
    if (folder / manifest.DONE).exists():
        return manifest.problems(folder, thorough=thorough)
    names = file_names(folder)
    missing = [] if SPEC in names else [f"{SPEC} is missing"]
    if not thorough:
        return missing
    return missing + [problem for name in names if (problem := _problem(folder, name))]


def file_names(folder: Path) -> list[str]:
    """Paths of the files below `folder`, in order, without leftovers of killed writers."""
    files = [path for path in folder.rglob("*") if path.is_file() and not is_unfinished(path)]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def json_from_bytes(data: bytes, source: str) -> Any:
    """Parsed JSON.

    Args:
        data: Content of the file.
        source: What to call it in an error.

    Returns:
        What it says.

    Raises:
        DamagedError: If it is no JSON.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise DamagedError(source, [f"no JSON ({error})"]) from error


def _problem(folder: Path, name: str) -> str | None:
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        return None  # A running writer has just replaced or finished it.
    try:
        if name.endswith(".safetensors"):
            tensors_from_bytes(data, name)
        elif name.endswith(".parquet"):
            table_from_bytes(data, name)
        elif name == SPEC:
            return _spec_problem(folder, json_from_bytes(data, name))
        elif name.endswith(".json"):
            json_from_bytes(data, name)
    except DamagedError as error:
        return str(error)
    return None


def _spec_problem(folder: Path, content: Any) -> str | None:
    parts = split_folder_name(folder.name)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    if parts is None or text_signature(canonical) == parts[1]:
        return None
    return f"{SPEC} was altered: its signature is not {parts[1]}"
