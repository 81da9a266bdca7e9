"""Trajectory analysis of saved checkpoints of any model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from spectraledge.instruments.trajectory_pca import TrajectoryPCA, sketched_pieces
from spectraledge.instruments.trajectory_scopes import TrajectoryScopes
from spectraledge.linalg.lazy_trajectory import lazy_products_of_pieces
from spectraledge.linalg.trajectory_components import expanding_window_sizes
from spectraledge.linalg.trajectory_gram import TrajectoryGram, trajectory_products
from spectraledge.snapshots import Layout

__all__ = ["TrajectoryReading", "trajectory_of"]

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class TrajectoryReading:
    """What `trajectory_of` measured over W expanding windows.

    Args:
        steps: Step of the last point of each window.
        arrays: Outputs of `TrajectoryPCA` ``(W, *axes)`` float64.
        labels: Names of the entries along each axis.
    """

    steps: tuple[int, ...]
    arrays: Mapping[str, Tensor]
    labels: Mapping[str, tuple[str, ...]]

    def last(self, output: str) -> dict[str, float]:
        """An output of the whole trajectory by scope.

        Args:
            output: Name of an output with the axis ``scope`` only, e.g. ``first_share``.

        Returns:
            One number for each scope.
        """
        values = self.arrays[output][-1].tolist()
        return dict(zip(self.labels["scope"], values, strict=True))


def trajectory_of(
    checkpoints: Iterable[State],
    instrument: TrajectoryPCA | None = None,
    *,
    steps: Sequence[int] | None = None,
    lr: float | Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    sketch: int | None = None,
    held: int | None = None,
) -> TrajectoryReading:
    """Principal components and null models of the weights in a sequence of checkpoints.

    Args:
        checkpoints: State dictionaries in order, e.g. a generator that loads one file after
            another; each is taken once. Tensors that are not floating point are left out.
        instrument: Which matrices, how many components, which weight decay; the default knows the
            usual names of attention matrices.
        steps: Step of each checkpoint, for the decay of the initial weights; 0, 1, ... if None.
        lr: Learning rate, one or one a checkpoint; without it what needs the decay rate is NaN.
        sizes: How many checkpoints each expanding window takes; the published 20 sizes if None.
        sketch: Keep this many numbers of each matrix instead of all, at the error that
            `TrajectoryPCA` states, whose own sketch is taken if this is None. If neither is given,
            the checkpoints are kept, in their own type; those of a list or a tuple, which are in
            memory, are not copied.
        held: Keep at most twice this many checkpoints at a time, exactly and at the price of
            reading each T / (2 held) times; `checkpoints` must then be a sequence, such as one
            that loads a file when it is indexed.

    Returns:
        Outputs of `TrajectoryPCA` for each window.

    Raises:
        ValueError: If checkpoints differ in names or shapes, there are fewer than two, or steps,
            rates or sizes do not fit them; for fewer than 64 buckets, or both a sketch and `held`.
        TypeError: For `held` and checkpoints that cannot be read again.

    Cost: 1 s for 75 checkpoints of 290,401 parameters on one CPU core.

    Example:
        >>> start = {"blocks.0.attn.query.weight": torch.eye(3)}
        >>> line = [{name: (1 + t) * w for name, w in start.items()} for t in range(4)]
        >>> reading = trajectory_of(line, TrajectoryPCA(kinds=("query",), weight_decay=0.0))
        >>> round(reading.last("first_share")["model"], 9)
        1.0
    """
    instrument = instrument or TrajectoryPCA()
    instrument = instrument if sketch is None else replace(instrument, sketch=sketch)
    sketch = instrument.sketch
    if held is not None:
        again, products = _read_again(checkpoints, instrument, held, sketch)
        moments = _moments(len(products[0][0]), steps, lr, sizes)
        return _over_windows(instrument, again, products, *moments)
    # What comes from an iterator may change while the next one is made, so it is copied.
    resident = isinstance(checkpoints, (list, tuple)) and sketch is None
    layout, scopes, count = None, None, 0
    kept: list[list[tuple[Tensor, ...]]] = []
    grams: list[TrajectoryGram] = []
    for state in checkpoints:
        named = _named(state)
        found = _layout_of(named)
        if scopes is None or layout is None:
            layout, scopes = found, TrajectoryScopes.of(found, instrument.kinds)
        _check_layout(found, layout, count)
        pieces = scopes.pieces_of(named) if resident else scopes.pieces(_flat(named))
        if sketch is None:
            kept.append(pieces)
        else:
            grams = grams or [TrajectoryGram() for _ in pieces]
            for gram, piece in zip(grams, sketched_pieces(pieces, sketch)):
                gram.add(piece)
        count += 1
    if scopes is None or count < 2:
        raise ValueError(f"expected at least two checkpoints, got {count}")
    products = [g.products for g in grams] if sketch is not None else _products(kept)
    return _over_windows(instrument, scopes, products, *_moments(count, steps, lr, sizes))


def _read_again(
    checkpoints: Iterable[State], instrument: TrajectoryPCA, held: int, sketch: int | None
) -> tuple[TrajectoryScopes, list[Tensor]]:
    """Scopes, and the products of their pieces, from a sequence that is read several times."""
    if sketch is not None:
        raise ValueError(f"trajectory_of: pass sketch or held, got {sketch} and {held}")
    if not isinstance(checkpoints, Sequence):
        raise TypeError(
            "trajectory_of: held reads checkpoints several times; expected a sequence, got "
            f"{type(checkpoints).__name__}; use sketch= for what can be read once"
        )
    if len(checkpoints) < 2:
        raise ValueError(f"expected at least two checkpoints, got {len(checkpoints)}")
    layout = _layout_of(_named(checkpoints[0]))
    scopes = TrajectoryScopes.of(layout, instrument.kinds)

    def read(number: int) -> list[Tensor]:
        named = _named(checkpoints[number])
        _check_layout(_layout_of(named), layout, number)
        # A piece of several parts, the parameters outside of all matrices, is one vector.
        return [torch.cat(parts, -1) for parts in scopes.pieces(_flat(named))]

    return scopes, lazy_products_of_pieces(read, len(checkpoints), held=held)


def _products(flats: list[list[tuple[Tensor, ...]]]) -> list[Tensor]:
    pieces = range(len(flats[0]))
    return [
        torch.stack([trajectory_products(parts) for parts in zip(*(f[n] for f in flats))]).sum(0)
        for n in pieces
    ]


def _over_windows(
    instrument: TrajectoryPCA,
    scopes: TrajectoryScopes,
    products: list[Tensor],
    steps: list[int],
    rates: list[Tensor | None],
    sizes: Sequence[int],
) -> TrajectoryReading:
    readings = [
        instrument.measure_products(
            scopes, [p[..., :n, :n] for p in products], steps[:n], rates[:n]
        )
        for n in sizes
    ]
    arrays = {name: torch.cat([r[name] for r in readings]) for name in readings[0]}
    components = tuple(f"PC{k + 1}" for k in range(instrument.components))
    labels = {"scope": scopes.names, "component": components}
    return TrajectoryReading(tuple(steps[n - 1] for n in sizes), arrays, labels)


def _moments(
    count: int,
    steps: Sequence[int] | None,
    lr: float | Sequence[float] | None,
    sizes: Sequence[int] | None,
) -> tuple[list[int], list[Tensor | None], Sequence[int]]:
    taken = list(range(count) if steps is None else steps)
    if len(taken) != count or any(b <= a for a, b in pairwise(taken)):
        raise ValueError(f"expected {count} growing steps, one a checkpoint, got {taken}")
    rates = [lr] * count if lr is None or isinstance(lr, (int, float)) else list(lr)
    if len(rates) != count:
        raise ValueError(f"expected one learning rate or {count}, got {len(rates)}")
    chosen = expanding_window_sizes(count) if sizes is None else sizes
    if not chosen or min(chosen) < 2 or max(chosen) > count:
        raise ValueError(f"expected sizes in 2..{count} checkpoints, got {tuple(chosen)}")
    as_tensors = [None if r is None else torch.tensor([r], dtype=torch.float64) for r in rates]
    return taken, as_tensors, chosen


def _named(state: State) -> dict[str, Tensor]:
    """Floating-point tensors by name; tied ones count once, under their first name."""
    named, seen = {}, set()
    for name, tensor in state.items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.stride())
        known = (place, tensor.shape) in seen and tensor.numel() > 0
        if tensor.is_floating_point() and not known:
            named[name] = tensor.detach()
            seen.add((place, tensor.shape))
    return named


def _layout_of(named: Mapping[str, Tensor]) -> Layout:
    return Layout(tuple(named), tuple(tuple(t.shape) for t in named.values()))


def _flat(named: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in named.values()]).unsqueeze(0)


def _check_layout(found: Layout, expected: Layout, number: int) -> None:
    if found == expected:
        return
    ours, theirs = (dict(zip(x.names, x.shapes)) for x in (expected, found))
    differing = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
    raise ValueError(
        f"expected every checkpoint to have the same tensors, but number {number} differs from "
        f"the first in {differing or 'their order'}"
    )
