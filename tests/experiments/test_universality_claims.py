"""Classes decide nothing until several seeds have one that the rule could have denied."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge import dyck_probes
from spectraledge.experiments.spectral_edge import universality_claims as claims
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    NO_DECAY,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    COORDINATE,
    GAP_FLOW,
    EdgeGroup,
    curve_name,
)
from spectraledge.experiments.spectral_edge.universality_coordinates import (
    depth_claims,
    wave_claims,
)
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature
from spectraledge.training import RunSpec

LATE = 3900


def group_of(name, decay, without=()):
    rows = {DECAY: dict(enumerate(decay)), NO_DECAY: dict(enumerate(without))}
    return EdgeGroup(name, edge_regimes("demo")[name], rows)


def row(**curves):
    """A run with curves of an instrument that is measured at every step given."""
    spec = RunSpec(steps=6000)
    own = {"step": np.arange(0, 6001, 100), "lost_at": np.full(61, -1), **curves}
    return Row(signature(spec), "planted", canonical_json(spec), "done", own, seconds=1.0)


@pytest.fixture
def verdicts(monkeypatch):
    """Verdicts on the class and on its dependence on decay, for planted classes by seed."""
    # A row stands for its own class.
    monkeypatch.setattr(claims, "run_class", lambda group, row: (None, row, 0.5 if row else np.nan))

    def found(decay, without=()):
        group = group_of(DYCK, decay, without)
        return claims._class_of(group), claims._decided_by_decay(group)

    return found


def statuses(found):
    return tuple(verdict.status for verdict in found)


def test_three_seeds_decide(verdicts):
    mixed, other = ["mixed"] * 3, ["functional"] * 3
    assert statuses(verdicts(other, other)) == ("fails", "holds")
    assert statuses(verdicts(other, mixed)) == ("fails", "fails")
    assert statuses(verdicts(mixed, other)) == ("holds", "fails")
    assert statuses(verdicts(other, [*mixed[:2], "functional"])) == ("fails", "undecided")
    assert statuses(verdicts([*mixed, "functional"], mixed)) == ("undecided", "undecided")


def test_classes_that_cannot_be_without_decay_are_not_compared(verdicts):
    mixed = ["mixed"] * 5
    # What is left over, twice; and what nothing without decay can be.
    assert statuses(verdicts(mixed, mixed)) == ("holds", "undecided")
    assert statuses(verdicts(["compression"] * 5, mixed)) == ("fails", "undecided")
    # That decay kept a run from being functional is seen without it.
    assert statuses(verdicts(["compression"] * 5, ["functional"] * 5)) == ("fails", "fails")


def test_fewer_do_not(verdicts):
    assert statuses(verdicts(["mixed"] * 2, ["functional"] * 2)) == ("undecided", "undecided")
    assert statuses(verdicts(["functional"] * 5, ["functional"])) == ("fails", "undecided")
    assert statuses(verdicts(["functional"] * 2)) == ("undecided", "undecided")
    assert verdicts(["functional"] * 2)[1].observed == "not run yet"


def test_seeds_without_a_class_do_not_count(verdicts):
    found = verdicts(["mixed"] * 3 + [""] * 5, ["functional"] * 2 + [""] * 6)
    assert statuses(found) == ("holds", "undecided")
    assert found[0].observed == "5 not told, 3 mixed, margins 0.5 to 0.5"
    assert statuses(verdicts([""] * 5))[0] == "undecided"


def flow(seed, scales, unrelated=0.0):
    """A run whose gap follows scaled terms, and noise."""
    chance = np.random.default_rng(seed)
    steps, terms = np.arange(0, 6001, 100), chance.normal(size=(61, 3)) * [1, 100, 1]
    changes = terms[:-1] @ np.array(scales) + unrelated * chance.normal(size=60)
    curves = {
        curve_name(GAP_FLOW, "step"): steps,
        curve_name(GAP_FLOW, "gap", "12"): np.concatenate([[0.0], np.cumsum(changes)]),
    }
    for name, values in zip(("curvature", "damping", "driving"), terms.T):
        curves[curve_name(GAP_FLOW, f"{name}_term", "12")] = values
    return row(**curves)


@pytest.mark.parametrize(
    ("scales", "unrelated", "expected"),
    [
        ((0.1, 1e-3, 1.0), 0.01, "holds"),  # functional, though damping has the largest numbers
        ((0.1, 1e-1, 1.0), 0.01, "fails"),
        ((1.0, 1e-3, 0.1), 0.01, "fails"),
        ((0.0, 0.0, 0.0), 1.0, "undecided"),  # whatever is largest is the largest noise
    ],
)
def test_the_balance_decides_where_its_terms_explain_something(scales, unrelated, expected):
    group = group_of(MODULAR, [flow(seed, scales, unrelated) for seed in range(5)])
    verdict = claims._balance(group)
    assert verdict.status == expected
    assert verdict.observed.startswith("terms explain ")
    few = claims._balance(group_of(MODULAR, [row()] * 5)).observed
    assert few == "too few changes of the gap between full windows"
    assert claims._balance(group_of(MODULAR, [])).observed == "not run yet"


def waves(count):
    name = curve_name(COORDINATE, "frequencies", "blocks.1")
    return row(**{curve_name(COORDINATE, "step"): np.array([LATE]), name: np.array([count])})


def wave_statuses(decay, without):
    return statuses(wave_claims(group_of(MODULAR, map(waves, decay), map(waves, without))))


def test_fewer_waves_than_without_decay():
    many = [32.0, 31.0, 33.0, 33.0, 32.0]
    assert wave_statuses([9.0, 8.0, 5.0, 9.0, 14.0], many) == ("undecided", "holds")
    assert wave_statuses([4.0, 5.0, 5.0, 4.0, 4.0], [3.0, 4.0, 4.0, 3.0, 3.0]) == ("holds", "fails")
    assert wave_statuses(many, many[1:] + many[:1]) == ("fails", "undecided")
    assert wave_statuses(many, []) == ("fails", "undecided")


def coordinate(score, correlation=0.99):
    values = {"class_score": score, "correlation": correlation, "null_correlation": 0.1}
    curves = {
        dyck_probes.probe_curve(dyck_probes.COORDINATE, name, "blocks.1", "c1"): np.array([value])
        for name, value in values.items()
    }
    step = dyck_probes.probe_curve(dyck_probes.COORDINATE, "step")
    return row(**curves, **{step: np.array([LATE])})


def depth_statuses(decay, without, correlation=0.99):
    own, other = ([coordinate(x, correlation) for x in scores] for scores in (decay, without))
    return statuses(depth_claims(group_of(DYCK, own, other)))


def test_the_coordinate_follows_depth_or_does_not():
    high, low = [0.95, 0.9, 0.97, 0.99, 0.96], [0.2, 0.1, 0.3, 0.2, 0.25]
    assert depth_statuses(high, low) == ("holds", "holds")
    assert depth_statuses(low, high) == ("fails", "fails")
    assert depth_statuses(high, high[1:] + high[:1]) == ("holds", "undecided")
    assert depth_statuses([0.1, 0.9, 0.2, 0.8, 0.6], low)[0] == "undecided"
    # What does not carry over to other rows is no coordinate.
    assert depth_statuses(high, low, correlation=0.05) == ("fails", "fails")
    assert depth_statuses(high, []) == ("holds", "undecided")
