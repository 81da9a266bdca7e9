"""Runs whose trajectories other runs need: found in the store, or trained first."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Plan, Progress
from spectraledge.lab.saved import read_snapshots
from spectraledge.store import RunFolder
from spectraledge.training import RunSpec
from spectraledge.updates import reference_runs_of, trajectories_from

__all__ = ["reference_runs"]


@contextmanager
def reference_runs(specs: Sequence[RunSpec], plan: Plan) -> Iterator[None]:
    """Let runs start that need the trajectories of others.

    A reference run that is missing or has not come far enough is trained as far as it is looked
    at, with snapshots and without instruments; readings can be made from the snapshots later. One
    that did not keep all of its snapshots is put aside and trained again.

    Args:
        specs: Runs about to start from their initialisation.
        plan: Where runs are stored and how they are trained.

    Yields:
        Nothing; inside the block the reference runs can be read.

    Raises:
        RuntimeError: If a reference run fails.
    """
    missing: dict[int | None, list[RunSpec]] = defaultdict(list)
    for spec in specs:
        for run, until in reference_runs_of(spec.updates).items():
            if run not in missing[until] and not _has_trajectory(run, until, plan):
                missing[until].append(run)
    for until, runs in missing.items():
        _train(runs, until, specs, plan)
    with trajectories_from(lambda run: read_snapshots(plan.folder(run))):
        yield


def _has_trajectory(run: RunSpec, until: int | None, plan: Plan) -> bool:
    folder = plan.folder(run)
    if folder.status().state not in ("done", "partial") or not _kept_snapshots(folder):
        return False
    last = max(folder.snapshot_steps(), default=-1)
    return last >= (run.steps if until is None else min(until, run.steps))


def _kept_snapshots(folder: RunFolder) -> bool:
    """Whether there is a snapshot of every recorded step so far; True before the first."""
    try:
        recorded = folder.read_curves()["step"].tolist()
    except FileNotFoundError:
        return True
    return set(recorded) <= set(folder.snapshot_steps())


def _train(
    runs: Sequence[RunSpec], until: int | None, waiting: Sequence[RunSpec], plan: Plan
) -> None:
    # The laboratory trains batches, which start here: imported late, since each needs the other.
    from spectraledge.lab.run import run as run_all

    for run in runs:
        folder = plan.folder(run)
        with folder.claim():
            # The laboratory itself puts damaged runs aside; their curves may not be readable.
            if folder.status().state != "damaged" and not _kept_snapshots(folder):
                folder.reset()

    def show_life(progress: Progress) -> None:
        # A sweep takes a job that writes nothing in its own folders for hung.
        if progress.snapshot is not None:
            for spec in waiting:
                os.utime(plan.folder(spec).path)

    alone = replace(plan, instruments=(), keep_snapshots=True, until=_far_enough(until))
    for result in run_all(runs, alone, show_life):
        if not _has_trajectory(result.spec, until, plan):
            far = "" if until is None else f" up to step {until}"
            raise RuntimeError(
                f"expected a reference run with snapshots{far}, got "
                f"{result.failure or 'none kept'}; see {result.folder.path}"
            )


def _far_enough(until: int | None) -> Decision | None:
    # No accuracy is above 1, so that the horizon alone decides.
    metric = "validation_accuracy"
    return None if until is None else Decision(metric, threshold=2.0, patience=1, horizon=until)
