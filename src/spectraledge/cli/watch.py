"""Display of `spectraledge run`: watches the folders of all runs while somebody trains them.

Workers are other processes and report nothing before they end, but every run saves what it has at
every record; so the folders say it all, in the same way for one worker and for many.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spectraledge.cli.console import duration, make_table, rank, share, spark
from spectraledge.cli.pace import Pace
from spectraledge.cli.standing import Standing, read_standing

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from spectraledge.lab import Plan
    from spectraledge.store import RunFolder
    from spectraledge.training import RunSpec

__all__ = ["Watch", "watching"]

SECONDS_BETWEEN_LOOKS = 2.0


@contextmanager
def watching(watch: Watch, console: Console) -> Iterator[None]:
    """Show what `watch` sees while the block runs: a live table, or a line a finished run."""
    from rich.live import Live

    if console.is_terminal:
        with Live(console=console, get_renderable=watch.render, refresh_per_second=2):
            yield
            watch.look()
        return
    ended = threading.Event()
    reporter = threading.Thread(target=watch.report, args=(console, ended), daemon=True)
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()


class Watch:
    """Where the runs of an experiment stand.

    Args:
        arms: Specs by arm.
        plan: Where they are stored.
    """

    def __init__(self, arms: Mapping[str, Sequence[RunSpec]], plan: Plan) -> None:
        self.arms = {
            arm: [_Watched(spec, plan.folder(spec)) for spec in specs]
            for arm, specs in arms.items()
        }
        self.runs = [run for of_arm in self.arms.values() for run in of_arm]
        self._pace = Pace(sum(run.spec.steps for run in self.runs), span=120.0)
        self._started = time.monotonic()
        self._looked = -math.inf
        self.look()

    def look(self) -> None:
        """Look at every folder that may have changed."""
        for run in self.runs:
            run.look()
        self._pace.update(sum(run.steps_done for run in self.runs))
        self._looked = time.monotonic()

    def count(self, state: str) -> int:
        """Number of runs in a state of `Standing`."""
        return sum(run.standing.state == state for run in self.runs)

    def report(self, console: Console, ended: threading.Event) -> None:
        """Print a line for every run that finishes, until `ended` is set."""
        told = {id(run) for run in self.runs if run.standing.state == "done"}
        while True:
            last = ended.wait(SECONDS_BETWEEN_LOOKS)
            self.look()
            for arm, of_arm in self.arms.items():
                for run in of_arm:
                    if run.standing.state in ("done", "failed") and id(run) not in told:
                        told.add(id(run))
                        console.print(self._line(arm, run, len(told)))
            if last:
                return

    def render(self) -> RenderableType:
        """Progress bar and a row per arm; looks at the folders if the last look is old."""
        from rich.console import Group

        if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self.look()
        return Group(self._bar(), self._table())

    def _bar(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 2))
        done = f"{self.count('done')} of {len(self.runs)} runs done"
        elapsed = f"{duration(time.monotonic() - self._started)} elapsed"
        bar = ProgressBar(self._pace.total, self._pace.done, width=30)
        remaining = self._pace.remaining
        left = [f"{duration(remaining)} left"] if remaining else []
        line.add_row(bar, done, elapsed, *left)
        return line

    def _table(self) -> Table:
        columns = ("arm", "done", "step", "train", "validation", "", "stable rank", "note")
        table = make_table(*columns, right=["step", "train", "validation", "stable rank"])
        for arm, runs in self.arms.items():
            states = Counter(run.standing.state for run in runs)
            notes = Counter(filter(None, (run.note for run in runs)))
            table.add_row(
                arm,
                f"{states['done']}/{len(runs)}",
                f"{sum(r.steps_done for r in runs) // len(runs)}/{runs[0].spec.steps}",
                share(_mean(runs, "train_accuracy")),
                share(_mean(runs, "validation_accuracy")),
                spark(_mean_history(runs)),
                rank(_mean(runs, "stable_rank")),
                "; ".join(f"{count} {note}" for note, count in notes.items()),
                style="" if states["done"] < len(runs) else "green",
            )
        return table

    def _line(self, arm: str, run: _Watched, told: int) -> str:
        last = run.standing.last
        return (
            f"{told} of {len(self.runs)}: {arm}, seed {run.spec.seed} {run.standing.state} "
            f"after {duration(time.monotonic() - self._started)}: "
            f"train {share(last.get('train_accuracy'))}  "
            f"validation {share(last.get('validation_accuracy'))}  "
            f"{run.note}  {run.folder.path}"
        )


class _Watched:
    """One run; its folder is read again only when its curves have changed."""

    def __init__(self, spec: RunSpec, folder: RunFolder) -> None:
        self.spec, self.folder = spec, folder
        self.standing = Standing("missing")
        self._mark: tuple[object, ...] | None = None

    def look(self) -> None:
        """Read the folder if something in it has changed."""
        folder = self.folder.path
        files = (folder, folder / "curves.parquet")
        mark = tuple(path.stat().st_mtime_ns if path.exists() else None for path in files)
        if mark != self._mark:
            self._mark, self.standing = mark, read_standing(self.folder)

    @property
    def steps_done(self) -> int:
        """Recorded steps."""
        return self.standing.step

    @property
    def note(self) -> str:
        """What is wrong, in a few words."""
        words = {"partial": "begun", "failed": "failed", "damaged": "damaged"}
        return words.get(self.standing.state, self.standing.note.partition(" at")[0])


def _mean(runs: Sequence[_Watched], name: str) -> float | None:
    values = [run.standing.last[name] for run in runs if name in run.standing.last]
    finite = [value for value in values if not math.isnan(value)]
    return sum(finite) / len(finite) if finite else None


def _mean_history(runs: Sequence[_Watched]) -> list[float]:
    """Mean validation accuracy over the runs that have come so far, at every record."""
    histories = [run.standing.validation for run in runs]
    longest = max(map(len, histories))
    columns = [[h[i] for h in histories if len(h) > i] for i in range(longest)]
    return [sum(column) / len(column) for column in columns]
