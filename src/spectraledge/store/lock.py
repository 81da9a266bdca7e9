"""Claims: a lock between processes, so that two asked for the same run do not both train it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ClaimedError", "claim"]


class ClaimedError(RuntimeError):
    """Somebody else holds the claim."""


@contextmanager
def claim(path: Path | str, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a lock file.

    The lock belongs to the open file: the kernel releases it when the block ends or the process
    does, even by SIGKILL, so no claim is ever left behind. A child made by a bare fork inside the
    block shares it and must not outlive it. The lock file stays; it holds the owner's process id.

    Args:
        path: The lock file, made as needed. Not inside a folder that may be moved.
        wait: Wait until the claim is free; otherwise fail at once.

    Yields:
        Nothing; the claim is held inside the block.

    Raises:
        ClaimedError: If the claim is taken and `wait` is False, or if this very thread holds it,
            so that waiting would never end.

    Example:
        >>> from tempfile import mkdtemp
        >>> lock = Path(mkdtemp()) / "run.lock"
        >>> with claim(lock): claim(lock, wait=False).__enter__()
        Traceback (most recent call last):
        spectraledge.store.lock.ClaimedError: ...
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    me = f"{os.getpid()} {threading.get_ident()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, me, wait)
        _sign(descriptor, me)
        try:
            yield
        finally:
            _sign(descriptor, "")
            # Closing alone would leave the lock with a forked child that still has the file open.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _sign(descriptor: int, owner: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode(), 0)


def _acquire(descriptor: int, path: Path, me: str, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 100, 0).decode()
        if holder == me:
            raise ClaimedError(
                f"{path} is already claimed by this thread; claim it once"
            ) from error
        if not wait:
            owner = holder.split(" ")[0]
            raise ClaimedError(
                f"{path} is claimed by process {owner}; try again later, or pass wait=True"
            ) from error
        fcntl.flock(descriptor, fcntl.LOCK_EX)
