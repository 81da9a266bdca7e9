"""Classes decide nothing until several seeds have one."""

import pytest

from spectraledge.experiments.spectral_edge import universality_claims as claims
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, NO_DECAY, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup


@pytest.fixture
def verdicts(monkeypatch):
    """Statuses of the class and of its dependence on decay, for planted classes by seed."""
    # A row stands for its own class.
    monkeypatch.setattr(claims, "edge_numbers", lambda row: row)
    monkeypatch.setattr(claims, "edge_class", lambda numbers: (numbers, 0.0))

    def statuses(decay, without=()):
        rows = {DECAY: dict(enumerate(decay)), NO_DECAY: dict(enumerate(without))}
        group = EdgeGroup(DYCK, edge_regimes("demo")[DYCK], rows)
        return claims._class_of(group).status, claims._decided_by_decay(group).status

    return statuses


def test_three_seeds_decide(verdicts):
    mixed, other = ["mixed"] * 3, ["functional"] * 3
    assert verdicts(mixed, mixed) == ("holds", "holds")
    assert verdicts(other, mixed) == ("fails", "fails")
    assert verdicts([*mixed, "functional"], mixed) == ("undecided", "holds")


def test_fewer_do_not(verdicts):
    assert verdicts(["mixed"] * 2, ["mixed"] * 2) == ("undecided", "undecided")
    assert verdicts(["mixed"] * 5, ["mixed"]) == ("holds", "undecided")
    assert verdicts(["functional"] * 2) == ("undecided", "undecided")
