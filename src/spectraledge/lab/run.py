"""Train what is missing, measure it, store it: where trainer, instruments and store meet."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from spectraledge.instruments import Instrument, Observer
from spectraledge.lab.measure import measure_saved
from spectraledge.lab.names import run_name
from spectraledge.lab.recorder import Recorder, Saved, read_saved
from spectraledge.lab.results import RunResult
from spectraledge.snapshots import Snapshot
from spectraledge.store import Origin, RunFolder
from spectraledge.training import (
    Cadence,
    Execution,
    Problem,
    RunSpec,
    Trainer,
    batch_key,
    merge_states,
)

__all__ = ["Plan", "Progress", "batches", "run", "run_batch"]

Measured = Instrument | tuple[Instrument, Cadence]


@dataclass(frozen=True)
class Plan:
    """How to run, apart from what.

    Args:
        root: Folder that holds all runs.
        instruments: What to measure at the recorded steps; a pair adds a cadence.
        keep_snapshots: Whether to save all parameters at every recorded step.
        execution: Device, threads and compilation.
        largest_batch: Most runs to train as one batch, >= 1.

    Raises:
        ValueError: For a batch below 1.
    """

    root: Path
    instruments: tuple[Measured, ...] = ()
    keep_snapshots: bool = False
    execution: Execution = field(default_factory=Execution)
    largest_batch: int = 6

    def __post_init__(self) -> None:
        if self.largest_batch < 1:
            raise ValueError(f"Plan: expected largest_batch >= 1, got {self.largest_batch}")

    def folder(self, spec: RunSpec) -> RunFolder:
        """The folder of a run."""
        return RunFolder.of(self.root, run_name(spec), spec)


@dataclass(frozen=True)
class Progress:
    """Where a batch stands; given to a display.

    Args:
        specs: The runs of the batch.
        step: Steps taken.
        started_at: Step at which this process took up the batch.
        seconds: Time since then.
        snapshot: The newest snapshot, None between two of them.
    """

    specs: tuple[RunSpec, ...]
    step: int
    started_at: int
    seconds: float
    snapshot: Snapshot | None = None


Display = Callable[[Progress], None]


def run(specs: Iterable[RunSpec], plan: Plan, display: Display | None = None) -> list[RunResult]:
    """Make sure that every run exists and was measured; train only what is missing.

    A run that raises is stored as failed with its traceback and the others go on; a damaged run
    is reported, put aside and trained again; a run that another process is training is waited
    for. Killing the process at any moment loses at most the steps since the last snapshot.

    Args:
        specs: The runs; equal specs are one run.
        plan: Where and how.
        display: Called after every step and snapshot.

    Returns:
        One result per spec, in order.
    """
    wanted = list(specs)
    for batch in batches(wanted, plan):
        run_batch(batch, plan, display)
    return [result_of(spec, plan) for spec in wanted]


def batches(specs: Iterable[RunSpec], plan: Plan) -> list[tuple[RunSpec, ...]]:
    """Distinct specs grouped into batches that can train together.

    Args:
        specs: Any specs.
        plan: Says how large a batch may be.

    Returns:
        Groups in order of first appearance.
    """
    groups: dict[object, list[RunSpec]] = defaultdict(list)
    for spec in dict.fromkeys(specs):
        groups[batch_key(spec)].append(spec)
    size = plan.largest_batch
    return [
        tuple(group[i : i + size]) for group in groups.values() for i in range(0, len(group), size)
    ]


def run_batch(specs: Sequence[RunSpec], plan: Plan, display: Display | None = None) -> None:
    """Train the missing runs of one batch; see `run`."""
    folders = {spec: plan.folder(spec) for spec in specs}
    with ExitStack() as claims:
        # One order for all processes, so that two of them cannot wait for each other.
        for folder in sorted(folders.values(), key=lambda f: f.signature):
            claims.enter_context(folder.claim())
        missing = [spec for spec in specs if not _is_complete(spec, folders[spec], plan)]
        for group, saved in _by_checkpoint(missing, folders):
            _train_or_fail(group, saved, folders, plan, display)


def _train_or_fail(
    specs: tuple[RunSpec, ...],
    saved: list[Saved],
    folders: dict[RunSpec, RunFolder],
    plan: Plan,
    display: Display | None,
) -> None:
    try:
        _train(specs, saved, folders, plan, display)
    except Exception as error:
        warnings.warn(f"{len(specs)} runs failed together: {error!r}", stacklevel=2)
        if len(specs) == 1:
            folders[specs[0]].fail(error)
            return
        # Perhaps one of them is to blame; alone, each shows for itself.
        for group, state in _by_checkpoint(specs, folders):
            for index, spec in enumerate(group):
                _train_or_fail((spec,), state[index : index + 1], folders, plan, display)


def result_of(spec: RunSpec, plan: Plan) -> RunResult:
    """The stored result of a run."""
    folder = plan.folder(spec)
    status = folder.status()
    failure = None if status.state == "done" else f"{status}"
    return RunResult(spec, folder, failure)


def _is_complete(spec: RunSpec, folder: RunFolder, plan: Plan) -> bool:
    status = folder.status()
    if status.state == "damaged":
        aside = folder.reset()
        warnings.warn(f"damaged run is trained again: {status}; old files in {aside}", stacklevel=3)
        return False
    if status.state != "done":
        return False
    missing = [i for i in plan.instruments if not _has_reading(folder, bare(i))]
    if missing and not measure_saved(folder, missing, Problem([spec], plan.execution)):
        names = [bare(i).name for i in missing]
        warnings.warn(
            f"{folder.path.name} lacks readings {names} and kept no snapshots; trained again",
            stacklevel=3,
        )
        folder.reset()
        return False
    return True


def bare(measured: Measured) -> Instrument:
    """The instrument without its cadence."""
    return measured[0] if isinstance(measured, tuple) else measured


def _has_reading(folder: RunFolder, instrument: Instrument) -> bool:
    try:
        folder.read_reading(instrument)
    except FileNotFoundError:
        return False
    return True


def _by_checkpoint(
    specs: Sequence[RunSpec], folders: dict[RunSpec, RunFolder]
) -> list[tuple[tuple[RunSpec, ...], list[Saved]]]:
    """Runs that stand at the same step; a batch killed while saving may stand at two."""
    groups: dict[int, list[tuple[RunSpec, Saved | None]]] = defaultdict(list)
    for spec in specs:
        folders[spec].begin()
        saved = read_saved(folders[spec])
        groups[-1 if saved is None else int(saved[0]["step"])].append((spec, saved))
    return [
        (tuple(spec for spec, _ in group), [saved for _, saved in group if saved is not None])
        for _, group in sorted(groups.items())
    ]


def _train(
    specs: tuple[RunSpec, ...],
    saved: list[Saved],
    folders: dict[RunSpec, RunFolder],
    plan: Plan,
    display: Display | None,
) -> None:
    started, clock = datetime.now(UTC), time.perf_counter()
    plan.execution.apply()
    problem = Problem(specs, plan.execution)
    observer = Observer(plan.instruments, problem)
    links = len(specs[0].updates)
    state = merge_states([tensors for tensors, _ in saved], links) if saved else None
    parts = True if plan.keep_snapshots else observer.parts_wanted(problem.layout)
    trainer = Trainer(problem, record_parts=parts, state=state)
    if state is not None:
        observer.restore(_window(saved, trainer))
    first = trainer.state.step
    recorders = [
        Recorder(
            folders[spec],
            index,
            observer,
            keep_snapshots=plan.keep_snapshots,
            resumed_at=first if saved else None,
        )
        for index, spec in enumerate(specs)
    ]

    def show(step: int, snapshot: Snapshot | None = None) -> None:
        if display is not None:
            display(Progress(specs, step, first, time.perf_counter() - clock, snapshot))

    for snapshot in trainer.snapshots(on_step=show):
        readings = observer.observe(snapshot)
        for recorder in recorders:
            recorder.add(snapshot, readings, trainer.state)
        show(snapshot.step, snapshot)
    seconds = (time.perf_counter() - clock) / len(specs)
    for spec in specs:
        origin = Origin.now(started, seconds=seconds, device=plan.execution.device)
        folders[spec].finish(origin)


def _window(saved: list[Saved], trainer: Trainer) -> list[Snapshot]:
    """Snapshots that instruments with a history had seen before the checkpoint."""
    layout = trainer.problem.layout
    older = [
        Snapshot(step, layout, torch.stack([window[i][1] for _, window in saved]))
        for i, (step, _) in enumerate(saved[0][1])
    ]
    state = trainer.state
    return [*older, Snapshot(state.step, layout, state.theta.clone(), alive=state.alive.clone())]
