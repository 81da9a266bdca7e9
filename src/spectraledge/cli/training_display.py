"""Display of `spectraledge train`: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spectraledge.cli.console import duration, make_table, rank, share, spark
from spectraledge.cli.pace import Pace
from spectraledge.cli.standing import Standing, read_standing

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from spectraledge.lab import Plan, Progress
    from spectraledge.training import RunSpec

__all__ = ["TrainingDisplay", "training_display"]

REFRESHES_A_SECOND = 4


@contextmanager
def training_display(
    console: Console, specs: Sequence[RunSpec], plan: Plan
) -> Iterator[TrainingDisplay]:
    """A display for `spectraledge.lab.run`.

    Args:
        console: Where to draw or print.
        specs: All runs asked for, finished ones included; all of the same number of steps.
        plan: Where they are stored.

    Yields:
        What to call with every `Progress`.
    """
    from rich.live import Live

    display = TrainingDisplay(specs, plan)
    if not console.is_terminal:
        display.printer = console
        yield display
        return
    with Live(
        console=console, get_renderable=display.render, refresh_per_second=REFRESHES_A_SECOND
    ):
        yield display


class TrainingDisplay:
    """Newest numbers of every run of one command.

    Args:
        specs: The runs.
        plan: Where they are stored.
    """

    def __init__(self, specs: Sequence[RunSpec], plan: Plan) -> None:
        self.folders = {spec: plan.folder(spec) for spec in specs}
        self.standings = {spec: read_standing(folder) for spec, folder in self.folders.items()}
        self.printer: Console | None = None
        self._compiles = plan.execution.compile
        self._steps = {spec: self.standings[spec].step for spec in specs}
        self._pace = Pace(sum(spec.steps for spec in specs))
        self._batch = 1
        self._started = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Take note of a step, and of everything recorded at a snapshot."""
        if self._pace.speed is None:
            self._steps |= dict.fromkeys(progress.specs, progress.started_at)
            self._pace.update(sum(self._steps.values()))
        self._batch = len(progress.specs)
        self._steps |= dict.fromkeys(progress.specs, progress.step)
        self._pace.update(sum(self._steps.values()))
        if progress.snapshot is None:
            return
        for spec in progress.specs:
            self.standings[spec] = read_standing(self.folders[spec])
            if self.printer is not None:
                self.printer.print(self._line(spec))

    def render(self) -> RenderableType:
        """Progress bar and table."""
        from rich.console import Group

        return Group(self._bar(), self._table())

    def _bar(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(self._pace.total, self._pace.done, width=40)
        line.add_row(bar, f"{self._pace.done / self._pace.total:.0%}", *self._speed())
        return line

    def _speed(self) -> tuple[str, ...]:
        elapsed = f"{duration(time.monotonic() - self._started)} elapsed"
        if self._pace.done >= self._pace.total:
            return (elapsed,)
        if self._pace.speed is None:
            return (elapsed, "compiling, about a minute" if self._compiles else "preparing")
        speed = f"{self._pace.speed / self._batch:.1f} steps/s"
        return (elapsed, speed, f"{duration(self._pace.remaining)} left")

    def _table(self) -> Table:
        columns = ("run", "step", "train", "validation", "", "stable rank", "entropy rank", "note")
        table = make_table(*columns, right=[*columns[1:4], *columns[5:7]])
        for spec in self.folders:
            standing = self.standings[spec]
            width = len(str(spec.steps))
            row = (f"{self._steps[spec]:>{width}}/{spec.steps}", *_numbers(standing))
            table.add_row(f"seed {spec.seed}", *row[:3], spark(standing.validation), *row[3:])
        return table

    def _line(self, spec: RunSpec) -> str:
        standing = self.standings[spec]
        train, validation, stable, entropy, note = _numbers(standing)
        text = (
            f"seed {spec.seed}  step {standing.step:>{len(str(spec.steps))}}/{spec.steps}  "
            f"train {train}  validation {validation}  stable rank {stable}  entropy rank {entropy}"
        )
        speed = self._speed()[1:] if self._pace.speed else ()
        return "  ".join([text, *speed, *([note] if note else [])])


def _numbers(standing: Standing) -> tuple[str, str, str, str, str]:
    last = standing.last
    return (
        share(last.get("train_accuracy")),
        share(last.get("validation_accuracy")),
        rank(last.get("stable_rank")),
        rank(last.get("entropy_rank")),
        standing.note,
    )
