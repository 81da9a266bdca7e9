"""Checkpoints of any model as floating-point tensors by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = ["State", "check_apart", "check_layout", "flat_of", "layout_of", "named_tensors_of"]

State = Mapping[str, Tensor]
# Buffers of normalisation layers: statistics of data, which no optimizer moves.
STATISTICS = ("running_mean", "running_var")


def check_apart(checkpoints: Sequence[State]) -> None:
    """Refuse checkpoints that are the same memory, as uncloned state dictionaries are."""
    places = [
        [t.data_ptr() for t in state.values() if isinstance(t, Tensor) and t.numel()]
        for state in checkpoints
    ]
    for number, (before, now) in enumerate(pairwise(places), 1):
        if now and now == before:
            raise ValueError(
                f"expected checkpoints that are copies, but number {number} lies in the memory of "
                f"number {number - 1}, so they are equal; clone them when they are taken, as in "
                "{name: w.clone() for name, w in model.state_dict().items()}"
            )


def named_tensors_of(state: State, parameters: Collection[str] | None) -> dict[str, Tensor]:
    """Floating-point tensors that count by name; tied ones once, under their first name."""
    _check_state(state)
    for name in parameters or ():
        check_name("parameter of a checkpoint", name, tuple(state))
    named, seen = {}, set()
    # Modules may put other things beside their tensors.
    tensors = {n: t for n, t in cast(Mapping[str, Any], state).items() if isinstance(t, Tensor)}
    for name, tensor in tensors.items():
        statistic = name.rpartition(".")[2] in STATISTICS
        if statistic if parameters is None else name not in parameters:
            continue
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.stride())
        known = (place, tensor.shape) in seen and tensor.numel() > 0
        if tensor.is_floating_point() and not known:
            named[name] = tensor.detach()
            seen.add((place, tensor.shape))
    return named


def layout_of(named: Mapping[str, Tensor]) -> Layout:
    """Names and shapes of the tensors, in their order."""
    return Layout(tuple(named), tuple(tuple(t.shape) for t in named.values()))


def flat_of(named: Mapping[str, Tensor]) -> Tensor:
    """All of them as one vector ``(1, P)``."""
    return torch.cat([t.reshape(-1) for t in named.values()]).unsqueeze(0)


def check_layout(found: Layout, expected: Layout, number: int) -> None:
    """Refuse a checkpoint, by its number, with other tensors than the first."""
    if found == expected:
        return
    ours, theirs = (dict(zip(x.names, x.shapes)) for x in (expected, found))
    differing = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
    raise ValueError(
        f"expected every checkpoint to have the same tensors, but number {number} differs from "
        f"the first in {differing or 'their order'}"
    )


def _check_state(state: object) -> None:
    """Refuse paths and whole training states in place of a state dictionary."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"expected checkpoints as state dictionaries, tensors by name, got "
            f"{type(state).__name__}; load them, as by (torch.load(path) for path in paths)"
        )
    nested = [name for name, value in state.items() if isinstance(value, Mapping)]
    if nested:
        raise TypeError(
            f"expected tensors by name, got dictionaries under {', '.join(nested)}; pass what is "
            f"inside, as checkpoint[{nested[0]!r}]"
        )
