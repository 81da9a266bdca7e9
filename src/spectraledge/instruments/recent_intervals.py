"""The last intervals of a window of snapshots, whole or sketched."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from spectraledge.instruments.base import Window
from spectraledge.instruments.interval_parts import IntervalParts
from spectraledge.instruments.parameter_subset import chosen_stretches
from spectraledge.instruments.sketched_snapshots import remembered_sketches
from spectraledge.linalg.sketch import CountSketch
from spectraledge.snapshots import Snapshot

__all__ = ["recent_intervals"]


def recent_intervals(
    window: Window,
    history: int,
    kinds: tuple[str, ...],
    stride: int,
    *,
    sketch: int | None,
    parts: bool = False,
    weight_decay: float = 0.0,
) -> IntervalParts:
    """Intervals of the snapshots that an instrument looks at.

    Args:
        window: Of the instrument, with its memory.
        history: Snapshots, at most.
        kinds: Kinds of matrices.
        stride: Snapshots per interval.
        sketch: Buckets that stand for the weights and their parts; None for whole vectors. Then
            only snapshots since the last measurement need be there: those before are remembered as
            sketches.
        parts: Whether parts of the displacements are needed.
        weight_decay: ω of the trapezoid.

    Returns:
        The intervals; every vector of them is linear in weights and parts, and so are sketches.

    Raises:
        ValueError: If a sketch is asked for parts and a snapshot was left out.
    """
    if sketch is None:
        return IntervalParts.of(window.snapshots[-history:], kinds, stride, weight_decay)
    buckets = CountSketch(sketch)
    kept = remembered_sketches(
        window, lambda snapshot: _sketched(snapshot, kinds, buckets, parts), limit=history
    )
    for before, after in pairwise(kept):
        _check_parts(before, after)
    return IntervalParts.between(tuple(kept), (slice(0, sketch),), stride, weight_decay)


def _sketched(
    snapshot: Snapshot, kinds: tuple[str, ...], sketch: CountSketch, parts: bool
) -> Snapshot:
    stretches = chosen_stretches(snapshot.layout, kinds)
    whole = IntervalParts.between((snapshot,), stretches, 1, 0.0)
    found = {part: sketch(whole.chosen(flat)) for part, flat in snapshot.parts.items() if parts}
    return replace(snapshot, parameters=sketch(whole.chosen(snapshot.parameters)), parts=found)


def _check_parts(before: Snapshot, after: Snapshot) -> None:
    """Refuse parts that are not those of the whole way since the last sketch."""
    if "gradient" not in after.parts:
        return
    moved = after.parameters - before.parameters
    apart = moved - sum(after.parts.values())
    # Weights are rounded at every step; a snapshot left out is a good part of the way.
    if bool((apart.norm(dim=1) > 0.05 * moved.norm(dim=1)).any()):
        raise ValueError(
            f"expected to measure every snapshot with a sketch, got steps {before.step} and "
            f"{after.step} with parts of less than the way between them; measure at every "
            "snapshot, or keep whole snapshots with sketch=None"
        )
