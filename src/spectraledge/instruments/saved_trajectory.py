"""Trajectory analysis of saved checkpoints of any model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from numbers import Real
from typing import Any, SupportsFloat, cast

import torch
from torch import Tensor

from spectraledge.instruments.checkpoint_states import (
    State,
    check_apart,
    check_layout,
    flat_of,
    layout_of,
    named_tensors_of,
)
from spectraledge.instruments.trajectory_pca import TrajectoryPCA, sketched_pieces
from spectraledge.instruments.trajectory_scopes import TrajectoryScopes
from spectraledge.linalg.lazy_trajectory import lazy_products_of_pieces
from spectraledge.linalg.trajectory_components import expanding_window_sizes
from spectraledge.linalg.trajectory_gram import TrajectoryGram, trajectory_products
from spectraledge.names import check_name

__all__ = ["TrajectoryReading", "trajectory_of"]


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

        Raises:
            ValueError: For an output that there is not, or that has other axes.
        """
        if output in self.arrays and self.arrays[output].ndim > 2:
            raise ValueError(
                f"expected an output with one number a scope, got {output!r} of shape "
                f"{tuple(self.arrays[output].shape)}; read it in reading.arrays"
            )
        plain = [name for name, array in self.arrays.items() if array.ndim == 2]
        check_name("output of the trajectory", output, plain)
        values = self.arrays[output][-1].tolist()
        return dict(zip(self.labels["scope"], values, strict=True))


