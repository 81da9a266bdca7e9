"""Snapshots that an instrument remembers as sketches, where whole ones would be too many."""

from __future__ import annotations

from collections.abc import Callable

from spectraledge.instruments.base import SKETCHES, Window
from spectraledge.snapshots import Snapshot

__all__ = ["check_sketch", "remembered_sketches"]


def check_sketch(owner: str, sketch: int | None) -> None:
    """Refuse sketches that cannot hold a window.

    Args:
        owner: Name of the instrument.
        sketch: Buckets, or None for whole vectors.

    Raises:
        ValueError: For fewer than 64 buckets, of which a window's Gram matrix would be noise.
    """
    if sketch is not None and sketch < 64:
        raise ValueError(
            f"{owner}: expected sketch >= 64 buckets (4096 resolve gaps), or None to keep whole "
            f"vectors, got {sketch}"
        )


def remembered_sketches(
    window: Window, sketched: Callable[[Snapshot], Snapshot], *, limit: int | None = None
) -> list[Snapshot]:
    """Sketches of the snapshots so far, kept in the memory of the window.

    Args:
        window: Of the instrument; what it shows of its snapshots again is not taken twice.
        sketched: Makes the sketch of a snapshot.
        limit: How many of the newest to keep; None for all.

    Returns:
        Oldest first. The observer saves them with a run and gives them back when it resumes.
    """
    kept: list[Snapshot] = window.memory.setdefault(SKETCHES, [])
    for snapshot in window.snapshots:
        if not kept or snapshot.step > kept[-1].step:
            kept.append(sketched(snapshot))
    if limit is not None:
        del kept[:-limit]
    return kept
