"""The page on the phase diagram finds planted regions, under every way of comparing them."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from experiments.planted import planted_ledger, planted_row
from spectraledge.experiments.low_rank_decay.phase_cells import diagram, mirror_share, step_length
from spectraledge.experiments.low_rank_decay.phase_claims import stratified_mean
from spectraledge.experiments.low_rank_decay.published_phase_diagram import (
    LABELS,
    STUDY,
    Cell,
    grid_runs,
)
from spectraledge.experiments.low_rank_decay.released_diagram import (
    released_value,
    released_values,
)
from spectraledge.experiments.low_rank_decay.sizes import PUBLISHED, REDUCED, size_of
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.linalg import polar_factor
from spectraledge.report import write
from spectraledge.series import mean_interval


@cache
def bare(scale):
    return tuple(planted_ledger(STUDY, scale, lambda spec: None))


def rows(score, scale="demo"):
    """Runs whose accuracy is what `score` says of the cell; failures show the mirror share."""
    size = size_of(scale)
    known = Known(Ledger(bare(scale)), STUDY.until)
    found = []
    for cell, of_cell in grid_runs(size).items():
        for spec in of_cell:
            row = known.row(spec)
            value = score(cell, size)
            if value is None:
                value = mirror_share(spec) if cell.protocol == "published" else 0.0
            value += np.random.default_rng([spec.seed, len(repr(cell))]).normal(0, 0.004)
            flat = np.full(row.curves["step"].size, value)
            curves = {**row.curves, "validation_accuracy": flat, "test_accuracy": flat}
            found.append(replace(row, curves=curves))
    return found


def by_length(cell, size):
    """Only the length of the step decides, and the train fraction."""
    strong = step_length(cell.decay, cell.label, size) > 1e-3
    return 0.98 if strong and cell.fraction > 0.35 else None


def by_decay(cell, size):
    return 0.98 if cell.decay == "LRD" and cell.fraction > 0.35 else None


def reversed_roles(cell, size):
    return 0.98 if cell.decay == "L2" else 0.2


def page_of(found, scale="demo"):
    return STUDY.page(Known(Ledger(found), STUDY.until), scale)


def statuses(page):
    return [v.status for v in page.verdicts]


def test_an_advantage_of_length_only_is_none_at_equal_length():
    page = page_of(rows(by_length))
    assert statuses(page) == ["holds", "holds", "holds", "fails", "holds"]
    published, won, fair, equal, _ = page.verdicts
    assert won.observed.startswith("20 of 20, share 1.000")
    # Four labels above 1e-3 of low-rank decay and none of L2, at five of six fractions.
    assert "only low-rank decay: 20, only L2: 0, of 36 cells" in published.observed
    assert "in 20 of 36 cells, L2 in 0" in fair.observed
    assert "in 0 of 12 cells, L2 in 0" in equal.observed
    assert "0.01 of L2 with 0.0001, 0.05 of L2 with 0.0005" in equal.explanation


def test_an_advantage_of_the_direction_stays_at_equal_length():
    assert statuses(page_of(rows(by_decay))) == ["holds"] * 5


def test_cells_won_by_the_leak_and_lost_at_the_end_are_told():
    """Low-rank decay wins as published, and on the mirror-safe split never."""
    page = page_of(
        rows(lambda cell, size: by_decay(cell, size) if cell.protocol == "published" else 0.1)
    )
    assert statuses(page) == ["holds", "fails", "fails", "fails", "holds"]
    assert "0 of 30, share 0.000" in page.verdicts[1].observed


def test_the_opposite_is_found_as_well():
    page = page_of(rows(reversed_roles))
    assert statuses(page) == ["fails", "undecided", "fails", "fails", "undecided"]
    assert page.verdicts[1].observed == "no cell won"
    assert page.verdicts[4].observed == "no cell failed"


def test_failed_cells_away_from_the_mirror_share_are_told():
    page = page_of(rows(lambda cell, size: 0.05))
    assert page.verdicts[4].status == "fails"


def test_step_lengths_are_those_of_the_first_step():
    """Label times the released direction, over the norm of a matrix at its initialisation."""
    width = REDUCED.model.width
    weight = torch.rand(64, width, width, generator=torch.manual_seed(0), dtype=torch.float64)
    weight = (2 * weight - 1) / width**0.5
    step = 5e-3 * polar_factor(weight, method="published")
    length = (step.norm(dim=(1, 2)) / weight.norm(dim=(1, 2))).mean()
    # The factor of a size is written with two digits.
    assert step_length("LRD", 5e-3, REDUCED) == pytest.approx(float(length), rel=0.02)
    # Decoupled weight decay of ten times the label at the released learning rate of 1e-3.
    assert step_length("L2", 5e-3, REDUCED) == pytest.approx(1e-3 * 10 * 5e-3)


def test_scores_are_best_validation_and_last_test_accuracy():
    runs = grid_runs(REDUCED)
    cells = [Cell("published", "L2", 0.5, 1e-4), Cell("fair", "L2", 0.5, 1e-4)]
    ledger = Ledger()
    for cell in cells:
        row = planted_row(runs[cell][0], None)
        steps = row.curves["step"]
        curves = {
            "validation_accuracy": np.where(steps == 1000, 0.7, 0.5),
            "test_accuracy": np.where(steps == steps[-1], 0.6, 0.9),
        }
        ledger.add(replace(row, curves={**row.curves, **curves}))
    found = diagram(Known(ledger, None), runs, REDUCED)
    place = ("L2", 0.5, 1e-4)
    assert found.of("published", *place) == found.of("fair, best", *place) == {0: 0.7}
    assert found.of("fair", *place) == {0: 0.6}
    assert np.isnan(found.means("fair", "LRD")).all()


def test_stratified_means_cover():
    """Three groups of two or three seeds whose spread differs: 95 %, to a simulation error of 1."""
    generator = np.random.default_rng(0)
    means, spreads, sizes = (0.1, 0.5, 0.9), (0.02, 0.2, 0.1), (3, 3, 2)
    covered = 0
    for _ in range(1000):
        groups = [generator.normal(*g).tolist() for g in zip(means, spreads, sizes)]
        found = stratified_mean(groups)
        covered += found.lower <= 0.5 <= found.upper
    # Welch and Satterthwaite's interval errs on the wide side with so few degrees of freedom.
    assert 920 < covered <= 990


def test_stratified_means_of_equal_groups_are_the_plain_ones():
    values = [0.1, 0.4, 0.3]
    assert stratified_mean([values]) == mean_interval(values)
    assert stratified_mean([[0.2], values]).lower == -np.inf
    assert stratified_mean([[0.2, 0.2]]).upper == 0.2
    assert stratified_mean([]) is None


def test_released_cells_are_where_they_belong():
    assert released_values("LRD").shape == (6, len(LABELS))
    assert released_value("LRD", 0.4, 1e-2) == released_values("LRD")[4, 4] == 0.977
    # Failed cells of L2 are the mirror share of the validation set, to their reading.
    first = grid_runs(PUBLISHED)[Cell("published", "L2", 0.5, 1e-4)][0]
    assert mirror_share(first) == pytest.approx(released_value("L2", 0.5, 1e-4), abs=0.02)


def test_cells_at_the_published_size_stand_beside_the_released_ones():
    cell = Cell("published", "LRD", 0.5, 5e-3)
    spec = grid_runs(PUBLISHED)[cell][0]
    page = page_of([*bare("demo"), planted_row(spec, 1000)])
    table = next(s for s in page.sections if "published size" in s.title).items[0]
    assert table.rows == [("published", "LRD", "0.5", "0.005", 0.989, "1.000 (one seed)", 1)]


def test_nothing_known_is_a_page(tmp_path):
    page = page_of([])
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_a_smoke_run_decides_nothing(tmp_path):
    page = page_of(rows(by_length, "smoke"), "smoke")
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_any_part_of_the_rows_is_a_page():
    found = rows(by_length)
    for seed in range(4):
        kept = np.random.default_rng(seed).random(len(found)) < (seed + 1) / 20
        page_of(row for row, there in zip(found, kept) if there)
