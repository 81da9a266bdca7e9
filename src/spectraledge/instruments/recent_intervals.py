"""The last intervals of a window of snapshots, whole or sketched."""

from __future__ import annotations

from dataclasses import replace

from spectraledge.instruments.base import Window
from spectraledge.instruments.interval_parts import IntervalParts
from spectraledge.instruments.update_window import chosen_stretches
from spectraledge.linalg.sketch import CountSketch
from spectraledge.snapshots import Snapshot

__all__ = ["check_sketch", "recent_intervals"]


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


def recent_intervals(
    window: Window,
    history: int,
    kinds: tuple[str, ...],
    stride: int,
    *,
    sketch: int | None,
    weight_decay: float = 0.0,
) -> IntervalParts:
    """Intervals of the snapshots that an instrument looks at.

    Args:
        window: Of the instrument, with its memory.
        history: Snapshots, at most.
        kinds: Kinds of matrices.
        stride: Snapshots per interval.
        sketch: Buckets that stand for the weights and their parts; None for whole vectors. Then
            only the newest snapshot need be there: those before it are remembered as sketches.
        weight_decay: ω of the trapezoid.

    Returns:
        The intervals; every vector of them is linear in weights and parts, and so are sketches.
    """
    if sketch is None:
        return IntervalParts.of(window.snapshots[-history:], kinds, stride, weight_decay)
    kept = window.memory.setdefault("sketches", [])
    kept.append(_sketched(window.now, kinds, CountSketch(sketch)))
    del kept[:-history]
    return IntervalParts.between(tuple(kept), (slice(0, sketch),), stride, weight_decay)


def _sketched(snapshot: Snapshot, kinds: tuple[str, ...], sketch: CountSketch) -> Snapshot:
    stretches = chosen_stretches(snapshot.layout, kinds)
    whole = IntervalParts.between((snapshot,), stretches, 1, 0.0)
    parts = {part: sketch(whole.chosen(flat)) for part, flat in snapshot.parts.items()}
    return replace(snapshot, parameters=sketch(whole.chosen(snapshot.parameters)), parts=parts)
