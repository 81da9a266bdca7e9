"""Published numbers beside planted runs."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.dyck_numbers import (
    EDGE_NUMBERS,
    RELEASE_NUMBERS,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.gap_numbers import GAP_NUMBERS
from spectraledge.experiments.spectral_edge.gap_without_decay import GAP_CONTROL_NUMBERS
from spectraledge.experiments.spectral_edge.modular_numbers import MODULAR_NUMBERS
from spectraledge.experiments.spectral_edge.probe_numbers import PROBE_NUMBERS
from spectraledge.experiments.spectral_edge.published_numbers import (
    PublishedNumber,
    _half_unit,
    at,
    mean_over_run,
    number_rows,
    numbers_section,
)
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

REGIME = edge_regimes("demo")[DYCK]


def row(value):
    spec = REGIME.runs()[0]
    curves = {"x/step": np.array([0, 100, 200]), "x/y": np.array([5.0, value, 7.0])}
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


ROWS = {DECAY: {42: row(1.0), 1: row(2.0), 2: row(3.0)}}


def verdict(value, seeds=1, rows=ROWS):
    number = PublishedNumber("y", value, at("x/y", 150), DECAY, seeds)
    ((*_, found),) = number_rows([number], rows, 42)
    return found


def test_a_number_is_within_what_further_seeds_may_show():
    # 2 ± 4.303 · √(1 + 1/3) for one further seed, and √(2/3) for the mean of three.
    # Numbers as printed may be half a unit of their last digit away.
    assert [verdict(v) for v in (6.97, 6.99, 7.0)] == ["within", "outside", "within"]
    assert [verdict(v, seeds=3) for v in (5.51, 5.53)] == ["within", "outside"]


def test_two_seeds_decide_nothing_and_runs_without_a_number_have_no_line():
    assert verdict(2.0, rows={DECAY: {42: row(1.0), 1: row(2.0)}}) == "–"
    gone = PublishedNumber("z", 1.0, at("x/z", 150), DECAY)
    assert number_rows([gone], ROWS, 42) == []


def test_cells_are_the_number_the_published_seed_and_the_mean():
    number = PublishedNumber("y", 1.5, mean_over_run("x/y"), DECAY, 3)
    ((quantity, paper, own, mean, _),) = number_rows([number], ROWS, 42)
    assert (quantity, paper) == (f"y, {DECAY}", "1.5 (3 seeds)")
    assert float(own) == np.round(13 / 3, 2)
    assert float(mean.split()[0]) == np.round(14 / 3, 2)


def test_a_number_of_another_run_stands_beside_that_run():
    number = PublishedNumber("y", 1.5, at("x/y", 150), DECAY, seed=2)
    ((_, _, own, _, _),) = number_rows([number], ROWS, 42)
    assert own == "3"


def test_other_sizes_have_no_table():
    group = EdgeGroup(DYCK, edge_regimes("smoke")[DYCK], ROWS)
    number = PublishedNumber("y", 1.0, at("x/y", 150), DECAY)
    assert numbers_section([number], group) == []
    assert len(numbers_section([number], EdgeGroup(DYCK, REGIME, ROWS))) == 1


def test_every_published_number_has_a_name_of_its_own():
    every = (
        EDGE_NUMBERS, PROBE_NUMBERS, RELEASE_NUMBERS, GAP_NUMBERS, GAP_CONTROL_NUMBERS,
        MODULAR_NUMBERS,
    )  # fmt: skip
    for numbers in every:
        names = [(n.quantity, n.condition, n.seeds) for n in numbers]
        assert len(set(names)) == len(names) > 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2.28, 0.005), (0.0935, 5e-5), (-0.4, 0.005), (6e-5, 5e-6), (17.8, 0.05)],
)
def test_half_a_unit_of_the_last_digit(value, expected):
    assert _half_unit(value) == pytest.approx(expected)
