"""What is said about a sweep after and instead of training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from spectraledge.cli.sweep_display import SweepDisplay
    from spectraledge.experiments.study import Stage
    from spectraledge.lab import Plan
    from spectraledge.lab.ledger import Ledger
    from spectraledge.lab.sweep import Board
    from spectraledge.training import RunSpec

__all__ = ["left_behind", "look", "tell_end", "tell_status"]

MOST_REASONS = 5


def tell_status(stage: Stage, plan: Plan, ledger: Ledger, console: Console) -> tuple[int, int]:
    """Say where a stage of a sweep stands, by ledger and run folders.

    Args:
        stage: What is wanted.
        plan: Where and how.
        ledger: What is known; what the folders hold is added to it.
        console: Where to print.

    Returns:
        Number of failed runs, and of runs without a result.
    """
    from spectraledge.cli.sweep_display import SweepDisplay
    from spectraledge.lab.sweep import Board

    display = SweepDisplay(Board(), stage, console)
    missing = look(display, ledger, plan)
    begun = _count_begun(missing, plan)
    failed = tell_end(display, console)
    if missing:
        console.print(f"{begun} runs are begun, {len(missing) - begun} are not begun.")
    return failed, len(missing)


def look(display: SweepDisplay, ledger: Ledger, plan: Plan) -> list[RunSpec]:
    """Take what the run folders hold into the ledger, as far as it is wanted.

    Args:
        display: Knows what is wanted; its board notes what has a result.
        ledger: What is known.
        plan: Where runs are stored.

    Returns:
        Runs that are wanted and have no result.
    """
    from spectraledge.lab.rows import stored_row

    board = display.board
    missing: dict[RunSpec, None] = {}
    known = board.rows
    while new := [s for s in display.wanted(ledger) if s not in known and s not in missing]:
        for spec in new:
            row = ledger.get(spec, plan.until) or stored_row(spec, plan)
            if row is None:
                missing[spec] = None
            else:
                ledger.add(row)
                board.settle(spec, row)
        known = board.rows
    board.want(display.specs)
    return list(missing)


def tell_end(display: SweepDisplay, console: Console) -> int:
    """Show the results of a sweep, and its failures.

    Args:
        display: Knows what was wanted, and what came out.
        console: Where to print.

    Returns:
        Number of failed runs.
    """
    if display.specs:
        console.print(display.picture())
        console.print()
    _tell_failures(display.board, console)
    counts = Counter[str](row.state for row in display.board.rows.values())
    words = {"done": "trained to the end", "decided": "decided before", "failed": "failed"}
    told = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    known = f"{counts.total()} of {len(display.specs)} runs have a result"
    console.print(f"{known}: {told}." if told else f"{known}.")
    return counts["failed"]


def _tell_failures(board: Board, console: Console) -> None:
    """A line for each reason, with one of the runs that failed for it."""
    failed: dict[str, list[str]] = defaultdict(list)
    for row in board.rows.values():
        if row.state == "failed":
            lines = row.failure.strip().splitlines() or ["nobody knows why"]
            failed[lines[-1]].append(f"{row.name}-{row.signature}")
    for reason, names in list(failed.items())[:MOST_REASONS]:
        # A reason is quoted whole, in one line.
        told = f"{len(names)} failed, e.g. {names[0]}: {reason}"
        console.print(told, style="red", soft_wrap=True)
    if len(failed) > MOST_REASONS:
        console.print(f"and {len(failed) - MOST_REASONS} other reasons", style="red")


def left_behind(specs: Iterable[RunSpec], ledger: Ledger, plan: Plan) -> str:
    """What Ctrl-C leaves, in a sentence."""
    wanted = list(specs)
    missing = [spec for spec in wanted if ledger.get(spec, plan.until) is None]
    begun = _count_begun(missing, plan)
    others = f", {begun} begun ones go on from their last save" if begun else ""
    return f"{len(wanted) - len(missing)} of {len(wanted)} runs have a result{others}."


def _count_begun(specs: Iterable[RunSpec], plan: Plan) -> int:
    return sum(plan.folder(spec).status(thorough=False).state == "partial" for spec in specs)
