"""A corner of the published grid: the sweep engine on two workers against a first script.

Two train fractions, two labels, both decays: eight runs of 2500 steps at the published size. Timed
are the first steps; a step costs the same from the first to the last, so the rest is extrapolated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from benchmarks.harness import Goal, Timing, in_turns, report
from benchmarks.naive_sweep import NaiveRun
from benchmarks.sweeps import KeptProcesses, fresh_sweep, on_disk
from spectraledge.experiments.low_rank_decay.published_phase_diagram import Cell, grid_runs
from spectraledge.experiments.low_rank_decay.sizes import PUBLISHED
from spectraledge.lab import Plan
from spectraledge.training import Execution, Problem, RunSpec, Trainer

FRACTIONS, LABELS, DECAYS = (0.3, 0.4), (1e-4, 5e-4), ("L2", "LRD")
STEPS, RECORD_EVERY = 2500, 200
NAIVE_STEPS, OUR_STEPS, ROUNDS = 10, 24, 2
# The script evaluates every 200 steps, ours before the first and after the last one as well.
NAIVE_EVALUATIONS, OUR_EVALUATIONS = STEPS // RECORD_EVERY, STEPS // RECORD_EVERY + 2
Compute = Literal["float32", "bfloat16"]
Alternatives = dict[str, Callable[[], object]]


def corner() -> dict[Cell, RunSpec]:
    """The eight runs, as published."""
    wanted = {Cell("published", d, f, label) for d in DECAYS for f in FRACTIONS for label in LABELS}
    return {cell: runs[0] for cell, runs in grid_runs(PUBLISHED).items() if cell in wanted}


def naive() -> Alternatives:
    """Training and evaluation of the script, one run after the other."""
    runs = [NaiveRun(spec, cell.decay, cell.label) for cell, spec in corner().items()]
    return {
        f"script, 8 runs x {NAIVE_STEPS} steps": lambda: _each(
            runs, lambda r: r.train(NAIVE_STEPS)
        ),
        "script, 8 evaluations": lambda: _each(runs, NaiveRun.accuracy),
    }


def _each(runs: list[NaiveRun], call: Callable[[NaiveRun], object]) -> None:
    for run in runs:
        call(run)


class Ours:
    """The corner as a sweep, in one number type.

    Args:
        plan: Where and how.
        compute: Number type of the network.
    """

    def __init__(self, plan: Plan, compute: Compute) -> None:
        self.compute = compute
        self.executor = KeptProcesses(plan, 2)
        start = time.perf_counter()
        self.sweep(1)()
        self.cold = time.perf_counter() - start

    def sweep(self, steps: int) -> Callable[[], None]:
        """All eight runs, with an evaluation before the first step and after the last."""
        specs = [
            replace(spec, steps=steps, record_every=RECORD_EVERY, compute=self.compute)
            for spec in corner().values()
        ]
        return fresh_sweep(specs, self.executor)

    def alternatives(self) -> Alternatives:
        """A short sweep, a longer one, and what an evaluation costs beside a step."""
        specs = [replace(spec, compute=self.compute) for spec in corner().values()][:4]
        trainer = Trainer(Problem(specs, Execution()))
        calls: list[Callable[[], object]] = [
            self.sweep(1),
            self.sweep(1 + OUR_STEPS),
            trainer.step_,
            lambda: trainer.problem.evaluate(trainer.state.theta),
        ]
        return dict(zip(self.names, calls))

    @property
    def names(self) -> list[str]:
        """What is timed."""
        steps = ("1 step", f"{1 + OUR_STEPS} steps")
        sweeps = [f"ours, {self.compute}, 8 runs x {count}" for count in steps]
        return [*sweeps, f"a step of 4 runs, {self.compute}", f"evaluation, {self.compute}"]

    def seconds(self, timings: dict[str, Timing]) -> float:
        """A cold start, and as many steps and evaluations as were published."""
        short, long, step, evaluation = (timings[n].p50 / 1e3 for n in self.names)
        each = (long - short) / OUR_STEPS
        further = (OUR_EVALUATIONS - 2) * evaluation / step
        return self.cold + each * (STEPS - 1 + further)


def naive_seconds(timings: dict[str, Timing]) -> float:
    """As many steps and evaluations as were published; its start is left out."""
    steps, evaluation = (timings[name].p50 / 1e3 for name in list(timings)[:2])
    return steps / NAIVE_STEPS * STEPS + evaluation * NAIVE_EVALUATIONS


def main() -> None:
    """Run and report."""
    torch.manual_seed(0)
    with on_disk() as folder:
        both = [Ours(Plan(folder / c, largest_batch=4, save_every=20), c)
                for c in ("float32", "bfloat16")]  # fmt: skip
        alternatives = naive()
        for ours in both:
            alternatives |= ours.alternatives()
        timings = in_turns(alternatives, rounds=ROUNDS, warm_up=1)
        script = naive_seconds(timings)
        whole = {ours.compute: ours.seconds(timings) for ours in both}
        for ours in both:
            ours.executor.end()
    goals = [
        Goal(f"script over ours, two workers, {compute}", script / seconds, 4.0, at_most=False)
        for compute, seconds in whole.items()
    ]
    report(f"corner of the published grid, 8 runs, extrapolated to {STEPS} steps", timings, goals)
    print(f"  {STEPS} steps: script {script:.0f} s, " + ", ".join(
        f"ours in {c} {s:.0f} s with a cold start" for c, s in whole.items()))  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
