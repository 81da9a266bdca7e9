"""`spectraledge run` and `spectraledge report`: an experiment or a study end to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from tyro.conf import FlagCreatePairsOff, Positional, arg

from spectraledge.cli.command import Command, Interrupted, Root, default_is, one_of
from spectraledge.cli.flags import refuse
from spectraledge.cli.sweep import LedgerFile, Sweep

if TYPE_CHECKING:
    from rich.console import Console

    from spectraledge.cli.watch import Watch
    from spectraledge.experiments.base import Experiment, Results
    from spectraledge.experiments.study import Study
    from spectraledge.report import Page

__all__ = ["Report", "Run"]

Name = Annotated[Positional[str], arg(metavar="EXPERIMENT|STUDY")]
ScaleName = Annotated[str, one_of("smoke", "demo", "full")]
Output = Annotated[
    Path | None, default_is("<root>/reports/<experiment>-<scale>.html", metavar="FILE")
]
COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Write the report of an experiment from its stored runs, or of a study from its ledger.

    Nothing is trained.

    Args:
        experiment: Its name, or the last part of it; `spectraledge list` shows them.
        scale: smoke takes seconds, demo minutes; full is the published size.
        root: Folder that holds all runs.
        ledger: File that holds the rows of a study.
        output: The HTML file to write.
        open: Open the report in a browser.
    """

    experiment: Name
    scale: ScaleName = "full"
    root: Root = Path("runs")
    ledger: LedgerFile = None
    output: Output = None
    open: FlagCreatePairsOff[bool] = False

    imports: ClassVar[tuple[str, ...]] = (
        *Sweep.imports,
        "spectraledge.experiments.run",
        "scipy.stats",
    )

    def execute(self) -> int:
        """Write the report; missing runs of an experiment are an error, those of a study a note."""
        from spectraledge.cli.console import make_console
        from spectraledge.experiments.run import read_results
        from spectraledge.experiments.study import Study

        found, console = self.find(), make_console()
        if isinstance(found, Study):
            self.write_study(found, console)
        else:
            results = read_results(found, cast(Any, self.scale), self.root)
            self.write(found, results, console)
        return 0

    def find(self) -> Experiment | Study:
        """What has the name.

        Returns:
            An experiment or a study.

        Raises:
            ValueError: If nothing has, or if flags are given that it does not have.
        """
        from spectraledge.experiments.study import Study
        from spectraledge.experiments.study_run import find_experiment_or_study

        found = find_experiment_or_study(self.experiment)
        if not isinstance(found, Study):
            why = f"belongs to studies; {found.name} is an experiment and keeps no ledger"
            refuse(["--ledger"], [self.ledger is not None], why)
        return found

    def write(self, experiment: Experiment, results: Results, console: Console) -> None:
        """Write the page of an experiment, and say what it says."""
        from spectraledge.experiments.run import write_report

        path = self._page_path(experiment.name)
        self._tell(write_report(experiment, results, cast(Any, self.scale), path), path, console)

    def write_study(self, study: Study, console: Console) -> None:
        """Write the page of a study, and say what it says.

        Args:
            study: Which.
            console: Where to print.

        Raises:
            FileNotFoundError: If the ledger has none of its runs, or not all of its groundwork.
        """
        from spectraledge.experiments.study_run import (
            has_groundwork,
            ledger_file,
            rows_of,
            write_study_report,
        )
        from spectraledge.lab.ledger import Ledger

        scale = cast(Any, self.scale)
        file = self.ledger or ledger_file(self.root)
        ledger = Ledger.read(file)
        rows = rows_of(study, ledger, scale).values()
        missing = sum(row is None for row in rows)
        told = f"{missing} of {len(rows)} runs of {study.name} ({scale}) are not in {file}"
        where = _flags(root=(self.root, Path("runs")), ledger=(self.ledger, None))
        advice = f"train them with: spectraledge run {study.name} --scale {scale}{where}"
        if missing == len(rows) or not has_groundwork(study, ledger, scale):
            raise FileNotFoundError(f"{told}; {advice}, or name another ledger with --ledger")
        if missing:
            console.print(f"{told}; the report is of the others; {advice}", style="yellow")
        path = self._page_path(study.name)
        self._tell(write_study_report(study, ledger, scale, path), path, console)

    def _page_path(self, name: str) -> Path:
        path = self.output or self.root / "reports" / f"{name}-{self.scale}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _tell(self, page: Page, path: Path, console: Console) -> None:
        from spectraledge.cli.console import make_table

        table = make_table("verdict", "claim", "observed")
        for verdict in page.verdicts:
            table.add_row(
                verdict.status, verdict.claim, verdict.observed, style=COLOURS[verdict.status]
            )
        if page.verdicts:
            console.print(table)
        console.print(f"Report: {path}")
        if self.open:
            import webbrowser

            webbrowser.open(path.resolve().as_uri())


