"""Collects what a run shows while it trains, and saves it so that no moment is a bad one to die."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectraledge.instruments import Observer
from spectraledge.lab.decision import Decision
from spectraledge.lab.saved import layout_text, read_snapshots
from spectraledge.lab.saved_sketches import SKETCH, saved_sketches
from spectraledge.snapshots import Snapshot
from spectraledge.store import DamagedError, RunFolder
from spectraledge.training import TrainState

__all__ = ["Recorder", "Saved", "read_saved"]

WINDOW, RATES = "window/", "rates/"
# A step, its parameters, and the learning rate that led there; None for the newest parameters,
# which are the state's, and for rates that were not kept.
Older = tuple[int, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class Saved:
    """What training of a run resumes from.

    Args:
        state: The tensors of `TrainState.tensors`.
        window: The snapshots of the instruments, oldest first.
        sketches: Those that instruments remember as sketches, see `saved_sketches`.
    """

    state: dict[str, Tensor]
    window: list[Older]
    sketches: dict[str, Tensor]


class Recorder:
    """Curves, readings and checkpoint of one run of a batch.

    Everything is written before the checkpoint, so a checkpoint at step s means that curves and
    readings up to s are on disk; what lies beyond s is dropped when training resumes.

    Args:
        folder: Where to write.
        run: Index of the run inside the batch.
        observer: The instruments whose readings are kept.
        keep_snapshots: Whether to save the parameters at every recorded step.
        resumed_at: Step of the checkpoint that training resumes from, or None.
    """

    def __init__(
        self,
        folder: RunFolder,
        run: int,
        observer: Observer,
        *,
        keep_snapshots: bool = False,
        resumed_at: int | None = None,
    ) -> None:
        self.folder = folder
        self.run = run
        self.observer = observer
        self.keep_snapshots = keep_snapshots
        self._curves: dict[str, list[Any]] = defaultdict(list)
        self._readings: dict[str, dict[str, list[Any]]] = {
            key: defaultdict(list) for key in observer.instruments
        }
        if resumed_at is not None:
            self._reload(resumed_at)

    def add(
        self, snapshot: Snapshot, readings: Mapping[str, Mapping[str, Tensor]], state: TrainState
    ) -> None:
        """Take one snapshot and its readings; `save` puts everything so far on disk.

        Args:
            snapshot: The newest snapshot of the batch.
            readings: What the observer returned for it.
            state: The trainer's state at this snapshot.
        """
        self._append_curves(snapshot, state)
        for key, arrays in readings.items():
            values = {name: array[self.run].numpy() for name, array in arrays.items()}
            _append_reading(self._readings[key], snapshot.step, values)
        if self.keep_snapshots:
            self._save_snapshot(snapshot)

    def is_decided(self, until: Decision) -> bool:
        """Whether the curves so far decide the run."""
        return until.decided_at({n: np.asarray(v) for n, v in self._curves.items()}) is not None

    def _append_curves(self, snapshot: Snapshot, state: TrainState) -> None:
        self._curves["step"].append(snapshot.step)
        for name, values in snapshot.metrics.items():
            self._curves[name].append(float(values[self.run]))
        if snapshot.lr is not None:
            self._curves["lr"].append(float(snapshot.lr[self.run]))
        self._curves["lost_at"].append(int(state.lost_at[self.run]))

    def _save_snapshot(self, snapshot: Snapshot) -> None:
        metadata = {"layout": layout_text(snapshot.layout)}
        tensors = {"parameters": snapshot.parameters[self.run]}
        tensors |= {f"parts/{name}": part[self.run] for name, part in snapshot.parts.items()}
        self.folder.write_snapshot(snapshot.step, tensors, metadata)

    def save(self, state: TrainState, *, ended: bool = False) -> None:
        """Save curves, readings, and the state of the trainer that goes with the last snapshot.

        Args:
            state: The trainer's state.
            ended: Whether the run has taken its last step and is sealed next; nothing can go on
                from there, so the state is left out.
        """
        self.folder.write_curves(self._curves)
        for key, columns in self._readings.items():
            if columns["step"]:
                arrays = {n: np.stack(v) for n, v in columns.items() if n != "step"}
                instrument = self.observer.instruments[key][0]
                self.folder.write_reading(instrument, columns["step"], arrays)
        if ended:
            return
        sketches = saved_sketches(self.observer.sketches, self.run)
        self.folder.write_checkpoint(state.tensors(self.run) | self._window() | sketches)

    def _window(self) -> dict[str, Tensor]:
        """Snapshots that instruments look back at, unless they are on disk by themselves."""
        # The newest snapshot of the window is the state itself.
        window, on_disk = self.observer.window, set(self.folder.snapshot_steps())
        older = {
            f"{WINDOW}{s.step}": s.parameters[self.run].contiguous()
            for s in window[:-1]
            if s.step not in on_disk
        }
        rates = {f"{RATES}{s.step}": s.lr[self.run].clone() for s in window if s.lr is not None}
        # Which snapshots, so that those on disk are found again, and no others.
        steps = {f"{WINDOW}steps": torch.tensor([s.step for s in window], dtype=torch.int64)}
        return older | rates | steps

    def _reload(self, step: int) -> None:
        curves = self.folder.read_curves()
        kept = curves["step"] <= step
        self._curves.update({name: list(values[kept]) for name, values in curves.items()})
        for key, columns in self._readings.items():
            try:
                steps, arrays = self.folder.read_reading(self.observer.instruments[key][0])
            except FileNotFoundError:
                continue  # an instrument whose cadence has not come yet
            columns["step"] = list(steps[steps <= step])
            columns.update({name: list(v[steps <= step]) for name, v in arrays.items()})


def _append_reading(
    columns: dict[str, list[Any]], step: int, values: Mapping[str, NDArray[Any]]
) -> None:
    """One more step of every output.

    A run may go on under a version whose instruments have other outputs than the one before: those
    that are new are unknown at its steps, and those that are gone at the steps to come.
    """
    before = len(columns["step"])
    for name, value in values.items():
        columns[name] += [np.full_like(value, np.nan)] * (before - len(columns[name]))
        columns[name].append(value)
    for name in columns.keys() - values.keys() - {"step"}:
        columns[name].append(np.full_like(columns[name][-1], np.nan))
    columns["step"].append(step)


def read_saved(folder: RunFolder) -> Saved | None:
    """State to resume a run from.

    Args:
        folder: An unfinished run.

    Returns:
        The state, and the window of the instruments as (step, parameters, learning rate), oldest
        first; the parameters of the newest are those of the state and left out. None if there is
        no checkpoint or it, or a snapshot that it counts on, cannot be read.
    """
    if not folder.has_checkpoint():
        return None
    try:
        tensors, _ = folder.read_checkpoint()
        window = _read_window(folder, tensors)
    except (DamagedError, FileNotFoundError):
        return None
    sketches = {k: v for k, v in tensors.items() if k.startswith(SKETCH)}
    others = (WINDOW, RATES, SKETCH)
    state = {k: v for k, v in tensors.items() if not k.startswith(others)}
    return Saved(state, window, sketches)


def _read_window(folder: RunFolder, tensors: Mapping[str, Tensor]) -> list[Older]:
    held = {k.removeprefix(WINDOW): v for k, v in tensors.items() if k.startswith(WINDOW)}
    now = int(tensors["step"])
    # Checkpoints of earlier versions hold every snapshot of the window and do not list them.
    listed = held.pop("steps", None)
    steps = sorted([*map(int, held), now]) if listed is None else listed.tolist()
    absent = [step for step in steps if step != now and str(step) not in held]
    held |= {str(s.step): s.parameters[0] for s in read_snapshots(folder, absent)}
    return [(step, held.get(str(step)), tensors.get(f"{RATES}{step}")) for step in steps]
