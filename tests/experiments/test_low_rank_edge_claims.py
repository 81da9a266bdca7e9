"""Claims on edge and curvature under low-rank decay: each holds and fails as planted."""

import pytest
from planted_claims import HOLDS, OUTCOMES, Planted, planted_arms, statuses

from spectraledge.experiments.beyond.curvature_under_low_rank_decay import STUDY as CURVED
from spectraledge.experiments.beyond.edge_under_low_rank_decay import STUDY as EDGED
from spectraledge.experiments.beyond.scale_invariant_runs import (
    ARMS,
    BRACKET,
    CURVATURE,
    EDGE,
    L2,
    LOW_RANK,
    NONE,
    SPECTRUM,
    SPLIT,
    curve_name,
)

STEPS = 2000
OVERLAP, ROTATION = curve_name(SPLIT, "overlap", "v1"), curve_name(EDGE, "rotation", "v1")
RANK = curve_name(SPECTRUM, "stable_rank")
BY_L2, BY_LOW_RANK = (
    curve_name(SPLIT, "energy_share", part, "v1") for part in ("weight_decay", "low_rank")
)
LARGEST, DEFECT = curve_name(CURVATURE, "largest", "1"), curve_name(BRACKET, "defect")
SAME = dict.fromkeys((OVERLAP, BY_L2, BY_LOW_RANK), 0.5)
BASE = dict.fromkeys(ARMS, SAME | dict.fromkeys((ROTATION, RANK, LARGEST, DEFECT), 10.0))


def late(claim, arm, curve, holds, fails):
    """The second half of a run counts, in which the first decides nothing."""
    half = STEPS // 2
    pair = ({0: fails, half: holds}, {0: holds, half: fails})
    return Planted(claim, {(arm, curve): pair})


CLOSER = "Under L2 the edge lies closer to the weights than without decay"
FURTHER = "Under low-rank decay the edge lies further from the weights than under L2"
TURNS = "Under low-rank decay the edge turns less than under L2"
LOWER = "Low-rank decay makes Q and K of lower rank than L2"
EDGES = [
    late(CLOSER, L2, OVERLAP, 0.8, 0.2),
    late(FURTHER, LOW_RANK, OVERLAP, 0.2, 0.8),
    late(TURNS, LOW_RANK, ROTATION, 5.0, 20.0),
    late(LOWER, LOW_RANK, RANK, 5.0, 20.0),
    late("Late, L2 drives the edge of Q and K", L2, BY_L2, 0.8, 0.2),
    late("Late, LRD drives the edge of Q and K", LOW_RANK, BY_LOW_RANK, 0.8, 0.2),
]
CONTROLS = [
    late(CLOSER, NONE, OVERLAP, 0.2, 0.8),
    late(FURTHER, L2, OVERLAP, 0.8, 0.2),
    late(TURNS, L2, ROTATION, 20.0, 5.0),
    late(LOWER, L2, RANK, 20.0, 5.0),
]
CURVES = [
    late(f"{claim} under LRD than {other}", arm, curve, *pair)
    for claim, curve in (
        ("The largest eigenvalue is smaller", LARGEST),
        ("Gradient steps commute better", DEFECT),
    )
    for other in (L2, NONE)
    for arm, pair in ((LOW_RANK, (1.0, 100.0)), (other, (100.0, 1.0)))
]


def found(study, curves, outcome):
    return statuses(study.claims(planted_arms(BASE, curves, outcome, STEPS)))


@pytest.mark.parametrize("case", [*EDGES, *CONTROLS], ids=lambda case: case.claim)
def test_claims_on_the_edge_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert found(EDGED, case.curves, outcome)[case.claim] == status


@pytest.mark.parametrize("case", CURVES, ids=lambda case: case.claim)
def test_claims_on_curvature_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert found(CURVED, case.curves, outcome)[case.claim] == status


def test_no_claim_is_left_out():
    assert set(found(EDGED, {}, HOLDS)) == {case.claim for case in EDGES}
    assert set(found(CURVED, {}, HOLDS)) == {case.claim for case in CURVES}
