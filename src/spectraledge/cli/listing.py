"""`spectraledge list`: what can be run, and what has been."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tyro.conf import FlagCreatePairsOff

from spectraledge.cli.command import Command, Root

if TYPE_CHECKING:
    from rich.table import Table

    from spectraledge.store import RunFolder

__all__ = ["List"]

COLOURS = {"done": "green", "failed": "red", "damaged": "red", "partial": "yellow"}


@dataclass(frozen=True, kw_only=True)
class List(Command):
    """List the experiments, the studies and the stored runs.

    Args:
        root: Folder that holds all runs, and the ledger of studies.
        verify: Read every file of every run, to find altered ones too; slow.
    """

    root: Root = Path("runs")
    verify: FlagCreatePairsOff[bool] = False

    def execute(self) -> int:
        """Print the tables."""
        from spectraledge.cli.console import make_console
        from spectraledge.store import Catalogue

        console = make_console()
        console.print(_experiments())
        studies = _studies(self.root)
        if studies.row_count:
            console.print(studies)
        folders = list(Catalogue(self.root))
        if folders:
            console.print(self._runs(folders))
        else:
            console.print(f"No runs under {self.root}.")
        return 0

    def _runs(self, folders: list[RunFolder]) -> Table:
        from spectraledge.cli.console import make_table, share
        from spectraledge.cli.standing import read_standing

        columns = ("run", "status", "step", "train", "validation", "note")
        title = f"{len(folders)} runs under {self.root}"
        table = make_table(*columns, right=["step", "train", "validation"], title=title)
        for folder in folders:
            standing = read_standing(folder, thorough=self.verify)
            table.add_row(
                folder.path.name,
                standing.state,
                str(standing.step) if standing.last else "–",
                share(standing.last.get("train_accuracy")),
                share(standing.last.get("validation_accuracy")),
                standing.note,
                style=COLOURS[standing.state],
            )
        return table


def _experiments() -> Table:
    from spectraledge.cli.console import make_table
    from spectraledge.experiments.base import Scale, all_experiments

    table = make_table("experiment", "runs", "title", title="Experiments")
    for name, experiment in sorted(all_experiments().items()):
        counts: dict[Any, int] = {
            scale: len({spec for arm in experiment.arms(scale).values() for spec in arm})
            for scale in get_args(Scale)
        }
        runs = ", ".join(f"{scale} {count}" for scale, count in counts.items())
        table.add_row(name, runs, experiment.title)
    return table


def _studies(root: Path) -> Table:
    """Studies with how many of their runs the ledger has; later rounds may want more."""
    from spectraledge.cli.console import make_table
    from spectraledge.experiments.base import Scale
    from spectraledge.experiments.study import all_studies
    from spectraledge.experiments.study_run import ledger_file, rows_of
    from spectraledge.lab.ledger import Ledger

    path = ledger_file(root)
    ledger = Ledger.read(path)
    table = make_table("study", "runs so far", "title", title=f"Studies, by {path}")
    for name, study in sorted(all_studies().items()):
        found = {scale: rows_of(study, ledger, scale).values() for scale in get_args(Scale)}
        runs = ", ".join(
            f"{scale} {sum(row is not None for row in rows)}/{len(rows)}"
            for scale, rows in found.items()
        )
        table.add_row(name, runs, study.title)
    return table
