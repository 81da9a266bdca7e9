"""One batch from its checkpoint, or the initialisation, to its end."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import torch
from torch import Tensor

from spectraledge.instruments import Observer
from spectraledge.lab.plan import Display, Plan, Progress, live
from spectraledge.lab.recorder import Recorder, Saved
from spectraledge.lab.reference_runs import reference_runs
from spectraledge.lab.saved_sketches import read_sketches
from spectraledge.snapshots import Snapshot
from spectraledge.store import Origin, RunFolder
from spectraledge.training import Problem, RunSpec, Trainer, merge_states

__all__ = ["train_batch"]


def train_batch(
    specs: tuple[RunSpec, ...],
    saved: Sequence[Saved],
    folders: Mapping[RunSpec, RunFolder],
    plan: Plan,
    display: Display | None = None,
) -> None:
    """Train runs that stand at the same step, and save what they show as they go.

    Args:
        specs: Runs that can share a batch.
        saved: Their states to go on from, or nothing.
        folders: Where they are stored, claimed and begun.
        plan: Where and how.
        display: Called after every step and snapshot.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    plan.execution.apply()
    trainer, observer, recorders = _start(specs, saved, folders, plan)
    first = trainer.state.step

    def show(step: int, snapshot: Snapshot | None = None) -> None:
        if display is not None:
            display(Progress(specs, step, first, time.perf_counter() - clock, snapshot))

    _follow(trainer, observer, recorders, plan, show)
    seconds = (time.perf_counter() - clock) / len(specs)
    origin = Origin.now(started, seconds=seconds, device=plan.execution.device)
    for spec in specs:
        _end(folders[spec], spec, trainer.state.step, origin)


def _start(
    specs: tuple[RunSpec, ...],
    saved: Sequence[Saved],
    folders: Mapping[RunSpec, RunFolder],
    plan: Plan,
) -> tuple[Trainer, Observer, list[Recorder]]:
    problem = Problem(specs, plan.execution)
    observer = Observer(live(plan.instruments), problem)
    links = len(specs[0].updates)
    state = merge_states([run.state for run in saved], links) if saved else None
    parts = True if plan.keep_snapshots else observer.parts_wanted(problem.layout)
    # A run that resumes has what it took from reference runs in its checkpoint.
    with reference_runs(() if saved else specs, plan):
        trainer = Trainer(problem, record_parts=parts, state=state)
    if state is not None:
        window = _window(saved, trainer)
        observer.restore(window, read_sketches([run.sketches for run in saved], window[-1]))
        if observer.lacks_start:
            # An instrument that looks at the whole trajectory is newly asked for.
            warnings.warn(
                f"{len(specs)} runs start again from step 0: they stand at step {state.step}, and "
                "an instrument needs snapshots that they did not keep",
                stacklevel=2,
            )
            return _start(specs, (), folders, plan)
    resumed_at = trainer.state.step if saved else None
    keep = plan.keep_snapshots
    recorders = [
        Recorder(folders[spec], index, observer, keep_snapshots=keep, resumed_at=resumed_at)
        for index, spec in enumerate(specs)
    ]
    return trainer, observer, recorders


def _follow(
    trainer: Trainer,
    observer: Observer,
    recorders: Sequence[Recorder],
    plan: Plan,
    show: Callable[..., None],
) -> None:
    """Train to the last step, or until every run is decided; save now and then, and at the end."""
    steps = trainer.problem.specs[0].steps
    saved_at = time.perf_counter()
    for snapshot in trainer.snapshots(on_step=show):
        readings = observer.observe(snapshot)
        for recorder in recorders:
            recorder.add(snapshot, readings, trainer.state)
        decided = plan.until is not None and all(r.is_decided(plan.until) for r in recorders)
        if decided or snapshot.step == steps or time.perf_counter() - saved_at >= plan.save_every:
            for recorder in recorders:
                recorder.save(trainer.state, ended=snapshot.step == steps)
            saved_at = time.perf_counter()
        show(snapshot.step, snapshot)
        if decided:
            return


def _end(folder: RunFolder, spec: RunSpec, step: int, origin: Origin) -> None:
    """Seal a run that has taken its last step; leave a decided one ready to go on."""
    if folder.has_origin():
        before = folder.read_origin()
        seconds = before.seconds + origin.seconds
        origin = replace(origin, started=before.started, seconds=seconds)
    if step == spec.steps:
        folder.finish(origin)
    else:
        folder.pause(origin)


def _window(saved: Sequence[Saved], trainer: Trainer) -> list[Snapshot]:
    """Snapshots that instruments with a history had seen before the checkpoint."""
    layout, state = trainer.problem.layout, trainer.state
    windows = [{step: (theta, rate) for step, theta, rate in run.window} for run in saved]
    snapshots = []
    for step in sorted(set(windows[0]).intersection(*windows[1:])):
        older = [w[step][0] for w in windows]
        rates = [w[step][1] for w in windows]
        theta = state.theta.clone() if step == state.step else torch.stack(_present(older))
        lr = torch.stack(known) if len(known := _present(rates)) == len(rates) else None
        snapshots.append(
            Snapshot(step, layout, theta.to(state.theta), alive=state.alive.clone(), lr=lr)
        )
    return snapshots


def _present(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [t for t in tensors if t is not None]
