"""`spectraledge bench`: how fast the reference run trains on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spectraledge.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from spectraledge.training import Execution, RunSpec

__all__ = ["Bench"]

WARM_UP = 3  # the first call compiles
LOW_RANK_METHODS = ("published", "auto", "svd")


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Measure the speed of the reference run on this machine, and what low-rank decay costs.

    Times are those of single steps; on a machine with other work they scatter, so the median
    stands between the fastest and the slowest fifth.

    Args:
        runs: Numbers of runs trained as one batch.
        steps: Steps to time for each row.
        modulus: Modulus of the task.
        width: Width of the model.
        compile: Compile the training step.
        threads: Threads of this process.
        device: Torch device.
    """

    runs: tuple[int, ...] = (1, 4)
    steps: int = 30
    modulus: int = 113
    width: int = 128
    compile: bool = True
    threads: int = 1
    device: str = "cpu"

    def execute(self) -> int:
        """Print one table."""
        from spectraledge.cli.console import make_console, make_table
        from spectraledge.training import Execution

        if self.steps < 1 or not self.runs or min(self.runs) < 1:
            raise ValueError(f"expected --steps and --runs >= 1, got {self.steps}, {self.runs}")
        console = make_console()
        execution = Execution(self.device, self.compile, self.threads)
        execution.apply()
        columns = ("what", "runs", "20 %", "median", "80 %", "steps/s", "ms per run", "of a step")
        table = make_table(*columns, right=columns[1:], title="Milliseconds a step")
        whole: dict[int, float] = {}  # medians of the float32 training step
        for what, runs, step in self._candidates(execution):
            with console.status(f"{what}, {runs} runs", refresh_per_second=1):
                times = _step_times(step, self.steps, self.device)
            low, median, high = (times[round(q * (len(times) - 1))] for q in (0.2, 0.5, 0.8))
            cells = (low, median, high, 1000 / median, median / runs)
            part = f"{median / whole.setdefault(runs, median):.1%}"
            table.add_row(what, str(runs), *(f"{cell:.4g}" for cell in cells), part)
        console.print(table)
        return 0

    def _candidates(self, execution: Execution) -> list[tuple[str, int, Callable[[], Any]]]:
        steps = [
            (
                f"training step, {compute}",
                runs,
                _training_step(self._specs(runs, compute), execution),
            )
            for compute in ("float32", "bfloat16")
            for runs in self.runs
        ]
        decays = [
            (f"low-rank decay alone, {method}", runs,
             _decay_step(self._specs(runs, "float32"), method, execution))
            for method in LOW_RANK_METHODS
            for runs in self.runs
        ]  # fmt: skip
        return steps + decays

    def _specs(self, runs: int, compute: str) -> list[RunSpec]:
        from spectraledge.cli.decay_flags import DecayFlags
        from spectraledge.cli.flags import ModelFlags, TaskFlags
        from spectraledge.training import RunSpec

        model = ModelFlags(width=self.width)
        return [
            RunSpec(
                task=TaskFlags(modulus=self.modulus).task(model.model),
                model=model.spec(),
                updates=DecayFlags(decay="l2").updates(model),
                seed=seed,
                compute=compute,  # type: ignore[arg-type]
            )
            for seed in range(runs)
        ]


def _training_step(specs: list[RunSpec], execution: Execution) -> Callable[[], Any]:
    from spectraledge.training import Problem, Trainer

    return Trainer(Problem(specs, execution)).step_


def _decay_step(specs: list[RunSpec], method: str, execution: Execution) -> Callable[[], Any]:
    import torch

    from spectraledge.training import Problem
    from spectraledge.updates import Clock, LowRank, chain

    problem = Problem(specs, execution)
    theta = problem.initial_parameters()
    link = LowRank(1e-6, scale="absolute", coupled=False, method=method)  # type: ignore[arg-type]
    decay, states = chain([(link,)] * len(specs), theta, problem.layout, problem.groups)
    ones = torch.ones(len(specs), 1, dtype=torch.float64, device=theta.device)
    clock = Clock(1, ones[0, 0], ones * specs[0].lr, ones)
    return lambda: decay.apply_(theta, torch.zeros(0), states, clock, {})


def _step_times(step: Callable[[], Any], steps: int, device: str) -> list[float]:
    """Milliseconds of each call, ascending."""
    import torch

    times = []
    for index in range(WARM_UP + steps):
        started = time.perf_counter()
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if index >= WARM_UP:
            times.append(1000 * (time.perf_counter() - started))
    return sorted(times)
