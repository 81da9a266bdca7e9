"""Writing a file so that a reader sees the old content, the new content, or no file: never a part.

The bytes go to a temporary file in the same folder, are forced to disk, and take the final name in
one rename. A process killed in between leaves a temporary file, which no reader looks at.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_unfinished", "replace_bytes", "sweep"]

UNFINISHED = ".unfinished"


def replace_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` at once; folders are made as needed.

    Args:
        path: File to write or to replace. One process at a time writes under this name.
        data: Its whole new content.

    Example:
        >>> from tempfile import mkdtemp
        >>> target = Path(mkdtemp()) / "folder" / "numbers"
        >>> replace_bytes(target, b"1 2 3"); target.read_bytes()
        b'1 2 3'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def is_unfinished(path: Path) -> bool:
    """Whether `path` is a temporary file of a write that has not ended."""
    return path.name.endswith(UNFINISHED)


def sweep(folder: Path) -> None:
    """Delete the temporary files that killed writers left below `folder`."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder that holds the name is on disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
