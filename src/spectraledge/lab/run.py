"""Make sure that runs exist: train only what is missing, in batches, each run stored by itself."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from spectraledge.lab.decision import Decision
from spectraledge.lab.measure import is_measured, measure_saved
from spectraledge.lab.plan import Display, Measured, Plan, Progress, bare, in_hindsight
from spectraledge.lab.recorder import Saved, read_saved
from spectraledge.lab.results import RunResult
from spectraledge.lab.training_session import train_batch
from spectraledge.store import RunFolder
from spectraledge.training import Problem, RunSpec, batch_key

__all__ = ["Display", "Plan", "Progress", "batches", "is_decided", "result_of", "run", "run_batch"]


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
        if in_hindsight(plan.instruments):
            for spec in missing:
                _measure_complete(spec, folders[spec], plan)


def _measure_complete(spec: RunSpec, folder: RunFolder, plan: Plan) -> None:
    """What can be told of a run only now; killed before, `_is_complete` makes up for it."""
    state = folder.status(thorough=False).state
    if state == "done" or (state == "partial" and is_decided(folder, plan.until)):
        _measure_missing(spec, folder, plan)


def _train_or_fail(
    specs: tuple[RunSpec, ...],
    saved: list[Saved],
    folders: dict[RunSpec, RunFolder],
    plan: Plan,
    display: Display | None,
) -> None:
    try:
        train_batch(specs, saved, folders, plan, display)
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
        return status.state == "partial" and _is_decided_and_measured(spec, folder, plan)
    lacking = _measure_missing(spec, folder, plan)
    if lacking:
        names = [bare(i).name for i in lacking]
        warnings.warn(
            f"{folder.path.name} lacks readings {names} and its snapshots; trained again",
            stacklevel=3,
        )
        folder.reset()
        return False
    return True


def _is_decided_and_measured(spec: RunSpec, folder: RunFolder, plan: Plan) -> bool:
    if not is_decided(folder, plan.until):
        return False
    # Without snapshots the run keeps what was measured while it was trained.
    _measure_missing(spec, folder, plan)
    return True


def _measure_missing(spec: RunSpec, folder: RunFolder, plan: Plan) -> list[Measured]:
    """Measure a run afterwards; what it still lacks for want of snapshots."""
    missing = [i for i in plan.instruments if not is_measured(folder, i, plan.until)]
    if not missing:
        return []
    problem = Problem([spec], plan.execution)
    return [] if measure_saved(folder, missing, problem, until=plan.until) else missing


def is_decided(folder: RunFolder, until: Decision | None) -> bool:
    """Whether an unfinished run has been trained as far as `until` asks."""
    if until is None or not folder.has_origin():
        return False
    return until.decided_at(folder.read_curves()) is not None


def _by_checkpoint(
    specs: Sequence[RunSpec], folders: dict[RunSpec, RunFolder]
) -> list[tuple[tuple[RunSpec, ...], list[Saved]]]:
    """Runs that stand at the same step; a batch killed while saving may stand at two."""
    groups: dict[int, list[tuple[RunSpec, Saved | None]]] = defaultdict(list)
    for spec in specs:
        folders[spec].begin()
        saved = read_saved(folders[spec])
        groups[-1 if saved is None else int(saved.state["step"])].append((spec, saved))
    return [
        (tuple(spec for spec, _ in group), [saved for _, saved in group if saved is not None])
        for _, group in sorted(groups.items())
    ]
