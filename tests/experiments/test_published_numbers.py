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
    sign_at,
    whether,
)
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

REGIME = edge_regimes("demo")[DYCK]


def row(value):
    spec = REGIME.runs()[0]
    curves = {"x/step": np.array([0, 100, 200]), "x/y": np.array([5.0, value, 7.0])}
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


ROWS = {DECAY: {42: row(1.0), 1: row(2.0), 2: row(3.0)}}


def verdict(value, seeds=1, rows=ROWS, **more):
    number = PublishedNumber("y", value, at("x/y", 150), DECAY, seeds, **more)
    ((*_, found),) = number_rows([number], rows, 42)
    return found


def runs(*values):
    return {DECAY: {seed: row(value) for seed, value in zip((42, 1, 2, 3, 4), values)}}


def test_a_number_is_within_what_further_seeds_may_show():
    # 2 ± 4.303 · √(1 + 1/3) for one further seed, and √(2/3) for the mean of three.
    # Numbers as printed may be half a unit of their last digit away.
    assert [verdict(v) for v in (6.97, 6.99, 7.0)] == ["within", "outside", "within"]
    assert [verdict(v, seeds=3) for v in (5.51, 5.53)] == ["within", "outside"]


def test_seeds_say_nothing_of_what_none_of_them_changes():
    same = runs(0.0813, 0.0813, 0.0813)
    assert verdict(0.081, rows=same) == "within"  # as printed
    assert verdict(0.093, rows=same) == "–"
    assert verdict(0.087, rows=runs(0.080, 0.0813, 0.0825)) == "within"
    # A scatter that shows beside the printed digits decides as before.
    assert verdict(0.25, rows=runs(0.0713, 0.0813, 0.0913)) == "outside"


def test_two_seeds_decide_nothing():
    assert verdict(2.0, rows={DECAY: {42: row(1.0), 1: row(2.0)}}) == "–"


def test_a_number_that_no_run_has_is_not_run():
    gone = PublishedNumber("z", 1.0, at("x/z", 150), DECAY)
    ours = PublishedNumber("z", 1.0, lambda row: float("nan"), DECAY)
    for rows in ({}, {DECAY: {}}, ROWS):
        line = (f"z, {DECAY}", "1", "–", "–", "not run")
        assert number_rows([gone, ours], rows, 42) == [line, line]
    # The table of the published size says so already.
    assert number_rows([gone], ROWS, 42, same_size=False) == []


def test_seeds_without_a_number_are_told():
    def small(run):
        return value if (value := at("x/y", 150)(run)) < 4 else np.nan

    number = PublishedNumber("y", 1.5, small, DECAY)
    ((*_, mean, _),) = number_rows([number], runs(1.0, 5.0, 3.0), 42)
    assert mean == "2 [-10.7, 14.7] (2 of 3)"
    ((*_, mean, _),) = number_rows([number], runs(1.0, 3.0), 42)
    assert mean == "2 [-10.7, 14.7]"


def test_what_scatters_by_factors_is_read_in_logarithms():
    # 10, 1000 and 0.1 have the geometric mean 10, and 2 decimal powers as deviation.
    rows = runs(10.0, 1000.0, 0.1)
    number = PublishedNumber("y", 48.1, at("x/y", 150), DECAY, kind="positive")
    ((_, _, own, mean, found),) = number_rows([number], rows, 42)
    assert (own, found) == ("10", "within")
    assert mean == "10 [0.000108, 929556] (geometric)"
    # In logarithms 10 ± 2 · 4.303 · √(4/3) decimal powers are within.
    reach = 2 * 4.3027 * np.sqrt(4 / 3)
    assert verdict(10 ** (1 + 0.99 * reach), rows=rows, kind="positive") == "within"
    assert verdict(10 ** (1 + 1.01 * reach), rows=rows, kind="positive") == "outside"
    # What is not positive has no logarithm, and is told as missing.
    ((*_, mean, _),) = number_rows([number], runs(10.0, 1000.0, 0.1, 0.0), 42)
    assert mean.endswith("(geometric, 3 of 4)")


def test_fractions_have_no_interval_beyond_one():
    number = PublishedNumber("y", 0.9, at("x/y", 150), DECAY, kind="fraction")
    ((*_, mean, _),) = number_rows([number], runs(0.5, 1.0, 1.0), 42)
    assert mean == "0.833 [0.116, 1]"


def test_shares_of_runs_have_exact_intervals_and_tests():
    does = whether(at("x/y", 150), lambda value: value > 1.5)
    rows = runs(1.0, 2.0, 3.0, 4.0, 5.0)

    def line(value, theirs):
        number = PublishedNumber("y", value, does, DECAY, theirs, kind="share")
        return number_rows([number], rows, 42)[0]

    assert line(15 / 18, 18)[1:] == ("15 of 18", "no", "0.8 [0.284, 0.995]", "within")
    assert line(1 / 18, 18)[1::3] == ("1 of 18", "outside")
    # Of one published run neither answer could be outside.
    assert line(1, 1)[1::3] == ("yes", "–")
    assert line(0, 1)[1::3] == ("no", "–")


def test_a_run_without_the_number_does_neither():
    does = whether(at("x/z", 150), lambda value: value > 1.5)
    assert np.isnan(does(row(1.0)))
    assert (sign_at("x/y", 150)(row(-3.0)), sign_at("x/y", 150)(row(0.5))) == (-1.0, 1.0)
    assert np.isnan(sign_at("x/z", 150)(row(-3.0)))


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
    group = EdgeGroup(DYCK, REGIME, ROWS)
    assert len(numbers_section([number], group)) == 1
    # Nor have pages that would say "not run" alone.
    assert numbers_section([PublishedNumber("z", 1.0, at("x/z", 150), DECAY)], group) == []


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
