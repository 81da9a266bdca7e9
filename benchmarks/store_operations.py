"""Counts what is asked of the file system below a folder, by whoever asks."""

from __future__ import annotations

import fcntl
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["Files", "Operations"]


@dataclass(frozen=True)
class Files:
    """Operations on a store.

    Args:
        puts: Files put in place, each a create, a sync, a rename and a sync of its folder.
        gets: Files read.
        regets: Files read again.
        looks: Status of a file, or contents of a folder of one run.
        relooks: Looks at what was looked at before.
        others: Folders made, files deleted, locks taken and given back.
        listings: Listings of the root, which take longer the more runs there are.
        sent: Bytes written.
        received: Bytes read.
    """

    puts: float = 0.0
    gets: float = 0.0
    regets: float = 0.0
    looks: float = 0.0
    relooks: float = 0.0
    others: float = 0.0
    listings: float = 0.0
    sent: float = 0.0
    received: float = 0.0


class Operations:
    """Operations below `root` while `counting`.

    Args:
        root: Folder of all runs.
        asker: Says on whose account an operation goes.
    """

    def __init__(self, root: Path, asker: Callable[[], str]) -> None:
        self._root = os.fspath(root)
        self._asker = asker
        self._counts: dict[str, Counter[str]] = {}
        self._seen: set[tuple[str, str, str]] = set()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens inside."""
        kinds = (
            (os, "replace", self._put),
            (io, "open", self._open),
            (os, "stat", self._look),
            (os, "scandir", self._list),
            (os, "mkdir", self._other),
            (os, "unlink", self._other),
            (fcntl, "flock", self._other),
        )
        with ExitStack() as patches:
            for owner, name, note in kinds:
                wrapped = _noting(getattr(owner, name), note)
                patches.enter_context(mock.patch.object(owner, name, wrapped))
            yield

    def per(self, count: int, askers: Sequence[str]) -> Files:
        """Operations of some askers together, divided by `count`."""
        total: Counter[str] = sum((self._counts.get(a, Counter()) for a in askers), Counter())
        return Files(**{name: round(n / count, 2) for name, n in total.items()})

    def _add(self, **counts: int) -> None:
        self._counts.setdefault(self._asker(), Counter()).update(counts)

    def _again(self, what: str, path: Any) -> bool:
        key = (self._asker(), what, os.fspath(path))
        again = key in self._seen
        self._seen.add(key)
        return again

    def _below(self, path: Any) -> bool:
        return not isinstance(path, int) and os.fspath(path).startswith(self._root)

    def _put(self, path: Any, *_: object) -> None:
        if self._below(path):
            self._add(puts=1, sent=os.path.getsize(path))

    def _open(self, path: Any, mode: str = "r", *_: object) -> None:
        # A file that is written counts when it is put in place.
        if self._below(path) and "r" in mode and os.path.exists(path):
            again = self._again("get", path)
            self._add(**{"regets": 1} if again else {"gets": 1, "received": os.path.getsize(path)})

    def _look(self, path: Any = ".", *_: object) -> None:
        if self._below(path):
            self._add(**{"relooks" if self._again("look", path) else "looks": 1})

    def _list(self, path: Any = ".", *_: object) -> None:
        if self._below(path) and os.fspath(path) == self._root:
            self._add(listings=1)
        else:
            self._look(path)

    def _other(self, target: Any, *_: object) -> None:
        if isinstance(target, int) or self._below(target):
            self._add(others=1)


def _noting(function: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    depth = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal depth
        # What is asked while noting, e.g. a size, is not asked by the store.
        if not depth:
            depth += 1
            note(*arguments)
            depth -= 1
        return function(*arguments, **options)

    return call
