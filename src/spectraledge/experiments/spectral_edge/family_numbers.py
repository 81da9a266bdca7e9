"""How many runs of all tasks together generalise, with decay and without."""

from __future__ import annotations

from collections.abc import Iterable

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.gap_numbers import generalises
from spectraledge.experiments.spectral_edge.published_numbers import PublishedNumber
from spectraledge.lab.rows import Row

__all__ = ["family_numbers"]

# Four families in the papers, modular arithmetic with one and with several operations apart.
PUBLISHED_RUNS = 24
FAMILIES = "our three of four families"

Rows = dict[str, dict[int, Row]]


def family_numbers(groups: Iterable[EdgeGroup]) -> tuple[tuple[PublishedNumber, ...], Rows]:
    """Published counts, and the runs that they are beside.

    Args:
        groups: The tasks, each with its own accuracy that counts.

    Returns:
        The numbers, and all rows by condition and a number of their own.
    """
    tasks = list(groups)
    pairs = {
        condition: [(row, g.regime.metric) for g in tasks for row in g.rows[condition].values()]
        for condition in (DECAY, NO_DECAY)
    }
    metrics = {id(row): metric for found in pairs.values() for row, metric in found}

    def read(row: Row) -> float:
        return generalises(row, metrics[id(row)])

    # Of runs without decay the text has none, and the abstract of the second paper one.
    counts = ((DECAY, PUBLISHED_RUNS, ""), (NO_DECAY, 0, ""), (NO_DECAY, 1, ", in an abstract"))
    numbers = tuple(
        PublishedNumber(
            f"Runs that generalise, {FAMILIES}{where}", count / PUBLISHED_RUNS, read, condition,
            PUBLISHED_RUNS, kind="share",
        )
        for condition, count, where in counts
    )  # fmt: skip
    rows = {c: {n: row for n, (row, _) in enumerate(found)} for c, found in pairs.items()}
    return numbers, rows
