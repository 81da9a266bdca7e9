"""Display of a sweep: a live phase diagram in a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spectraledge.cli.console import duration
from spectraledge.cli.phase_diagram import PhaseDiagram, outcome_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from spectraledge.experiments.study import Stage
    from spectraledge.lab import Progress
    from spectraledge.lab.ledger import Ledger
    from spectraledge.lab.rows import Row
    from spectraledge.lab.sweep import Board, Inline, Standing
    from spectraledge.training import RunSpec

__all__ = ["SweepDisplay", "Ticker", "showing"]

REFRESHES_A_SECOND = 1
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_LINES = 30.0
# Lines of a picture in a file; a terminal says itself how many it has.
WIDTH = 100
HEAD = 4  # lines of a terminal that the picture must leave


@contextmanager
def showing(display: SweepDisplay) -> Iterator[None]:
    """Show where the sweep stands while the block runs."""
    from rich.live import Live

    console = display.console
    if console.is_terminal:
        with Live(
            console=console,
            get_renderable=display.render,
            refresh_per_second=REFRESHES_A_SECOND,
            transient=True,  # what stays is printed at the end, whole
        ):
            yield
        return
    ended = threading.Event()
    reporter = threading.Thread(target=display.report, args=(ended,), daemon=True)
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()


class SweepDisplay:
    """Where a sweep stands.

    Args:
        board: What the engine notes.
        stage: What it is asked for.
        console: Where to draw or print.
    """

    def __init__(self, board: Board, stage: Stage, console: Console) -> None:
        self.board, self.stage, self.console = board, stage, console
        self.specs: dict[RunSpec, None] = {}
        self._outcomes: dict[RunSpec, float | None] = {}
        self._diagram: tuple[tuple[int, int], PhaseDiagram] | None = None

    def wanted(self, ledger: Ledger) -> list[RunSpec]:
        """What the sweep is asked for, noted on the way to the engine."""
        specs = self.stage.wanted(ledger)
        # A new mapping, because the display reads it in another thread.
        self.specs = self.specs | dict.fromkeys(specs)
        return specs

    def render(self) -> RenderableType:
        """Progress bar, counts, and as much of the phase diagram as the terminal has lines for."""
        from rich.console import Group

        standing = self.board.standing()
        head = Group(self._bar(standing), _counts(standing))
        if not self.specs:
            return head
        return Group(head, "", self._drawn(max(self.console.height - HEAD, 6)))

    def picture(self) -> RenderableType:
        """The whole phase diagram."""
        return self._drawn(None)

    def report(self, ended: threading.Event) -> None:
        """Print a line whenever runs have ended, and now and then, until `ended` is set."""
        told, told_at = 0, time.monotonic()
        while True:
            last = ended.wait(SECONDS_BETWEEN_LOOKS)
            standing = self.board.standing()
            settled = standing.done + standing.failed
            late = time.monotonic() - told_at > SECONDS_BETWEEN_LINES
            if standing.total and (settled != told or late):
                told, told_at = settled, time.monotonic()
                words = (_share(standing), *self._times(standing), _counts(standing))
                self.console.print("  ".join(words))
            if last:
                return

    def _drawn(self, height: int | None) -> RenderableType:
        width = self.console.width if self.console.is_terminal else WIDTH
        key = (len(self.specs), width)
        if self._diagram is None or self._diagram[0] != key:
            self._diagram = (key, PhaseDiagram(self.specs, self.stage.until, width))
        return self._diagram[1].render(
            self._seen(self.board.rows), self.board.running, height=height
        )

    def _seen(self, rows: Mapping[RunSpec, Row]) -> Mapping[RunSpec, float | None]:
        for spec, row in rows.items():
            if spec not in self._outcomes:
                self._outcomes[spec] = outcome_of(row, self.stage.until)
        return self._outcomes

    def _bar(self, standing: Standing) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(max(standing.total, 1), standing.done + standing.failed, width=24)
        line.add_row(bar, _share(standing), *self._times(standing))
        return line

    def _times(self, standing: Standing) -> list[str]:
        elapsed = f"{duration(standing.seconds)} elapsed"
        if standing.done + standing.failed >= standing.total or standing.remaining is None:
            return [elapsed]
        # Runs that are decided early end it sooner.
        most = "" if self.stage.until is None else "at most "
        return [elapsed, f"{most}{duration(standing.remaining)} left"]


class Ticker:
    """Tells the board how far the job of an inline executor is, now and then.

    Args:
        board: Whom to tell.
    """

    def __init__(self, board: Board) -> None:
        self.executor: Inline | None = None
        self._board = board
        self._told = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take note of a step."""
        now = time.monotonic()
        if self.executor is not None and now - self._told > 1 / REFRESHES_A_SECOND:
            self._told = now
            self._board.progress(self.executor.steps())


def _share(standing: Standing) -> str:
    return f"{standing.done + standing.failed} of {standing.total} runs"


def _counts(standing: Standing) -> str:
    """Done, failed, running, retries and speed, without what is zero."""
    counts = {
        "done": standing.done,
        "failed": standing.failed,
        "running": standing.running,
        "given out again": standing.retries,
    }
    parts = [f"{count} {name}" for name, count in counts.items() if count or name == "done"]
    if standing.running and standing.steps_per_second:
        parts.append(f"{standing.steps_per_second:,.0f} steps/s")
    return ", ".join(parts)
