"""Whether a job under way is alive: a step that is told, or a file that is written."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from spectraledge.lab.plan import Plan
from spectraledge.lab.sweep.jobs import Job

__all__ = ["VitalSigns"]


class VitalSigns:
    """A job under way and when it last showed a sign of life.

    A job that waits for another sweep to finish its runs lives as long as those runs are written.

    Args:
        job: The job.
        plan: Where its runs are stored.
        silence: Seconds without a sign after which it counts as hung.

    Attributes:
        reason: Why it was abandoned; empty as long as it was not.
    """

    def __init__(self, job: Job, plan: Plan, silence: float) -> None:
        self.job = job
        self.reason = ""
        self._plan = plan
        self._silence = silence
        self._steps = 0
        self._written = self._last_write()
        self._alive_at = self._looked_at = time.monotonic()

    def renew(self) -> None:
        """Count it as alive now."""
        self._alive_at = time.monotonic()

    def are_gone(self, steps: int) -> bool:
        """Whether there was no sign for too long.

        Args:
            steps: Steps that the job has told.

        Returns:
            True once there was none for `silence` seconds.
        """
        if steps != self._steps:
            self._steps = steps
            self.renew()
        silent = time.monotonic() - self._alive_at
        # Looking into folders, perhaps across a network, is left for when there is a doubt.
        if silent > self._silence / 2 and self._seconds_since_look() > self._silence / 10:
            self._looked_at = time.monotonic()
            written = self._last_write()
            if written != self._written:
                self._written = written
                self.renew()
                return False
        if silent > self._silence:
            self.reason = f"no sign of life for {self._silence:g} seconds"
        return bool(self.reason)

    def _seconds_since_look(self) -> float:
        return time.monotonic() - self._looked_at

    def _last_write(self) -> float:
        return max(_last_write(self._plan.folder(spec).path) for spec in self.job.specs)


def _last_write(folder: Path) -> float:
    times = [0.0]
    for path in (folder, folder / "curves.parquet"):
        with suppress(OSError):  # It is not there, or another process is putting it aside.
            times.append(path.stat().st_mtime)
    return max(times)
