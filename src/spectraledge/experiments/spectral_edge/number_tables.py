"""Every published number of the spectral edge beside ours, by subject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spectraledge.experiments.spectral_edge.displacement_curves import (
    FOURTH_NUMBERS,
    displacement_groups,
)
from spectraledge.experiments.spectral_edge.dyck_numbers import EDGE_NUMBERS, RELEASE_NUMBERS
from spectraledge.experiments.spectral_edge.dyck_probes import probe_group
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, MODULAR, SCAN
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, edge_groups
from spectraledge.experiments.spectral_edge.family_numbers import family_numbers
from spectraledge.experiments.spectral_edge.gap_numbers import GAP_NUMBERS
from spectraledge.experiments.spectral_edge.gap_without_decay import (
    GAP_CONTROL_NUMBERS,
    control_group,
)
from spectraledge.experiments.spectral_edge.late_claims import LATE_NUMBERS
from spectraledge.experiments.spectral_edge.late_scan import late_group
from spectraledge.experiments.spectral_edge.modular_numbers import MODULAR_NUMBERS
from spectraledge.experiments.spectral_edge.probe_numbers import PROBE_NUMBERS
from spectraledge.experiments.spectral_edge.published_numbers import PublishedNumber, number_rows
from spectraledge.experiments.spectral_edge.release_runs import release_group
from spectraledge.experiments.spectral_edge.scan_numbers import scan_numbers
from spectraledge.experiments.study import Known

__all__ = ["number_tables"]

REDUCED_SCAN = "SCAN, reduced size"
Subject = tuple[str, tuple[PublishedNumber, ...], EdgeGroup]


def number_tables(known: Known) -> dict[str, list[tuple[str, ...]]]:
    """Every published number beside ours, also those that no run of ours holds.

    Args:
        known: Rows.

    Returns:
        Lines under `COLUMNS` by the subject of the table. The reduced SCAN has those alone that
        its runs hold, since its numbers stand under the published size too.
    """
    tables = {
        subject: number_rows(
            numbers, group.rows, group.regime.published_seed, same_size=subject != REDUCED_SCAN
        )
        for subject, numbers, group in _subjects(known)
    }
    return {subject: lines for subject, lines in tables.items() if lines}


def _subjects(known: Known) -> Iterator[Subject]:
    reduced, full = (edge_groups(known, scale) for scale in ("demo", "full"))
    yield "generalising and the gap until then", GAP_NUMBERS, reduced[DYCK]
    control = control_group(known, "demo")
    yield "the gap without decay", GAP_CONTROL_NUMBERS, control
    yield "the gap on modular addition", MODULAR_NUMBERS, reduced[MODULAR]
    counts, rows = family_numbers((reduced[DYCK], reduced[MODULAR], full[SCAN]))
    yield "generalising in all tasks", counts, replace(reduced[DYCK], rows=rows)
    yield "the edge", EDGE_NUMBERS, reduced[DYCK]
    yield "the fourth direction", FOURTH_NUMBERS, displacement_groups(known, "demo")[DYCK]
    yield "probes, attention and geometry", PROBE_NUMBERS, probe_group(known, "demo")
    release = release_group(known, "demo")
    yield "release of decay, with a new optimizer", RELEASE_NUMBERS, release
    yield "SCAN, published size", scan_numbers(full[SCAN].regime), full[SCAN]
    late = late_group(known, "full")
    yield "SCAN, published size, at the paper's steps after 3000", LATE_NUMBERS, late
    yield REDUCED_SCAN, scan_numbers(reduced[SCAN].regime), reduced[SCAN]
