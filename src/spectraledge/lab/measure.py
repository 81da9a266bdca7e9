"""Measure finished runs afterwards, from their saved snapshots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from spectraledge.instruments import Differentiable, Instrument, Observer
from spectraledge.lab.saved import read_snapshots
from spectraledge.store import RunFolder
from spectraledge.training import Cadence

__all__ = ["measure_saved"]


def measure_saved(
    folder: RunFolder,
    instruments: Sequence[Instrument | tuple[Instrument, Cadence]],
    problem: Differentiable | None = None,
) -> bool:
    """Measure every saved snapshot of a run and add the readings to its folder.

    The loop is that of live measuring over another source, so the numbers are the same.

    Args:
        folder: A finished run.
        instruments: What to measure; a pair adds a cadence.
        problem: For instruments that evaluate the model.

    Returns:
        Whether it could be done: False if the run kept no snapshots.
    """
    if not folder.snapshot_steps():
        return False
    observer = Observer(instruments, problem)
    steps: dict[str, list[int]] = defaultdict(list)
    columns: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for snapshot in read_snapshots(folder):
        for key, arrays in observer.observe(snapshot).items():
            steps[key].append(snapshot.step)
            for name, array in arrays.items():
                columns[key][name].append(array[0].numpy())
    for key, arrays_of in columns.items():
        stacked = {name: np.stack(values) for name, values in arrays_of.items()}
        folder.write_reading(observer.instruments[key][0], steps[key], stacked)
    return True
