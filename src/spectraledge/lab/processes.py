"""Batches in several local processes, one torch thread each."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from spectraledge.lab.results import RunResult
from spectraledge.lab.run import Display, Plan, Progress, batches, result_of, run, run_batch
from spectraledge.training import RunSpec

__all__ = ["run_in_processes"]


def run_in_processes(
    specs: Iterable[RunSpec], plan: Plan, workers: int, display: Display | None = None
) -> list[RunResult]:
    """As `spectraledge.lab.run`, with batches spread over worker processes.

    Args:
        specs: The runs.
        plan: Where and how.
        workers: Number of processes, >= 1; more than the number of cores does not help.
        display: Called when a batch ends (workers do not report single steps).

    Returns:
        One result per spec, in order.

    Raises:
        ValueError: For fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"expected workers >= 1, got {workers}")
    wanted = list(specs)
    jobs = batches(wanted, plan)
    if workers == 1 or len(jobs) == 1:
        return run(wanted, plan, display)
    # Spawned, not forked: torch's thread pools do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool, _ended_with_us(pool):
        with _interrupts_blocked():
            futures = {pool.submit(run_batch, job, plan): job for job in jobs}
        for future in as_completed(futures):
            future.result()
            job = futures[future]
            if display is not None:
                display(Progress(job, job[0].steps, 0, 0.0))
    return [result_of(spec, plan) for spec in wanted]


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all of a command."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _ended_with_us(pool: ProcessPoolExecutor) -> Iterator[None]:
    """An error or Ctrl-C ends the workers at once; their runs resume from the last checkpoint."""
    others = multiprocessing.active_children()
    try:
        yield
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
