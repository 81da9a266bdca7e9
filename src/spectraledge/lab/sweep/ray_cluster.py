"""Jobs on a Ray cluster: the cores of this machine, or of many that share a file system.

Results do not pass through Ray: every task writes its runs under the root, as a local worker does,
and the driver reads them there. So the root must be the same folder on all nodes.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from spectraledge.lab.plan import Plan
from spectraledge.lab.sweep.executor import Ended, Executor
from spectraledge.lab.sweep.jobs import Job
from spectraledge.lab.sweep.ray_tasks import SharedRoot, answer, start_notes, work

__all__ = ["RayCluster"]

SECONDS_BETWEEN_COUNTS = 5.0
SECONDS_TO_CONNECT = 10.0
SECONDS_TO_ANSWER = 300.0
SECONDS_TO_DIE = 10.0
# Only signs of life pass through the object store; by default it takes a third of the memory.
OBJECT_STORE = 80 * 2**20


class RayCluster(Executor):
    """One Ray task a job; a task that is lost with its worker or its node is given out again.

    A task takes as many CPUs as `Execution.threads`. Nodes may come and go.

    Args:
        plan: Where runs are stored, and how they are trained. All nodes must see the root, under
            the same path.
        workers: Most tasks at a time; None means as many as the nodes have CPUs for.
        address: ``auto`` or ``host:port`` of a running cluster; None starts Ray on this machine
            alone. A process that is connected to Ray already stays with that.

    Raises:
        ValueError: For fewer than one worker.
        ImportError: If Ray is not installed.
        ConnectionError: On entering, if there is no cluster at the address.
        RuntimeError: On entering or later, if a node does not see the root, or none has the CPUs.
    """

    def __init__(self, plan: Plan, workers: int | None = None, address: str | None = None) -> None:
        super().__init__(plan, 1 if workers is None else workers)
        self.address = address
        self._asked = workers
        self._threads = plan.execution.threads
        self._shared = SharedRoot(Path(plan.root).resolve(), uuid4().hex)
        self._ray = _import_ray()
        self._leave = ExitStack()
        self._tasks: dict[int, Any] = {}
        self._steps: dict[int, int] = {}
        self._counted = -SECONDS_BETWEEN_COUNTS

    def __enter__(self) -> RayCluster:
        """Connect, or start Ray; see that all nodes share the root."""
        with ExitStack() as leave:
            if not self._ray.is_initialized():
                self._connect()
                leave.callback(self._ray.shutdown)
            self._shared.plant()
            leave.callback(self._shared.remove)
            self._probe()
            self._count_workers()
            self._notes = start_notes(self._ray, self._ray.get_runtime_context().get_node_id())
            self._news = self._notes.read.remote()
            self._leave = leave.pop_all()
        return self

    def submit(self, number: int, job: Job) -> None:
        """Hand the job to Ray, which starts it where and when there is room."""
        plan = replace(self.plan, root=self._shared.root)
        task = self._remote(work, num_cpus=self._threads)
        self._tasks[number] = task.remote(job, plan, number, self._notes, self._shared)

    def wait(self, seconds: float) -> list[Ended]:
        """Tasks that have ended.

        Args:
            seconds: How long to wait for the first.

        Returns:
            Their jobs.

        Raises:
            RuntimeError: If a node that has joined meanwhile does not see the root.
        """
        self._count_workers()
        refs = list(self._tasks.values())
        if not refs:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(refs, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [self._end(n) for n in [n for n, ref in self._tasks.items() if ref in ready]]

    def steps(self) -> Mapping[int, int]:
        """Steps of the running jobs, as last told."""
        if self._ray.wait([self._news], timeout=0)[0]:
            # No news as long as the actor that takes the notes is being moved.
            with suppress(self._ray.exceptions.RayError):
                self._steps |= self._ray.get(self._news)
            self._news = self._notes.read.remote()
        return {n: steps for n, steps in self._steps.items() if n in self._tasks}

    def queued(self) -> Collection[int]:
        """Tasks that Ray has not started."""
        return self._tasks.keys() - self._steps.keys()

    def abandon(self, number: int) -> None:
        """Kill the worker that has the task."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._tasks[number], force=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the workers of unfinished tasks; stop Ray if it was started here."""
        for number in self._tasks:
            self.abandon(number)
        if self._tasks:
            refs = list(self._tasks.values())
            self._ray.wait(refs, num_returns=len(refs), timeout=SECONDS_TO_DIE)
        self._tasks.clear()
        self._steps.clear()
        self._ray.kill(self._notes)
        self._leave.close()

    def _end(self, number: int) -> Ended:
        try:
            problem = self._ray.get(self._tasks.pop(number))
        except self._ray.exceptions.RayError as error:
            return Ended(number, f"{type(error).__name__}: {error}")
        if problem:
            # It would take, and lose, one job after the other.
            raise RuntimeError(problem)
        return Ended(number)

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            cpus = None if self._asked is None else self._asked * self._threads
            size = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE}
            self._ray.init(address="local", include_dashboard=False, **size, **quiet)
            return
        try:
            _knock(self.address)
            self._ray.init(address=self.address, **quiet)
        except (OSError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
            raise ConnectionError(
                f"RayCluster: expected a Ray cluster at {self.address!r}, got none ({error}); "
                "start one with `ray start --head`, or leave the address out to use this machine "
                "(a cluster that asks for a token needs RAY_AUTH_MODE=token here)"
            ) from error

    def _remote(self, function: Any, **options: Any) -> Any:
        # One thread an operation, and the engine tries again by itself.
        threads = str(self._threads)
        variables = {name: threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        options |= {"max_retries": 0, "runtime_env": {"env_vars": variables}}
        return self._ray.remote(**options)(function)

    def _nodes(self) -> list[dict[str, Any]]:
        """Live nodes that have the CPUs of a task."""
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        return [node for node in alive if node["Resources"].get("CPU", 0) >= self._threads]

    def _count_workers(self) -> None:
        now = time.monotonic()
        if now - self._counted < SECONDS_BETWEEN_COUNTS:
            return
        self._counted = now
        room = sum(int(node["Resources"]["CPU"]) // self._threads for node in self._nodes())
        self.workers = max(1, room if self._asked is None else min(self._asked, room))

    def _probe(self) -> None:
        """Have every node read what is written here, and the other way round."""
        nodes = self._nodes()
        if not nodes:
            raise RuntimeError(
                f"expected nodes with {self._threads} CPUs, got none in the Ray cluster at "
                f"{self.address or 'this machine'}; start nodes, or train with fewer threads"
            )
        asked = {node["NodeID"]: self._ask(node["NodeID"]) for node in nodes}
        refs = list(asked.values())
        answered, _ = self._ray.wait(refs, num_returns=len(refs), timeout=SECONDS_TO_ANSWER)
        for node in nodes:
            ref = asked[node["NodeID"]]
            problem = self._answer(node, ref) if ref in answered else "it does not answer"
            if problem:
                raise RuntimeError(f"Ray node {node['NodeManagerAddress']}: {problem}")
            self._shared.answer_of(node["NodeID"]).unlink()

    def _ask(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        probe = self._remote(answer, num_cpus=0, scheduling_strategy=there)
        return probe.remote(self._shared, node)

    def _answer(self, node: Mapping[str, Any], ref: Any) -> str:
        try:
            problem: str = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return f"it cannot run tasks, {error}"
        if problem or self._shared.answer_of(node["NodeID"]).exists():
            return problem
        return f"what it writes under {self._shared.root} is not seen here; share that folder"


def _knock(address: str) -> None:
    """Fail at once if nobody listens at ``host:port``; Ray would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_CONNECT).close()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError("RayCluster needs Ray: pip install 'spectraledge[ray]'") from error
    return ray