def trajectory_of(
    checkpoints: Iterable[State],
    instrument: TrajectoryPCA | None = None,
    *,
    steps: Sequence[int] | None = None,
    lr: SupportsFloat | Sequence[SupportsFloat | None] | None = None,
    sizes: Sequence[int] | None = None,
    sketch: int | None = None,
    held: int | None = None,
    parameters: Collection[str] | None = None,
) -> TrajectoryReading:
    """Principal components and null models of the weights in a sequence of checkpoints.

    Args:
        checkpoints: State dictionaries in order, e.g. a generator that loads one file after
            another; each is taken once. Tensors that are not floating point are left out, and so
            are ``running_mean`` and ``running_var``. Other buffers count as weights, since a state
            dictionary does not tell them apart, and so do tied tensors that were cloned one by
            one; see `parameters`. Those of a list must be copies: ``model.state_dict()`` is the
            live weights.
        instrument: Which matrices, how many components, which weight decay; the default knows the
            usual names of attention matrices.
        steps: Step of each checkpoint, for the decay of the initial weights; 0, 1, ... if None.
        lr: Learning rate, one or one a checkpoint, >= 0 and below ``1 / weight_decay``; without it
            what needs the decay rate is NaN.
        sizes: How many checkpoints each expanding window takes; the published 20 sizes if None.
        sketch: Keep this many numbers of each matrix instead of all, at the error that
            `TrajectoryPCA` states, whose own sketch is taken if this is None. If neither is given,
            the checkpoints are kept, in their own type; those of a list or a tuple, which are in
            memory, are not copied.
        held: Keep at most twice this many checkpoints at a time, exactly and at the price of
            reading each T / (2 held) times; `checkpoints` must then be a sequence, such as one
            that loads a file when it is indexed.
        parameters: Names of the tensors that count, e.g. ``dict(model.named_parameters())``; all
            as above if None.

    Returns:
        Outputs of `TrajectoryPCA` for each window.

    Raises:
        ValueError: If checkpoints differ in names or shapes, lie in the same memory, lack one of
            the `parameters`, or there are fewer than two; if steps, rates or sizes do not fit them
            or are out of range; for fewer than 64 buckets, or both a sketch and `held`.
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
    if isinstance(checkpoints, (list, tuple)):
        check_apart(checkpoints)
    moments_of = partial(_moments, steps=steps, lr=lr, sizes=sizes, decay=instrument.weight_decay)
    if held is not None:
        again, products = _read_again(checkpoints, instrument, held, sketch, parameters)
        moments = moments_of(len(products[0][0]))
        return _over_windows(instrument, again, products, *moments)
    # What comes from an iterator may change while the next one is made, so it is copied.
    resident = isinstance(checkpoints, (list, tuple)) and sketch is None
    layout, scopes, count = None, None, 0
    kept: list[list[tuple[Tensor, ...]]] = []
    grams: list[TrajectoryGram] = []
    for state in checkpoints:
        named = named_tensors_of(state, parameters)
        found = layout_of(named)
        if scopes is None or layout is None:
            layout, scopes = found, TrajectoryScopes.of(found, instrument.kinds)
        check_layout(found, layout, count)
        pieces = scopes.pieces_of(named) if resident else scopes.pieces(flat_of(named))
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
    return _over_windows(instrument, scopes, products, *moments_of(count))


def _read_again(
    checkpoints: Iterable[State],
    instrument: TrajectoryPCA,
    held: int,
    sketch: int | None,
    parameters: Collection[str] | None,
) -> tuple[TrajectoryScopes, list[Tensor]]:
    """Scopes, and the products of their pieces, from a sequence that is read several times."""
    if sketch is not None:
        raise ValueError(f"trajectory_of: pass sketch or held, got {sketch} and {held}")
    if not (hasattr(checkpoints, "__getitem__") and hasattr(checkpoints, "__len__")):
        raise TypeError(
            "trajectory_of: held reads checkpoints several times; expected a sequence, got "
            f"{type(checkpoints).__name__}; use sketch= for what can be read once"
        )
    several = cast(Sequence[State], checkpoints)
    if len(several) < 2:
        raise ValueError(f"expected at least two checkpoints, got {len(several)}")
    layout = layout_of(named_tensors_of(several[0], parameters))
    scopes = TrajectoryScopes.of(layout, instrument.kinds)

    def read(number: int) -> list[Tensor]:
        named = named_tensors_of(several[number], parameters)
        check_layout(layout_of(named), layout, number)
        # A piece of several parts, the parameters outside of all matrices, is one vector.
        return [torch.cat(parts, -1) for parts in scopes.pieces(flat_of(named))]

    return scopes, lazy_products_of_pieces(read, len(several), held=held)


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
    *,
    steps: Sequence[int] | None,
    lr: SupportsFloat | Sequence[SupportsFloat | None] | None,
    sizes: Sequence[int] | None,
    decay: float,
) -> tuple[list[int], list[Tensor | None], Sequence[int]]:
    taken = list(range(count) if steps is None else steps)
    if len(taken) != count or any(b <= a for a, b in pairwise(taken)):
        raise ValueError(f"expected {count} growing steps, one a checkpoint, got {taken}")
    rates = _rates(lr, count)
    if len(rates) != count:
        raise ValueError(f"expected one learning rate or {count}, got {len(rates)}")
    for rate in rates:
        if rate is not None and not (rate >= 0 and rate * decay < 1):
            raise ValueError(
                f"expected learning rates >= 0 of which weight decay {decay} leaves something, "
                f"lr * weight_decay < 1, got {rate}; the decay is TrajectoryPCA(weight_decay=...)"
            )
    chosen = expanding_window_sizes(count) if sizes is None else sizes
    if not chosen or min(chosen) < 2 or max(chosen) > count:
        raise ValueError(f"expected sizes in 2..{count} checkpoints, got {tuple(chosen)}")
    as_tensors = [None if r is None else torch.tensor([r], dtype=torch.float64) for r in rates]
    return taken, as_tensors, chosen


def _rates(lr: Any, count: int) -> list[float | None]:
    """The learning rate of each checkpoint; single ones may be scalars of numpy or torch."""
    if lr is None:
        return [None] * count
    if isinstance(lr, Real) or getattr(lr, "ndim", 1) == 0:
        return [float(lr)] * count
    return [None if rate is None else float(rate) for rate in lr]
