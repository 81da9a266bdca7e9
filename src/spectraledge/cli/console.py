"""How the command line prints: one console, one table style, numbers in few digits."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["duration", "make_console", "make_table", "number", "rank", "share", "spark"]

# A file or pipe has no width; wide enough that no row of ours is broken.
PIPE_WIDTH = 240
ROOMY = 100
BARS = "▁▂▃▄▅▆▇█"


def make_console() -> Console:
    """Console on standard output; square brackets in texts are left alone."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def make_table(*columns: str, right: Sequence[str] = (), title: str = "") -> Table:
    """Empty table without outer lines.

    Args:
        *columns: Headings.
        right: Those whose cells are numbers, aligned to the right.
        title: Line above the table.

    Returns:
        A rich table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in columns:
        aligned = "right" if name in right else "left"
        # Where there is little room, text and long headings are broken, numbers are not.
        whole = name in right and " " not in name
        table.add_column(name, justify=aligned, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
    return table


def number(value: float | None, digits: int = 4) -> str:
    """A number in few digits, a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A number in [0, 1] with three decimals, a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def rank(value: float | None) -> str:
    """A rank with two decimals, a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Minutes and seconds, with hours if there are any.

    Args:
        seconds: Time, None if it is not known.

    Returns:
        Text.

    Example:
        >>> duration(75), duration(7325), duration(None)
        ('1:15', '2:02:05', '–')
    """
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def spark(values: Sequence[float], width: int | None = None) -> str:
    """Values in [0, 1] as a row of small bars, evenly picked if there are too many.

    Args:
        values: Numbers; NaN is left out.
        width: Number of bars, >= 2; by the width of the terminal if None.

    Returns:
        Text of this width.

    Example:
        >>> spark([0.0, 0.5, 1.0], width=4)
        '▁▅█ '
    """
    if width is None:
        width = 20 if shutil.get_terminal_size().columns >= ROOMY else 8
    shown = [value for value in values if not math.isnan(value)]
    if len(shown) > width:
        last = len(shown) - 1
        shown = [shown[round(i * last / (width - 1))] for i in range(width)]
    top = len(BARS) - 1
    bars = [BARS[math.floor(min(max(value, 0.0), 1.0) * top + 0.5)] for value in shown]
    return "".join(bars).ljust(width)