@dataclass(frozen=True, kw_only=True)
class Run(Report):
    """Train what an experiment or a study still lacks, and write its report.

    Ctrl-C is safe at any moment: finished runs stay, the others resume when asked again.

    Args:
        workers: Processes to spread the batches over; not more than there are cores.
        compile: Compile the training step.
        threads: Threads of each process.
        device: Torch device.
    """

    workers: int = 1
    compile: bool = True
    threads: int = 1
    device: str = "cpu"

    def execute(self) -> int:
        """Train, write the report; 1 if a run failed."""
        from spectraledge.cli.console import make_console
        from spectraledge.experiments.study import Study

        found, console = self.find(), make_console()
        if isinstance(found, Study):
            return self._run_study(found, console)
        return self._run_experiment(found, console)

    def _run_study(self, study: Study, console: Console) -> int:
        from spectraledge.cli.sweep_goal import goal_of_study

        sweep = Sweep(
            what=study.name,
            scale=self.scale,
            workers=self.workers,
            root=self.root,
            ledger=self.ledger,
            compile=self.compile,
            threads=self.threads,
            device=self.device,
        )
        goal = goal_of_study(study, self.scale)
        console.print(goal.title, style="bold")
        failures = sweep.train(goal, console)
        self.write_study(study, console)
        return 1 if failures else 0

    def _run_experiment(self, experiment: Experiment, console: Console) -> int:
        from spectraledge.cli.watch import Watch, watching
        from spectraledge.experiments.run import run_experiment
        from spectraledge.lab import Plan
        from spectraledge.training import Execution

        scale = cast(Any, self.scale)
        execution = Execution(self.device, self.compile, self.threads)
        watch = Watch(experiment.arms(scale), Plan(self.root))
        console.print(f"{experiment.name} ({scale}): {experiment.title}", style="bold")
        console.print(f"{watch.count('done')} of {len(watch.runs)} runs are stored in {self.root}")
        try:
            with watching(watch, console):
                results = run_experiment(
                    experiment, scale, self.root, workers=self.workers, execution=execution
                )
        except KeyboardInterrupt:
            raise Interrupted(_left_behind(watch)) from None
        failures = _tell_failures(results, console)
        self.write(experiment, results, console)
        return 1 if failures else 0


def _left_behind(watch: Watch) -> str:
    watch.look()
    begun = watch.count("partial")
    others = f", {begun} begun ones go on from their last record" if begun else ""
    return f"{watch.count('done')} of {len(watch.runs)} runs are done{others}."


def _tell_failures(results: Results, console: Console) -> int:
    failed = [r for of_arm in results.values() for r in of_arm if r.failure is not None]
    for result in failed:
        console.print(f"{result.folder.path.name} {result.failure}", style="red")
    return len(failed)


def _flags(**given: tuple[Path | None, Path | None]) -> str:
    """Flags as they were given, to be told in a command; those at their default are left out."""
    return "".join(f" --{name} {own}" for name, (own, usual) in given.items() if own != usual)
