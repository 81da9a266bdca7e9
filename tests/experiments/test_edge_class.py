"""The class of an edge: which numbers decide, and which cannot."""

from dataclasses import replace
from math import inf, isnan, nan

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_class import edge_numbers, run_class
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, SCAN, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    RESPONSE,
    SPLIT,
    EdgeGroup,
    curve_name,
)
from spectraledge.lab.rows import Row
from spectraledge.series import EdgeNumbers, universality_class
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

FUNCTIONAL = EdgeNumbers(
    decay_share=0.1, gradient_share=0.9, special=1.5, gamma=9.0, peak=0.3, overlap=0.5, turn=0.0
)
DECAYED, DRIVEN = (
    (SPLIT, "interval_share", "weight_decay"),
    (SPLIT, "energy_share", "gradient", "v1"),
)
MATCHED, SPECIAL = (ABLATION, "accuracy_change", "matched"), (ABLATION, "edge_over_matched")
OWN, RANDOM, WEIGHTS = ((RESPONSE, "concentration", d) for d in ("v1", "random", "weights"))
LATE = {
    DECAYED: 0.1,
    DRIVEN: 0.9,
    (ABLATION, "accuracy"): 0.9,
    MATCHED: -0.3,
    SPECIAL: 2.0,
    OWN: 0.8,
    RANDOM: 0.6,
    WEIGHTS: 0.5,
}


def row(changed=None):
    """A functional run with other values in its last third where they are given."""
    steps = np.arange(0, 301, 100)
    curves = {"step": steps, "lost_at": np.full(steps.size, -1)}
    for (instrument, *parts), value in (LATE | (changed or {})).items():
        curves[curve_name(instrument, "step")] = steps
        # What was before does not count.
        curves[curve_name(instrument, *parts)] = np.where(steps < 200, -9.0, value)
    spec = RunSpec(steps=300)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def numbers_of(changed=None):
    return edge_numbers(row(changed))


def class_of(changed=None):
    return universality_class(numbers_of(changed))[0]


def test_planted_rows_of_every_class():
    assert class_of() == "functional"
    assert class_of({DECAYED: 0.6, SPECIAL: 0.5}) == "compression"
    assert class_of({DRIVEN: 0.4}) == "mixed"
    assert class_of({SPECIAL: 1.2}) == "mixed"


def test_the_peak_is_beyond_both_controls():
    assert numbers_of().peak == pytest.approx(0.2)
    assert numbers_of({WEIGHTS: 0.75}).peak == pytest.approx(0.05)
    assert class_of({WEIGHTS: 0.75}) == "mixed"
    # Twice the share of a direction that has 0.6 does not exist; 0.1 more does.
    assert class_of({OWN: 0.71}) == "functional"


def test_controls_that_leave_no_room_decide_nothing():
    full = numbers_of({RANDOM: 0.95, OWN: 1.0})
    assert isnan(full.peak)
    assert universality_class(full)[0] == ""
    # A control that costs all accuracy but a little cannot be surpassed 1.3 times.
    fatal = numbers_of({MATCHED: -0.85, SPECIAL: 1.05})
    assert fatal.most_special == pytest.approx(0.9 / 0.85)
    assert universality_class(fatal)[0] == ""
    assert universality_class(replace(fatal, peak=0.0)) == ("mixed", pytest.approx(0.75))


def test_ratios_to_a_control_that_costs_nothing_are_not_told():
    for lost in (-0.019, 0.0, 0.3):
        numbers = numbers_of({MATCHED: lost, SPECIAL: -9.6e15})
        assert isnan(numbers.special)
        assert isnan(numbers.most_special)
        assert universality_class(numbers)[0] == ""
        # Neither class nor margin hangs on it where something else decides.
        assert universality_class(replace(numbers, peak=0.05)) == ("mixed", pytest.approx(0.5))
    assert numbers_of({MATCHED: -0.02}).special == 2.0


def test_labels_without_order_have_no_peak():
    groups = {name: EdgeGroup(name, edge_regimes("demo")[name], {}) for name in (DYCK, SCAN)}
    flat = row({OWN: 0.1})
    assert run_class(groups[DYCK], flat)[1] == "mixed"
    numbers, name, margin = run_class(groups[SCAN], flat)
    assert isnan(numbers.peak)
    assert (name, margin) == ("functional", pytest.approx(2.0 / 1.3 - 1))


def test_a_missing_number_matters_only_where_it_would_decide():
    unknown = universality_class(replace(FUNCTIONAL, decay_share=nan))
    assert unknown == ("functional", pytest.approx(1.5 / 1.3 - 1))
    assert universality_class(replace(FUNCTIONAL, decay_share=nan, special=0.8))[0] == ""
    assert universality_class(replace(FUNCTIONAL, special=nan))[0] == ""
    assert universality_class(replace(FUNCTIONAL, special=nan, gradient_share=0.4))[0] == "mixed"
    assert FUNCTIONAL.most_special == inf
