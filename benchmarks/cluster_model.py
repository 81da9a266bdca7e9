"""What the simulation of a cluster is told and what it tells: stores, engines, outcomes, jobs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, inf
from typing import Literal

from benchmarks.cluster_costs import Costs
from benchmarks.store_operations import Files

__all__ = ["LOCAL", "OBJECTS", "SHARED", "Engine", "Outcome", "Store", "draw_jobs"]

ENTRIES_A_LISTING = 1000  # of a folder, in one answer of a file server or an object store
ESTIMATE = 0.3  # by how much the logarithm of a job's estimated seconds is off
FULL = 0.5  # share of the time from which on a store or driver keeps others waiting
PARTS = ("training", "starting", "files", "rows", "lost", "waiting", "tail")
DUTIES = (
    "planning",
    "looking",
    "reading runs",
    "making rows",
    "receiving rows",
    "ledger",
    "listing the root",
    "dispatching",
)


@dataclass(frozen=True)
class Store:
    """Where runs lie.

    Args:
        name: What to call it.
        latency: Seconds of one operation of one client.
        rate: Operations a second of all clients together.
        bandwidth: Bytes a second of all clients together.
        put: Operations to put one file in place.
        get: Operations to read a file for the first time; again, it takes one less.
        relook: Operations to look again at what was looked at a moment ago.
    """

    name: str
    latency: float = 0.0
    rate: float = inf
    bandwidth: float = inf
    put: float = 1.0
    get: float = 1.0
    relook: float = 1.0

    def operations(self, files: Files, folders: float = 0.0) -> float:
        """Operations for some files, with so many folders below the root."""
        pages = files.listings * (1 + folders // ENTRIES_A_LISTING)
        read = self.get * files.gets + max(self.get - 1, 1) * files.regets
        looks = files.looks + self.relook * files.relooks
        return self.put * files.puts + read + looks + files.others + pages


LOCAL = Store("no cost")
# Assumed, an ordinary file server. A put: create, write and sync, rename, open and sync the folder.
SHARED = Store("shared file system", 0.5e-3, 20_000, 2e9, put=5, get=2, relook=0)
# One prefix of Amazon S3, as its guide says: 3500 writes a second, 100 to 200 ms an answer.
OBJECTS = Store("object storage", 0.1, 3500, 20e9)


@dataclass(frozen=True)
class Engine:
    """How the driver works; the defaults are what the engine does.

    Args:
        gives_out: Whether workers that have ended get another job before or after the rows of
            what has ended are made.
        rows: Who reads a finished run and makes its row.
        ledger: ``rewritten`` whole at every save, ``appended`` to, or ``merged`` at the end.
        listing: Whether the root is listed to find the folder of a run.
        drivers: How many, each with its share of jobs and workers, and with its own ledger.
        side_by_side: Operations that one process has under way at a time.
        objects: What is put into the store as one: every ``file``, or a whole ``run`` or ``job``
            that was trained on the worker's own disk.
    """

    gives_out: Literal["after rows", "before rows"] = "after rows"
    rows: Literal["driver", "worker"] = "driver"
    ledger: Literal["rewritten", "appended", "merged"] = "rewritten"
    listing: bool = True
    drivers: int = 1
    side_by_side: int = 1
    objects: Literal["file", "run", "job"] = "file"

    def files(self, files: Files, runs_per_job: int) -> Files:
        """What remains, per run, of the operations that were counted."""
        if self.objects == "file":
            return files if self.listing else replace(files, listings=0.0)
        most = 1.0 if self.objects == "run" else 1.0 / runs_per_job
        # The right to write comes with the first object and goes with the last.
        return Files(
            puts=min(most, files.puts),
            gets=min(most, files.gets),
            sent=files.sent,
            received=files.received,
        )


@dataclass
class Outcome:
    """What a simulated sweep came to.

    Args:
        workers: How many.
        drivers: How many.
        makespan: Seconds from the start to the last save of the ledger.
        training: Seconds of training that the sweep consists of.
        done: How often each job was finished.
        retries: Jobs given out again.
        worker: Seconds of all workers by what they did: ``training``, ``starting``, ``files``,
            ``rows``, ``lost`` work, ``waiting`` for the driver, ``tail`` without work.
        driver: Seconds of all drivers by what they did.
        store: Seconds that the store is busy, with ``requests`` and with ``bytes``.
    """

    workers: int
    drivers: int = 1
    makespan: float = 0.0
    training: float = 0.0
    done: Counter[int] = field(default_factory=Counter)
    retries: int = 0
    worker: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    driver: dict[str, float] = field(default_factory=lambda: dict.fromkeys(DUTIES, 0.0))
    store: dict[str, float] = field(default_factory=lambda: {"requests": 0.0, "bytes": 0.0})

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that is training of the sweep."""
        return self.training / (self.workers * self.makespan)

    @property
    def limit(self) -> str:
        """What takes most of the workers' time beside training, and why."""
        if self.efficiency >= 0.9:
            return "none"
        if sum(self.store.values()) > FULL * self.makespan:
            return f"store: {_largest(self.store)}"
        loss = _largest({part: s for part, s in self.worker.items() if part != "training"})
        full = sum(self.driver.values()) > FULL * self.drivers * self.makespan
        if loss == "waiting" or (loss == "tail" and full):
            return f"driver: {_largest(self.driver)}"
        return "store: latency" if loss == "files" else loss


def _largest(parts: Mapping[str, float]) -> str:
    return max(parts, key=lambda part: parts[part])


def draw_jobs(costs: Costs, number: int, seed: int = 0, longer: float = 1.0) -> list[float]:
    """Training seconds of jobs, longest first as far as estimates tell.

    The runs of a job take alike, as they step together.

    Args:
        costs: Measured seconds of a run.
        number: How many jobs.
        seed: Of the draw.
        longer: Factor on all of them.

    Returns:
        Seconds.
    """
    generator, quantiles = random.Random(seed), costs.run_seconds
    jobs = []
    for _ in range(number):
        place, part = divmod(generator.random() * (len(quantiles) - 1), 1)
        low, high = quantiles[int(place) : int(place) + 2]
        seconds = longer * costs.runs_per_job * (low + part * (high - low))
        jobs.append((seconds * exp(generator.gauss(0.0, ESTIMATE)), seconds))
    return [seconds for _, seconds in sorted(jobs, reverse=True)]
