"""Feeds snapshots to instruments, and keeps what they look back at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spectraledge.instruments.base import (
    SKETCHES,
    Differentiable,
    Instrument,
    Window,
    instrument_key,
)
from spectraledge.snapshots import Layout, Snapshot

__all__ = ["Observer"]


class Observer:
    """Feeds snapshots to instruments, each at its own cadence.

    Args:
        instruments: Instruments, or pairs of an instrument and a cadence (a function of the step).
        problem: Handed to instruments that evaluate the model.

    Raises:
        ValueError: If two instruments have the same key, or one needs a problem and there is none.
        TypeError: For what is no instrument, such as a class of them.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument | tuple[Instrument, Callable[[int], bool]]],
        problem: Differentiable | None = None,
    ) -> None:
        pairs = [i if isinstance(i, tuple) else (i, _always) for i in instruments]
        given: list[Any] = [instrument for instrument, _ in pairs]
        for one in given:
            if isinstance(one, type):
                raise TypeError(f"expected instruments, got a class; make one: {one.__name__}()")
        self.instruments = {instrument_key(i): (i, cadence) for i, cadence in pairs}
        if len(self.instruments) != len(pairs):
            raise ValueError(
                f"expected distinct instruments, got {[instrument_key(i) for i, _ in pairs]}"
            )
        for key, (instrument, _) in self.instruments.items():
            if instrument.needs_problem and problem is None:
                raise ValueError(
                    f"{key} evaluates the model and needs a problem; pass problem=..., of any "
                    "module ModuleProblem(model, train=..., held_out=...)"
                )
        self.problem = problem
        histories = [i.history for i, _ in pairs]
        longest = max((h for h in histories if h is not None), default=1)
        self._recent: deque[Snapshot] = deque(maxlen=longest)
        # Every snapshot as an instrument that looks at all of them sees it later on.
        self._all: list[Snapshot] | None = [] if None in histories else None
        self._memories: dict[str, dict[str, Any]] = {key: {} for key in self.instruments}

    @property
    def lacks_start(self) -> bool:
        """Whether an instrument that has to see the run from step 0 did not, after `restore`."""
        for key, (instrument, cadence) in self.instruments.items():
            sketched = instrument.history is not None
            kept = self.sketches[key] if sketched else self._all
            # What is sketched is what was measured, and the first measurement may come later.
            wanted = instrument.from_start and (cadence(0) or not sketched)
            if wanted and not (kept and kept[0].step == 0):
                return True
        return False

    @property
    def sketches(self) -> dict[str, tuple[Snapshot, ...]]:
        """Sketches of snapshots that instruments remember, oldest first; for `restore` too."""
        return {key: tuple(memory.get(SKETCHES, ())) for key, memory in self._memories.items()}

    @property
    def window(self) -> tuple[Snapshot, ...]:
        """The snapshots kept so far, oldest first; give them to `restore` to go on later."""
        recent = tuple(self._recent)
        return recent if self._all is None else (*self._all[: -len(recent) or None], *recent)

    @property
    def kept_bytes(self) -> int:
        """Memory of the tensors kept for later: snapshots, and what instruments remember."""
        tensors = {id(tensor): tensor for tensor in _tensors([self.window, self._memories])}
        return sum(t.numel() * t.element_size() for t in tensors.values())

    @property
    def part_names(self) -> frozenset[str]:
        """Names of the parts of the displacement that some instrument needs."""
        return frozenset().union(*(i.parts for i, _ in self.instruments.values()))

    def parts_wanted(self, layout: Layout) -> tuple[str, ...]:
        """Parameters whose parts of the displacement some instrument needs."""
        instruments = [i for i, _ in self.instruments.values() if i.parts]
        wanted = {name for i in instruments for name in i.parts_of(layout)}
        return tuple(name for name in layout.names if name in wanted)

    def restore(
        self,
        snapshots: Iterable[Snapshot],
        sketches: Mapping[str, Sequence[Snapshot]] | None = None,
    ) -> None:
        """Replace what is kept.

        Args:
            snapshots: What `window` was, oldest first.
            sketches: What `sketches` was, by key of the instrument; none if left out.
        """
        self._recent.clear()
        kept = sketches or {}
        self._memories = {
            key: {SKETCHES: list(kept[key])} if kept.get(key) else {} for key in self.instruments
        }
        if self._all is not None:
            self._all.clear()
        for snapshot in snapshots:
            self._keep(snapshot)

    def _keep(self, snapshot: Snapshot) -> None:
        self._recent.append(snapshot)
        if self._all is not None:
            # Parts are several times as large as the parameters.
            self._all.append(replace(snapshot, parts={}, metrics={}))

    def _window_of(self, key: str, shared: dict[Any, Any]) -> Window:
        history, kept = self.instruments[key][0].history, tuple(self._recent)
        older = (self._all or [])[:-1] if history is None else kept[-history:-1]
        return Window((*older, kept[-1]), self.problem, self._memories[key], shared)

    @torch.no_grad()
    def observe(self, snapshot: Snapshot) -> dict[str, dict[str, Tensor]]:
        """Measure at a new snapshot.

        Args:
            snapshot: The next snapshot; steps must grow.

        Returns:
            For each instrument that is due, its arrays ``(R, *axes)`` float64.

        Raises:
            ValueError: If the step does not grow, or an instrument does not return exactly the
                outputs that it declares, in float64 with a run axis and the declared ones.
        """
        if self._recent and snapshot.step <= self._recent[-1].step:
            raise ValueError(
                f"expected a step after {self._recent[-1].step}, got {snapshot.step}; snapshots "
                "must come in order"
            )
        self._keep(snapshot)
        readings = {}
        shared: dict[Any, Any] = {}
        for key, (instrument, cadence) in self.instruments.items():
            if cadence(snapshot.step):
                window = self._window_of(key, shared)
                readings[key] = _checked(instrument, instrument.measure(window), snapshot.runs)
        return readings


def _always(step: int) -> bool:
    return True


def _tensors(held: Any) -> Iterator[Tensor]:
    """Every tensor in nested containers and snapshots."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, Snapshot):
        yield from _tensors([held.parameters, held.parts, held.metrics])
    elif isinstance(held, Mapping):
        yield from _tensors(list(held.values()))
    elif isinstance(held, (list, tuple)):
        for one in held:
            yield from _tensors(one)


def _checked(instrument: Instrument, arrays: dict[str, Tensor], runs: int) -> dict[str, Tensor]:
    if set(arrays) != set(instrument.outputs):
        raise ValueError(
            f"{instrument.name}: expected the outputs {sorted(instrument.outputs)}, "
            f"got {sorted(arrays)}"
        )
    for name, array in arrays.items():
        axes = instrument.outputs[name].axes
        shaped = array.ndim == 1 + len(axes) and len(array) == runs
        if not shaped or array.dtype != torch.float64:
            expected = ", ".join((f"{runs} runs", *axes))
            raise ValueError(
                f"{instrument.name}: expected {name!r} as float64 ({expected}), got {array.dtype} "
                f"of shape {tuple(array.shape)}"
            )
    return arrays
