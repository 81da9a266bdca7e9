"""Saved snapshots of a run, read back as what an instrument takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from spectraledge.snapshots import Layout, Snapshot
from spectraledge.store import RunFolder, canonical_json, from_canonical

__all__ = ["layout_from", "layout_text", "read_snapshots"]


def layout_text(layout: Layout) -> str:
    """A layout as text, to be stored beside flat parameters; `layout_from` is its inverse."""
    return canonical_json(layout)


def layout_from(text: str) -> Layout:
    """The layout that `layout_text` wrote."""
    found: Layout = from_canonical(text, [Layout])
    return found


def read_snapshots(folder: RunFolder, steps: Iterable[int] | None = None) -> Iterator[Snapshot]:
    """Saved snapshots of one run as a batch of one, for measuring afterwards.

    Args:
        folder: A run that kept snapshots.
        steps: Which ones, all if None.

    Returns:
        Snapshots, read one at a time as they are asked for.
    """
    chosen = folder.snapshot_steps() if steps is None else steps
    return (_read_snapshot(folder, step) for step in chosen)


def _read_snapshot(folder: RunFolder, step: int) -> Snapshot:
    tensors, metadata = folder.read_snapshot(step)
    parts = {
        name.removeprefix("parts/"): tensor.unsqueeze(0)
        for name, tensor in tensors.items()
        if name.startswith("parts/")
    }
    curves = folder.read_curves()
    row = int(np.flatnonzero(curves["step"] == step)[0])
    metrics = {
        name: torch.tensor([float(values[row])], dtype=torch.float64)
        for name, values in curves.items()
        if name not in ("step", "lr", "lost_at")
    }
    return Snapshot(
        step=step,
        layout=layout_from(metadata["layout"]),
        parameters=tensors["parameters"].unsqueeze(0),
        parts=parts,
        metrics=metrics,
        alive=torch.tensor([int(curves["lost_at"][row]) < 0]),
        lr=torch.tensor([float(curves["lr"][row])], dtype=torch.float64),
    )
