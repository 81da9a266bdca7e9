"""The balance of the gap flow of planted runs."""

import math

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_runs import GAP_FLOW, curve_name
from spectraledge.experiments.spectral_edge.gap_balance import (
    balance_class,
    gap_series,
    term_shares,
)
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

STEPS = np.arange(0, 3001, 100)


def row(sizes, scales=(1.0, 1.0, 1.0), noise=0.0):
    """A run whose gap moves by scaled terms of given sizes, and noise."""
    chance = np.random.default_rng(0)
    terms = chance.normal(size=(STEPS.size, 3)) * np.array(sizes)
    changes = terms[:-1] @ np.array(scales) + noise * chance.normal(size=STEPS.size - 1)
    gap = np.concatenate([[0.0], np.cumsum(changes)])
    curves = {"step": STEPS, "lost_at": np.full(STEPS.size, -1)}
    curves[curve_name(GAP_FLOW, "step")] = STEPS
    curves[curve_name(GAP_FLOW, "gap", "12")] = gap
    for name, values in zip(("curvature", "damping", "driving"), terms.T):
        curves[curve_name(GAP_FLOW, f"{name}_term", "12")] = values
    spec = RunSpec(steps=3000)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def test_the_largest_term_names_the_class():
    assert balance_class(row((0.1, 0.1, 1.0)))[0] == "functional"
    assert balance_class(row((0.1, 1.0, 0.1)))[0] == "compression"
    name, margin = balance_class(row((1.0, 0.1, 0.1)))
    assert name == "mixed"
    assert 0 < margin <= 0.5


def test_shares_are_of_the_last_third():
    shares = term_shares(row((1.0, 1.0, 1.0)))
    assert set(shares) == {"curvature", "damping", "driving"}
    assert all(0 < share < 1 for share in shares.values())


def test_a_flow_that_moves_the_gap_is_found():
    series = gap_series(row((1.0, 1.0, 1.0)), "12")
    assert series.agreement() == 1.0
    assert series.fitted() == pytest.approx(1.0)
    # Wrong constants, right terms: signs may differ, a scale a term repairs it.
    assert gap_series(row((1.0, 1.0, 1.0), scales=(3.0, 0.1, 20.0)), "12").fitted() == (
        pytest.approx(1.0)
    )


def test_terms_that_say_nothing_fit_nothing():
    found = [gap_series(row((1.0, 1.0, 1.0), scales=(0, 0, 0), noise=1.0), "12")]
    # Standard deviation of an adjusted share of 3 scales and 30 changes: about √(2·3)/30 · 1.5.
    assert abs(found[0].fitted()) < 4 * 0.12
    assert abs(found[0].agreement() - 0.5) < 4 * 0.5 / math.sqrt(30)


def test_runs_that_were_not_measured_have_no_class():
    spec = RunSpec(steps=3000)
    curves = {"step": STEPS, "lost_at": np.full(STEPS.size, -1)}
    bare = Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)
    assert balance_class(bare)[0] == ""
    assert gap_series(bare, "12").changes.size == 0
    assert math.isnan(gap_series(bare, "23").fitted())
