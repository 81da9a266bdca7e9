"""A sweep on many machines, simulated event by event with measured costs.

Workers start, take a job, train, put their files into a shared store and report. A driver looks
after its running jobs, makes rows of what has ended, saves the ledger now and then and gives out
jobs, all one after the other, as `spectraledge.lab.sweep.engine` does. The store serves so many
operations a second. Workers are lost now and then; their jobs go on from the last save.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf

from benchmarks.cluster_costs import Costs
from benchmarks.cluster_model import LOCAL, Engine, Outcome, Store
from benchmarks.store_operations import Files

__all__ = ["simulate"]

POLL = 1.0
SECONDS_BETWEEN_SAVES, SHARE_OF_SAVING = 30.0, 0.02


def simulate(
    jobs: Sequence[float],
    workers: int,
    costs: Costs,
    *,
    store: Store = LOCAL,
    engine: Engine | None = None,
    losses: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Run a sweep of `jobs`.

    Args:
        jobs: Training seconds of each, in the order in which they are given out.
        workers: How many, at least as many as drivers.
        costs: What the parts cost.
        store: Where runs lie.
        engine: How the driver works; by default as it does.
        losses: Losses of each worker an hour.
        seed: Of the losses.

    Returns:
        What it came to.
    """
    return _Simulation(workers, costs, store, engine or Engine(), losses, seed).run(jobs)


@dataclass
class _Job:
    number: int
    left: float


@dataclass
class _Ended:
    job: _Job
    worker: int
    since: float
    lost: bool


# A process yields the time at which it goes on; it may be woken before.
_Steps = Generator[float, None, None]


@dataclass
class _Process:
    steps: _Steps
    turn: int = 0


@dataclass
class _Driver:
    """One driver: its jobs, its workers that are free and since when, and what it was told."""

    queue: deque[_Job]
    free: deque[tuple[float, int]]
    ended: deque[_Ended] = field(default_factory=deque)
    process: _Process | None = None
    idle: bool = False
    running: int = 0
    rows: int = 0
    saved: int = 0
    save_at: float = 0.0


