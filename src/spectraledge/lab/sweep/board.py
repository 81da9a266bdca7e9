"""Where a sweep stands, for whoever shows it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spectraledge.lab.rows import Row
from spectraledge.lab.sweep.jobs import Job
from spectraledge.training import RunSpec

__all__ = ["Board", "Standing"]

# Rates are over this long, so that they follow the machine and not its history.
SPAN = 120.0


@dataclass(frozen=True)
class Standing:
    """A moment of a sweep.

    Args:
        total: Runs asked for so far; successive refinement may ask for more.
        done: Runs with a result, decided ones included.
        failed: Runs that were given up.
        running: Runs in jobs under way.
        seconds: Time since the sweep began.
        steps_per_second: Steps of all runs together, over the last two minutes.
        remaining: Estimated seconds to the end, None while nothing is known. An upper bound
            where runs are stopped when they are decided.
        retries: Jobs that were given out again.
    """

    total: int
    done: int
    failed: int
    running: int
    seconds: float
    steps_per_second: float
    remaining: float | None
    retries: int


class Board:
    """Written by the engine, read by displays in other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[RunSpec, Row] = {}
        self._wanted: dict[RunSpec, None] = {}
        self._running: dict[int, Job] = {}
        self._steps: dict[int, int] = {}
        self._finished_steps = 0
        self._seen_at: dict[int, int] = {}
        self._retries = 0
        self._begun = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque([(self._begun, 0)])

    def want(self, specs: Iterable[RunSpec]) -> None:
        """More runs are asked for."""
        with self._lock:
            self._wanted |= dict.fromkeys(specs)

    def start(self, number: int, job: Job) -> None:
        """A job was given out."""
        with self._lock:
            self._running[number] = job

    def end(self, number: int, *, again: bool) -> None:
        """A job is no longer running; `again` if some of it must be."""
        with self._lock:
            job = self._running.pop(number)
            self._steps.pop(number, None)
            # What was known when it was first seen, a checkpoint perhaps, is not its own work;
            # and a run that is decided has not taken all of its steps.
            taken = sum(self._rows[s].steps_taken for s in job.specs if s in self._rows)
            seen_at = self._seen_at.pop(number, 0)
            self._finished_steps += 0 if again else max(taken - seen_at, 0)
            self._retries += again

    def settle(self, spec: RunSpec, row: Row) -> None:
        """A run has a result, or was given up."""
        with self._lock:
            self._rows[spec] = row

    def progress(self, steps: Mapping[int, int]) -> None:
        """Steps taken by running jobs."""
        with self._lock:
            self._steps.update({n: s for n, s in steps.items() if n in self._running})
            for number, taken in self._steps.items():
                self._seen_at.setdefault(number, taken)
            own = sum(taken - self._seen_at[number] for number, taken in self._steps.items())
            now, total = time.monotonic(), self._finished_steps + own
            self._marks.append((now, total))
            while now - self._marks[0][0] > SPAN and len(self._marks) > 2:
                self._marks.popleft()

    @property
    def rows(self) -> dict[RunSpec, Row]:
        """Results so far."""
        with self._lock:
            return dict(self._rows)

    @property
    def running(self) -> frozenset[RunSpec]:
        """Runs in jobs under way, without those that have a result already."""
        with self._lock:
            return frozenset(s for job in self._running.values() for s in job.specs) - set(
                self._rows
            )

    def standing(self) -> Standing:
        """The moment."""
        running = self.running
        with self._lock:
            failed = sum(row.state == "failed" for row in self._rows.values())
            rate = self._rate()
            left = sum(s.steps for s in self._wanted if s not in self._rows)
            left -= sum(self._steps.values())
            return Standing(
                total=len(self._wanted),
                done=len(self._rows) - failed,
                failed=failed,
                running=len(running),
                seconds=time.monotonic() - self._begun,
                steps_per_second=rate,
                remaining=max(left, 0) / rate if rate > 0 else None,
                retries=self._retries,
            )

    def _rate(self) -> float:
        (first, before), (last, after) = self._marks[0], self._marks[-1]
        return max(after - before, 0) / (last - first) if last > first else 0.0
