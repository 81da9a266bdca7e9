"""Phase diagram of a sweep in the terminal: which runs generalised, over the two main axes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spectraledge.cli.panel_titles import panel_titles
from spectraledge.cli.spec_axes import Axis, Described, best_column, best_row, describe_spec

if TYPE_CHECKING:
    from rich.text import Text

    from spectraledge.lab.decision import Decision
    from spectraledge.lab.rows import Row
    from spectraledge.training import RunSpec

__all__ = ["PhaseDiagram", "outcome_of"]

MOST_BINS = 12
GAP = 4  # columns between two panels
# From dark to light, so that they rank by brightness as well; text on them is white or black.
SHADES = ("#3b0f70", "#641a80", "#8c2981", "#b73779", "#de4968", "#f7705c", "#fe9f6d", "#fecf92")
SIGNS = "· not run yet, … running, ✗ failed"


def outcome_of(row: Row, until: Decision | None) -> float | None:
    """How well a run did.

    Args:
        row: Its result.
        until: What counts as having generalised.

    Returns:
        1 if the decision's metric held its threshold, else 0; without a decision the best
        validation accuracy; None if the run failed.
    """
    from spectraledge.series import first_held

    if row.state == "failed":
        return None
    if until is not None:
        steps, values = row.curve(until.metric)
        held = first_held(
            steps, values.astype(float), threshold=until.threshold, patience=until.patience
        )
        return float(held is not None)
    values = row.curves["validation_accuracy"]
    return max((float(v) for v in values if math.isfinite(v)), default=0.0)


class PhaseDiagram:
    """The grid of a sweep: a panel for each kind of run, a cell for each place on its axes.

    Args:
        specs: All runs that are wanted; equal ones count once.
        until: What the sweep calls decided.
        width: Characters to a line.
    """

    def __init__(self, specs: Iterable[RunSpec], until: Decision | None, width: int) -> None:
        described = {spec: describe_spec(spec) for spec in dict.fromkeys(specs)}
        groups: dict[Hashable, list[RunSpec]] = defaultdict(list)
        for spec, flat in described.items():
            groups[flat.kind].append(spec)
        flats = [[described[spec] for spec in group] for group in groups.values()]
        column = best_column(flats)
        titles = panel_titles(flats)
        most = MOST_BINS
        while True:
            self.panels = _panels(list(groups.values()), flats, titles, column, most)
            if most <= 3 or max((p.width for p in self.panels), default=0) <= width:
                break
            most -= 1
        self.panels = _in_one(self.panels, width)
        self.width = width
        self.caption = _caption(column, until)

    def render(
        self,
        outcomes: Mapping[RunSpec, float | None],
        running: Collection[RunSpec] = (),
        *,
        height: int | None = None,
    ) -> Text:
        """The diagram as it stands.

        Args:
            outcomes: What `outcome_of` says of the runs that have a result.
            running: Runs under way.
            height: Most lines to fill; panels without a running run are left out first.

        Returns:
            Text of at most this width.
        """
        from rich.text import Text

        drawn = [(panel.lines(outcomes, running), panel) for panel in self.panels]
        lines, left_out = self._side_by_side([lines for lines, _ in drawn])
        if height is not None and len(lines) + 2 > height:
            busy = sorted(drawn, key=lambda pair: not pair[1].holds(running))
            lines, left_out = self._side_by_side([lines for lines, _ in busy], height - 2)
        text = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
        more = f"; {left_out} more panels when it ends" if left_out else ""
        return text.append(f"\n{self.caption}\n{SIGNS}{more}", style="dim")

    def _side_by_side(
        self, panels: Sequence[list[Text]], height: int | None = None
    ) -> tuple[list[Text], int]:
        """Lines of panels in rows of panels, and how many did not fit the height."""
        from rich.text import Text

        lines: list[Text] = []
        waiting = list(panels)
        while waiting:
            taken = 1
            while taken < len(waiting) and _breadth(waiting[: taken + 1]) <= self.width:
                taken += 1
            tallest = max(map(len, waiting[:taken]))
            if height is not None and lines and len(lines) + tallest > height:
                break
            blocks = [_padded(block, tallest) for block in waiting[:taken]]
            lines += [Text(" " * GAP).join(parts) for parts in zip(*blocks)] + [Text("")]
            waiting = waiting[taken:]
        return lines, len(waiting)


@dataclass(frozen=True)
class _Panel:
    """Runs that differ in numbers only.

    Args:
        title: What sets it apart from the other panels; empty if there are none.
        rows: Axis of the rows, None for a single one.
        columns: Axis of the columns, None for a single one.
        cells: Runs by row and column.
    """

    title: str
    rows: Axis | None
    columns: Axis | None
    cells: Mapping[tuple[int, int], Sequence[RunSpec]] = field(repr=False)
    row_labels: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the rows."""
        return self.rows.labels if self.rows else self.row_labels or ("",)

    @property
    def places(self) -> tuple[str, ...]:
        """Labels of the columns."""
        return self.columns.labels if self.columns else ("",)

    @property
    def width(self) -> int:
        """Characters of a line of cells."""
        return max(map(len, self.labels)) + sum(self._widths)

    @property
    def _widths(self) -> list[int]:
        return [2 + max(4, len(label)) for label in self.places]

    def holds(self, running: Collection[RunSpec]) -> bool:
        """Whether one of its runs is under way."""
        return any(spec in running for specs in self.cells.values() for spec in specs)

    def lines(
        self, outcomes: Mapping[RunSpec, float | None], running: Collection[RunSpec]
    ) -> list[Text]:
        """Title, labels of the columns, and the rows, the largest number on top as in a plot."""
        from rich.text import Text

        margin = max(map(len, self.labels))
        head = [Text(self.title, style="bold")] if self.title else []
        if self.rows:
            head.append(Text(f"{self.rows.short} ↑", style="dim"))
        body = []
        for row in reversed(range(len(self.labels))) if self.rows else range(len(self.labels)):
            line = Text(self.labels[row].rjust(margin))
            for column, cell_width in enumerate(self._widths):
                runs = self.cells.get((row, column), ())
                line.append("  ").append_text(_cell(runs, outcomes, running, cell_width - 2))
            body.append(line)
        places = Text(" " * margin)
        for label, cell_width in zip(self.places, self._widths):
            places.append(label.rjust(cell_width))
        return [*head, *body, *([places] if self.columns else [])]


