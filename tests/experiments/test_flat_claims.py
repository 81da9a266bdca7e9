"""Claims on removals and flatness, and those over seeds: each holds and fails as planted."""

import pytest
from planted_claims import HOLDS, OUTCOMES, Planted, only_at, planted_arms, statuses

from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    NO_DECAY,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    CURVES,
    PUBLISHED_CURVES,
    SPLIT,
    EdgeGroup,
    curve_name,
)
from spectraledge.experiments.spectral_edge.flat_claims import RANDOM, flat_claims, removal
from spectraledge.experiments.spectral_edge.multi_seed import STUDY as SEEDS

REGIME = edge_regimes("demo")[DYCK]
EDGE, MATCHED, BULK = (removal("accuracy_change", what) for what in ("edge", "matched", "bulk"))
ADDED, SHRUNK = (removal("accuracy_change", what) for what in ("additive", "shrink"))
CURVATURE, DIVERGENCE = (
    curve_name(instrument, output, "v1")
    for instrument, output in ((CURVES, "curvature"), (PUBLISHED_CURVES, "largest_divergence"))
)
WINDOW, LAST = (
    curve_name(SPLIT, output, "gradient", "v1") for output in ("energy_share", "last_energy_share")
)
SAME = {
    EDGE: -0.2,
    MATCHED: -0.2,
    BULK: -0.2,
    ADDED: -0.2,
    SHRUNK: -0.2,
    removal("accuracy_change", "random"): -1e-5,
    **{removal("removed", what): 0.5 for what in ("edge", "bulk", "random", "additive")},
    CURVATURE: 1.0,
    **{curve_name(CURVES, "curvature", name): 1.0 for name in RANDOM},
    curve_name(PUBLISHED_CURVES, "curvature", "v1"): 1.0,
    DIVERGENCE: 1.0,
    curve_name(PUBLISHED_CURVES, "largest_divergence", "random1"): 1.0,
    WINDOW: 0.5,
    LAST: 0.5,
}
BASE = {DECAY: SAME, NO_DECAY: SAME}
MORE = "the edge matters more than an equal share of the weights"


def special(claim, step, condition=DECAY):
    """More than the control at its own step, and less at all others; or the other way round."""
    edge = (only_at(step, -0.5, -0.1), only_at(step, -0.1, -0.5))
    return Planted(f"{claim} {MORE}", {(condition, EDGE): edge})


FLAT = [
    Planted("Removing the late edge ruins the network", {
        (DECAY, EDGE): (only_at(3900, -0.5, 0.0), only_at(3900, -0.02, -0.5)),
    }),
    Planted("Removing a random direction that holds the same share of the weights does nothing", {
        (DECAY, MATCHED): (only_at(3900, -0.02, -0.5), only_at(3900, -0.5, 0.0)),
    }),
    Planted("Moving the weights at random as far as the removal moves them does nothing", {
        (DECAY, ADDED): (only_at(3900, -0.02, -0.5), only_at(3900, -0.5, 0.0)),
    }),
    Planted("Removing the late edge costs more than shrinking all the weights as much", {
        (DECAY, SHRUNK): (only_at(3900, -0.02, -0.5), only_at(3900, -0.5, -0.02)),
    }),
    special("At step 200 (pre)", 200),
    special("At step 500 (at)", 500),
    special("At step 3900 (late)", 3900),
    # At the late step alone it is the other way round.
    Planted(f"Over late snapshots {MORE}", {
        (DECAY, EDGE): ({3900: -0.1, 4000: -0.5}, {3900: -0.5, 4000: -0.1}),
    }),
    Planted("Without decay the late edge is not critical", {
        (NO_DECAY, EDGE): (only_at(3000, -0.02, -0.5), only_at(3000, -0.5, 0.0)),
    }),
    special("Without decay, at step 200 (pre)", 200, NO_DECAY),
    special("Without decay, at step 500 (at)", 500, NO_DECAY),
    Planted("The late edge is a flat direction", {
        (DECAY, CURVATURE): (only_at(3900, 0.2, 5.0), only_at(3900, 5.0, 0.2)),
    }),
    Planted("Perturbing along the late edge changes the output less than at random", {
        (DECAY, DIVERGENCE): (only_at(3900, 0.2, 5.0), only_at(3900, 5.0, 0.2)),
    }),
    Planted("Removing the late bulk (v₃, v₄) does little", {
        (DECAY, BULK): (only_at(3900, -0.05, -0.5), only_at(3900, -0.5, 0.0)),
    }),
]  # fmt: skip
OVER_SEEDS = [
    Planted("Removing the edge at step 500 costs accuracy on average", {
        (DECAY, EDGE): (only_at(500, -0.5, 0.0), only_at(500, -0.02, -0.5)),
    }),
    Planted("Removing the edge at step 3900 costs accuracy on average", {
        (DECAY, EDGE): (only_at(3900, -0.5, 0.0), only_at(3900, -0.02, -0.5)),
    }),
    Planted("Both published estimates of the gradient's share agree", {
        (DECAY, LAST): (only_at(600, 0.48, 0.9), only_at(600, 0.1, 0.5)),
    }),
]  # fmt: skip


def group_of(curves, outcome, steps=5000):
    return EdgeGroup(DYCK, REGIME, planted_arms(BASE, curves, outcome, steps))


def flat(curves, outcome, steps=5000):
    return statuses(flat_claims({DYCK: group_of(curves, outcome, steps)}))


def over_seeds(curves, outcome):
    return statuses(SEEDS.claims({DYCK: group_of(curves, outcome)}))


@pytest.mark.parametrize("case", FLAT, ids=lambda case: case.claim)
def test_claims_on_removals_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert flat(case.curves, outcome)[case.claim] == status


@pytest.mark.parametrize("case", OVER_SEEDS, ids=lambda case: case.claim)
def test_claims_over_seeds_hold_and_fail_as_planted(case):
    for outcome, status in OUTCOMES:
        assert over_seeds(case.curves, outcome)[case.claim] == status


def test_no_claim_is_left_out():
    assert set(flat({}, HOLDS)) == {case.claim for case in FLAT}
    assert set(over_seeds({}, HOLDS)) == {case.claim for case in OVER_SEEDS}


def test_two_late_snapshots_have_no_median():
    claim = f"Over late snapshots {MORE}"
    large = {(DECAY, EDGE): (-0.5, -0.5)}
    assert flat(large, HOLDS, steps=4000)[claim] == "undecided"
    assert flat(large, HOLDS, steps=4100)[claim] == "holds"


def test_at_the_threshold_nothing_is_decided():
    found = flat({(DECAY, EDGE): (-0.1, -0.1)}, HOLDS)
    assert found["Removing the late edge ruins the network"] == "undecided"
