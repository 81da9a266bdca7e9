"""What an executor is: takes jobs, says which ended and how. Results lie in the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType

from spectraledge.lab.plan import Plan
from spectraledge.lab.sweep.jobs import Job

__all__ = ["Ended", "Executor"]


@dataclass(frozen=True)
class Ended:
    """A job that is no longer running.

    Args:
        number: Its number.
        lost: Why nobody knows how it ended, e.g. a worker that was killed; empty if it ended by
            itself, be it well or with failed runs, which the store tells apart.
    """

    number: int
    lost: str = ""


class Executor(ABC):
    """Runs jobs somewhere. Use it in a ``with`` block: leaving it ends all workers.

    Args:
        plan: Where runs are stored, and how they are trained.
        workers: How many jobs run at a time, >= 1; may change while nodes come and go.

    Raises:
        ValueError: For fewer than one worker.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"{type(self).__name__}: expected workers >= 1, got {workers}")
        self.plan = plan
        self.workers = workers

    @abstractmethod
    def submit(self, number: int, job: Job) -> None:
        """Start a job; the caller never has more than `workers` of them running."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that have ended since the last call; waits up to `seconds` for the first."""

    @abstractmethod
    def abandon(self, number: int) -> None:
        """Stop a job without mercy; it is reported as lost by the next `wait`."""

    def steps(self) -> Mapping[int, int]:
        """Steps taken by running jobs, as far as is known here."""
        return {}

    def queued(self) -> Collection[int]:
        """Jobs that were submitted and have not begun, e.g. as no node is free; not silent ones."""
        return ()

    def __enter__(self) -> Executor:
        """Start the workers."""
        return self

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers at once; unfinished runs resume from their last checkpoint."""
