"""The ``done`` file of a finished run: every file with its size and SHA-256.

It is written last, so a folder that has one is complete; and it says what the folder held, so that
a file lost, cut short or altered afterwards is noticed before anybody reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypedDict

from spectraledge.store.atomic import is_unfinished, replace_bytes
from spectraledge.store.damage import DamagedError

__all__ = ["DONE", "amend", "entries", "problems", "read", "seal"]

DONE = "done"


class Entry(TypedDict):
    """What one file must look like."""

    size: int
    sha256: str


def seal(folder: Path, leave_out: Collection[str] = ()) -> None:
    """Write ``done`` over the files now below `folder`; from here on they are a finished run.

    Args:
        folder: Folder of a run with all its files in place.
        leave_out: Paths below it that are no part of the result.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not is_unfinished(path)]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    result = {name: path for name, path in named.items() if name not in {DONE, *leave_out}}
    _write(folder, {name: _entry(path.read_bytes()) for name, path in result.items()})


def entries(folder: Path) -> dict[str, Entry]:
    """Files of a finished run, by their path below `folder`.

    Args:
        folder: A folder with ``done``.

    Returns:
        Size and SHA-256 of every file.

    Raises:
        DamagedError: If ``done`` cannot be read.
    """
    try:
        listed = json.loads((folder / DONE).read_bytes())["files"]
        return {name: {"size": e["size"], "sha256": e["sha256"]} for name, e in listed.items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(folder, [f"{DONE} cannot be read ({error!r})"]) from error


def problems(folder: Path, *, thorough: bool = True) -> list[str]:
    """What differs between a finished run and its ``done``; only sizes, unless `thorough`."""
    try:
        listed = sorted(entries(folder).items())
    except DamagedError as error:
        return list(error.reasons)
    look = _problems if thorough else _size_problems
    return [problem for name, entry in listed for problem in look(folder, name, entry)]


def read(folder: Path, name: str) -> bytes:
    """Content of a file of a finished run, compared with ``done``.

    Args:
        folder: A folder with ``done``.
        name: Path of the file below it.

    Returns:
        The content, of the size and hash recorded.

    Raises:
        FileNotFoundError: If ``done`` does not list the file.
        DamagedError: If the file is lost, cut short or altered.
    """
    listed = entries(folder)
    if name not in listed:
        raise FileNotFoundError(f"no {name} in {folder}; it holds {', '.join(sorted(listed))}")
    return _read(folder, name, listed[name])


def amend(folder: Path, name: str, data: bytes) -> None:
    """Add a file to a finished run, or replace one; killed at any point, the run stays intact."""
    listed = entries(folder)
    if listed.pop(name, None):
        # Forgotten before it is replaced: in between, the file counts as not there.
        _write(folder, listed)
    replace_bytes(folder / name, data)
    _write(folder, listed | {name: _entry(data)})


def _write(folder: Path, files: dict[str, Entry]) -> None:
    text = json.dumps({"files": files}, sort_keys=True, separators=(",", ":"))
    replace_bytes(folder / DONE, text.encode())


def _entry(data: bytes) -> Entry:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _read(folder: Path, name: str, entry: Entry) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise DamagedError(folder, [f"{name} is missing ({error.strerror})"]) from error
    difference = _difference(name, data, entry)
    if difference:
        raise DamagedError(folder, [difference])
    return data


def _problems(folder: Path, name: str, entry: Entry) -> Sequence[str]:
    try:
        _read(folder, name, entry)
    except DamagedError as error:
        return error.reasons
    return ()


def _size_problems(folder: Path, name: str, entry: Entry) -> Sequence[str]:
    try:
        size = (folder / name).stat().st_size
    except OSError as error:
        return [f"{name} is missing ({error.strerror})"]
    return [] if size == entry["size"] else [f"{name} has {size} bytes instead of {entry['size']}"]


def _difference(name: str, data: bytes, entry: Entry) -> str | None:
    found = _entry(data)
    if found["size"] != entry["size"]:
        return f"{name} has {found['size']} bytes instead of {entry['size']}"
    if found["sha256"] != entry["sha256"]:
        return f"{name} was altered: its SHA-256 is not the one recorded"
    return None
