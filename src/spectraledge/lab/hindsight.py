"""Measurements of complete runs, which know what comes after each step.

A run is complete for a plan once it has taken its last step, or is decided. A decided run may have
been trained further, by batch-mates or for another plan; what lies beyond its decision is left
out, so that a reading does not depend on who else wanted the run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from spectraledge.instruments import Differentiable, Hindsight
from spectraledge.instruments.hindsight import KNOWN_UNTIL
from spectraledge.lab.decision import Decision
from spectraledge.lab.saved import read_snapshots
from spectraledge.store import RunFolder
from spectraledge.training import Cadence

__all__ = ["is_measured_in_hindsight", "measure_in_hindsight"]


def is_measured_in_hindsight(
    folder: RunFolder, hindsight: Hindsight, due: Cadence, until: Decision | None
) -> bool:
    """Whether a run's reading is there and of the run as it is complete now.

    Args:
        folder: A complete run.
        hindsight: What to measure.
        due: At which steps.
        until: When the run counts as complete, before its last step.

    Returns:
        True also if there is nothing to measure: no saved step is due, or the run was stopped
        and did not keep all of its snapshots, so that it must stay as it is.
    """
    steps = _whole_run(folder, until)
    if steps is None:
        return folder.status(thorough=False).state != "done"
    if not any(due(step) for step in steps):
        return True
    if not folder.has_reading(hindsight):
        return False
    _, arrays = folder.read_reading(hindsight)
    return bool((arrays[KNOWN_UNTIL] == steps[-1]).all())


@torch.no_grad()
def measure_in_hindsight(
    folder: RunFolder,
    hindsight: Hindsight,
    due: Cadence,
    problem: Differentiable | None,
    until: Decision | None,
) -> bool:
    """Measure a complete run from its snapshots and add the reading to its folder.

    The reading appears in one rename: killed before, there is none, and it is asked for again.

    Args:
        folder: A complete run.
        hindsight: What to measure.
        due: At which steps.
        problem: For those that evaluate the model.
        until: When the run counts as complete, before its last step.

    Returns:
        Whether it could be done: False if the run did not keep all of its snapshots.
    """
    steps = _whole_run(folder, until)
    if steps is None:
        return False
    chosen = [step for step in steps if due(step)]
    if chosen:
        # Parts are several times as large as the parameters.
        snapshots = [replace(s, parts={}) for s in read_snapshots(folder, steps)]
        readings = hindsight.measure_whole(snapshots, chosen, problem)
        arrays = {n: np.stack([r[n][0].numpy() for r in readings]) for n in hindsight.outputs}
        folder.write_reading(hindsight, chosen, arrays)
    return True


def _whole_run(folder: RunFolder, until: Decision | None) -> list[int] | None:
    """Recorded steps up to the decision; None if one of them has no snapshot."""
    curves = folder.read_curves()
    recorded = [int(step) for step in curves["step"]]
    decided = None if until is None else until.decided_at(curves)
    steps = recorded if decided is None else [step for step in recorded if step <= decided]
    return steps if set(steps) <= set(folder.snapshot_steps()) else None
