"""`spectraledge show`: everything that one run left behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from spectraledge.cli.command import Command, Root

if TYPE_CHECKING:
    from rich.console import Console

    from spectraledge.store import RunFolder

__all__ = ["Show"]

CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, kw_only=True)
class Show(Command):
    """Show a stored run: spec, status, origin, curves, readings, final metrics.

    Args:
        run: Name or signature of its folder, or the beginning of one.
        root: Folder that holds all runs.
        rows: Number of rows of the table of curves.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    root: Root = Path("runs")
    rows: int = 12

    def execute(self) -> int:
        """Print the run; 1 if it is damaged or failed."""
        from spectraledge.cli.console import make_console
        from spectraledge.store import Catalogue

        folder, console = Catalogue(self.root).get(self.run), make_console()
        status = folder.status()
        console.print(folder.path.name, style="bold")
        console.print(f"{folder.path}  {status.state}")
        for reason in status.reasons:
            console.print(f"  {reason}", style="red")
        if status.state == "damaged":
            console.print("Its files are not read. Asking for the run again sets this folder aside "
                          "and trains anew.")  # fmt: skip
            return 1
        _show_spec(folder, console)
        _show_state(folder, status.state, console)
        _show_curves(folder, console, self.rows)
        if status.state == "failed":
            console.print("\n" + folder.read_failure()["traceback"], style="red")
        return 1 if status.state == "failed" else 0


def _show_spec(folder: RunFolder, console: Console) -> None:
    from spectraledge.cli.console import make_table

    table = make_table("spec", "")
    spec = json.loads(folder.read_spec())
    for name, value in spec.items():
        if name != "type":
            table.add_row(name, _text(value))
    console.print(table)


def _text(value: Any) -> str:
    """A part of a spec as it would be written in Python."""
    if isinstance(value, dict):
        fields = ", ".join(f"{k}={_text(v)}" for k, v in value.items() if k != "type")
        return f"{value.get('type', '')}({fields})"
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    return repr(value)


def _show_state(folder: RunFolder, state: str, console: Console) -> None:
    from spectraledge.cli.console import duration, make_table
    from spectraledge.cli.standing import checkpoint_step

    table = make_table("origin" if state == "done" else "state", "")
    if state == "done":
        origin = folder.read_origin()
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        table.add_row("started", origin.started)
        table.add_row("finished", origin.finished)
        table.add_row("computing", f"{duration(origin.seconds)} on {origin.device}, "
                      f"{origin.threads} threads, {origin.machine}")  # fmt: skip
        table.add_row("versions", versions)
    else:
        table.add_row("goes on from", f"step {checkpoint_step(folder)}")
        table.add_row("now", "being trained" if _is_claimed(folder) else "nobody trains it")
    table.add_row("readings", "\n".join(folder.readings()) or "none")
    table.add_row("snapshots", str(len(folder.snapshot_steps())))
    console.print(table)


def _is_claimed(folder: RunFolder) -> bool:
    from spectraledge.store import ClaimedError

    try:
        with folder.claim(wait=False):
            return False
    except ClaimedError:
        return True


def _show_curves(folder: RunFolder, console: Console, rows: int) -> None:
    from spectraledge.cli.console import make_table, number
    from spectraledge.cli.standing import mean_ranks

    try:
        curves = folder.read_curves()
    except FileNotFoundError:
        console.print("No curves yet.")
        return
    ranks = mean_ranks(folder)
    at = dict(zip(ranks.pop("rank_step", []), zip(*ranks.values())))
    columns = [name.replace("_", " ") for name in ("step", *CURVES, *ranks)]
    table = make_table(*columns, right=columns)
    for index in _thinned(len(curves["step"]), rows):
        step = curves["step"][index]
        values = [curves[name][index] for name in CURVES] + list(at.get(step, ()))
        table.add_row(str(step), *map(number, values))
    console.print(table)
    _show_last({name: float(values[-1]) for name, values in curves.items()}, console)


def _show_last(last: dict[str, float], console: Console) -> None:
    """Metrics of the last record: a row per part of the data, a column per kind."""
    from spectraledge.cli.console import make_table, number

    parts = ("train", "validation", "test")
    found = {n.partition("_")[2]: None for n in last if n.partition("_")[0] in parts}
    kinds = sorted(found, key=lambda kind: (not kind.startswith("loss"), kind))
    columns = [f"step {last['step']:.0f}", *(kind.replace("_", " ") for kind in kinds)]
    table = make_table(*columns, right=columns[1:])
    for part in parts:
        table.add_row(part, *(number(last.get(f"{part}_{kind}")) for kind in kinds))
    console.print(table)
    if last["lost_at"] >= 0:
        console.print(f"diverged at step {last['lost_at']:.0f}", style="red")


def _thinned(count: int, rows: int) -> list[int]:
    """Evenly spaced positions, first and last included."""
    if count <= rows or rows < 2:
        return list(range(count))
    return [round(i * (count - 1) / (rows - 1)) for i in range(rows)]
