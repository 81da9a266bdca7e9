"""Batches in several local processes, one torch thread each."""

from __future__ import annotations

from collections.abc import Iterable

from spectraledge.lab.results import RunResult
from spectraledge.lab.run import Display, Plan, Progress, batches, result_of
from spectraledge.lab.sweep import Board, Executor, Inline, Job, Processes, Sweep
from spectraledge.training import RunSpec

__all__ = ["run_in_processes"]


def run_in_processes(
    specs: Iterable[RunSpec], plan: Plan, workers: int, display: Display | None = None
) -> list[RunResult]:
    """As `spectraledge.lab.run`, with batches spread over worker processes.

    A single batch is trained in this process.

    Args:
        specs: The runs.
        plan: Where and how.
        workers: Number of processes, >= 1; more than the number of cores does not help.
        display: Called when a batch ends; in this process, after every step and snapshot.

    Returns:
        One result per spec, in order.

    Raises:
        ValueError: For fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"expected workers >= 1, got {workers}")
    wanted = list(specs)
    here = workers == 1 or len(batches(wanted, plan)) == 1
    executor: Executor = Inline(plan, display) if here else Processes(plan, workers)
    board = Board() if here or display is None else _Announcing(display)
    Sweep(wanted, executor, attempts=1, board=board).run()
    return [result_of(spec, plan) for spec in wanted]


class _Announcing(Board):
    """Calls a display when a job has ended."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display
        self._jobs: dict[int, Job] = {}

    def start(self, number: int, job: Job) -> None:
        """A job was given out."""
        super().start(number, job)
        self._jobs[number] = job

    def end(self, number: int, *, again: bool) -> None:
        """A job is no longer running."""
        super().end(number, again=again)
        job = self._jobs.pop(number)
        if not again:
            self._display(Progress(job.specs, job.specs[0].steps, 0, 0.0))
