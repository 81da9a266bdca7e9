"""The engine: gives out jobs, collects rows, tries again what was lost, until nothing is missing.

All results lie in the run folders, written by whoever trained the run; the ledger is made from
them. So the driver holds nothing that is not on disk: killed at any moment and started again, it
finds finished runs in the ledger or the store, and the others at their last checkpoint.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from spectraledge.lab.ledger import Ledger
from spectraledge.lab.plan import Plan
from spectraledge.lab.rows import Row, failed_row, stored_row
from spectraledge.lab.sweep.board import Board
from spectraledge.lab.sweep.executor import Executor
from spectraledge.lab.sweep.jobs import CostModel, Job, measure_costs, pack
from spectraledge.lab.sweep.vital_signs import VitalSigns
from spectraledge.store import DamagedError, claim, signature, uninterrupted
from spectraledge.training import RunSpec

__all__ = ["Sweep", "Wanted"]

# What is wanted, given what is known; asked again after every round, until it adds nothing.
Wanted = Callable[[Ledger], Iterable[RunSpec]]

SECONDS_BETWEEN_SAVES = 30.0
# Writing 2000 rows takes half a second of a core that could train; the store has it all anyway.
SHARE_OF_SAVING = 0.02


class Sweep:
    """Train every run that is wanted and has no row yet.

    Args:
        wanted: Specs, or a function of the ledger that gives them. A function is asked again
            after each round, so that a boundary can be refined or a second stage can follow; it
            must depend on nothing but the ledger, so that a killed sweep plans the same again.
        executor: Where jobs run.
        ledger: What is known; rows are added to it. By default what is in the file `path`.
        path: Where to save the ledger, None to keep it in memory. Rows that others have saved
            there stay.
        attempts: How often a run may fail before it is marked and left, >= 1. To be lost together
            with others is no failure; after the second time a run is given out alone.
        silence: Seconds without a sign of life after which a job is abandoned and given out
            again, > 0; compiling takes up to a minute in silence.
        board: Where progress is noted.

    Raises:
        ValueError: For numbers out of range.
        DamagedError: If the file `path` is no ledger.
    """

    def __init__(
        self,
        wanted: Wanted | Iterable[RunSpec],
        executor: Executor,
        *,
        ledger: Ledger | None = None,
        path: Path | None = None,
        attempts: int = 3,
        silence: float = 900.0,
        board: Board | None = None,
    ) -> None:
        if attempts < 1 or not silence > 0:
            raise ValueError(
                f"Sweep: expected attempts >= 1 and silence > 0 seconds, got {attempts=} and "
                f"{silence=}"
            )
        self.wanted: Wanted = wanted if callable(wanted) else _always(tuple(wanted))
        self.executor = executor
        self.path = None if path is None else Path(path)
        if ledger is None:
            ledger = Ledger() if self.path is None else Ledger.read(self.path)
        self.ledger = ledger
        self.attempts = attempts
        self.silence = silence
        self.board = board or Board()
        self._failures: Counter[RunSpec] = Counter()
        self._losses: Counter[RunSpec] = Counter()
        self._given_up: set[RunSpec] = set()
        self._save_at = 0.0

    @property
    def plan(self) -> Plan:
        """Where and how runs are trained."""
        return self.executor.plan

    def run(self) -> Ledger:
        """Run to the end.

        Returns:
            The ledger, with a row for every wanted run; failed ones are among them.
        """
        with self.executor:
            try:
                while missing := self._missing():
                    self._round(missing)
            finally:
                self._save(force=True)
        return self.ledger

    def _missing(self) -> list[RunSpec]:
        """Wanted runs without a row; what the store already has becomes a row."""
        # Rows found in the store may make more runs wanted, as a round of training does, so the
        # question is repeated until there is something to train or nothing new was found.
        while True:
            missing, found = self._look()
            if missing or not found:
                return missing

    def _look(self) -> tuple[list[RunSpec], int]:
        """Wanted runs without a row, and how many rows were found in the store."""
        specs = list(dict.fromkeys(self.wanted(self.ledger)))
        self.board.want(specs)
        stored = {path.name[-8:] for path in self.plan.root.glob("*-????????")}
        missing, found = [], 0
        for spec in specs:
            row = self.ledger.get(spec, self.plan.until)
            if row is not None:
                self.board.settle(spec, row)
            elif spec in self._given_up:
                continue  # The ledger has a row of it, decided sooner than is asked now.
            elif signature(spec) in stored and self._collect(spec) is not None:
                found += 1
            else:
                missing.append(spec)
        return missing, found

    def _collect(self, spec: RunSpec) -> Row | None:
        row = stored_row(spec, self.plan)
        if row is not None:
            self.ledger.add(row)
            self.board.settle(spec, row)
        return row

    def _round(self, missing: Sequence[RunSpec]) -> None:
        """Run jobs until every run of `missing` has a row."""
        queue = deque(self._jobs(missing))
        running: dict[int, VitalSigns] = {}
        number = 0
        while queue or running:
            while queue and len(running) < self.executor.workers:
                job = queue.popleft()
                number += 1
                running[number] = VitalSigns(job, self.plan, self.silence)
                self.board.start(number, job)
                self.executor.submit(number, job)
            for ended in self.executor.wait(1.0):
                signs = running.pop(ended.number)
                again = self._settle(signs.job, signs.reason or ended.lost)
                queue.extendleft(again)
                self.board.end(ended.number, again=bool(again))
            self._watch(running)
            self._save()

    def _jobs(self, missing: Sequence[RunSpec]) -> list[Job]:
        # With one worker the order is all the same, and so is what a step costs.
        many = self.executor.workers > 1
        costs = measure_costs(missing, self.plan.execution) if many else CostModel()
        largest = self.plan.largest_batch
        return pack(missing, costs, workers=self.executor.workers, largest_batch=largest)

    def _settle(self, job: Job, lost: str) -> list[Job]:
        """Rows of what a job has finished; jobs for what it has not."""
        together: list[RunSpec] = []
        alone: list[RunSpec] = []
        for spec in [spec for spec in job.specs if self._collect(spec) is None]:
            if len(job.specs) == 1 or self._failure(spec) is not None:
                self._failures[spec] += 1
                if self._failures[spec] >= self.attempts:
                    self._give_up(spec, lost)
                    continue
            else:
                self._losses[spec] += 1
            # Lost twice together may be the fault of one; alone, each shows for itself.
            (together if self._losses[spec] == 1 else alone).append(spec)
        again = [tuple(together)] if together else []
        again += [(spec,) for spec in alone]
        return [Job(specs, job.seconds * len(specs) / len(job.specs)) for specs in again]

    def _failure(self, spec: RunSpec) -> str | None:
        """Traceback of the error that the run ended in by itself, None if it did not."""
        folder = self.plan.folder(spec)
        # It may be damaged, or another sweep may be trying again.
        with suppress(DamagedError, FileNotFoundError, KeyError):
            if folder.status(thorough=False).state == "failed":
                return folder.read_failure()["traceback"]
        return None

    def _give_up(self, spec: RunSpec, lost: str) -> None:
        reason = self._failure(spec) or lost or f"it ended {self.plan.folder(spec).status()}"
        row = failed_row(spec, f"given up after {self.attempts} attempts; the last: {reason}")
        self._given_up.add(spec)
        self.ledger.add(row)
        self.board.settle(spec, row)

    def _watch(self, running: dict[int, VitalSigns]) -> None:
        """Note progress, and abandon jobs that show no sign of life."""
        steps = self.executor.steps()
        self.board.progress(steps)
        queued = self.executor.queued()
        for number, signs in running.items():
            if number in queued:
                signs.renew()
            elif signs.are_gone(steps.get(number, 0)):
                self.executor.abandon(number)

    def _save(self, *, force: bool = False) -> None:
        start = time.monotonic()
        if self.path is None or not (force or start >= self._save_at):
            return
        # Sweeps that share a root may share a ledger: what another has saved there stays.
        with uninterrupted(), claim(self.plan.root / ".locks" / f"{self.path.name}.lock"):
            for leftover in self.path.parent.glob(f".{self.path.name}.*.unfinished"):
                leftover.unlink(missing_ok=True)
            saved = Ledger.read(self.path)
            for row in self.ledger:
                saved.add(row)
            saved.write(self.path)
        end = time.monotonic()
        self._save_at = end + max(SECONDS_BETWEEN_SAVES, (end - start) / SHARE_OF_SAVING)


def _always(specs: tuple[RunSpec, ...]) -> Wanted:
    return lambda _: specs