class _Simulation:
    def __init__(
        self, workers: int, costs: Costs, store: Store, engine: Engine, losses: float, seed: int
    ) -> None:
        self.costs, self.store, self.engine = costs, store, engine
        self.losses = losses / 3600
        self.random = random.Random(seed)
        self.outcome = Outcome(workers, engine.drivers)
        self.cold = set(range(workers))
        self.now = self.store_free = 0.0
        self.folders = 0
        self.order = count()
        self.events: list[tuple[float, int, int, _Process]] = []
        self.training, self.saving, self.driving = (
            engine.files(files, costs.runs_per_job)
            for files in (costs.training, costs.saving, costs.driving)
        )
        self.finding = Files(listings=self.driving.listings)
        self.driving = replace(self.driving, listings=0.0)

    def run(self, jobs: Sequence[float]) -> Outcome:
        out, many = self.outcome, self.engine.drivers
        out.training = sum(jobs)
        numbered = [_Job(number, seconds) for number, seconds in enumerate(jobs)]
        free = [(0.0, worker) for worker in range(out.workers)]
        drivers = [_Driver(deque(numbered[d::many]), deque(free[d::many])) for d in range(many)]
        for driver in drivers:
            driver.process = _Process(self._drive(driver))
            self._at(0.0, driver.process)
        while self.events:
            time, _, turn, process = heapq.heappop(self.events)
            if turn == process.turn:
                self.now, process.turn = time, turn + 1
                if (until := next(process.steps, None)) is not None:
                    self._at(until, process)
        if self.engine.ledger == "merged" or many > 1:
            self.now = self._spend("ledger", self._ledger(self._runs(len(jobs))))
        out.makespan = self.now
        out.worker["tail"] += sum(self.now - since for d in drivers for since, _ in d.free)
        return out

    def _at(self, time: float, process: _Process) -> None:
        heapq.heappush(self.events, (time, next(self.order), process.turn, process))

    def _runs(self, jobs: int) -> int:
        return jobs * self.costs.runs_per_job

    def _spend(self, what: str, seconds: float) -> float:
        """When a driver has done something."""
        self.outcome.driver[what] += seconds
        return self.now + seconds

    def _ledger(self, rows: int) -> float:
        return self.costs.ledger + rows * self.costs.ledger_row

    def _ask(self, files: Files, times: float) -> float:
        """When the store has served these files, `times` times."""
        operations = times * self.store.operations(files, self.folders)
        seconds = {
            "requests": operations / self.store.rate,
            "bytes": times * (files.sent + files.received) / self.store.bandwidth,
        }
        for what, busy in seconds.items():
            self.outcome.store[what] += busy
        self.store_free = max(self.now, self.store_free) + sum(seconds.values())
        alone = operations * self.store.latency / self.engine.side_by_side
        return max(self.store_free, self.now + alone)

    def _drive(self, driver: _Driver) -> _Steps:
        """A driver: look, make rows, save, give out, until there is nothing left to do."""
        yield self._spend("planning", self.costs.plan * self._runs(len(driver.queue)))
        first = self.engine.gives_out == "before rows"
        while True:
            yield self._spend("looking", self.costs.look * driver.running)
            ended = [driver.ended.popleft() for _ in range(len(driver.ended))]
            if first:
                self._release(driver, ended)
                yield from self._give_out(driver)
            for one in ended:
                yield from self._settle(driver, one)
            if not first:
                self._release(driver, ended)
            over = not (driver.queue or driver.running)
            if self.engine.ledger != "merged" and (over or self.now >= driver.save_at):
                yield from self._save(driver)
            if over:
                return
            yield from self._give_out(driver)
            driver.idle = not driver.ended
            yield self.now + (POLL if driver.idle else 0.0)
            driver.idle = False

    def _release(self, driver: _Driver, ended: Sequence[_Ended]) -> None:
        """Workers may have other jobs; what was lost is in the queue again."""
        for one in ended:
            driver.free.append((one.since, one.worker))
            driver.running -= 1
            if one.lost:
                self.outcome.retries += 1
                driver.queue.appendleft(one.job)

    def _settle(self, driver: _Driver, ended: _Ended) -> _Steps:
        runs, costs = self.costs.runs_per_job, self.costs
        if self.engine.rows == "worker":
            yield self._spend("receiving rows", runs * costs.receive)
        else:
            yield self._spend("reading runs", self._ask(self.driving, runs) - self.now)
            yield self._spend("making rows", runs * costs.collect)
        if not ended.lost:
            self.outcome.done[ended.job.number] += 1
            driver.rows += runs

    def _save(self, driver: _Driver) -> _Steps:
        whole = self.engine.ledger == "rewritten"
        seconds = self._ledger(driver.rows if whole else driver.rows - driver.saved)
        driver.saved = driver.rows
        yield self._spend("ledger", seconds)
        driver.save_at = self.now + max(SECONDS_BETWEEN_SAVES, seconds / SHARE_OF_SAVING)

    def _give_out(self, driver: _Driver) -> _Steps:
        """Jobs for all workers that are free."""
        runs = self.costs.runs_per_job
        while driver.queue and driver.free:
            listed = runs * self.finding.listings * self.folders
            yield self._spend("listing the root", listed * self.costs.listing)
            yield self._spend("listing the root", self._ask(self.finding, runs) - self.now)
            yield self._spend("dispatching", self.costs.dispatch)
            job, (since, worker) = driver.queue.popleft(), driver.free.popleft()
            self.folders += runs
            driver.running += 1
            self.outcome.worker["waiting"] += self.now - since
            self._at(self.now, _Process(self._work(driver, worker, job)))

    def _work(self, driver: _Driver, worker: int, job: _Job) -> _Steps:
        """A worker with one job, from a cold start if it has just begun, to its report."""
        spent, started = self.outcome.worker, self.now
        starting = self.costs.start if worker in self.cold else 0.0
        life = self.random.expovariate(self.losses) if self.losses else inf
        survives = life >= starting + job.left
        yield started + min(life, starting + job.left)
        trained = job.left if survives else max(0.0, life - starting)
        kept = trained if survives else trained // self.costs.save_every * self.costs.save_every
        spent["starting"] += min(life, starting)
        spent["training"] += kept
        spent["lost"] += trained - kept
        job.left -= kept
        if survives:
            self.cold.discard(worker)
            yield from self._put(trained)
        else:
            self.cold.add(worker)
        driver.ended.append(_Ended(job, worker, self.now, lost=not survives))
        if driver.idle and driver.process is not None:
            driver.idle = False
            self._at(self.now, driver.process)

    def _put(self, trained: float) -> _Steps:
        """All files of a job: those at its begin, of its saves, and those at its end; rows."""
        runs, costs, spent = self.costs.runs_per_job, self.costs, self.outcome.worker
        before = self.now
        yield self._ask(self.training, runs)
        yield self._ask(self.saving, runs * (1 + trained // costs.save_every))
        listings = runs * self.training.listings * self.folders
        yield self.now + listings * costs.listing / self.engine.side_by_side
        by_worker = self.engine.rows == "worker"
        if by_worker:
            yield self._ask(self.driving, runs)
        spent["files"] += self.now - before
        if by_worker:
            spent["rows"] += runs * costs.collect
            yield self.now + runs * costs.collect
