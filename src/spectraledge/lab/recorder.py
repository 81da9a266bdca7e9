"""Collects what a run shows while it trains, and saves it so that no moment is a bad one to die."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from spectraledge.instruments import Observer
from spectraledge.lab.decision import Decision
from spectraledge.lab.saved import layout_text
from spectraledge.snapshots import Snapshot
from spectraledge.store import DamagedError, RunFolder
from spectraledge.training import TrainState

__all__ = ["Recorder", "Saved", "read_saved"]

WINDOW = "window/"
Saved = tuple[dict[str, Tensor], list[tuple[int, Tensor]]]


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
            self._readings[key]["step"].append(snapshot.step)
            for name, array in arrays.items():
                self._readings[key][name].append(array[self.run].numpy())
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
        # The newest snapshot of the window is the state itself.
        older = {
            f"{WINDOW}{s.step}": s.parameters[self.run].contiguous()
            for s in self.observer.window[:-1]
        }
        self.folder.write_checkpoint(state.tensors(self.run) | older)

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


def read_saved(folder: RunFolder) -> Saved | None:
    """State to resume a run from.

    Args:
        folder: An unfinished run.

    Returns:
        The tensors of `TrainState.tensors` and the older snapshots of the window as (step,
        parameters), or None if there is no checkpoint or it cannot be read.
    """
    if not folder.has_checkpoint():
        return None
    try:
        tensors, _ = folder.read_checkpoint()
    except DamagedError:
        return None
    older = sorted((int(k.removeprefix(WINDOW)), v) for k, v in tensors.items() if WINDOW in k)
    return {k: v for k, v in tensors.items() if WINDOW not in k}, older
