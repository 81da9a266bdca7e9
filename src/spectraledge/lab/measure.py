"""Measure finished runs afterwards, from their saved snapshots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from spectraledge.instruments import Differentiable, Hindsight, Instrument, Observer
from spectraledge.lab.decision import Decision
from spectraledge.lab.hindsight import is_measured_in_hindsight, measure_in_hindsight
from spectraledge.lab.plan import Measured, in_hindsight, live, with_cadence
from spectraledge.lab.saved import read_snapshots
from spectraledge.store import RunFolder
from spectraledge.training import Cadence

__all__ = ["is_measured", "measure_saved"]


def is_measured(folder: RunFolder, measured: Measured, until: Decision | None = None) -> bool:
    """Whether a run has the reading of an instrument.

    Args:
        folder: A finished run.
        measured: The instrument; a pair adds a cadence.
        until: When the run counts as complete, for what is measured in hindsight.

    Returns:
        Whether there is one, and in hindsight whether it is of the run as far as it was trained.
    """
    instrument, due = with_cadence(measured)
    if isinstance(instrument, Hindsight):
        return is_measured_in_hindsight(folder, instrument, due, until)
    return folder.has_reading(instrument)


def measure_saved(
    folder: RunFolder,
    instruments: Sequence[Measured],
    problem: Differentiable | None = None,
    *,
    until: Decision | None = None,
) -> bool:
    """Measure every saved snapshot of a run and add the readings to its folder.

    The loop is that of live measuring over another source, so the numbers are the same.

    Args:
        folder: A finished run.
        instruments: What to measure; a pair adds a cadence.
        problem: For instruments that evaluate the model.
        until: When the run counts as complete, for what is measured in hindsight.

    Returns:
        Whether it could be done: False if the run kept no snapshots, or not all of them and
        something is to be measured in hindsight.
    """
    if not folder.snapshot_steps():
        return False
    if observed := live(instruments):
        _observe(folder, observed, problem)
    return all(
        measure_in_hindsight(folder, hindsight, due, problem, until)
        for hindsight, due in in_hindsight(instruments)
    )


def _observe(
    folder: RunFolder,
    instruments: Sequence[tuple[Instrument, Cadence]],
    problem: Differentiable | None,
) -> None:
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
