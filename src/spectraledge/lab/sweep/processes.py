"""Jobs in local worker processes, one torch thread each.

A pool of our own: the standard one gives up all of its jobs when a single worker is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from spectraledge.lab.plan import Plan, Progress
from spectraledge.lab.run import run_batch
from spectraledge.lab.sweep.executor import Ended, Executor
from spectraledge.lab.sweep.jobs import Job

__all__ = ["Processes"]

SECONDS_BETWEEN_REPORTS = 0.5
# Not forked from this process, whose thread pools would not survive it, but from a server that has
# imported torch and computed nothing: one import for all workers, and replacing one takes 0.1 s.
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["spectraledge.lab.run", "torch._dynamo", "pyarrow.parquet", "safetensors.torch"]


class Processes(Executor):
    """Worker processes on this machine; one that dies loses its own job only and is replaced.

    Workers end with the process that uses them, however it ends.

    Args:
        plan: Where runs are stored, and how they are trained.
        workers: Number of processes; more than there are cores does not help.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        super().__init__(plan, workers)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Processes:
        """Say what workers will need; they start when there is work."""
        CONTEXT.set_forkserver_preload(PRELOADED)
        return self

    def submit(self, number: int, job: Job) -> None:
        """Give the job to an idle worker, a new one if there is none."""
        idle = next((w for w in self._workers if w.number is None and w.process.is_alive()), None)
        if idle is None:
            idle = _Worker(self.plan)
            self._workers.append(idle)
        idle.take(number, job)

    def wait(self, seconds: float) -> list[Ended]:
        """What the workers have told, or failed to tell, within `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            wait([x for w in self._workers for x in (w.pipe, w.process.sentinel)], left)
            ended = [e for worker in self._workers if (e := worker.hear()) is not None]
            self._workers = [w for w in self._workers if w.is_of_use()]
            if ended or time.monotonic() >= deadline:
                return ended

    def steps(self) -> Mapping[int, int]:
        """Steps of the running jobs, as last told."""
        return {w.number: w.steps for w in self._workers if w.number is not None}

    def abandon(self, number: int) -> None:
        """Kill the worker that has the job."""
        for worker in self._workers:
            if worker.number == number:
                worker.kill()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all workers at once."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.process.join(timeout=5)
        self._workers.clear()


class _Worker:
    """One process, its pipe and its job."""

    def __init__(self, plan: Plan) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process: BaseProcess = CONTEXT.Process(target=_work, args=(theirs, plan), daemon=True)
        with _interrupts_blocked():
            self.process.start()
        theirs.close()
        self.number: int | None = None
        self.steps = 0

    def is_of_use(self) -> bool:
        """Whether it can work, or has a job that it must still account for."""
        return self.process.is_alive() or self.number is not None

    def take(self, number: int, job: Job) -> None:
        self.number, self.steps = number, 0
        with suppress(OSError):  # It has just died; `hear` will find out.
            # Apart, so that a job that cannot be read there is reported by its number.
            self.pipe.send(number)
            self.pipe.send(job)

    def hear(self) -> Ended | None:
        """Read all messages; the end of the job if it is among them, or if the process died."""
        dead = not self.process.is_alive()  # before reading: what it sent last is in the pipe
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                if message["number"] != self.number:
                    continue
                self.steps = message.get("steps", self.steps)
                if "lost" in message:
                    return self._ended(message["lost"])
        except (EOFError, OSError):
            self.kill()
            dead = True
        if dead and self.number is not None:
            self.process.join(timeout=5)
            return self._ended(f"its worker ended with exit code {self.process.exitcode}")
        return None

    def kill(self) -> None:
        """End the process, which leaves nothing half-done that would be read."""
        if self.process.is_alive():  # else another process may have its number by now
            self.process.kill()

    def _ended(self, lost: str) -> Ended:
        number, self.number = self.number, None
        assert number is not None  # for the type checker: only called with a job
        return Ended(number, lost)


def _work(pipe: Connection[Any, Any], plan: Plan) -> None:
    """Body of a worker: jobs in, reports out, until the other end is closed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_driver, daemon=True).start()
    while True:
        try:
            number = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            run_batch(pipe.recv().specs, plan, _Reporter(pipe, number))
            lost = ""
        except Exception:
            lost = traceback.format_exc()
        _tell(pipe, {"number": number, "lost": lost})


def _end_with_driver() -> None:
    # A job may be silent for a minute, compiling, or wait for a claim; it must not outlive us.
    driver = multiprocessing.parent_process()
    assert driver is not None  # for the type checker: this is a child
    wait([driver.sentinel])
    os._exit(1)


def _tell(pipe: Connection[Any, Any], message: dict[str, Any]) -> None:
    try:
        pipe.send(message)
    except OSError:
        # The driver was killed. Raised in the middle of training, the error would be taken for
        # the run's own; what was saved is enough to go on from.
        os._exit(1)


class _Reporter:
    """Tells the driver now and then how far a job has come."""

    def __init__(self, pipe: Connection[Any, Any], number: int) -> None:
        self._pipe, self._number, self._told = pipe, number, 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN_REPORTS:
            return
        self._told = now
        steps = progress.step * len(progress.specs)
        _tell(self._pipe, {"number": self._number, "steps": steps})


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all of a command."""
    resource_tracker.ensure_running()  # It starts with the first process, and unblocks signals.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
