"""The sweep engine on one machine: two workers against one, Ray against processes of our own.

Two CPUs of a virtual machine are often two threads of one core, so what two workers can reach is
measured beside: bare training loops in two processes against one. Sweeps of the reduced model are
timed whole, with their files on disk and warm workers, and once more with the start of everything.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import RESULTS, Goal, Timing, in_turns, report
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.sizes import REDUCED
from spectraledge.lab import Plan
from spectraledge.lab.sweep import Executor, Inline, Processes, Sweep
from spectraledge.lab.sweep.processes import CONTEXT, PRELOADED
from spectraledge.training import Execution, Problem, RunSpec, Trainer

RUNS, BATCH, STEPS, ROUNDS = 16, 4, 800, 3
MAIN = "from benchmarks.sweeps import whole_command; whole_command({!r})"

Batches = Sequence[Sequence[RunSpec]]


def runs(number: int, steps: int) -> list[RunSpec]:
    """Runs of the reduced model under low-rank decay."""
    chain = chain_of("LRD", 3.0, REDUCED)
    return REDUCED.runs(chain, lr=1e-2, seeds=range(number), steps=steps)


@contextmanager
def on_disk() -> Iterator[Path]:
    """A folder beside the runs of this repository, so that syncing it costs what it costs there."""
    below = RESULTS.parents[1] / "runs"
    below.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix=".benchmark-", dir=below) as folder:
        yield Path(folder)


class KeptProcesses(Processes):
    """Processes whose workers stay for the next sweep."""

    def __exit__(self, *_: object) -> None:
        """Keep the workers."""

    def end(self) -> None:
        """End the workers."""
        super().__exit__(None, None, None)


def fresh_sweep(specs: Sequence[RunSpec], executor: Executor) -> Callable[[], None]:
    """A sweep into an empty folder; what lies at the root of the executor's plan is put aside."""
    numbers = count()

    def sweep() -> None:
        root = executor.plan.root
        ledger = root / ".ledger.parquet"
        with suppress(FileNotFoundError):
            root.rename(root.with_name(f"{root.name}-{id(numbers)}-{next(numbers)}"))
        rows = Sweep(specs, executor, path=ledger).run()
        failures = [row.failure for row in rows if row.state == "failed"]
        if failures or len(rows) != len(specs):
            raise RuntimeError(f"expected {len(specs)} runs, got {len(rows)}: {failures[:1]}")

    return sweep


def bare_loops(batches: Batches) -> None:
    """Training and evaluation as in a sweep, and nothing else."""
    for batch in batches:
        execution = Execution()
        execution.apply()
        for _ in Trainer(Problem(batch, execution)).snapshots():
            pass


def split_evenly(specs: Sequence[RunSpec], size: int = BATCH) -> list[Sequence[RunSpec]]:
    """Batches of one size."""
    return [specs[i : i + size] for i in range(0, len(specs), size)]


def two_workers() -> None:
    """Run and report."""
    specs = runs(RUNS, STEPS)
    batches = split_evenly(specs)
    with ExitStack() as ends:
        folder = ends.enter_context(on_disk())
        CONTEXT.set_forkserver_preload([*PRELOADED, "benchmarks.sweeps"])
        pool = ends.enter_context(ProcessPoolExecutor(2, mp_context=CONTEXT))
        kept = KeptProcesses(Plan(folder / "processes", largest_batch=BATCH, save_every=20), 2)
        ends.callback(kept.end)
        inline = Inline(Plan(folder / "inline", largest_batch=BATCH, save_every=20))
        alternatives: dict[str, Callable[[], object]] = {
            "sweep, Inline": fresh_sweep(specs, inline),
            "sweep, Processes(2)": fresh_sweep(specs, kept),
            "bare loops, one process": lambda: list(pool.map(bare_loops, [batches])),
            "bare loops, two processes": lambda: list(
                pool.map(bare_loops, [batches[::2], batches[1::2]])
            ),
        }
        timings = in_turns(alternatives, rounds=ROUNDS, warm_up=1)
    timings |= {f"whole command, {n}": _command(n) for n in ("Inline", "Processes(2)")}
    report(f"sweep of {RUNS} runs x {STEPS} steps, two workers", timings, _goals(timings))
    for name, timing in timings.items():
        print(f"  {name:44s} {RUNS * STEPS / timing.p50 * 1e3:9.0f} steps/s")


def _goals(timings: dict[str, Timing]) -> list[Goal]:
    def ratio(slow: str, fast: str) -> float:
        return timings[slow].p50 / timings[fast].p50

    engine = ratio("sweep, Inline", "sweep, Processes(2)")
    ceiling = ratio("bare loops, one process", "bare loops, two processes")
    whole = ratio("whole command, Inline", "whole command, Processes(2)")
    return [
        Goal("steps/s of two workers over one, start-up excluded", engine, 1.9, at_most=False),
        Goal("the same of bare loops: what this machine allows", ceiling, 1.9, at_most=False),
        Goal("two workers over what the machine allows", engine / ceiling, 0.95, at_most=False),
        Goal("steps/s of two workers over one, start-up included", whole, 1.9, at_most=False),
    ]


def whole_command(executor: str) -> None:
    """A sweep in a process of its own, from its start."""
    with on_disk() as folder:
        plan = Plan(folder / "runs", largest_batch=BATCH, save_every=20)
        chosen = {"Inline": lambda: Inline(plan), "Processes(2)": lambda: Processes(plan, 2)}
        fresh_sweep(runs(RUNS, STEPS), chosen[executor]())()


def _command(executor: str) -> Timing:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", MAIN.format(executor)], check=True)
    milliseconds = 1e3 * (time.perf_counter() - start)
    return Timing(milliseconds, milliseconds, milliseconds, (milliseconds,))


def ray() -> None:
    """Run and report what Ray costs on one machine; says why if it cannot."""
    try:
        import ray as _ray

        from spectraledge.lab.sweep.ray_cluster import RayCluster
    except ImportError as error:
        print(f"\nRay on one machine: skipped, {error}")
        return
    specs = runs(RUNS, STEPS)
    with on_disk() as folder, ExitStack() as ends:
        kept = KeptProcesses(Plan(folder / "processes", largest_batch=BATCH, save_every=20), 2)
        ends.callback(kept.end)
        start = time.perf_counter()
        # Sweeps that find Ray running leave it running, and so its workers.
        _ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        ends.callback(_ray.shutdown)
        cluster = RayCluster(Plan(folder / "ray", largest_batch=BATCH, save_every=20), 2)
        cold = fresh_sweep(specs, cluster)
        cold()
        started = 1e3 * (time.perf_counter() - start)
        timings = in_turns(
            {"Processes(2)": fresh_sweep(specs, kept), "RayCluster(2)": cold},
            rounds=ROUNDS,
            warm_up=1,
        )
    ratio = timings["RayCluster(2)"].p50 / timings["Processes(2)"].p50
    timings["RayCluster(2), with the start of Ray"] = Timing(started, started, started)
    goal = Goal("Ray over processes of our own", ratio, 1.1, at_most=True)
    report(f"sweep of {RUNS} runs x {STEPS} steps on Ray, one machine", timings, [goal])


def main() -> None:
    """Run and report."""
    two_workers()
    ray()


if __name__ == "__main__":
    main()
