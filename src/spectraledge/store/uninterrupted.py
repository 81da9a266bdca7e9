"""Blocks that Ctrl-C may not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["uninterrupted"]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the block has ended, then let it through.

    A claim that is held where the exception arises stays held for as long as somebody looks at its
    traceback, and what must be saved once more at the end would wait for itself. Other threads,
    which Ctrl-C never reaches, and processes that ignore it are left alone.

    Yields:
        Nothing. Keep what is inside short.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    put_off: list[tuple[Any, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: put_off.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if put_off:
            before(*put_off[-1])
