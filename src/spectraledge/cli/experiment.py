"""`spectraledge run` and `spectraledge report`: an experiment end to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from tyro.conf import FlagCreatePairsOff, Positional, arg

from spectraledge.cli.command import Command, Interrupted, Root, default_is, one_of

if TYPE_CHECKING:
    from rich.console import Console

    from spectraledge.cli.watch import Watch
    from spectraledge.experiments.base import Experiment, Results

__all__ = ["Report", "Run"]

Name = Annotated[Positional[str], arg(metavar="EXPERIMENT")]
ScaleName = Annotated[str, one_of("smoke", "demo", "full")]
Output = Annotated[
    Path | None, default_is("<root>/reports/<experiment>-<scale>.html", metavar="FILE")
]
COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Write the report of an experiment from its stored runs, without training.

    Args:
        experiment: Its name, or the last part of it; `spectraledge list` shows them.
        scale: smoke takes seconds, demo minutes; full is the published size.
        root: Folder that holds all runs.
        output: The HTML file to write.
        open: Open the report in a browser.
    """

    experiment: Name
    scale: ScaleName = "full"
    root: Root = Path("runs")
    output: Output = None
    open: FlagCreatePairsOff[bool] = False

    imports: ClassVar[tuple[str, ...]] = (
        *Command.imports,
        "spectraledge.experiments.run",
        "scipy.stats",
    )

    def execute(self) -> int:
        """Write the report; missing runs are an error."""
        from spectraledge.cli.console import make_console
        from spectraledge.experiments.base import find_experiment
        from spectraledge.experiments.run import read_results

        experiment = find_experiment(self.experiment)
        results = read_results(experiment, cast(Any, self.scale), self.root)
        self.write(experiment, results, make_console())
        return 0

    def write(self, experiment: Experiment, results: Results, console: Console) -> None:
        """Write the page, and say what it says."""
        from spectraledge.cli.console import make_table
        from spectraledge.experiments.run import write_report

        path = self.output or self.root / "reports" / f"{experiment.name}-{self.scale}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        page = write_report(experiment, results, cast(Any, self.scale), path)
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
    """Train what an experiment still lacks, and write its report.

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
        from spectraledge.cli.watch import Watch, watching
        from spectraledge.experiments.base import find_experiment
        from spectraledge.experiments.run import run_experiment
        from spectraledge.lab import Plan
        from spectraledge.training import Execution

        experiment, console = find_experiment(self.experiment), make_console()
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
