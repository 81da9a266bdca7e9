"""Jobs one after the other in this process."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from spectraledge.lab.plan import Display, Plan, Progress
from spectraledge.lab.run import run_batch
from spectraledge.lab.sweep.executor import Ended, Executor
from spectraledge.lab.sweep.jobs import Job

__all__ = ["Inline"]


class Inline(Executor):
    """Runs a job when it is waited for.

    Args:
        plan: Where runs are stored, and how they are trained.
        display: Called after every step and snapshot.
    """

    def __init__(self, plan: Plan, display: Display | None = None) -> None:
        super().__init__(plan, workers=1)
        self._display = display
        self._waiting: dict[int, Job] = {}
        self._steps: dict[int, int] = {}

    def submit(self, number: int, job: Job) -> None:
        """Keep the job until `wait`."""
        self._waiting[number] = job

    def wait(self, seconds: float) -> list[Ended]:
        """Run everything that was submitted."""
        ended = []
        for number, job in list(self._waiting.items()):
            run_batch(job.specs, self.plan, lambda p, n=number: self._show(n, p))  # type: ignore[misc]
            del self._waiting[number]
            self._steps.pop(number, None)
            ended.append(Ended(number))
        return ended

    def steps(self) -> Mapping[int, int]:
        """Steps of the job that is running, for a display in another thread."""
        return dict(self._steps)

    def abandon(self, number: int) -> None:
        """Nothing to stop: a job only runs inside `wait`."""

    def _show(self, number: int, progress: Progress) -> None:
        self._steps[number] = progress.step * len(progress.specs)
        if self._display is not None:
            self._display(progress)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to end."""
