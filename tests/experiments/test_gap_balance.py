"""The balance of the gap flow of planted runs."""

import math

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_runs import GAP_FLOW, curve_name
from spectraledge.experiments.spectral_edge.gap_balance import (
    FEWEST,
    GapSeries,
    balance_class,
    gap_series,
    term_shares,
)
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

STEPS = np.arange(0, 6001, 100)


def row(terms, gap):
    """A run with these terms ``(T, 3)`` and gaps ``(T,)``."""
    curves = {"step": STEPS, "lost_at": np.full(STEPS.size, -1)}
    curves[curve_name(GAP_FLOW, "step")] = STEPS
    curves[curve_name(GAP_FLOW, "gap", "12")] = gap
    for name, values in zip(("curvature", "damping", "driving"), terms.T):
        curves[curve_name(GAP_FLOW, f"{name}_term", "12")] = values
    spec = RunSpec(steps=6000)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def noise(*sizes, seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS.size, len(sizes))) * np.array(sizes)


def moved(terms, scales=(1.0, 1.0, 1.0)):
    """A run whose gap moves by scaled terms."""
    changes = terms[:-1] @ np.array(scales)
    return row(terms, np.concatenate([[0.0], np.cumsum(changes)]))


def late_sizes(index, large=1.0):
    """Terms of random sign, one of which is large in the last third."""
    late = STEPS >= 4000
    sizes = np.full((STEPS.size, 3), 0.1)
    sizes[late, index] = large
    sizes[~late, (index + 1) % 3] = 5.0  # what was large before does not count
    return sizes * np.sign(noise(1, 1, 1))


def test_the_largest_term_of_the_last_third_names_the_class():
    for index, name in ((2, "functional"), (1, "compression"), (0, "mixed")):
        found, margin = balance_class(moved(late_sizes(index)))
        assert found == name
        # 1 of 1.2 has this share, and of two small ones 0.1 of 1.2; constant and gap take some.
        planted = 1 / 1.2 - 0.5 if index else 0.5 - 0.1 / 1.2
        assert margin == pytest.approx(planted, abs=0.1)


def test_terms_are_compared_as_the_gap_follows_them():
    # Damping has the largest number and hardly moves the gap: units do not close.
    terms = noise(1, 1000, 1)
    assert balance_class(moved(terms, (0.2, 1e-4, 2.0)))[0] == "functional"
    assert balance_class(moved(terms, (0.2, 1e-2, 2.0)))[0] == "compression"
    assert balance_class(moved(terms, (2.0, 1e-4, 0.2)))[0] == "mixed"
    assert gap_series(moved(terms, (0.2, 1e-4, 2.0)), "12").scales() == pytest.approx(
        [0.2, 1e-4, 2.0]
    )


def test_a_term_that_moves_the_gap_the_other_way_names_no_class():
    assert balance_class(moved(noise(1, 1, 1), (0.2, 0.2, -2.0)))[0] == ""
    assert balance_class(moved(noise(1, 1, 1), (-2.0, 0.2, 0.2)))[0] == "mixed"


def test_terms_that_explain_nothing_name_no_class():
    rows = [
        row(noise(1, 1, 1, seed=seed), np.cumsum(noise(1, seed=100 + seed))) for seed in range(10)
    ]
    named = [balance_class(r)[0] for r in rows if gap_series(r, "12").fitted() <= 0]
    assert named
    assert set(named) == {""}


def test_shares_are_medians_of_scaled_sizes():
    signs = np.sign(noise(1, 1, 1))
    shares = term_shares(moved(np.array([1.0, 2.0, 1.0]) * signs, (1.0, 0.5, 2.0)))
    expected = {"curvature": 0.25, "damping": 0.25, "driving": 0.5}
    assert shares == pytest.approx(expected, abs=0.06)


def test_a_flow_that_moves_the_gap_is_found():
    series = gap_series(moved(noise(1, 1, 1)), "12")
    # Both signs are as frequent, and always equal.
    assert series.agreement() == pytest.approx(0.5, abs=0.02)
    assert series.fitted() == pytest.approx(1.0)
    # Wrong constants, right terms: a scale a term repairs it.
    assert gap_series(moved(noise(1, 1, 1), (3.0, 0.1, 20.0)), "12").fitted() == pytest.approx(1.0)


def test_terms_that_are_always_negative_agree_by_chance_only():
    gap = np.exp(0.5 * noise(1.0)[:, 0])
    series = gap_series(row(-np.abs(noise(1, 1, 1)), gap), "12")
    assert 0 < np.mean(series.changes < 0) < 1
    assert series.agreement() == 0


@pytest.mark.parametrize("count", [3, FEWEST, STEPS.size])
def test_gaps_that_only_close_or_are_few_are_told_by_no_sign(count):
    steps = np.arange(count)
    few = GapSeries(steps, np.where(steps % 2, 1.0, -1.0), steps + 1.0, noise(1, 1, 1)[:count])
    assert math.isnan(few.agreement()) == (count < FEWEST)
    closing = GapSeries(steps, -1.0 - steps, steps + 1.0, noise(1, 1, 1)[:count])
    assert math.isnan(closing.agreement())


def test_damping_of_a_gap_that_fluctuates_explains_nothing():
    found = []
    for seed in range(40):
        gap = np.exp(0.5 * noise(1.0, seed=seed)[:, 0])
        terms = noise(1e-3, 1e-3, 1e-3, seed=100 + seed)
        terms[:, 1] -= 0.05 * gap
        found.append(gap_series(row(terms, gap), "12").fitted())
    # Mean of 40 adjusted shares, each of scatter √(2·3)/60.
    assert abs(np.mean(found)) < 4 * math.sqrt(6) / 60 / math.sqrt(40)


def test_damping_proportional_to_the_gap_cannot_be_told_from_relaxation():
    gap = np.exp(0.5 * noise(1.0)[:, 0])
    terms = noise(1e-3, 0.0, 1e-3, seed=1)
    terms[:, 1] = -0.05 * gap
    series = gap_series(row(terms, gap), "12")
    assert series.scales()[1] == 0.0
    still = gap_series(row(terms, np.linspace(1.0, 2.0, STEPS.size)), "12")
    assert math.isnan(still.fitted())  # a constant explains all, and nothing is left to explain


def test_runs_that_were_not_measured_have_no_class():
    spec = RunSpec(steps=6000)
    curves = {"step": STEPS, "lost_at": np.full(STEPS.size, -1)}
    bare = Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)
    assert balance_class(bare)[0] == ""
    assert gap_series(bare, "12").changes.size == 0
    assert term_shares(bare) == {}
    assert math.isnan(gap_series(bare, "23").fitted())
    assert math.isnan(gap_series(bare, "12").agreement())