def _panels(
    groups: Sequence[Sequence[RunSpec]],
    flats: Sequence[Sequence[Described]],
    titles: Sequence[str],
    column: str | None,
    most: int,
) -> list[_Panel]:
    everything = [run for group in flats for run in group]
    columns = None
    if column is not None:
        values = (run.numbers[column] for run in everything if column in run.numbers)
        columns = Axis.of(column, values, most)
    rows = [best_row(group, column, most) for group in flats]
    return [
        _panel(group, flat, title, row, columns, most)
        for group, flat, title, row in zip(groups, flats, titles, rows)
    ]


def _in_one(panels: list[_Panel], width: int) -> list[_Panel]:
    """Panels of a single row each as rows of one panel, if there is room for their titles."""
    if len(panels) < 2 or any(panel.rows for panel in panels):
        return panels
    cells = {(i, j): runs for i, p in enumerate(panels) for (_, j), runs in p.cells.items()}
    columns = next((panel.columns for panel in panels if panel.columns), None)
    table = _Panel("", None, columns, cells, tuple(panel.title for panel in panels))
    return [table] if table.width <= width else panels


def _panel(
    group: Sequence[RunSpec],
    flat: Sequence[Described],
    title: str,
    row: str | None,
    columns: Axis | None,
    most: int,
) -> _Panel:
    rows = None if row is None else Axis.of(row, (run.numbers[row] for run in flat), most)
    if columns is not None and columns.name not in flat[0].numbers:
        columns = None
    cells: dict[tuple[int, int], list[RunSpec]] = defaultdict(list)
    for spec, run in zip(group, flat):
        place = [axis.bins[run.numbers[axis.name]] if axis else 0 for axis in (rows, columns)]
        cells[place[0], place[1]].append(spec)
    return _Panel(title, rows, columns, dict(cells))


def _cell(
    runs: Sequence[RunSpec],
    outcomes: Mapping[RunSpec, float | None],
    running: Collection[RunSpec],
    width: int,
) -> Text:
    """Percentage, readable without colours; ``…`` behind it while a run of the cell goes on."""
    from rich.text import Text

    if not runs:
        return Text(" " * width)
    known = [outcome for run in runs if (outcome := outcomes.get(run)) is not None]
    busy = "…" if any(run in running for run in runs) else " "
    if known:
        mean = sum(known) / len(known)
        shade = min(int(mean * len(SHADES)), len(SHADES) - 1)
        ink = "black" if shade >= len(SHADES) // 2 else "bright_white"
        # Rounded down, so that 100 means all of them.
        percent = math.floor(100 * mean + 1e-9)
        return Text(f"{percent}{busy}".rjust(width), style=f"{ink} on {SHADES[shade]}")
    failed = any(run in outcomes for run in runs)
    sign = "…" if busy == "…" else "✗" if failed else "·"
    return Text(f"{sign} ".rjust(width), style="red" if sign == "✗" else "")


def _caption(column: str | None, until: Decision | None) -> str:
    across = f"→ {column.partition('.')[2] or column}; " if column else ""
    if until is None:
        return f"{across}% best validation accuracy"
    return f"{across}% of runs that held {until.metric} ≥ {until.threshold:g}"


def _breadth(blocks: Sequence[list[Text]]) -> int:
    return sum(max(line.cell_len for line in block) for block in blocks) + GAP * (len(blocks) - 1)


def _padded(block: list[Text], height: int) -> list[Text]:
    """Lines of one length, as many as `height`; what is added goes to the end."""
    from rich.text import Text

    width = max(line.cell_len for line in block)
    padded = [line.copy() for line in block] + [Text("") for _ in range(height - len(block))]
    for line in padded:
        line.pad_right(width - line.cell_len)
    return padded
