"""Jobs: runs that train together, sized and ordered by what a step was measured to cost."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil

from spectraledge.training import Execution, Problem, RunSpec, batch_key

__all__ = ["CostModel", "Job", "makespan", "measure_costs", "pack"]

# Per-run cost is flat or falls up to here at every size measured; two points give the line.
PROBE_RUNS = (1, 4)
PROBE_STEPS = 2
# Packing: how many jobs more than needed to try for each worker, and what is as good as the best.
REFINEMENTS = 4
TOLERATED = 1.03


@dataclass(frozen=True)
class Job:
    """Runs of one batch.

    Args:
        specs: The runs.
        seconds: Estimated time of the whole job, 0 if unknown.
    """

    specs: tuple[RunSpec, ...]
    seconds: float = 0.0

    @property
    def run_steps(self) -> int:
        """Steps of all runs together."""
        return sum(spec.steps for spec in self.specs)


@dataclass(frozen=True)
class CostModel:
    """Seconds of a step of R runs: a + b·R, one line for each shape of problem.

    Args:
        lines: (a, b) by `kind`.
        overhead: Seconds that a job takes beside its steps, e.g. to build the problem.
    """

    lines: Mapping[Hashable, tuple[float, float]] = field(default_factory=dict)
    overhead: float = 0.0

    def seconds(self, specs: Sequence[RunSpec]) -> float:
        """Estimate for a job of these runs; a kind that was not measured counts 1 ms a step."""
        fixed, each = self.lines.get(kind(specs[0]), (0.0, 1e-3))
        return self.overhead + specs[0].steps * (fixed + each * len(specs))


def kind(spec: RunSpec) -> Hashable:
    """What the cost of a step depends on, the update chain left out."""
    task = spec.task
    shape = (task.vocabulary, task.length, task.classes)
    return (spec.model, shape, spec.batch_size, spec.compute)


def measure_costs(specs: Iterable[RunSpec], execution: Execution) -> CostModel:
    """Time a few gradient steps of every kind of problem among the runs.

    The steps run eagerly, since compiling would take longer than measuring; compiled steps are
    about 1.5 times faster at every size, so order and packing are the same.

    Args:
        specs: The runs of a sweep.
        execution: Device and threads.

    Returns:
        The costs, without the kinds that cannot be built; their jobs will say why.

    Cost: about eight eager steps a kind: 0.2 s for small models, 1.5 s at the published size.
    """
    eager = replace(execution, compile=False)
    eager.apply()
    lines = {}
    for key, spec in {kind(spec): spec for spec in specs}.items():
        with suppress(Exception):
            lines[key] = _line(spec, eager)
    return CostModel(lines)


def _line(spec: RunSpec, execution: Execution) -> tuple[float, float]:
    (few, short), (many, long) = ((r, _step_seconds(spec, r, execution)) for r in PROBE_RUNS)
    each = max((long - short) / (many - few), 0.1 * long / many)
    return max(short - few * each, 0.0), each


def _step_seconds(spec: RunSpec, runs: int, execution: Execution) -> float:
    problem = Problem([replace(spec, seed=seed) for seed in range(runs)], execution)
    theta = problem.initial_parameters()
    seconds = []
    for step in range(1 + PROBE_STEPS):
        start = time.perf_counter()
        problem.gradient(theta, *problem.batch(step))
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def pack(
    specs: Iterable[RunSpec], costs: CostModel, *, workers: int, largest_batch: int
) -> list[Job]:
    """Distinct specs as jobs, longest first.

    Runs that can share a batch are cut, in the order given, into the fewest jobs of nearly equal
    size that `largest_batch` allows (equal sizes share compiled code), and further, longest jobs
    first, if that ends the whole sweep sooner by more than 3 %.

    Args:
        specs: Any specs.
        costs: What a step costs.
        workers: How many jobs run at a time, >= 1.
        largest_batch: Most runs in a job, >= 1.

    Returns:
        The jobs.

    Raises:
        ValueError: For fewer than one worker or run in a job.
    """
    if workers < 1 or largest_batch < 1:
        raise ValueError(
            f"expected workers and largest_batch >= 1, got {workers=}, {largest_batch=}"
        )
    groups: dict[Hashable, list[RunSpec]] = defaultdict(list)
    for spec in dict.fromkeys(specs):
        groups[batch_key(spec)].append(spec)
    counts = {key: ceil(len(group) / largest_batch) for key, group in groups.items()}
    cuts = _finer_and_finer(groups, counts, costs, REFINEMENTS * workers)
    spans = [makespan(jobs, workers) for jobs in cuts]
    return next(jobs for jobs, span in zip(cuts, spans) if span <= TOLERATED * min(spans))


def _finer_and_finer(
    groups: Mapping[Hashable, list[RunSpec]],
    counts: dict[Hashable, int],
    costs: CostModel,
    most: int,
) -> list[list[Job]]:
    """Cuts that each have one more job of the group whose jobs were longest, up to `most` more."""
    cuts = [_cut(groups, counts, costs)]
    while len(cuts) <= most and cuts[-1] and len(cuts[-1][0].specs) > 1:
        counts[batch_key(cuts[-1][0].specs[0])] += 1
        cuts.append(_cut(groups, counts, costs))
    return cuts


def _cut(
    groups: Mapping[Hashable, list[RunSpec]], counts: Mapping[Hashable, int], costs: CostModel
) -> list[Job]:
    jobs = []
    for key, group in groups.items():
        edges = [len(group) * i // counts[key] for i in range(counts[key] + 1)]
        for start, stop in pairwise(edges):
            chosen = tuple(group[start:stop])
            jobs.append(Job(chosen, costs.seconds(chosen)))
    return sorted(jobs, key=lambda job: -job.seconds)


def makespan(jobs: Iterable[Job], workers: int) -> float:
    """Seconds until the last job ends, if each worker takes the next one when it is free.

    Args:
        jobs: In the order in which they are given out.
        workers: Number of workers, >= 1.

    Returns:
        Seconds.

    Example:
        >>> makespan([Job((), 3.0), Job((), 2.0), Job((), 2.0)], workers=2)
        4.0
    """
    free = [0.0] * workers
    for job in jobs:
        heapq.heappush(free, heapq.heappop(free) + job.seconds)
    return max(free)
