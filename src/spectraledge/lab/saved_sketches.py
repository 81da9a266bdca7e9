"""Sketches of snapshots that instruments remember, as tensors of a checkpoint and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from spectraledge.snapshots import Snapshot

__all__ = ["SKETCH", "read_sketches", "saved_sketches"]

SKETCH, PART = "sketch/", "part "


def saved_sketches(sketches: Mapping[str, Sequence[Snapshot]], run: int) -> dict[str, Tensor]:
    """The sketches of one run of a batch.

    Args:
        sketches: Of each instrument, by its key.
        run: Which run.

    Returns:
        Tensors by ``sketch/STEP/WHAT/KEY``.
    """
    return {
        f"{SKETCH}{snapshot.step}/{what}/{key}": tensor[run].clone()
        for key, remembered in sketches.items()
        for snapshot in remembered
        for what, tensor in _tensors(snapshot).items()
    }


def _tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    parts = {f"{PART}{name}": tensor for name, tensor in snapshot.parts.items()}
    rate = {} if snapshot.lr is None else {"lr": snapshot.lr}
    return {"parameters": snapshot.parameters} | parts | rate


def read_sketches(
    saved: Sequence[Mapping[str, Tensor]], now: Snapshot
) -> dict[str, list[Snapshot]]:
    """The sketches of a batch, from those of its runs.

    Args:
        saved: What `saved_sketches` gave for each run.
        now: The snapshot that they resume at.

    Returns:
        Of each instrument that all runs have sketches of, those at the steps they share, oldest
        first.
    """
    shared = set(saved[0]).intersection(*saved[1:])
    found: dict[str, dict[int, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    for name in shared:
        step, what, key = name.removeprefix(SKETCH).split("/", 2)
        found[key][int(step)][what] = torch.stack([run[name] for run in saved])
    return {
        key: [_snapshot(now, step, by_step[step]) for step in sorted(by_step)]
        for key, by_step in found.items()
    }


def _snapshot(now: Snapshot, step: int, tensors: Mapping[str, Tensor]) -> Snapshot:
    device = now.parameters.device
    parts = {
        name.removeprefix(PART): tensor.to(device)
        for name, tensor in tensors.items()
        if name.startswith(PART)
    }
    parameters = tensors["parameters"].to(device)
    return replace(
        now, step=step, parameters=parameters, parts=parts, metrics={}, lr=tensors.get("lr")
    )
