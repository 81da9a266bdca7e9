"""Where an update finds the trajectory of another run: its spec is named, a loader reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from spectraledge.snapshots import Snapshot

__all__ = ["Loader", "reference_trajectory", "trajectories_from"]

Loader = Callable[[Any], Iterable[Snapshot]]
_LOADER: ContextVar[Loader | None] = ContextVar("trajectory loader", default=None)


@contextmanager
def trajectories_from(loader: Loader) -> Iterator[None]:
    """Let updates that start inside the block read other runs.

    Args:
        loader: The snapshots of a run ``(1, P)``, given its spec.

    Yields:
        Nothing.

    Example:
        >>> with trajectories_from(lambda run: []):
        ...     reference_trajectory("some run")
        Traceback (most recent call last):
        RuntimeError: expected snapshots of the reference run, got none; ... some run
    """
    token = _LOADER.set(loader)
    try:
        yield
    finally:
        _LOADER.reset(token)


def reference_trajectory(run: Any) -> list[Snapshot]:
    """The snapshots of a reference run, in order.

    Args:
        run: Its spec.

    Returns:
        At least one snapshot of one run.

    Raises:
        RuntimeError: If nobody can read it, or it kept no snapshots.
    """
    loader = _LOADER.get()
    if loader is None:
        raise RuntimeError(
            "expected a loader for the reference run, got none; train through spectraledge.lab, "
            f"or inside `with trajectories_from(loader)`; the run is {run}"
        )
    snapshots = list(loader(run))
    if not snapshots:
        raise RuntimeError(
            "expected snapshots of the reference run, got none; train it with keep_snapshots=True; "
            f"the run is {run}"
        )
    return snapshots
