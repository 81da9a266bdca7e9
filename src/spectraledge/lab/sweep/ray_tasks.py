"""What a sweep runs on the nodes of a Ray cluster. Importing this needs no Ray."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from spectraledge.lab.plan import Plan, Progress
from spectraledge.lab.run import run_batch
from spectraledge.lab.sweep.jobs import Job
from spectraledge.lab.sweep.processes import PRELOADED

__all__ = ["SharedRoot", "answer", "start_notes", "work"]

SECONDS_BETWEEN_REPORTS = 2.0


@dataclass(frozen=True)
class SharedRoot:
    """The root of the runs, with a file in it that only one sweep knows.

    Args:
        root: Absolute path of the folder.
        token: Name of the file.
    """

    root: Path
    token: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.root / ".locks" / f"ray-{self.token}"

    def answer_of(self, node: str) -> Path:
        """The file by which a node answers."""
        return self.path.with_name(f"{self.path.name}-{node}")

    def plant(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()

    def remove(self) -> None:
        """Remove the file and all answers."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink(missing_ok=True)

    def problem(self) -> str:
        """Why runs that are trained on this machine would be lost; empty if they would not."""
        if self.path.exists():
            return ""
        return (
            f"node {socket.gethostname()} does not see what the driver writes under {self.root}; "
            "put the runs on a file system that all nodes share, under the same path"
        )


def answer(shared: SharedRoot, node: str) -> str:
    """Look for the driver's file on this node and write another one; says what was wrong."""
    problem = shared.problem()
    if problem:
        return problem
    try:
        shared.answer_of(node).touch()
    except OSError as error:
        return f"node {socket.gethostname()} cannot write under {shared.root}: {error}"
    return ""


def work(job: Job, plan: Plan, number: int, notes: Any, shared: SharedRoot) -> str:
    """Train a job on this node; says why if its runs would not be seen by the driver."""
    for module in PRELOADED:
        import_module(module)
    # From here on the job must show signs of life.
    notes.note.remote(number, 0)
    problem = shared.problem()
    if not problem:
        run_batch(job.specs, plan, _Reporter(notes, number))
    return problem


class _Reporter:
    """Notes now and then how far a job has come."""

    def __init__(self, notes: Any, number: int) -> None:
        self._notes, self._number, self._told = notes, number, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN_REPORTS:
            return
        self._told = now
        self._notes.note.remote(self._number, progress.step * len(progress.specs))


def start_notes(ray: Any, node: str) -> Any:
    """An actor that knows how far each job has come.

    Args:
        ray: The package.
        node: Where to run it, if possible.

    Returns:
        Its handle.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Defined here, it travels as source: its process does not import torch.
    class Notes:
        def __init__(self) -> None:
            self._steps: dict[int, int] = {}

        def note(self, number: int, steps: int) -> None:
            self._steps[number] = steps

        def read(self) -> dict[int, int]:
            return self._steps

    near = NodeAffinitySchedulingStrategy(node, soft=True)
    options = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=near)
    return options(Notes).remote()
