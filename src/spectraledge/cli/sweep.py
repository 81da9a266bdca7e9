"""`spectraledge sweep`: many runs, from a file or a study, on one of several executors."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import FlagCreatePairsOff, Positional, arg

from spectraledge.cli.command import Command, Interrupted, Root, default_is, one_of
from spectraledge.cli.flags import refuse

if TYPE_CHECKING:
    from types import ModuleType

    from rich.console import Console

    from spectraledge.cli.sweep_goal import Goal
    from spectraledge.experiments.study import Stage
    from spectraledge.lab import Plan
    from spectraledge.lab.ledger import Ledger
    from spectraledge.lab.sweep import Board, Executor

__all__ = ["LedgerFile", "Sweep"]

LedgerFile = Annotated[Path | None, default_is("<root>/ledger.parquet", metavar="FILE")]
EXECUTORS = ("inline", "processes", "ray")


@dataclass(frozen=True, kw_only=True)
class Sweep(Command):
    """Train many runs, and collect them in a ledger.

    Runs that the ledger or the folder of runs already has are not trained. Ctrl-C is safe at any
    moment: finished runs stay, the others resume when asked again.

    Args:
        what: Python file that defines SPECS or wanted(ledger), or name of a study; `spectraledge
            list` shows the studies.
        scale: Size of a study: smoke takes seconds, demo minutes; full is the published size.
        only: Train but the runs with these settings, e.g. operation=add,mul seed=42. A name may be
            the end of a dotted one, as the picture of a sweep shows them. Groundwork of a study is
            trained whole.
        horizon: Step at which undecided runs are left, in place of the study's own; with a later
            one they go on from where they stopped.
        executor: inline trains in this process, processes on the cores of this machine, ray on a
            Ray cluster.
        address: Ray cluster to join; without one, ray starts its own on this machine.
        workers: Jobs at a time; not more than there are cores.
        root: Folder that holds all runs.
        ledger: File that holds a row for every finished run.
        largest_batch: Most runs to train as one batch.
        compile: Compile the training step.
        threads: Threads of each worker.
        device: Torch device.
        save_every: Seconds between two saves of a run; what a killed worker can lose.
        attempts: How often a run may fail before it is given up.
        retry_failed: Try runs again that were given up.
        only_status: Say where the sweep stands, and train nothing.
    """

    what: Annotated[Positional[str], arg(metavar="FILE|STUDY")]
    scale: Annotated[str, one_of("smoke", "demo", "full")] = "full"
    only: Annotated[tuple[str, ...], default_is("all runs", metavar="NAME=VALUE …")] = ()
    horizon: Annotated[int | None, default_is("that of the study or file", metavar="INT")] = None
    executor: Annotated[
        str | None, one_of(*EXECUTORS), default_is("inline; processes with --workers > 1")
    ] = None
    address: Annotated[str | None, default_is("a cluster of its own", "HOST:PORT")] = None
    workers: Annotated[int | None, default_is("as many as there are cores", "INT")] = None
    root: Root = Path("runs")
    ledger: LedgerFile = None
    largest_batch: int = 24
    compile: bool = True
    threads: int = 1
    device: str = "cpu"
    save_every: float = 20.0
    attempts: int = 3
    retry_failed: FlagCreatePairsOff[bool] = False
    only_status: FlagCreatePairsOff[bool] = False

    imports: ClassVar[tuple[str, ...]] = (
        *Command.imports,
        "spectraledge.lab.sweep",
        "spectraledge.experiments.study_run",
    )

    def execute(self) -> int:
        """Train what is missing; 1 if a run failed."""
        from spectraledge.cli.console import make_console
        from spectraledge.cli.only import only_part, parse_only
        from spectraledge.cli.sweep_goal import find_goal, with_horizon
        from spectraledge.lab.ledger import Ledger

        self._check()
        goal, console = find_goal(self.what, self.scale), make_console()
        if self.horizon is not None:
            goal = with_horizon(goal, self.horizon)
        if conditions := parse_only(self.only):
            goal = only_part(goal, conditions, Ledger.read(self.ledger_path))
        console.print(goal.title, style="bold")
        if self.only and len(goal.stages) > 1:
            console.print("Only the last part is narrowed by --only: the others decide its runs.")
        tell = self.tell_status if self.only_status else self.train
        return 1 if tell(goal, console) else 0

    def tell_status(self, goal: Goal, console: Console) -> int:
        """Say where a sweep stands, and write nothing.

        Args:
            goal: What is to be trained.
            console: Where to print.

        Returns:
            Number of failed runs.
        """
        from spectraledge.cli.sweep_status import tell_status
        from spectraledge.lab.ledger import Ledger

        ledger, failed = Ledger.read(self.ledger_path), 0
        for part, stage in enumerate(goal.stages, start=1):
            _tell_part(part, goal, console)
            of_stage, missing = tell_status(stage, self.plan(goal, stage), ledger, console)
            failed += of_stage
            if missing:
                break  # what comes next depends on these
        return failed

    def train(self, goal: Goal, console: Console) -> int:
        """Train what is missing, save the ledger, and tell how it went.

        Args:
            goal: What to train.
            console: Where to show it.

        Returns:
            Number of failed runs.

        Raises:
            Interrupted: After Ctrl-C.
        """
        from spectraledge.cli.console import duration
        from spectraledge.lab.ledger import Ledger

        self._check()
        begun, ledger, failed = time.monotonic(), Ledger.read(self.ledger_path), 0
        for part, stage in enumerate(goal.stages, start=1):
            _tell_part(part, goal, console)
            if self.retry_failed:
                _forget_failed(stage, ledger)
            failed += self._train_stage(goal, stage, ledger, console)
        elapsed = duration(time.monotonic() - begun)
        console.print(f"{elapsed} elapsed. Ledger: {self.ledger_path}")
        return failed

    def _train_stage(self, goal: Goal, stage: Stage, ledger: Ledger, console: Console) -> int:
        from spectraledge.cli.sweep_display import SweepDisplay, showing
        from spectraledge.cli.sweep_status import left_behind, look, tell_end
        from spectraledge.lab.sweep import Board
        from spectraledge.lab.sweep import Sweep as Engine

        plan, board, known = self.plan(goal, stage), Board(), len(ledger)
        display = SweepDisplay(board, stage, console)
        if look(display, ledger, plan) or len(ledger) > known:
            engine = Engine(
                display.wanted,
                self._executor(plan, board, goal.module),
                ledger=ledger,
                path=self.ledger_path,
                attempts=self.attempts,
                board=board,
            )
            try:
                with showing(display):
                    engine.run()
            except KeyboardInterrupt:
                raise Interrupted(left_behind(display.specs, ledger, plan)) from None
        return tell_end(display, console)

    def plan(self, goal: Goal, stage: Stage) -> Plan:
        """Where and how a stage is trained."""
        from spectraledge.lab import Plan
        from spectraledge.training import Execution

        return Plan(
            self.root,
            instruments=goal.instruments,
            keep_snapshots=goal.keep_snapshots,
            execution=Execution(self.device, self.compile, self.threads),
            largest_batch=self.largest_batch,
            until=stage.until,
            save_every=self.save_every,
        )

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        from spectraledge.experiments.study_run import ledger_file

        return self.ledger or ledger_file(self.root)

    @property
    def _kind(self) -> str:
        several = self.workers is not None and self.workers > 1
        return self.executor or ("processes" if several else "inline")

    def _check(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"expected --workers >= 1, got {self.workers}")
        if self._kind == "inline" and (self.workers or 1) > 1:
            raise ValueError(
                f"--workers {self.workers} needs --executor processes or ray; inline trains in "
                "this process alone"
            )
        if self._kind != "ray":
            refuse(["--address"], [self.address is not None], "belongs to --executor ray")
        if self._kind != "ray" and not self.only_status:
            from spectraledge.training.execution import check_device

            check_device(self.device)
        if self.only_status:
            why = "trains; leave out either it or --only-status"
            refuse(["--retry-failed"], [self.retry_failed], why)

    def _executor(self, plan: Plan, board: Board, module: ModuleType | None) -> Executor:
        from spectraledge.cli.sweep_display import Ticker
        from spectraledge.lab.sweep import Inline, Processes

        if self._kind == "inline":
            ticker = Ticker(board)
            ticker.executor = Inline(plan, ticker)
            return ticker.executor
        if self._kind == "processes":
            cores = (os.cpu_count() or 1) // self.threads
            return Processes(plan, self.workers or max(1, cores))
        return _ray_cluster(plan, self.workers, self.address, module)


def _ray_cluster(
    plan: Plan, workers: int | None, address: str | None, module: ModuleType | None
) -> Executor:
    from spectraledge.lab.sweep.ray_cluster import RayCluster

    if module is not None:
        # Workers elsewhere have no such file; the classes that it defines travel with the specs.
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(module)
    return RayCluster(plan, workers=workers, address=address)


def _tell_part(part: int, goal: Goal, console: Console) -> None:
    if len(goal.stages) > 1:
        console.print(f"Part {part} of {len(goal.stages)}", style="bold")


def _forget_failed(stage: Stage, ledger: Ledger) -> None:
    """Drop the failed rows of this sweep; those of others stay."""
    for spec in stage.wanted(ledger):
        row = ledger.get(spec)
        if row is not None and row.state == "failed":
            ledger.forget(row)
